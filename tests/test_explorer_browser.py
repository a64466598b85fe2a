"""The explorer in a real browser: each thing that a person can do on the page, and what it then shows."""

import csv
import io
import threading

import numpy as np
import pytest
import torch
from pages import DESK, MODELS, PHONE, Made, model, page_file, subject
from torch import nn

from lit_ae.data.digits import Digits
from lit_ae.explorer import layers
from lit_ae.explorer.page import served
from lit_ae.explorer.server import Server
from lit_ae.explorer.subjects import described
from lit_ae.models import AE, VAE

pytestmark = pytest.mark.browser
PANE = "explorer.panes[0]"


class Opened:
    """A page in the browser, and what a test asks of it."""

    def __init__(self, browser, address, size=DESK):
        self.page, self.said = browser.new_page(viewport=size), []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.goto(str(address))
        self.page.evaluate("explorer.ready")

    def js(self, code, argument=None):
        return self.page.evaluate(code, argument)

    def array(self, code, argument=None):
        return np.array(self.js(f"async v => [...(await ({code}))]", argument), dtype=np.float64)

    def part(self, name, pane=0):
        return self.page.locator(".pane").nth(pane).locator(f"[data-part={name}]")

    def pixel(self, i, pane=0):
        """Where sample i lies in the window."""
        self.part("marks", pane).scroll_into_view_if_needed()
        box = self.part("marks", pane).bounding_box()
        x, y = self.js(f"[...explorer.panes[{pane}].pixels.subarray({2 * i}, {2 * i + 2})]")
        return box["x"] + x, box["y"] + y

    def click(self, i, pane=0):
        self.page.mouse.click(*self.pixel(i, pane))
        self.page.wait_for_function(f"explorer.panes.at(-1).chosen === {i}")
        self.page.wait_for_timeout(100)

    def image(self, locator):
        """Grey values of an image [H, W]."""
        code = (
            "c => { const d = c.getContext('2d').getImageData(0, 0, c.width, c.height);"
            " return [d.width, [...d.data].filter((_, i) => i % 4 === 0)]; }"
        )
        width, values = locator.evaluate(code)
        return np.array(values).reshape(-1, width)


def grey(values):
    return np.round(255 * np.asarray(values)).clip(0, 255)


@pytest.fixture(scope="module")
def vae():
    torch.manual_seed(1)
    made = VAE(input_shape=(1, 28, 28), latent_dim=16).eval()
    with torch.no_grad():
        made.encoder.layers[-1].weight[:16] *= 8  # codes that differ, though nothing was trained
        made.decoder.layers[0].weight *= 3
    return made


@pytest.fixture(scope="module")
def data():
    return Digits()


@pytest.fixture(scope="module")
def path(vae, data, tmp_path_factory):
    return page_file(tmp_path_factory.mktemp("page") / "page.html", [subject(vae, data, maps=("tsne",))], data)


@pytest.fixture(scope="module")
def codes(vae, data):
    return torch.from_numpy(vae.embed(data.split("test").x[:].numpy()))


@pytest.fixture
def opened(browser, path):
    made = Opened(browser, path.as_uri())
    yield made
    assert made.said == []
    made.page.close()


def decoded(made, z, y=None):
    with torch.no_grad():
        return made.decode(torch.as_tensor(np.asarray(z), dtype=torch.float32).view(1, -1), y).flatten().numpy()


# -- the networks ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(MODELS))
def test_javascript_computes_what_pytorch_computes(browser, tmp_path, agrees, name):
    made, data = model(name), Made(MODELS[name]().input_shape)
    page = Opened(browser, page_file(tmp_path / "page.html", [subject(made, data)], data).as_uri())
    z = torch.randn(5, made.latent_dim, generator=torch.Generator().manual_seed(1))
    y = torch.tensor([2] * 5) if name == "conditional" else None
    found = [page.array(f"{PANE}.decode(v, 2)", row.tolist()) for row in z]
    with torch.no_grad():
        expected = made.decode(z, y).flatten(1).double()
    agrees(f"decoder in the page: {name}", "PyTorch", "5 codes", np.array(found), expected, rel=0, abs=2e-6)
    if name not in ("dcgan", "conditional"):
        x = torch.rand(3, *made.input_shape, generator=torch.Generator().manual_seed(2))
        code = f"compute({PANE}.run.encoder, v, explorer.facts.shape)"
        with torch.no_grad():
            expected = made.encode(x).mu.double()
        found = np.array([page.array(code, row.flatten().tolist()) for row in x])
        agrees(f"encoder in the page: {name}", "PyTorch", "3 samples", found, expected, rel=0, abs=5e-6)
    assert page.said == []
    page.page.close()


