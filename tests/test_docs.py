"""The pages of the documentation that follow from the code: nothing is missing for any family or score."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from pages import DESK, PHONE
from PIL import Image

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def pages():
    pytest.importorskip("mkdocs", reason="MkDocs is not installed")
    spec = importlib.util.spec_from_file_location("docs_pages", ROOT / ".docs_pages.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def parts(text):
    """Class -> what the page says of it."""
    found = re.split(r"^::: lit_ae\.[\w.]+\.(\w+)$", text, flags=re.M)
    return dict(zip(found[1::2], found[2::2], strict=True))


def test_each_family_has_equation_use_reference_configs_and_a_picture(pages):
    files = [yaml.safe_load(path.read_text("utf-8")) for path in (ROOT / "configs" / "model").glob("*.yaml")]
    families = {content["model"]["class_path"] for content in files}
    found = parts(pages.families())
    assert found.keys() == families
    assert len(families) >= 24
    for name, text in found.items():
        (equation,) = re.findall(r"<math .*?</math>", text)
        assert "\\" not in equation, f"the equation of {name} has a command that is not known"
        assert len(re.search(r"\*\*When to use it\.\*\* (.*)", text)[1]) > 60
        assert re.search(r"\*\*Reference\.\*\* .*\((19|20)\d\d\)\. ", text), name
        assert re.search(r"\*\*Configs\.\*\* `\w+`", text)
        assert re.search(r"\d+ epochs|closed form", text), "the caption says how it was trained"
        alt, path = re.search(r"!\[(.+?)\]\((images/families/\w+\.png)\)", text).groups()
        assert name in alt
        with Image.open(ROOT / "docs" / path) as image:
            assert image.width >= 290, name
    sizes = [path.stat().st_size for path in (ROOT / "docs" / "images" / "families").iterdir()]
    assert len(sizes) == len(families), "no picture of a family that is no longer there"
    assert max(sizes) <= 25_000


def test_equations_have_no_command_without_its_backslash_and_advice_names_scores_that_there_are():
    readme = (ROOT / "README.md").read_text("utf-8")
    for name, told in yaml.safe_load((ROOT / "docs" / "families.yaml").read_text("utf-8")).items():
        symbols = re.sub(r"\\(text|mathrm|mathcal|mathbb)\{[^}]*\}", "", told["equation"])
        assert not re.findall(r"(?<![\\a-zA-Z])[a-zA-Z]{3,}", symbols), name
        assert all(f"`{score}`" in readme for score in re.findall(r"`test/(\w+)`", told["when"])), name


def test_each_score_has_its_range_and_its_pitfall(pages):
    found = parts(pages.scores())
    assert len(found) >= 28
    for name, text in found.items():
        assert len(re.search(r"\*\*Range\.\*\* (.*)", text)[1]) > 5, name
        assert len(re.search(r"\*\*Pitfall\.\*\* (.*)", text)[1]) > 40, name
    told = yaml.safe_load((ROOT / "docs" / "scores.yaml").read_text("utf-8"))
    assert told.keys() == found.keys()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The whole site; a link that leads nowhere ends the build with an error."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--config-file", str(ROOT / ".mkdocs.yml"), "-d", str(folder)]
    built = subprocess.run(command, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    assert "WARNING" not in built.stderr
    return folder


@pytest.mark.browser
def test_the_site_is_searched_from_a_folder_without_a_server(browser, site):
    page, asked, failed = browser.new_page(viewport=DESK), [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("requestfailed", lambda request: failed.append(request.url))
    page.goto((site / "tutorials" / "study.html").as_uri())
    page.click("input.md-search__input")
    page.keyboard.type("codebook")
    found = page.locator(".md-search-result__link")
    found.first.wait_for(timeout=60_000)
    (vq_vae,) = {link for link in found.evaluate_all("links => links.map(a => a.href)") if "VQVAE" in link}
    page.goto(vq_vae)
    assert page.locator("mark").first.inner_text() == "codebook"
    assert [url for url in asked if not url.startswith(("file:", "data:", "about:"))] == []
    assert failed == []
    page.close()


@pytest.mark.browser
@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_families_have_their_equations_and_pictures_on_every_screen(browser, site, size):
    page = browser.new_page(viewport=size)
    page.goto((site / "families.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == size["width"]
    heights = page.evaluate("[...document.querySelectorAll('math')].map(e => e.getBoundingClientRect().height)")
    assert len(heights) >= 24
    assert min(heights) > 10, "equations are drawn"
    page.evaluate("for (const image of document.images) image.loading = 'eager'")
    page.wait_for_function("[...document.images].every(image => image.complete)")
    assert page.evaluate("[...document.images].filter(image => !image.naturalWidth || !image.alt).length") == 0
    page.close()
