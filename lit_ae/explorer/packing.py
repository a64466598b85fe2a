"""Arrays as text for the page: compressed, in base64, with type and shape."""

import base64
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lit_ae.explorer.layers import Op, Precision, quantised

TYPES = ("uint8", "int16", "float16", "float32")  # that `network.js` reads


def packed(values: NDArray[Any]) -> dict[str, Any]:
    """An array of one of `TYPES` as JSON: `dtype`, `shape` and its little-endian bytes, deflated, as base64 `data`."""
    assert str(values.dtype) in TYPES
    content = zlib.compress(np.ascontiguousarray(values).tobytes(), 6)
    return {"dtype": str(values.dtype), "shape": list(values.shape), "data": base64.b64encode(content).decode()}


def packed_ops(ops: list[Op], precision: Precision) -> list[dict[str, Any]]:
    """Operations as JSON: `name`, their settings, and their tensors packed."""
    return [
        {"name": op.name, **op.settings, **{key: _weights(value, precision) for key, value in op.tensors.items()}}
        for op in ops
    ]


def _weights(weights: Any, precision: Precision) -> dict[str, Any]:
    if weights.ndim < 2 or precision == "float32":
        return packed(weights.detach().float().numpy())
    if precision == "float16":
        return packed(weights.detach().half().numpy())
    levels, low, step = quantised(weights)
    return {**packed(levels), "low": packed(low), "step": packed(step)}
