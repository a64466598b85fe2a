"""`lit-ae list`: what can be named on the command line, one line each, without importing anything slow."""

import argparse
import ast
import re
from collections.abc import Sequence
from pathlib import Path

from lit_ae.cli.parser import Parser
from lit_ae.settings import files

KINDS = ("models", "data", "callbacks", "experiments", "scores")
WIDTH = 120


def listing(argv: Sequence[str]) -> int:
    """Print the names of one kind; returns the exit status."""
    kind = _parser().parse_args(argv).kind
    found = described(kind)
    width = max(map(len, found), default=0)
    for name, line in found.items():
        print(f"{name:{width}}  {line}")
    uses = {
        "models": "lit-ae fit --config NAME --config digits",
        "data": "lit-ae fit --config vae --config NAME",
        "callbacks": "lit-ae test (the settings of fit) --config NAME",
        "experiments": "lit-ae study run NAME",
        "scores": "each is a class for trainer.callbacks in a file of configs/callbacks",
    }
    print(f"\nto use one: {uses[kind]}" if kind != "scores" else f"\n{uses[kind]}")
    return 0


def described(kind: str) -> dict[str, str]:
    """Name -> one line, of one of `KINDS`."""
    if kind == "scores":
        return dict(sorted(_classes(files.PACKAGE / "callbacks" / "scores")))
    if kind == "experiments":
        return {name: _title(path) for name, path in files.experiments().items()}
    folder = {"models": "model"}.get(kind, kind)
    return {name: _comment(path) for name, path in files.configs(folder).items()}


def _comment(path: Path) -> str:
    """The first sentence of the comment with which a YAML file begins."""
    lines: list[str] = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").strip())
    return _first_sentence(" ".join(lines))


def _title(path: Path) -> str:
    """The title of a study."""
    match = re.search(r"^title: *(.+)$", path.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
    return match[1].strip("'\" ") if match else ""


def _classes(folder: Path) -> list[tuple[str, str]]:
    """The score callbacks in a folder with the first sentence of their docstrings."""
    found = []
    for path in folder.glob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and node.name.lower() == path.stem.replace("_", ""):
                found.append((node.name, _first_sentence(" ".join((ast.get_docstring(node) or "").split()))))
    return found


def _first_sentence(text: str) -> str:
    sentence = re.split(r"(?<=[^.][^.][.:;]) (?=[A-Z`])", text)[0].rstrip(".:;")
    return sentence if len(sentence) <= WIDTH else f"{sentence[: WIDTH - 1].rsplit(' ', 1)[0]} …"


def _parser() -> argparse.ArgumentParser:
    parser = Parser("lit-ae list", description="List what can be named on the command line, one line each.")
    parser.add_argument("kind", choices=KINDS, metavar="|".join(KINDS), help="what is listed")
    return parser
