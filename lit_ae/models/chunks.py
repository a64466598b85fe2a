"""Encoding and decoding in chunks, for more samples than one forward pass should hold."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lit_ae.data.containers import as_float
from lit_ae.data.rows import Samples

if TYPE_CHECKING:
    from lit_ae.models.base import GenerativeModule, Latent, ReconstructionModule
    from lit_ae.models.tracked import TrackedModule

CHUNK = 1000  # samples in one forward pass


def in_chunks(
    module: "GenerativeModule", work: Callable[[Tensor, Tensor | None], Tensor], x: Samples, y: Tensor | None = None,
    size: int = CHUNK,
) -> Tensor:  # fmt: skip
    """The results of work(part of x [n, ...], labels [n] or None), concatenated on the CPU.

    `work` is called for one part after the other on the model's device and without gradients; stored bytes are passed
    as floats in [0, 1].
    """
    results: Tensor | None = None  # in one piece of memory: see `KeptRows`
    with torch.no_grad():
        for start in range(0, max(1, len(x)), size):
            labels = None if y is None else y[start : start + size].to(module.device)
            part = work(model_input(x[start : start + size], module), labels).float().cpu()
            if results is None:
                results = part.new_empty(len(x), *part.shape[1:])
            results[start : start + size] = part
    assert results is not None
    return results


def model_input(x: Tensor, module: "TrackedModule") -> Tensor:
    """Stored samples or codes as the model takes them: on its device, in its precision, bytes as values in [0, 1]."""
    return as_float(x.to(module.device)).to(module.dtype)


def mean_codes(module: "ReconstructionModule", x: Samples, y: Tensor | None = None) -> Tensor:
    """Mean codes [N, D] of x [N, *shape] with labels y [N]; x is not corrupted, even by a family that does so."""
    return in_chunks(module, lambda part, labels: module.encode(part, labels).mu, x, y)


def posteriors(module: "ReconstructionModule", x: Samples, y: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
    """Mean codes and log variances, both [N, D], of x [N, *shape]; log variances are None if the code is a point."""

    def both(part: Tensor, labels: Tensor | None) -> Tensor:
        latent: Latent = module.encode(part, labels)
        return latent.mu if latent.logvar is None else torch.cat([latent.mu, latent.logvar], 1)

    found = in_chunks(module, both, x, y)
    if found.shape[1] == module.latent_dim:
        return found, None
    mu, logvar = found.chunk(2, 1)
    return mu, logvar


def decoded(module: "GenerativeModule", z: Tensor, y: Tensor | None = None) -> Tensor:
    """Mean samples [N, *shape] of codes [N, D] with labels y [N]."""
    return in_chunks(module, module.decode, z, y)
