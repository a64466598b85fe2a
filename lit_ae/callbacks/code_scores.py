"""How much the codes hold, and how."""

from collections.abc import Callable
from functools import partial

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from lit_ae.callbacks.evaluation import (
    CHUNK,
    Evaluation,
    ScoreCallback,
    as_images,
    datamodule,
    reconstruction_module,
)
from lit_ae.data.base import SPLITS
from lit_ae.metrics.codes import (
    information_rate,
    intrinsic_dimension,
    posterior_total_correlation,
    total_correlation,
)
from lit_ae.metrics.valid_set import HasValidSet


class CodeScores(ScoreCallback):
    """`total_correlation`, `total_correlation_posterior` (nats), `information_rate` (bits), `intrinsic_dimension`.

    The two in the middle are for codes with noise alone. All are over the codes of the split at hand, but for the rate
    where the data know every valid image, as the shapes do: there over those of all splits together. What has no value
    is left out, with the reason in the protocol.

    Args:
        draws: from the aggregated posterior, for `total_correlation_posterior`.
        seed: of the draws.
        every_n_epochs: as for `ScoreCallback`.
    """

    def __init__(self, draws: int = 500, seed: int = 0, every_n_epochs: int = 0) -> None:
        super().__init__(every_n_epochs)
        self.draws, self.seed = draws, seed

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Scores by name."""
        mu, logvar = evaluation.codes(trainer)[0], evaluation.logvar(trainer)
        scores: dict[str, Callable[[], float]] = {
            "total_correlation": partial(total_correlation, mu, logvar),
            "intrinsic_dimension": partial(intrinsic_dimension, mu),
        }
        protocol = {
            "total_correlation": "of a Gaussian with the covariance of the "
            + ("mean codes" if logvar is None else "aggregated posterior"),
            "intrinsic_dimension": f"TwoNN, maximum likelihood, on {len(mu):,} mean codes",
        }
        if logvar is None:
            protocol["information_rate"] = protocol["total_correlation_posterior"] = "none: the code has no noise"
        else:
            z = draws_of(mu, logvar, self.draws, self.seed)
            channel = everything(trainer) if isinstance(datamodule(trainer), HasValidSet) else (mu, logvar)
            scores["total_correlation_posterior"] = partial(posterior_total_correlation, z, mu, logvar)
            scores["information_rate"] = partial(information_rate, *channel)
            protocol["total_correlation_posterior"] = f"{len(z):,} draws of the mixture of {len(mu):,} posteriors"
            protocol["information_rate"] = f"Var(mean code) over mean posterior variance, {len(channel[0]):,} images"
        values: dict[str, float] = {}
        for name, score in scores.items():
            try:
                values[name] = score()
            except ValueError as error:
                protocol[name] = f"none: {error}"
        evaluation.protocol |= protocol
        return values


def draws_of(mu: Tensor, logvar: Tensor, n: int, seed: int) -> Tensor:
    """A draw [n, D] from each of n random posteriors of mu, logvar [N, D], or of all where there are fewer."""
    generator = torch.Generator().manual_seed(seed)
    some = torch.randperm(len(mu), generator=generator)[:n]
    noise = torch.randn(len(some), mu.shape[1], generator=generator)
    return mu[some] + (0.5 * logvar[some]).exp() * noise


def everything(trainer: Trainer) -> tuple[Tensor, Tensor]:
    """Mean codes and log variances [N, D] of all three splits, of a model whose code has noise."""
    module, data = reconstruction_module(trainer), datamodule(trainer)
    means, spreads = [], []
    for split in map(data.split, SPLITS):
        for x, y in zip(split.x.split(CHUNK), split.y.split(CHUNK), strict=True):
            with torch.no_grad(), module.given(y.to(module.device)):
                mu, logvar, _ = module.encode(as_images(x, module))
            assert logvar is not None
            means.append(mu.float().cpu())
            spreads.append(logvar.float().cpu())
    return torch.cat(means), torch.cat(spreads)
