"""The page of reports in a real browser: fits a phone, every image there, no word in the console."""

import dataclasses
import shutil

import pytest
from pages import DESK, PHONE
from test_report import FID, made_run, study

from lit_ae import tracking
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
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tracking, "study_runs", lambda name, profile: list(runs))
        build_report(made, "full", folder / "reports")
        return build_report(again, "full", folder / "reports").html


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
    edges = "[...document.querySelectorAll('p, h1, h2, li, figure')].map(e => e.getBoundingClientRect().right)"
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


def test_a_missing_image_would_be_noticed(browser, page_file, tmp_path):
    copy = shutil.copytree(page_file.parent, tmp_path / "copy")
    next((copy / "made").glob("*.png")).unlink()
    page, said = opened(browser, copy / page_file.name, PHONE)
    assert page.evaluate("[...document.images].filter(image => !image.naturalWidth).length") == 1
    assert said
    page.close()
