"""`lit-ae export`: one trained model in one format, compared with PyTorch's own values as it is written."""

import shlex
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from typing import Literal

import torch

from lit_ae.api.load import RUN_ID, load
from lit_ae.errors import SettingError
from lit_ae.export.parts import Part, PartName, difference, part_of
from lit_ae.export.pretrained import save_pretrained
from lit_ae.export.programs import SIZES, TOLERANCE, write_onnx, write_torch
from lit_ae.models.tracked import TrackedModule

Format = Literal["onnx", "torch", "safetensors", "mlflow"]
SUFFIXES: dict[Format, str] = {"onnx": ".onnx", "torch": ".pt2", "safetensors": "", "mlflow": ""}


def export(
    source: str, format: Format, part: PartName | None = None, output: Path | None = None, licence: str | None = None
) -> str:
    """Write a trained model in a format, and return the sentences that say what was written and how it is used.

    Args:
        source: id of a run, path of a checkpoint or of a folder with one.
        format: the format.
        part: what is exported; None: all, or the generator alone of a GAN.
        output: a file (.onnx, .pt2) or a folder that is not there yet; None: named by family and source.
        licence: of the weights, for the model card of safetensors; None: mit.

    Raises:
        SettingError: there is no such model, the format cannot hold it or the licence, or the output is there already.
    """
    if licence is not None and format != "safetensors":
        raise SettingError(
            f"--licence is for the model card of --format safetensors, and --format {format} has none: leave it out"
        )
    model = load(source)
    run_id = source if RUN_ID.fullmatch(source) else None
    if format == "safetensors":
        if part not in (None, "all"):
            raise SettingError("--format safetensors stores the whole model: leave --part out")
        folder = _free(output or _name(model, source, format, "all"), format)
        save_pretrained(model, folder, run_id, licence or "mit")
        return f"{folder}: model.safetensors, config.json and the model card README.md\nlit_ae.from_pretrained reads it"
    chosen = part_of(model, part)
    path = _free(output or _name(model, source, format, chosen.name), format)
    if format == "mlflow":
        return f"{path}: an MLflow model of {_described(chosen, write_mlflow(chosen, path, source))}\n" + (
            f"to serve it: mlflow models serve --env-manager local -m {shlex.quote(str(path))}"
        )
    found = write_onnx(chosen, path) if format == "onnx" else write_torch(chosen, path)
    return f"{path}: {_described(chosen, found)}"


def write_mlflow(part: Part, folder: Path, source: str) -> float:
    """Write an MLflow model and return its difference from PyTorch.

    Raises:
        SettingError: the part cannot be traced, or the model gives other values.
    """
    from lit_ae.tracking.serving import load_program, save_program

    with TemporaryDirectory() as scratch:
        program = Path(scratch) / "model.pt2"
        write_torch(part, program)
        facts = {**part.facts, "source": source}
        sizes = {n: tuple(v.shape[1:]) for n, v in zip(part.outputs, part(*part.examples(2)), strict=True)}
        save_program(program, folder, part.inputs, sizes, part.shape, facts)
    loaded, worst = load_program(folder), 0.0
    for size in SIZES:
        inputs = part.examples(size, seed=size)
        arrays = [value.numpy() for value in inputs]
        given = dict(zip(part.inputs, arrays, strict=True)) if len(arrays) > 1 else arrays[0]
        found = loaded.predict(given)  # type: ignore[attr-defined]
        for name, expected in zip(part.outputs, part(*inputs), strict=True):
            worst = max(worst, difference(torch.from_numpy(found[name]), expected))
    if not worst <= TOLERANCE:
        rmtree(folder)
        raise SettingError(f"the MLflow model in {folder} differed from PyTorch's values by {worst:.1e} and is removed")
    return worst


def _described(part: Part, found: float) -> str:
    first = "codes" if part.inputs[0] == "z" else "samples"
    labels = ", y: their classes [N]" if part.classes else ""
    return (
        f"{part.family}, {part.inputs[0]}: {first} [N, {', '.join(map(str, part.shape))}] as float32{labels} -> "
        f"{', '.join(part.outputs)}; compared with PyTorch on batches of {', '.join(map(str, SIZES))}: largest "
        f"difference {found:.1e}"
    )


def _name(model: TrackedModule, source: str, format: Format, part: PartName) -> Path:
    stem = source[:8] if RUN_ID.fullmatch(source) else Path(source).stem
    middle = "" if part == "all" else f"-{part}"
    ending = SUFFIXES[format] or f"-{format}"
    return Path(f"{type(model).__name__.lower()}-{stem}{middle}{ending}")


def _free(path: Path, format: Format) -> Path:
    """The path, if nothing is there yet."""
    if path.exists():
        raise SettingError(f"--output {path} is there already: give another, or remove it first")
    if (suffix := SUFFIXES[format]) and path.suffix != suffix:
        raise SettingError(f"--output {path} is a file for --format {format}: end its name with {suffix}")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
