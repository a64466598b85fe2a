"""The page of reports in a real browser: fits a phone, every image there, no word in the console."""

import dataclasses
import shutil

import pytest
import torch
from pages import DESK, PHONE, subject
from pages import page_file as explorer_file
from test_report import FID, made_run, study

from lit_ae import tracking
from lit_ae.data.digits import Digits
from lit_ae.models import AE
from lit_ae.report import build_report
from lit_ae.studies.spec import FigureSpec, Note, Sweep

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    """Two reports, one with a sweep, many columns and long words."""
    folder = tmp_path_factory.mktemp("page")
    runs = [made_run(folder / "store", model, seed) for model in FID for seed in range(5)]
    made = study(figures=[FigureSpec("reconstructions", ["AE", "β-VAE"], "inputs over outputs")])
    wide = [dataclasses.replace(column, label=f"{column.label} {i}") for i in range(8) for column in made.columns]
    sweep = Sweep("β", {"all": {"AE": 0, "β-VAE": 4}}, ["test/mse"])
    again = dataclasses.replace(made, name="again", columns=wide, sweep=sweep, notes=[Note("x" * 200, "y" * 200)])
    (folder / "reports/explorer").mkdir(parents=True)
    data = Digits()
    torch.manual_seed(0)
    explored = subject(AE(input_shape=data.input_shape, latent_dim=4).eval(), data, "AE on digits, seed 0")
    explorer_file(folder / "reports/explorer/ae.html", [explored], data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tracking, "study_runs", lambda name, profile: list(runs))
        build_report(made, "full", folder / "reports")
        return build_report(again, "full", folder / "reports", {"AE": "explorer/ae.html"}).html


def opened(browser, path, size):
    """The page at that size with every image asked for, and what the console said."""
    page, said = browser.new_page(viewport=size), []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("requestfailed", lambda request: said.append(request.url))
    page.goto(path.as_uri())
    page.evaluate("for (const image of document.images) image.loading = 'eager'")
    page.wait_for_function("[...document.images].every(image => image.complete)")
    return page, said


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_nothing_is_wider_than_the_screen_and_every_image_is_there(browser, page_file, size):
    page, said = opened(browser, page_file, size)
    assert page.evaluate("document.documentElement.scrollWidth") == size["width"]
    assert page.evaluate("document.images.length") == 9
    assert page.evaluate("[...document.images].filter(image => !image.naturalWidth).map(image => image.src)") == []
    edges = (
        "[...document.querySelectorAll('p, h1, h2, li, .figures, .scroll')].map(e => e.getBoundingClientRect().right)"
    )
    assert max(page.evaluate(edges)) <= size["width"]
    assert said == []
    page.close()


def test_a_wide_table_scrolls_inside_its_own_box(browser, page_file):
    page, _ = opened(browser, page_file, PHONE)
    widths = page.evaluate("[...document.querySelectorAll('.scroll')].map(box => [box.clientWidth, box.scrollWidth])")
    assert all(shown <= PHONE["width"] for shown, _ in widths)
    assert any(whole > shown for shown, whole in widths)
    page.close()


def test_the_contents_lead_to_the_reports(browser, page_file):
    page, _ = opened(browser, page_file, PHONE)
    page.click("nav a[href='#made']")
    assert abs(page.evaluate("document.getElementById('made').getBoundingClientRect().top")) < 60
    page.close()


def test_a_wide_table_says_so_until_its_end(browser, page_file):
    page, _ = opened(browser, page_file, PHONE)
    box = page.locator("#again .scroll").first
    cue = page.locator("#again .cue").first
    assert cue.inner_text() == "Scroll sideways for more columns →"
    assert "more" in box.get_attribute("class").split()
    box.evaluate("box => box.scrollLeft = box.scrollWidth")
    page.wait_for_function("!document.querySelector('#again .scroll').classList.contains('more')")
    page.close()


def test_verdicts_are_in_sight_on_a_phone(browser, page_file):
    page, _ = opened(browser, page_file, PHONE)
    verdicts = page.locator("#summary .claims td:last-child").all()
    assert len(verdicts) == 6
    for verdict in verdicts:
        box = verdict.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= PHONE["width"]
    page.close()


def test_header_and_first_column_stay_in_sight(browser, page_file):
    page, _ = opened(browser, page_file, PHONE)
    box = page.locator("#again .scroll").first
    box.evaluate("box => { box.style.maxHeight = '6rem'; box.scrollLeft = 200; box.scrollTop = 60 }")
    place = "(e, box) => [e.getBoundingClientRect().left, e.getBoundingClientRect().top]"
    left, top = box.evaluate(place)
    corner, head, row = (box.locator(cell).evaluate(place) for cell in (
        "thead th >> nth=0", "thead th >> nth=3", "tbody tr:last-child th"
    ))  # fmt: skip
    assert corner == pytest.approx([left, top], abs=1)
    assert head[1] == pytest.approx(top, abs=1)
    assert row[0] == pytest.approx(left, abs=1)
    page.close()


