"""Programs that compute what a part of a model computes, without this project: torch.export and ONNX.

Each is run after it has been written, on batches of three sizes, and refused if it differs from PyTorch by more than
1e-5: absolutely, or relative to values above 1.
"""

import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from lit_ae.errors import SettingError
from lit_ae.export.parts import Part, difference
from lit_ae.settings.extras import needs
from lit_ae.settings.whole_files import write_whole

TOLERANCE = 1e-5
SIZES = (1, 3, 64)  # of the batches that are compared
Run = Callable[[tuple[Tensor, ...]], Sequence[Tensor]]


def write_torch(part: Part, path: Path) -> float:
    """Write a torch.export program (.pt2) and return its difference from PyTorch.

    Raises:
        SettingError: the part cannot be traced, or the program gives other values.
    """
    content = io.BytesIO()
    torch.export.save(_program(part), content, extra_files={"facts.json": json.dumps(part.facts)})
    write_whole(path, content.getvalue())
    loaded = torch.export.load(path).module()
    return _compared(part, lambda inputs: loaded(*inputs), path)


def write_onnx(part: Part, path: Path) -> float:
    """Write an ONNX file and return its difference from PyTorch, as onnxruntime computes it on the CPU.

    Raises:
        SettingError: a package is missing, the part cannot be traced, or the file gives other values.
    """
    with needs("export", "--format onnx"):
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401 - PyTorch's exporter needs it
    program = _program(part)
    with _quiet():
        found = torch.onnx.export(
            program, dynamo=True, input_names=list(part.inputs), output_names=list(part.outputs), verbose=False
        )
    assert found is not None
    stored = found.model_proto
    onnx.helper.set_model_props(stored, part.facts)
    write_whole(path, stored.SerializeToString())
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def run(inputs: tuple[Tensor, ...]) -> list[Tensor]:
        given = dict(zip(part.inputs, (value.numpy() for value in inputs), strict=True))
        return [torch.from_numpy(value) for value in session.run(list(part.outputs), given)]

    return _compared(part, run, path)


def _program(part: Part) -> ExportedProgram:
    """The traced part, for batches of any size."""
    inputs, batch = part.examples(2), Dim("batch")
    try:
        with _quiet():
            program = torch.export.export(part.module, inputs, dynamic_shapes=tuple({0: batch} for _ in inputs))
    except Exception as error:  # of the many kinds that a trace can raise
        reason = " ".join(str(error).split())[:200]
        raise SettingError(
            f"the {part.name} part of {part.family} cannot be traced ({type(error).__name__}: {reason}): give --format "
            "safetensors, which stores its weights and settings"
        ) from error
    # random numbers of draws that the mean code does not use
    program.graph.eliminate_dead_code(lambda node: node.op in ("placeholder", "output"))
    return program


def _compared(part: Part, run: Run, path: Path) -> float:
    """The largest difference over all outputs and batches."""
    worst, name = 0.0, ""
    for size in SIZES:
        inputs = part.examples(size, seed=size)
        with torch.no_grad():
            pairs = zip(part.outputs, run(inputs), part(*inputs), strict=True)
            for output, found, expected in pairs:
                if (d := difference(found, expected)) > worst:
                    worst, name = d, output
    if not worst <= TOLERANCE:
        path.unlink()
        raise SettingError(
            f"the exported {name} of {part.family} differs from PyTorch's by {worst:.1e}, and {TOLERANCE:g} is "
            "allowed: give another --format"
        )
    return worst


@contextmanager
def _quiet() -> Iterator[None]:
    """Inside it the exporters' warnings about their own insides are not shown."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "torch.export")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
