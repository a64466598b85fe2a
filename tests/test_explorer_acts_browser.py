"""The explorer in a real browser: zooming, colours, every sampler, colour images, and the keyboard."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pages import Made, model, page_file, subject
from test_explorer_browser import PANE, Opened, decoded, drag, empty_place, inside

pytestmark = pytest.mark.browser
SHAPE = (3, 21, 18)


@pytest.fixture(scope="module")
def made():
    """A VAE on colour images with a prior of its own, a Bernoulli likelihood and posteriors of different widths."""
    return model("learned prior")


@pytest.fixture(scope="module")
def data():
    return Made(SHAPE, n=300)


@pytest.fixture(scope="module")
def path(made, data, tmp_path_factory):
    told = subject(made, data)
    told.embeddings = {"UMAP": np.random.default_rng(0).normal(size=(100, 2))}
    return page_file(tmp_path_factory.mktemp("page") / "page.html", [told], data)


@pytest.fixture(scope="module")
def test_split(made, data):
    """Samples in [0, 1] [N, 3, H, W] and what the model makes of them."""
    x = data.split("test").x[:].float() / 255
    with torch.no_grad():
        mu, logvar = made.encode(x)[:2]
        return x, mu, logvar, made.decode(mu)


@pytest.fixture
def opened(browser, path):
    page = Opened(browser, path.as_uri())
    yield page
    assert page.said == []
    page.page.close()


def colours(locator):
    """Values of an image [3, H, W] from 0 to 255."""
    code = "c => [c.width, ...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]"
    width, *values = locator.evaluate(code)
    return np.array(values).reshape(-1, width, 4)[..., :3].transpose(2, 0, 1)


def shows(locator, values):
    """Whether an image shows values in [0, 1], [3, H, W] or flattened."""
    expected = np.round(255 * np.asarray(values).reshape(SHAPE)).clip(0, 255)
    return np.abs(colours(locator) - expected).max() <= 1


def pixels(opened):
    return opened.array(f"{PANE}.pixels").reshape(-1, 2)


def room(opened):
    return np.array(opened.js(f"[{PANE}.room.width, {PANE}.room.height]"))


def magnification(opened):
    return opened.js(f"{PANE}.view.magnification")


def corner(opened):
    """Where the map begins in the window."""
    opened.part("marks").scroll_into_view_if_needed()
    box = opened.part("marks").bounding_box()
    return np.array([box["x"], box["y"]])


# -- zooming and moving ----------------------------------------------------------------------------------------------


def test_control_and_the_wheel_magnify_about_the_pointer(opened):
    before, at = pixels(opened), np.array([200.0, 120.0])
    opened.page.mouse.move(*(corner(opened) + at))
    opened.page.keyboard.down("Control")
    opened.page.mouse.wheel(0, -100)
    opened.page.keyboard.up("Control")
    opened.page.wait_for_function(f"{PANE}.view.magnification > 1")
    factor = magnification(opened)
    assert factor == pytest.approx(np.exp(100 / 250))
    assert np.abs(pixels(opened) - at - factor * (before - at)).max() < 0.5  # the pointer is at whole pixels
    assert opened.page.inner_text("#said") == f"The map is magnified {factor:.3g} times."
    opened.page.mouse.wheel(0, 40)  # without Control the page scrolls, and the map stays
    opened.page.wait_for_timeout(200)
    assert magnification(opened) == factor


def test_buttons_and_keys_magnify_and_give_the_whole_map_again(opened):
    whole, middle = pixels(opened), room(opened) / 2
    opened.page.get_by_role("button", name="Magnify the map").click()
    assert np.allclose(pixels(opened), middle + 1.5 * (whole - middle), atol=0.01)
    opened.part("marks").focus()
    opened.page.keyboard.press("+")
    assert magnification(opened) == pytest.approx(1.5**2)
    opened.page.keyboard.press("-")
    opened.page.get_by_role("button", name="Reduce the map").click()
    opened.page.keyboard.press("Shift+Tab")
    assert np.allclose(pixels(opened), whole)
    opened.page.get_by_role("button", name="Reduce the map").click()
    assert np.allclose(pixels(opened), whole), "never smaller than the whole"
    for again in (lambda: opened.page.keyboard.press("0"), lambda: opened.part("whole").click()):
        opened.part("marks").focus()
        opened.page.keyboard.press("+")
        opened.page.keyboard.press("Control+ArrowRight")
        assert not np.allclose(pixels(opened), whole)
        again()
        assert np.allclose(pixels(opened), whole)


def test_a_drag_moves_the_map_and_chooses_nothing(opened):
    before = pixels(opened)
    drag(opened, [(200, 200), (230, 190), (260, 160)])
    assert np.allclose(pixels(opened), before + [60, -40], atol=0.01)
    assert opened.js(f"[{PANE}.chosen, {PANE}.place, {PANE}.group]") == [None, None, None]
    opened.part("marks").focus()
    opened.page.keyboard.press("Control+ArrowLeft")  # to what lies left of it
    assert np.allclose(pixels(opened), before + [60 + 0.2 * room(opened)[0], -40], atol=0.01)


def test_on_a_magnified_map_points_and_places_are_where_they_are_drawn(opened, test_split):
    opened.part("marks").focus()
    for _ in range(4):
        opened.page.keyboard.press("+")
    inner = np.flatnonzero(((pixels(opened) > 30) & (pixels(opened) < room(opened) - 30)).all(1))
    assert 0 < len(inner) < 100, "some are out of sight"
    where = pixels(opened)[inner[0]]
    nearest = int(np.linalg.norm(pixels(opened) - where, axis=1).argmin())
    opened.page.mouse.click(*(corner(opened) + where))
    opened.page.wait_for_function(f"{PANE}.chosen === {nearest}")
    at = empty_place(opened)
    opened.page.mouse.click(*(corner(opened) + at))
    opened.page.wait_for_function(f"{PANE}.place !== null")
    axes, mean = opened.array(f"{PANE}.map.axes.data").reshape(2, -1), test_split[1].mean(0).numpy()
    coordinates = ((test_split[1].numpy() - mean) @ axes.T).astype(float)  # of all points on the map
    line = [np.polyfit(pixels(opened)[:, k], coordinates[:, k], 1) for k in (0, 1)]  # from pixels to coordinates
    place = [np.polyval(line[k], at[k]) for k in (0, 1)]
    assert np.allclose(opened.array(f"{PANE}.z"), mean + place @ axes, atol=1e-3)
    opened.page.get_by_label("rectangle").check()
    drag(opened, [(50, 50), (400, 300)])
    assert opened.js(f"{PANE}.group || []") == inside(opened, [(50, 50), (400, 50), (400, 300), (50, 300)])


def test_arrow_keys_bring_samples_into_sight(opened):
    opened.part("marks").focus()
    for _ in range(6):
        opened.page.keyboard.press("+")
    seen = set()
    for key in ["ArrowRight", "ArrowDown", "ArrowLeft"] * 4:
        opened.page.keyboard.press(key)
        i = opened.js(f"{PANE}.cursor")
        where = pixels(opened)[i]
        assert (where >= -1).all()
        assert (where <= room(opened) + 1).all()
        assert opened.part("tip").is_visible()
        seen.add(i)
    assert len(seen) > 3


# -- colours and maps ------------------------------------------------------------------------------------------------


def shade(opened, share):
    text = opened.js("share => shade(share)", float(share))
    return np.array([int(value) for value in text[4:-1].split(",")])


def drawn_colour(opened, i):
    """The colour at the middle of sample i on the map."""
    code = f"""() => {{ const c = {PANE}.part("points"), s = c.width / {PANE}.room.width;
      return [...c.getContext("2d").getImageData(Math.round({PANE}.pixels[{2 * i}] * s),
        Math.round({PANE}.pixels[{2 * i + 1}] * s), 1, 1).data]; }}"""
    return np.array(opened.js(code)[:3])


@pytest.mark.parametrize(
    "name",
    ["reconstruction error (MSE)", "anomaly score (nll, nats)", "uncertainty (mean posterior std)", "height", "tilt"],
)
def test_points_are_coloured_by_what_is_chosen(browser, path, data, test_split, name):
    opened = Opened(browser, path.as_uri())
    x, _, logvar, made = test_split
    factors = data.split("test").factors
    values = {
        "reconstruction error (MSE)": ((made - x) ** 2).flatten(1).mean(1),
        "anomaly score (nll, nats)": F.binary_cross_entropy(made, x, reduction="none").flatten(1).sum(1),
        "uncertainty (mean posterior std)": (0.5 * logvar).exp().mean(1),
        "height": factors[:, 0],
        "tilt": factors[:, 1],
    }
    assert opened.part("colour").locator("option").all_inner_texts() == ["label", *values]
    opened.part("colour").select_option(label=name)
    found = values[name].numpy()
    assert np.allclose(opened.array(f"{PANE}.colours[v]", name), found, rtol=2e-4, atol=2e-6)
    ordered = np.sort(found)
    low, high = ordered[int(0.02 * 99)], ordered[int(np.ceil(0.98 * 99))]
    legend = opened.part("legend").inner_text()
    assert float(legend.split(",")[0].split()[-1]) == pytest.approx(high, rel=0.01)
    assert "from the 2nd to the 98th percentile" in legend
    alone = np.linalg.norm(pixels(opened)[:, None] - pixels(opened), axis=2) + 1e3 * np.eye(100)
    apart = np.flatnonzero(alone.min(1) > 8)  # no other point is drawn over their middle
    assert len(apart) > 10
    for i in apart[:10]:
        expected = shade(opened, (found[i] - low) / (high - low))
        assert np.abs(drawn_colour(opened, i) - expected).max() <= 3
    opened.page.mouse.move(*opened.pixel(int(apart[0])))
    assert f"{name} " in opened.part("tip").inner_text()
    opened.page.close()  # the browser says in the console that pixels were read often


def test_an_embedding_that_was_computed_before_is_a_map(opened):
    opened.part("map").select_option(label="UMAP")
    points = np.random.default_rng(0).normal(size=(100, 2))
    assert np.allclose(opened.array(f"{PANE}.points").reshape(-1, 2), points, atol=1e-6)
    low, high = points.min(0), points.max(0)
    shares = (points - low + 0.06 * (high - low)) / (1.12 * (high - low))
    expected = np.stack([shares[:, 0], 1 - shares[:, 1]], 1) * room(opened)
    assert np.allclose(pixels(opened), expected, atol=0.01)


# -- colour images and samples ---------------------------------------------------------------------------------------


def test_a_chosen_colour_image_its_spread_interpolation_and_group(opened, made, data, test_split):
    x, mu, logvar, remade = test_split
    opened.js("explorer.choose(11)")
    opened.js("explorer.choose(4)")
    images = opened.part("chosen").locator("canvas")
    assert np.array_equal(colours(images.nth(0)), data.split("test").x[4].numpy())
    assert shows(images.nth(1), remade[4])
    draws = "Array.from({length: 16}, () => [...normals(4, random)])"
    noise = opened.js(f"() => {{ const random = generator(5); return {draws}; }}")
    with torch.no_grad():
        codes = mu[4] + (0.5 * logvar[4]).exp() * torch.tensor(noise)
        spread = made.decode(codes).std(0, correction=0)
    assert shows(images.nth(2), spread / spread.max())
    strip = opened.part("strip").locator("canvas")
    for k, share in enumerate(np.linspace(0, 1, 9)):
        assert shows(strip.nth(k), decoded(made, (1 - share) * mu[11].numpy() + share * mu[4].numpy()))
    nearest = (mu - mu[4]).norm(dim=1).argsort()[1].item()
    neighbour = opened.part("neighbours").locator("canvas").nth(0)
    assert np.array_equal(colours(neighbour), data.split("test").x[nearest].numpy())
    opened.js("explorer.select([1, 5, 9])")
    opened.page.wait_for_function(f"{PANE}.part('group').querySelector('canvas') !== null")
    group = opened.part("group").locator("canvas")
    assert shows(group.nth(0), x[[1, 5, 9]].mean(0))
    assert shows(group.nth(1), decoded(made, mu[[1, 5, 9]].mean(0)))


def test_each_sampler_draws_the_codes_whose_images_are_shown(opened, made):
    select = opened.part("sampler")
    names = ["N(0, I)", "Gaussian fitted to training codes", "mixture fitted to training codes", "own prior"]
    assert select.locator("option").all_inner_texts() == names
    seen = []
    for k, name in enumerate(names):
        select.select_option(label=name)
        opened.page.wait_for_function(
            f"{PANE}.part('samples').querySelector('canvas').title === 'sample 1 from ' + {PANE}.run.samplers[{k}].name"
        )
        one = f"[...draw({PANE}.run.samplers[{k}], 4, random)]"
        codes = opened.js(
            f"() => {{ const random = generator({PANE}.seed); return Array.from({{length: 16}}, () => {one}); }}"
        )
        images = opened.part("samples").locator("canvas")
        assert images.count() == 16
        for at in (0, 7, 15):
            assert shows(images.nth(at), decoded(made, codes[at]))
        seen.append(codes)
    own = made.draw_codes(256, torch.Generator().manual_seed(0)).detach()
    for code in seen[3]:  # the page has 256 codes of that prior
        assert (own - torch.tensor(code)).abs().amax(1).min() < 1e-5


def test_a_gan_shows_what_it_makes_of_draws_and_of_sliders(browser, tmp_path):
    made, data = model("dcgan"), Made((1, 28, 28))
    page = Opened(browser, page_file(tmp_path / "page.html", [subject(made, data)], data).as_uri())
    assert page.part("sampler").locator("option").all_inner_texts() == ["N(0, I)"]
    for seed in (1, 2):
        draws = "Array.from({length: 16}, () => [...normals(5, random)])"
        codes = page.js(f"() => {{ const random = generator({seed}); return {draws}; }}")
        shown = page.image(page.part("samples").locator("canvas").nth(9))
        expected = np.round(255 * decoded(made, codes[9]).reshape(28, 28)).clip(0, 255)
        assert np.abs(shown - expected).max() <= 1
        page.part("draw").click()
        page.page.wait_for_timeout(300)
    assert page.said == []
    page.page.close()


def test_a_colour_image_that_is_dropped_or_drawn_is_encoded_in_colour(opened, made):
    opened.page.locator("#pad").scroll_into_view_if_needed()
    drop = """async () => {
      const canvas = document.createElement("canvas"), [width, height] = [18, 21];
      Object.assign(canvas, {width, height});
      const context = canvas.getContext("2d");
      for (let x = 0; x < width; x++) for (let y = 0; y < height; y++) {
        context.fillStyle = `rgb(${10 * x}, ${12 * y}, ${5 * (x + y)})`;
        context.fillRect(x, y, 1, 1);
      }
      const blob = await new Promise(done => canvas.toBlob(done)), moved = new DataTransfer();
      moved.items.add(new File([blob], "own.png", {type: "image/png"}));
      document.getElementById("pad").dispatchEvent(new DragEvent("drop", {dataTransfer: moved, cancelable: true}));
    }"""
    opened.js(drop)
    opened.page.wait_for_function(f"{PANE}.own !== null")
    y, x = torch.meshgrid(torch.arange(21.0), torch.arange(18.0), indexing="ij")
    image = torch.stack([10 * x, 12 * y, 5 * (x + y)])[None] / 255
    with torch.no_grad():
        code = made.encode(image).mu[0]
    assert np.allclose(opened.array(f"{PANE}.own"), code, atol=1e-4)
    opened.page.wait_for_function("document.querySelectorAll('#encoded canvas').length === 2")
    assert shows(opened.page.locator("#encoded canvas").nth(0), decoded(made, code))
    opened.page.locator("#clear").click()
    box = opened.page.locator("#pad").bounding_box()
    opened.page.mouse.move(box["x"] + 30, box["y"] + 30)
    opened.page.mouse.down()
    opened.page.mouse.move(box["x"] + 150, box["y"] + 150, steps=4)
    opened.page.mouse.up()
    opened.page.wait_for_function(f"{PANE}.own !== null")
    drawn = torch.from_numpy(colours(opened.page.locator("#pad"))).float()[None] / 255
    assert drawn.max() == 1
    with torch.no_grad():
        assert np.allclose(opened.array(f"{PANE}.own"), made.encode(drawn).mu[0], atol=1e-4)


# -- the keyboard ----------------------------------------------------------------------------------------------------

FOCUSED = """() => { const e = document.activeElement, style = getComputedStyle(e);
  return [e.dataset.part || e.id || e.getAttribute("aria-label") || e.value || e.innerText.trim() || e.title,
    style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2, e.getBoundingClientRect().width > 0]; }"""


def test_the_tab_key_goes_through_everything_in_the_order_of_the_page_and_is_seen(opened):
    opened.js("explorer.choose(4)")
    opened.page.wait_for_timeout(100)
    found = []
    for _ in range(60):
        opened.page.keyboard.press("Tab")
        name, outlined, visible = opened.js(FOCUSED)
        if not name:
            break
        assert outlined, f"the focus on {name} is not seen"
        assert visible
        found.append(name)
        if name == "file":
            break
    order = opened.js(f"{PANE}.run.order")
    assert found[1:] == [
        *("map", "colour", "choose", "closer", "farther", "whole", "marks", "kind 0", "kind 1", "kind 2"),
        *["choose this sample"] * 8,  # the nearest neighbours
        *("reset", *(f"code dimension {d}" for d in order), "sampler", "draw", "pad", "clear", "file"),
    ]
    assert found[0] == "To the map"


def test_a_slider_is_moved_and_a_neighbour_chosen_by_keys(opened, made):
    opened.js("explorer.choose(4)")
    opened.page.wait_for_timeout(100)
    first = opened.js(f"{PANE}.neighbours[0]")
    opened.part("neighbours").locator("button").nth(0).focus()
    opened.page.keyboard.press("Enter")
    opened.page.wait_for_function(f"{PANE}.chosen === {first}")
    opened.page.wait_for_timeout(100)
    slider = opened.part("sliders").locator("input").nth(0)
    slider.focus()
    before = opened.array(f"{PANE}.z")
    opened.page.keyboard.press("Home")
    opened.page.wait_for_timeout(100)
    z = opened.array(f"{PANE}.z")
    assert (z != before).sum() == 1
    assert shows(opened.part("decoded").locator("canvas"), decoded(made, z))
