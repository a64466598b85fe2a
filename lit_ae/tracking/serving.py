"""A traced model as an MLflow model, which `mlflow models serve` answers with."""

import json
import warnings
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any


def save_program(
    program: Path, folder: Path, inputs: Sequence[str], outputs: Mapping[str, Sequence[int]], shape: Sequence[int],
    metadata: dict[str, str],
) -> None:  # fmt: skip
    """Write an MLflow model that needs torch and MLflow, and not lit_ae.

    Args:
        program: a torch.export program (.pt2).
        folder: where the model is written; it must not exist.
        inputs: names of what goes in: x or z, and y for labels.
        outputs: names of what comes out, with the shape for one sample.
        shape: of one sample of the first input.
        metadata: further facts that are stored with the model.
    """
    import mlflow
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    named = len(inputs) > 1  # a single array is given without its name
    specs: list[Any] = [TensorSpec(np.dtype(np.float32), (-1, *shape), inputs[0] if named else None)]
    specs += [TensorSpec(np.dtype(np.int64), (-1,), name) for name in inputs[1:]]
    found: list[Any] = [TensorSpec(np.dtype(np.float32), (-1, *size), name) for name, size in outputs.items()]
    requirements = [f"{package}=={version(package)}" for package in ("mlflow", "torch", "numpy")]
    with TemporaryDirectory() as scratch:
        names = Path(scratch) / "names.json"
        names.write_text(json.dumps({"inputs": list(inputs), "outputs": list(outputs)}), encoding="utf-8")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "(?s).*input example was not provided.*")  # the signature says it
            mlflow.pyfunc.save_model(
                str(folder),
                python_model=str(Path(__file__).with_name("served_model.py")),
                artifacts={"program": str(program), "names": str(names)},
                signature=ModelSignature(Schema(specs), Schema(found)),
                pip_requirements=requirements,
                metadata=metadata,
            )


def load_program(folder: Path) -> object:
    """The MLflow model in a folder, as `mlflow.pyfunc` loads it."""
    import mlflow

    return mlflow.pyfunc.load_model(str(folder))
