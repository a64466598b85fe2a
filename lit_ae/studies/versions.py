"""The versions of the scores and families that YAML files name, read from the source: importing takes seconds."""

import ast
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parent.parent
# Of the classes that YAML names without their module
FOLDERS = tuple(PACKAGE / folder for folder in ("evaluation", "callbacks/scores", "callbacks/figures", "models"))


def score_versions(contents: Iterable[Any]) -> dict[str, int]:
    """Class name -> `version` of every callback and family in these YAML files whose class or base class has one."""
    found = {path: _version(path) for content in contents for path in _classes(content)}
    return {path.rpartition(".")[2]: version for path, version in sorted(found.items()) if version is not None}


def _classes(content: Any) -> Iterator[str]:
    """The class paths under `model`, `trainer.callbacks` and `trainer.callbacks+`."""
    model = content.get("model") if isinstance(content, Mapping) else None
    if isinstance(model, Mapping) and isinstance(model.get("class_path"), str):
        yield model["class_path"]
    trainer = content.get("trainer") if isinstance(content, Mapping) else None
    if not isinstance(trainer, Mapping):
        return
    for key in ("callbacks", "callbacks+"):
        listed = trainer.get(key) or []
        for entry in listed if isinstance(listed, list) else [listed]:
            path = entry.get("class_path") if isinstance(entry, Mapping) else entry
            if isinstance(path, str):
                yield path


def _version(class_path: str) -> int | None:
    """The `version` that a class or the first of its base classes states; None if the source cannot be found."""
    module, _, name = class_path.rpartition(".")
    source = _of_module(module) if module else _of_bare_name(name)
    return _in_source(source, name, frozenset()) if source else None


def _in_source(source: Path, name: str, seen: frozenset[tuple[Path, str]]) -> int | None:
    tree = _parsed(source, source.stat().st_mtime_ns)
    if tree is None or (source, name) in seen:
        return None
    seen |= {(source, name)}
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            own = _stated(node)
            if own is not None:
                return own
            inherited = (_in_source(source, ast.unparse(base), seen) for base in node.bases)
            return next((version for version in inherited if version is not None), None)
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            original = next((alias.name for alias in node.names if name == (alias.asname or alias.name)), None)
            imported_from = _of_module(node.module) if original else None
            if original and imported_from:
                return _in_source(imported_from, original, seen)
    return None


def _stated(node: ast.ClassDef) -> int | None:
    """The number that a class body assigns to `version`."""
    for line in node.body:
        if isinstance(line, ast.AnnAssign):
            targets: list[ast.expr] = [line.target]
        elif isinstance(line, ast.Assign):
            targets = line.targets
        else:
            continue
        named = any(isinstance(target, ast.Name) and target.id == "version" for target in targets)
        if named and isinstance(line.value, ast.Constant) and isinstance(line.value.value, int):
            return line.value.value
    return None


def _of_bare_name(name: str) -> Path | None:
    """The file of one of this package's own scores, figures or families, which is named after its class."""
    paths = (path for folder in FOLDERS for path in folder.glob("*.py"))
    return next((path for path in paths if path.stem.replace("_", "") == name.lower()), None)


def _of_module(module: str) -> Path | None:
    """The source of a module on the path, found without importing it or its packages."""
    return _found(module, tuple(sys.path))


@cache
def _found(module: str, folders: tuple[str, ...]) -> Path | None:
    relative = Path(*module.split("."))
    for folder in map(Path, folders):
        for path in (folder / relative.with_suffix(".py"), folder / relative / "__init__.py"):
            if path.is_file():
                return path
    return None


@cache
def _parsed(source: Path, changed: int) -> ast.Module | None:
    """The syntax tree of a file as of that change; None if it is not valid Python."""
    try:
        return ast.parse(source.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError):
        return None