@pytest.mark.parametrize("precision", ["float16", "uint8"])
@pytest.mark.parametrize("name", ["conv batch norm", "layer norm"])
def test_rounded_weights_are_those_whose_error_the_page_states(browser, tmp_path, agrees, monkeypatch, name, precision):
    monkeypatch.setattr("lit_ae.explorer.page._fitting", lambda *_: (precision, True))
    made, data = model(name), Made(MODELS[name]().input_shape)
    page = Opened(browser, page_file(tmp_path / "page.html", [subject(made, data)], data).as_uri())
    z = torch.randn(5, made.latent_dim, generator=torch.Generator().manual_seed(1))
    expected = layers.run(layers.rounded(layers.decoder_ops(made, z, None), precision), z).flatten(1).double()
    found = np.array([page.array(f"{PANE}.decode(v)", row.tolist()) for row in z])
    agrees(f"decoder in {precision}: {name}", "PyTorch", "5 codes", found, expected, rel=0, abs=2e-6)
    stated = page.js(f"{PANE}.run.error")
    assert stated > 0
    assert f"weights as {precision}, which changes a decoded value by at most" in page.part("facts").inner_text()
    page.page.close()


def test_a_decoding_of_the_shipped_vae_takes_at_most_50_ms(browser, tmp_path, data):
    torch.manual_seed(0)
    made = VAE(input_shape=(1, 28, 28), latent_dim=100).eval()
    page = Opened(browser, page_file(tmp_path / "page.html", [subject(made, data)], data).as_uri())
    for _ in range(20):
        page.array(f"{PANE}.decode({PANE}.z)")
    milliseconds = page.js(f"{PANE}.milliseconds")
    print(f"a decoding of an MLP 100-256-784 takes {milliseconds:.2f} ms")
    assert milliseconds <= 50
    assert "ms in this browser" in page.part("time").inner_text()
    page.page.close()


# -- the map ---------------------------------------------------------------------------------------------------------


def test_the_pointer_over_a_point_shows_its_image(opened, data):
    opened.page.mouse.move(*opened.pixel(7))
    tip = opened.part("tip")
    i = opened.js(f"{PANE}.cursor")  # 7, or one that lies above it
    assert tip.is_visible()
    assert f"sample {i}, label {data.split('test').y[i]}" in tip.inner_text()
    assert np.array_equal(opened.image(tip.locator("canvas")), data.split("test").x[i, 0].numpy())
    opened.page.mouse.move(1, 1)
    assert tip.is_hidden()


def test_a_click_shows_input_reconstruction_spread_and_neighbours(opened, vae, data, codes):
    x = data.split("test").x
    opened.click(7)
    i = opened.js(f"{PANE}.chosen")
    images, captions = opened.part("chosen").locator("canvas"), opened.part("chosen").locator("figcaption")
    assert np.array_equal(opened.image(images.nth(0)), x[i, 0].numpy())
    made = vae.reconstruct(x[i : i + 1].numpy())[0, 0]
    assert np.abs(opened.image(images.nth(1)) - grey(made)).max() <= 1
    error = ((made - x[i, 0].numpy() / 255) ** 2).mean()
    assert f"PSNR {10 * np.log10(1 / error):.1f} dB" in captions.nth(1).inner_text()
    distance = (codes - codes[i]).norm(dim=1)
    nearest = distance.argsort()[1:9].tolist()
    assert opened.js(f"{PANE}.neighbours") == nearest
    texts = opened.part("neighbours").locator("figcaption").all_inner_texts()
    assert [int(text.split(",")[0]) for text in texts] == nearest
    assert float(texts[0].rpartition(" ")[2]) == pytest.approx(distance[nearest[0]].item(), rel=5e-3)
    opened.part("neighbours").locator("button").nth(0).click()
    opened.page.wait_for_function(f"{PANE}.chosen === {nearest[0]}")


