"""README's tables are those of the committed reports."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

from lit_ae.report import render

ROOT = Path(__file__).parent.parent
REPORTS = sorted((ROOT / "experiments" / "reports" / "full").glob("*.json"))


@pytest.fixture(scope="module")
def readme():
    spec = importlib.util.spec_from_file_location("readme", ROOT / "experiments" / "readme.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "experiments" / "reports" / "full"
    folder.mkdir(parents=True)
    table = "| model | MSE |\n|:--|--:|\n| AE | 0.1 \\1 |\n"
    (folder / "made.md").write_text(f"# Made\n\n## Table 1\n\n{table}\nMean over 3 seeds.\n\n## Runs\n\n| a | b |\n")
    (folder / "empty.md").write_text("# Empty\n")
    return tmp_path


PLACE = "<!-- table: full/made -->\n{}<!-- /table -->\n"
TEXT = f"before\n{PLACE.format('| typed |' + chr(10))}between\n{PLACE.format('')}"


def test_a_table_is_put_between_the_comments_and_nothing_else_is_touched(readme, root):
    text = readme.filled(TEXT, root)
    assert text.startswith(
        "before\n<!-- table: full/made -->\n\n| model | MSE |\n|:--|--:|\n| AE | 0.1 \\1 |\n\nMean over"
    )
    assert "Mean over 3 seeds. [Report](experiments/reports/full/made.md).\n\n<!-- /table -->\nbetween\n" in text
    assert "typed" not in text
    assert text.count("| AE |") == 2
    assert readme.filled(text, root) == text
    assert readme.filled("no place", root) == "no place"


@pytest.mark.parametrize(("name", "said"), [("full/none", "none.md is not there"), ("full/empty", "holds no Table 1")])
def test_a_missing_table_is_said(readme, root, name, said):
    with pytest.raises(SystemExit, match=said):
        readme.filled(TEXT.replace("full/made", name), root)


def test_the_committed_readme_is_up_to_date(readme):
    text = (ROOT / "README.md").read_text("utf-8")
    assert readme.filled(text) == text, "run `make readme`"


def test_the_readme_names_the_studies_whose_full_report_is_not_committed():
    text = (ROOT / "README.md").read_text("utf-8")
    told = re.search(r"Th(?:ose|at) of\s(.+?)\s(?:is|are) still to be made", text, re.S)
    studies = {path.stem for path in (ROOT / "experiments").glob("*.yaml")}
    assert set(re.findall(r"`(\w+)`", told[1])) == studies - {path.stem for path in REPORTS}


@pytest.mark.parametrize("path", REPORTS, ids=lambda path: path.stem)
def test_a_committed_report_is_what_its_data_say(path, tmp_path):
    """Its Markdown and LaTeX are rendered from its JSON, as index.html is: they cannot contradict each other."""
    page = json.loads(path.read_text("utf-8"))
    assert page["format"] == render.FORMAT
    render.write_page(page, tmp_path)
    for ending in (".json", ".md", ".tex"):
        name = path.with_suffix(ending).name
        assert (tmp_path / name).read_text("utf-8") == path.with_suffix(ending).read_text("utf-8"), "run `make readme`"


def test_committed_reports_link_no_explorer_pages_which_are_not_committed():
    for path in REPORTS:
        found = json.loads(path.read_text("utf-8"))
        assert not (isinstance(found, dict) and found.get("explorers")), f"{path.name}: write it without --explorer"
