"""What a trained model does with arrays: codes, reconstructions, samples and likelihoods.

Samples x are NumPy arrays or tensors [N, *input_shape], on any device: bytes (uint8), which become floats in [0, 1], or
floats as the model was trained on; what training refuses is refused here as well. Results are float32 and of the same
kind as x: NumPy for NumPy, else a tensor on x's device. A few samples at a time are on the model's device. The model's
mode and the random state of PyTorch are afterwards what they were before.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

import torch
from torch import Tensor

from lit_ae.errors import SettingError
from lit_ae.models.capabilities import Conditional, DrawsCodes
from lit_ae.models.chunks import CHUNK, in_chunks
from lit_ae.models.given import given_labels, given_sampler, given_samples
from lit_ae.objectives.importance import is_density, log_density, log_marginal
from lit_ae.settings.seeds import stream_seed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lit_ae.models.base import GenerativeModule, ReconstructionModule

    A = TypeVar("A", Tensor, NDArray[np.generic])


class CodeSampler(Protocol):
    """A fitted density over codes, such as those of `lit_ae.samplers`."""

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """n codes [n, D]."""


class SamplingMethods:
    """Methods of all models that decode codes."""

    def sample(
        self, n: int, sampler: CodeSampler | None = None, y: Any = None, seed: int = 0, batch_size: int = CHUNK
    ) -> Tensor:
        """Generate n samples: a tensor [n, *input_shape] on the CPU, the same for the same seed.

        Args:
            n: number of samples.
            sampler: a fitted density over codes, see `lit_ae.samplers`; None: the prior, N(0, I) for most families.
            y: for a conditional family the classes [n], or one class; None: all classes as in the training data.
            seed: seed of the codes.
            batch_size: number of samples in one forward pass.

        Raises:
            SettingError: n, batch_size, y or the sampler's codes do not fit the model.

        >>> import lit_ae
        >>> model = lit_ae.VAE(input_shape=(1, 28, 28), latent_dim=16)
        >>> images = model.sample(5, seed=1)
        >>> images.shape, bool((images >= 0).all() and (images <= 1).all())
        (torch.Size([5, 1, 28, 28]), True)
        >>> gaussian = lit_ae.FittedGaussian().fit(model.embed(images))
        >>> model.sample(3, sampler=gaussian).shape
        torch.Size([3, 1, 28, 28])
        """
        module: GenerativeModule = self  # type: ignore[assignment]
        _at_least("n", n, 0)
        generator = torch.Generator().manual_seed(seed)
        with evaluating(module):
            if sampler is not None:
                z = given_sampler(sampler).sample(n, generator)
            elif isinstance(module, DrawsCodes):
                z = module.draw_codes(n, generator)
            else:
                z = torch.randn(n, module.latent_dim, generator=generator)
            if z.shape[1:] != (module.latent_dim,):
                raise SettingError(
                    f"the sampler's codes have shape {list(z.shape[1:])} and the model's [{module.latent_dim}]: fit it "
                    "to model.embed(x) of this model"
                )
            labels = given_labels(module, y, n)
            if labels is None and isinstance(module, Conditional):
                labels = module.drawn_labels(n, generator).cpu()
            return _in_parts(module, module.decode, z, labels, batch_size)


class CodingMethods(SamplingMethods):
    """Methods of all models with an encoder."""

    def embed(self, x: A, y: Any = None, batch_size: int = CHUNK) -> A:
        """Mean codes [N, D] of samples x.

        Args:
            x: samples [N, *input_shape], bytes or floats.
            y: their classes [N], for a conditional family.
            batch_size: number of samples in one forward pass.

        Raises:
            SettingError: x, y or batch_size do not fit the model.

        >>> import lit_ae, numpy as np
        >>> model = lit_ae.VAE(input_shape=(1, 28, 28), latent_dim=16)
        >>> model.embed(np.zeros((5, 1, 28, 28), dtype="uint8")).shape
        (5, 16)
        """
        module: ReconstructionModule = self  # type: ignore[assignment]
        return _each(module, lambda part, labels: module.encode(part, labels).mu, x, y, batch_size)

    def reconstruct(self, x: A, y: Any = None, batch_size: int = CHUNK) -> A:
        """Reconstructions [N, *input_shape] of samples x, each decoded from its mean code; arguments as for `embed`.

        >>> import lit_ae, torch
        >>> model = lit_ae.AE(input_shape=(8,), latent_dim=2)
        >>> model.reconstruct(torch.rand(5, 8)).shape
        torch.Size([5, 8])
        """
        module: ReconstructionModule = self  # type: ignore[assignment]
        return _each(module, module.forward, x, y, batch_size)

    def log_likelihood(self, x: A, y: Any = None, k: int = 500, seed: int = 0, batch_size: int = CHUNK) -> A:
        """Importance-weighted lower bound on log p(x) in nats of each sample, [N]; higher is better.

        Burda et al. 2016, equation 8. Of a Gaussian likelihood it is a density over x in its own units, with the
        variance that the squared error implies (½); of a Bernoulli likelihood the probability of a binary x. It is
        what `LogLikelihood` averages.

        Args:
            x: samples [N, *input_shape], bytes or floats; binary for a Bernoulli likelihood.
            y: their classes [N], for a conditional family; the bound is then on log p(x | y).
            k: number of draws of each sample's code: with more draws the bound is tighter.
            seed: seed of the draws, which depend on nothing else but the index of a sample in x.
            batch_size: number of codes that are decoded at once.

        Raises:
            SettingError: x, y, k or batch_size do not fit the model, its code is a point, or its likelihood is no
                normalised density.
            ValueError: x is not binary and the likelihood is Bernoulli, or the result is not a number.

        >>> import lit_ae, numpy as np
        >>> model = lit_ae.VAE(input_shape=(8,), latent_dim=2)
        >>> model.log_likelihood(np.zeros((5, 8)), k=100).shape
        (5,)
        """
        module: ReconstructionModule = self  # type: ignore[assignment]
        _at_least("k", k, 1)
        places = itertools.count()

        def bound(part: Tensor, labels: Tensor | None) -> Tensor:
            if not len(part):
                return part.new_zeros(0)
            generators = [torch.Generator().manual_seed(stream_seed(seed, next(places))) for _ in part]
            draws = [torch.randn(k, module.latent_dim, generator=generator) for generator in generators]
            return importance_bound(module, part, labels, torch.stack(draws).to(part), batch_size)

        return _each(module, bound, x, y, max(1, batch_size // k))


def importance_bound(
    module: ReconstructionModule, x: Tensor, y: Tensor | None, noise: Tensor, chunk: int = CHUNK
) -> Tensor:
    """Importance-weighted bound on log p(x) in nats, [B], from draws of N(0, I) [B, K, D], all on one device.

    Raises:
        SettingError: the code of x [B, *shape] is a point, or the likelihood is no normalised density.
    """
    mu, logvar = module.encode(x, y)[:2]
    if logvar is None or not is_density(module.likelihood):
        raise SettingError(
            f"{type(module).__name__} with a {type(module.likelihood).__name__} likelihood has no log-likelihood: "
            "choose a family with a Gaussian code, such as VAE, and a Gaussian or Bernoulli likelihood"
        )

    def log_p_x(z: Tensor) -> Tensor:  # [B, k, D] -> [B, k]
        k = z.shape[1]
        labels = None if y is None else y.repeat_interleave(k)
        raw = module.raw(z.flatten(0, 1), labels)
        return log_density(module.likelihood, raw, x).view(-1, k)

    return log_marginal(log_p_x, mu, logvar, noise, chunk, module.log_prior)


@contextmanager
def evaluating(module: GenerativeModule) -> Iterator[None]:
    """Evaluation mode for a while; afterwards the modes of all parts and the random state are restored."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        with torch.random.fork_rng([module.device] if module.device.type == "cuda" else []):
            yield
    finally:
        for part, training in modes:
            part.training = training


Work: TypeAlias = Callable[[Tensor, Tensor | None], Tensor]  # samples [B, ...] and labels [B] -> [B, ...]


def _each(module: GenerativeModule, work: Work, x: A, y: Any, batch_size: int) -> A:
    """The result of `work` for all samples and labels, of the same kind as x."""
    samples = given_samples(module, x)
    with evaluating(module):
        found = _in_parts(module, work, samples, given_labels(module, y, len(samples)), batch_size)
    return found.to(x.device) if isinstance(x, Tensor) else found.numpy()


def _in_parts(module: GenerativeModule, work: Work, x: Tensor, y: Tensor | None, batch_size: int) -> Tensor:
    """As `in_chunks`, with samples in the precision of the model."""
    _at_least("batch_size", batch_size, 1)
    return in_chunks(module, lambda part, labels: work(part.to(module.dtype), labels), x, y, batch_size)


def _at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise SettingError(f"{name} is {value}: it must be at least {least}")