def test_the_spread_is_that_of_decoded_draws_of_the_posterior(opened, vae, data):
    x = data.split("test").x[3:4].float() / 255
    found = opened.array(f"{PANE}.spread(3, 0)")
    draws = "Array.from({length: 16}, () => [...normals(16, random)])"
    noise = opened.js(f"() => {{ const random = generator(4); return {draws}; }}")
    with torch.no_grad():
        mu, logvar = vae.encode(x)[:2]
        expected = vae.decode(mu + (logvar / 2).exp() * torch.tensor(noise)).flatten(1).std(0, correction=0).numpy()
    assert np.allclose(found, expected, rtol=2e-3, atol=1e-5)  # the page has the standard deviations in float16


def test_two_clicks_interpolate_with_psnr(opened, vae, data, codes):
    opened.click(7)
    opened.click(20)
    a, b = opened.js(f"[{PANE}.before, {PANE}.chosen]")
    assert (a, b) == (7, 20)
    images, captions = opened.part("strip").locator("canvas"), opened.part("strip").locator("figcaption")
    assert images.count() == 9
    x = data.split("test").x[:, 0].numpy() / 255
    for k, t in enumerate(np.linspace(0, 1, 9)):
        made = decoded(vae, (1 - t) * codes[a].numpy() + t * codes[b].numpy()).reshape(28, 28)
        assert np.abs(opened.image(images.nth(k)) - grey(made)).max() <= 1
        error = ((made - (1 - t) * x[a] - t * x[b]) ** 2).mean()
        assert float(captions.nth(k).inner_text().split()[0]) == pytest.approx(10 * np.log10(1 / error), abs=0.06)


def empty_place(opened):
    """Pixels, within the map, of a place far from every point."""
    width, height = opened.js(f"[{PANE}.room.width, {PANE}.room.height]")
    points = np.array(opened.js(f"[...{PANE}.pixels]")).reshape(-1, 2)
    grid = np.stack(np.meshgrid(np.linspace(20, width - 20, 40), np.linspace(20, height - 20, 30)), -1).reshape(-1, 2)
    distances = np.linalg.norm(grid[:, None] - points, axis=2).min(1)
    return grid[distances.argmax()]


def click_place(opened, x, y):
    opened.part("marks").scroll_into_view_if_needed()
    box = opened.part("marks").bounding_box()
    opened.page.mouse.click(box["x"] + x, box["y"] + y)
    opened.page.wait_for_timeout(100)


def test_a_click_on_an_empty_place_decodes_it(opened, vae, codes):
    x, y = empty_place(opened)
    click_place(opened, x, y)
    point = opened.array(f"{PANE}.place")
    mean = codes.mean(0).numpy()
    axes = opened.array(f"{PANE}.map.axes.data").reshape(2, -1)
    z = opened.array(f"{PANE}.z")
    assert np.allclose(z, mean + point @ axes, atol=1e-4)
    assert np.allclose((z - mean) @ axes.T, point, atol=1e-4)
    shown = opened.image(opened.part("decoded").locator("canvas"))
    assert np.abs(shown - grey(decoded(vae, z).reshape(28, 28))).max() <= 1
    before = z
    opened.part("map").select_option(label="first two dimensions")
    x, y = empty_place(opened)
    click_place(opened, x, y)
    z = opened.array(f"{PANE}.z")
    assert np.allclose(z[:2], opened.array(f"{PANE}.place"), atol=1e-5)
    assert np.allclose(z[2:], before[2:], atol=1e-6)  # the other dimensions stay


def test_a_place_on_an_embedding_is_a_mean_of_the_nearest_codes(opened, codes):
    opened.part("map").select_option(label="t-SNE")
    assert "this map has no inverse" in opened.part("how").inner_text()
    click_place(opened, *empty_place(opened))
    place = opened.array(f"{PANE}.place")
    points = opened.array(f"{PANE}.points").reshape(-1, 2)
    squares = ((points - place) ** 2).sum(1)
    five = squares.argsort()[:5]
    weights = 1 / squares[five] / (1 / squares[five]).sum()
    assert np.allclose(opened.array(f"{PANE}.z"), weights @ codes[five].numpy(), atol=1e-3)


def test_the_colour_follows_the_choice(opened):
    labels = opened.js("[...explorer.facts.y.data]")
    palette = opened.js("explorer.facts.palette")
    assert opened.js(f"{PANE}.look()(5)") == [palette[labels[5]], 0]
    options = opened.part("colour").locator("option").all_inner_texts()
    assert options == ["label", "reconstruction error (MSE)", "uncertainty (mean posterior std)"]
    opened.part("colour").select_option(label="reconstruction error (MSE)")
    errors = opened.array(f"Object.values({PANE}.run.values)[0].data")
    worst, best = int(errors.argmax()), int(errors.argmin())
    assert opened.js(f"[{PANE}.look()({worst})[0], {PANE}.look()({best})[0]]") == ["rgb(254,232,56)", "rgb(0,34,78)"]
    assert "98th percentile" in opened.part("legend").inner_text()


