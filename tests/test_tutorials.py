"""The tutorials of docs/tutorials, run block by block as a reader would."""

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
TUTORIALS = sorted((Path(__file__).parent.parent / "docs" / "tutorials").glob("*.md"))
BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```$", re.M | re.S)


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_every_block_of_a_tutorial_runs(path, store, lit_ae, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = BLOCK.findall(path.read_text("utf-8"))
    assert blocks
    names: dict[str, object] = {"__name__": "tutorial"}
    for language, text in blocks:
        if language == "python":
            exec(compile(text, path.name, "exec"), names)
            continue
        for line in text.splitlines():
            assert line.startswith("lit-ae "), line
            assert lit_ae(*line.split()[1:]) == 0, line
