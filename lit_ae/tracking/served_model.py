"""The code of an exported MLflow model, which is copied into it: it needs torch and MLflow, and nothing of lit_ae.

MLflow runs this file when it loads the model. Nothing of the project imports it.
"""

import json
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import torch


class Program(mlflow.pyfunc.PythonModel):  # type: ignore[misc, name-defined]
    """A torch.export program: samples to codes, reconstructions and anomaly scores, by name."""

    def load_context(self, context: Any) -> None:
        """Read the program and the names of its inputs and outputs."""
        self.program = torch.export.load(context.artifacts["program"]).module()
        self.names = json.loads(Path(context.artifacts["names"]).read_text(encoding="utf-8"))

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # MLflow would check types
        """Arrays by name: of a model without labels from an array x, else from {"x": array, "y": labels}."""
        given = model_input if isinstance(model_input, dict) else {self.names["inputs"][0]: model_input}
        kinds = [np.int64 if name == "y" else np.float32 for name in self.names["inputs"]]
        pairs = zip(self.names["inputs"], kinds, strict=True)
        with torch.no_grad():
            found = self.program(*(torch.from_numpy(np.ascontiguousarray(given[name], kind)) for name, kind in pairs))
        return {name: value.numpy() for name, value in zip(self.names["outputs"], found, strict=True)}


mlflow.models.set_model(Program())