# -- groups ----------------------------------------------------------------------------------------------------------


def inside(opened, path):
    from matplotlib.path import Path as Outline

    points = np.array(opened.js(f"[...{PANE}.pixels]")).reshape(-1, 2)
    return np.flatnonzero(Outline(path).contains_points(points)).tolist()


def drag(opened, corners):
    opened.part("marks").scroll_into_view_if_needed()
    box = opened.part("marks").bounding_box()
    opened.page.mouse.move(box["x"] + corners[0][0], box["y"] + corners[0][1])
    opened.page.mouse.down()
    for x, y in corners[1:]:
        opened.page.mouse.move(box["x"] + x, box["y"] + y)
    opened.page.mouse.up()
    opened.page.wait_for_timeout(150)


def test_a_rectangle_gives_mean_spread_shares_and_csv(opened, vae, data, codes):
    opened.page.get_by_label("rectangle").check()
    width, height = opened.js(f"[{PANE}.room.width, {PANE}.room.height]")
    left, top, right, bottom = 0.25 * width, 0.3 * height, 0.6 * width, 0.75 * height
    drag(opened, [(left, top), (right, bottom)])
    group = opened.js(f"{PANE}.group")
    assert group == inside(opened, [(left, top), (right, top), (right, bottom), (left, bottom)])
    assert 5 < len(group) < len(codes)
    text, z = opened.part("group").inner_text(), codes[group].double()
    radius = (z - z.mean(0)).square().sum(1).mean().sqrt()
    assert f"{len(group)} samples; root mean square distance of their codes from the mean code: {radius:.3g}" in text
    x, y = data.split("test").x[group, 0].numpy() / 255, data.split("test").y[group]
    images = opened.part("group").locator("canvas")
    assert np.abs(opened.image(images.nth(0)) - grey(x.mean(0))).max() <= 1
    assert np.abs(opened.image(images.nth(1)) - grey(decoded(vae, z.mean(0)).reshape(28, 28))).max() <= 1
    assert np.abs(opened.image(images.nth(2)) - grey(x.std(0) / x.std(0).max())).max() <= 1
    rows = [row.split("\t") for row in opened.part("group").locator("tr").all_inner_texts()]
    assert {int(k): int(n) for k, n, _ in rows} == {k: n for k, n in enumerate(y.bincount().tolist()) if n}
    assert rows[0][2] == f"{100 * y.bincount().max() / len(y):.1f} %"
    with opened.page.expect_download() as saved:
        opened.page.get_by_text("Save as CSV").click()
    table = list(csv.DictReader(io.StringIO(saved.value.path().read_text("utf-8"))))
    assert [int(row["index"]) for row in table] == group
    assert [int(row["label"]) for row in table] == y.tolist()
    found = np.array([[float(row[f"z_{d}"]) for d in range(16)] for row in table])
    assert np.allclose(found, z, atol=1e-5)


def test_a_lasso_takes_what_is_inside_and_escape_dissolves_it(opened):
    opened.page.get_by_label("lasso").check()
    width, height = opened.js(f"[{PANE}.room.width, {PANE}.room.height]")
    corners = [(0.2 * width, 0.2 * height), (0.7 * width, 0.3 * height), (0.4 * width, 0.8 * height)]
    drag(opened, corners)
    assert opened.js(f"{PANE}.group") == inside(opened, corners)
    opened.part("marks").focus()
    opened.page.keyboard.press("Escape")
    opened.page.wait_for_function(f"{PANE}.group === null")
    assert opened.page.inner_text("#said") == "No group."


def test_a_class_of_the_legend_becomes_the_group(opened, data):
    opened.part("legend").get_by_role("button", name="4", exact=True).click()
    opened.page.wait_for_timeout(100)
    assert opened.js(f"{PANE}.group") == (data.split("test").y == 4).nonzero().flatten().tolist()


# -- codes -----------------------------------------------------------------------------------------------------------