def column(page, k):
    return page.locator(f"#made .numbers >> nth=0 >> tbody tr > :nth-child({k})").all_inner_texts()


def test_columns_are_sorted_by_the_keyboard(browser, page_file):
    page, said = opened(browser, page_file, DESK)
    header = page.locator("#made .numbers >> nth=0 >> thead th").nth(2)  # FID: AE 30.1, β-VAE 20.2, GAN 55.0
    assert header.get_attribute("aria-sort") == "none"
    header.locator("button").focus()
    page.keyboard.press("Enter")
    assert header.get_attribute("aria-sort") == "ascending"
    assert column(page, 1) == ["β-VAE", "AE", "GAN"]
    page.keyboard.press("Space")
    assert header.get_attribute("aria-sort") == "descending"
    assert column(page, 1) == ["GAN", "AE", "β-VAE"]
    other = page.locator("#made .numbers >> nth=0 >> thead th").nth(1)  # the GAN has no MSE: a dash, which stays last
    for order, rows in (("ascending", ["AE", "β-VAE", "GAN"]), ("descending", ["β-VAE", "AE", "GAN"])):
        other.locator("button").click()
        assert other.get_attribute("aria-sort") == order
        assert column(page, 1) == rows
    assert header.get_attribute("aria-sort") == "none"
    assert said == []
    page.close()


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_a_figure_enlarges_and_closes(browser, page_file, size):
    page, said = opened(browser, page_file, size)
    link = page.locator("#made figure a").first
    link.focus()
    page.keyboard.press("Enter")
    shown = page.locator("dialog[open]")
    assert shown.locator("img").get_attribute("src").endswith("made/loss.png")
    page.wait_for_function("document.querySelector('dialog img').complete")
    assert shown.locator("img").bounding_box()["width"] > link.locator("img").bounding_box()["width"]
    assert shown.locator("p").inner_text() == link.locator("img").get_attribute("alt")
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0
    assert page.url.endswith("index.html"), "the page is still there"
    assert said == []
    page.close()


def test_figures_of_a_kind_are_in_one_row(browser, page_file):
    page, _ = opened(browser, page_file, DESK)
    rows = page.evaluate("""[...document.querySelectorAll('#made .figures')].map(
        row => [...row.querySelectorAll('figure')].map(f => f.getBoundingClientRect().top))""")
    assert [len(row) for row in rows] == [2, 2]  # losses, reconstructions
    assert all(len(set(row)) == 1 for row in rows)
    page.close()


def test_contents_and_the_way_up_are_always_at_hand(browser, page_file):
    page, _ = opened(browser, page_file, DESK)
    page.evaluate("document.getElementById('again').scrollIntoView()")
    assert page.evaluate("scrollY") > 500
    nav = page.locator("nav").bounding_box()
    assert 0 <= nav["y"] < 60
    page.click("text=↑ top")
    page.wait_for_function("scrollY === 0")
    page.close()


def test_a_row_leads_to_the_page_on_which_its_codes_are_explored(browser, page_file):
    page, said = opened(browser, page_file, DESK)
    links = page.locator(".numbers").get_by_role("link", name="explore codes")
    rows = links.evaluate_all("links => links.map(a => [a.closest('article').id, a.closest('tr').cells[0].innerText])")
    assert rows == [["again", "AE\nexplore codes"]]
    assert "--explorer" not in page.inner_text("#again")
    assert "lit-ae report experiments/made.yaml --profile full --explorer" in page.inner_text("#made")
    with page.expect_navigation():
        links.click()
    page.evaluate("explorer.ready")
    assert page.inner_text("h1") == "AE on digits, seed 0"
    assert page.locator("[data-part=chosen]").is_visible()
    page.evaluate("explorer.choose(3)")
    assert page.locator("[data-part=chosen] canvas").count() == 2
    page.go_back()
    assert page.url.endswith("index.html")
    assert said == []
    page.close()


def test_without_scripts_everything_is_there(browser, page_file):
    context = browser.new_context(java_script_enabled=False, viewport=PHONE)
    page = context.new_page()
    page.goto(page_file.as_uri())
    assert page.locator("th button").count() == 0, "nothing that does nothing"
    assert page.locator("#summary table").count() == 2
    assert page.locator("figure a").count() == 9
    context.close()


def test_a_missing_image_would_be_noticed(browser, page_file, tmp_path):
    copy = shutil.copytree(page_file.parent, tmp_path / "copy")
    next((copy / "made").glob("*.png")).unlink()
    page, said = opened(browser, copy / page_file.name, PHONE)
    assert page.evaluate("[...document.images].filter(image => !image.naturalWidth).length") == 1
    assert said
    page.close()