def test_sliders_decode_live_the_most_active_first(opened, vae, codes):
    order = np.argsort(-codes.std(0, correction=0).numpy(), kind="stable")
    labels = opened.part("sliders").locator("label")
    assert [int(labels.nth(k).inner_text().split()[1]) for k in range(12)] == order[:12].tolist()
    assert labels.nth(12).is_hidden()
    opened.part("more").click()
    assert labels.nth(15).is_visible()
    slider = labels.nth(0).locator("input")
    slider.focus()
    opened.page.keyboard.press("End")  # three standard deviations above the mean
    opened.page.wait_for_timeout(100)
    z = codes.mean(0).numpy()
    z[order[0]] += 3 * codes[:, order[0]].std(correction=0).item()
    assert np.allclose(opened.array(f"{PANE}.z"), z, atol=1e-4)
    shown = opened.image(opened.part("decoded").locator("canvas"))
    assert np.abs(shown - grey(decoded(vae, z).reshape(28, 28))).max() <= 1
    opened.part("reset").click()
    opened.page.wait_for_timeout(100)
    assert np.allclose(opened.array(f"{PANE}.z"), codes.mean(0), atol=1e-5)


def test_samples_come_from_the_chosen_density(opened, vae, data):
    assert opened.part("samples").locator("canvas").count() == 16
    before = opened.image(opened.part("samples").locator("canvas").nth(0))
    opened.part("draw").click()
    opened.page.wait_for_timeout(200)
    assert not np.array_equal(before, opened.image(opened.part("samples").locator("canvas").nth(0)))
    trained = vae.embed(data.split("train").x[:].numpy()).astype(np.float64)
    expected = {"N(0, I)": (np.zeros(16), np.eye(16)), "Gaussian": (trained.mean(0), np.cov(trained.T))}
    expected["mixture"] = expected["Gaussian"]  # whose EM keeps the mean and the covariance of what it is fitted to
    names = opened.js(f"{PANE}.run.samplers.map(s => s.name)")
    assert names == list(expected)
    for k, name in enumerate(names):
        one = f"[...draw({PANE}.run.samplers[{k}], 16, random)]"
        drawn = np.array(
            opened.js(f"() => {{ const random = generator(5); return Array.from({{length: 20000}}, () => {one}); }}")
        )
        mean, covariance = expected[name]
        scale = np.sqrt(np.diag(covariance))
        assert np.abs((drawn.mean(0) - mean) / scale).max() < 0.05
        assert np.abs((np.cov(drawn.T) - covariance) / np.outer(scale, scale)).max() < 0.1


def test_what_is_drawn_on_the_pad_is_encoded(opened, vae, codes):
    pad = opened.page.locator("#pad")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    opened.page.mouse.move(box["x"] + 110, box["y"] + 30)
    opened.page.mouse.down()
    opened.page.mouse.move(box["x"] + 110, box["y"] + 190, steps=5)
    opened.page.mouse.up()
    opened.page.wait_for_timeout(200)
    drawn = opened.image(pad)
    assert drawn.max() == 255
    assert 40 < (drawn > 0).sum() < 100  # a line 20 px long and 2 px wide
    x = torch.from_numpy(drawn).float().view(1, 1, 28, 28) / 255
    with torch.no_grad():
        code = vae.encode(x).mu[0]
    assert np.allclose(opened.array(f"{PANE}.own"), code, atol=1e-4)
    images = opened.page.locator("#encoded canvas")
    assert np.abs(opened.image(images.nth(0)) - grey(decoded(vae, code).reshape(28, 28))).max() <= 1
    nearest = (codes - code).norm(dim=1).argmin().item()
    assert f"nearest: sample {nearest}" in opened.page.inner_text("#encoded")
    opened.page.locator("#clear").click()
    assert opened.image(pad).max() == 0
    pad.focus()
    for key in (" ", "ArrowRight", "ArrowRight", "ArrowDown"):
        opened.page.keyboard.press(key)
    assert opened.image(pad).max() == 255
    assert opened.page.inner_text("#said") == "Pen at column 16, row 15, drawing."


def test_an_image_file_is_encoded(opened, vae, data, tmp_path):
    from PIL import Image

    x = data.split("test").x[5]
    Image.fromarray(x[0].numpy()).save(tmp_path / "five.png")
    opened.page.set_input_files("#file", tmp_path / "five.png")
    opened.page.wait_for_function(f"{PANE}.own !== null")
    assert np.allclose(opened.array(f"{PANE}.own"), vae.embed(x[None].numpy())[0], atol=1e-4)


# -- keyboard, labels and small screens ------------------------------------------------------------------------------


def test_the_keyboard_alone_reaches_a_sample_and_a_place(opened):
    opened.part("marks").focus()
    start = np.array(opened.js(f"[...{PANE}.pixels.subarray(0, 2)]"))
    opened.page.keyboard.press("ArrowLeft")
    i = opened.js(f"{PANE}.cursor")
    if i == 0:  # nothing lies to its left
        opened.page.keyboard.press("ArrowRight")
        i = opened.js(f"{PANE}.cursor")
    dx, dy = np.array(opened.js(f"[...{PANE}.pixels.subarray({2 * i}, {2 * i + 2})]")) - start
    assert abs(dx) > abs(dy)
    assert opened.page.inner_text("#said").startswith(f"sample {i}, label")
    opened.page.keyboard.press("Enter")
    opened.page.wait_for_function(f"{PANE}.chosen === {i}")
    opened.page.wait_for_timeout(100)
    opened.page.keyboard.press("Shift+ArrowUp")
    opened.page.wait_for_timeout(100)
    assert opened.js(f"{PANE}.place !== null")
    assert "the place" in opened.part("decoded").inner_text()


NAMELESS = """[...document.querySelectorAll("button, select, input, canvas[tabindex], canvas[role=img], ol.bars")]
  .filter(e => !(e.getAttribute("aria-label") || e.innerText || e.title || e.querySelector("[aria-label]")
    || (e.labels && [...e.labels].some(l => l.innerText.trim()))))
  .filter(e => e.offsetParent).map(e => e.outerHTML)"""


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_everything_has_a_name_and_nothing_is_wider_than_the_screen(browser, path, size):
    page = Opened(browser, path.as_uri(), size)
    page.js("explorer.choose(3)")
    page.js("explorer.choose(9)")
    page.js("explorer.select([1, 2, 3, 4])")
    assert page.js(NAMELESS) == []
    assert page.js("document.documentElement.scrollWidth") == size["width"]
    edges = "[...document.querySelectorAll('main *')].map(e => e.getBoundingClientRect().right)"
    assert max(page.js(edges)) <= size["width"] + 1
    targets = "[...document.querySelectorAll('button, select')].filter(e => e.offsetParent).map(e => e.offsetHeight)"
    assert min(page.js(targets)) >= 32  # px: large enough for a finger
    assert page.said == []
    page.page.close()


# -- other models and data -------------------------------------------------------------------------------------------


def test_a_gan_has_sliders_and_samples(browser, tmp_path):
    made, data = model("dcgan"), Made((1, 28, 28))
    page = Opened(browser, page_file(tmp_path / "page.html", [subject(made, data)], data).as_uri())
    assert page.part("mapped").is_hidden()
    assert page.page.locator("#drawing").is_hidden()
    slider = page.part("sliders").locator("input").nth(1)
    slider.focus()
    page.page.keyboard.press("Home")
    page.page.wait_for_timeout(100)
    assert np.allclose(page.array(f"{PANE}.z"), [0, -3, 0, 0, 0])
    shown = page.image(page.part("decoded").locator("canvas"))
    assert np.abs(shown - grey(decoded(made, [0, -3, 0, 0, 0]).reshape(28, 28))).max() <= 1
    assert page.part("samples").locator("canvas").count() == 16
    assert page.said == []
    page.page.close()


def test_vectors_are_bars_with_names(browser, tmp_path):
    made, data = model("batch norm"), Made((9,))
    data.feature_names = tuple(f"gene {letter}" for letter in "ABCDEFGHI")
    page = Opened(browser, page_file(tmp_path / "page.html", [subject(made, data)], data).as_uri(), PHONE)
    page.js("explorer.choose(2)")
    x = data.split("test").x[2]
    rows = page.part("chosen").locator("ol").nth(0).locator("li").all_inner_texts()
    order = x.half().abs().argsort(descending=True, stable=True)
    assert [row.split("\n")[0] for row in rows] == [data.feature_names[i] for i in order]
    assert [float(row.split("\n")[-1]) for row in rows] == pytest.approx([x[i].item() for i in order], abs=2e-3)
    names = page.part("chosen").locator("ol").nth(1).locator(".name").all_inner_texts()
    assert names == [data.feature_names[i] for i in order]  # the reconstruction in the order of the input
    assert page.page.locator("#drawing").is_hidden()
    assert page.js("document.documentElement.scrollWidth") == PHONE["width"]
    page.page.close()


def test_colour_images_have_their_colours(browser, tmp_path):
    made, data = model("conv"), Made((3, 21, 18))
    page = Opened(browser, page_file(tmp_path / "page.html", [subject(made, data)], data).as_uri())
    page.js("explorer.choose(2)")
    code = "c => [...c.getContext('2d').getImageData(0, 0, 18, 21).data]"
    found = np.array(page.part("chosen").locator("canvas").nth(0).evaluate(code)).reshape(21, 18, 4)[..., :3]
    assert np.array_equal(found, data.split("test").x[2].permute(1, 2, 0).numpy())
    page.page.close()


def test_the_class_of_a_conditional_model_is_chosen(browser, tmp_path):
    made, data = model("conditional"), Made((9,))
    page = Opened(browser, page_file(tmp_path / "page.html", [subject(made, data)], data).as_uri())
    page.part("label").select_option(label="kind 2")
    page.page.wait_for_timeout(100)
    expected = decoded(made, page.array(f"{PANE}.z"), torch.tensor([2]))
    assert np.allclose(page.array(f"{PANE}.x"), expected, atol=1e-5)
    page.page.close()


def test_two_runs_are_linked_by_sample(browser, tmp_path, data, vae):
    torch.manual_seed(5)
    other = VAE(input_shape=(1, 28, 28), latent_dim=4).eval()
    both = [subject(vae, data, "first"), subject(other, data, "second")]
    page = Opened(browser, page_file(tmp_path / "page.html", both, data).as_uri())
    boxes = [page.part("marks", k).bounding_box() for k in (0, 1)]
    assert boxes[0]["y"] == boxes[1]["y"]  # side by side
    assert boxes[0]["x"] + boxes[0]["width"] < boxes[1]["x"]
    page.click(7, pane=1)
    assert page.js("explorer.panes.map(pane => pane.chosen)") == [7, 7]
    x = data.split("test").x[7:8].numpy()
    for k, made in enumerate((vae, other)):
        shown = page.image(page.part("chosen", k).locator("canvas").nth(1))
        assert np.abs(shown - grey(made.reconstruct(x)[0, 0])).max() <= 1
    page.page.locator(".pane").nth(0).get_by_label("rectangle").check()
    drag(page, [(100, 100), (400, 300)])
    groups = page.js("explorer.panes.map(pane => pane.group)")
    assert groups[0] == groups[1] == inside(page, [(100, 100), (400, 100), (400, 300), (100, 300)])
    assert page.said == []
    page.page.close()


def test_above_20000_points_their_density_is_drawn(browser, tmp_path):
    data = Made((2,), n=3 * 20_001)
    made = described("made", "made", AE((2,), 2).eval(), data, samples=30_000, maps=())
    made.codes = np.random.default_rng(0).normal(size=(20_001, 2)).astype(np.float32)
    page = Opened(browser, page_file(tmp_path / "page.html", [made], data).as_uri())
    assert page.js(f"{PANE}.density")
    assert "The opacity of a cell grows" in page.part("legend").inner_text()
    centre, edge = page.js(
        f"""[[0, 0], [2.5, 2.5]].map(p => {{
        const [x, y] = {PANE}.pixel(...p), context = {PANE}.part("points").getContext("2d");
        const c = context.getImageData(x - 12, y - 12, 24, 24).data;
        return c.filter((_, i) => i % 4 === 3).reduce((a, b) => a + b) / 576; }})"""
    )
    assert centre > 2 * edge
    assert [text for text in page.said if "getImageData" not in text] == []  # a hint on how this test reads pixels
    page.page.close()


def test_the_server_decodes_what_the_page_cannot(browser):
    made, data = model("softmax"), Made((9,))
    made.decoder.layers.append(nn.GELU())
    one = subject(made, data)
    with Server(served([one], data), [one], 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            page = Opened(browser, server.address)
            assert "Decoded by the server" in page.part("facts").inner_text()
            z = [0.3, -0.2, 1.0]
            assert np.allclose(page.array(f"{PANE}.decode(v)", z), decoded(made, z), atol=1e-6)
            page.js("explorer.choose(2)")
            assert page.part("chosen").locator("ol").count() == 2
            assert page.said == []
            page.page.close()
        finally:
            server.shutdown()
            thread.join()
