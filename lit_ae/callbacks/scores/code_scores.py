"""Dependence between code dimensions, information, intrinsic dimension."""

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from lit_ae.data.containers import SPLITS
from lit_ae.errors import NotComputable, require_at_least
from lit_ae.evaluation.access import datamodule, reconstruction_module, scored_split, split_name
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.evaluation.score_callback import ScoreCallback
from lit_ae.metrics.codes.information import (
    information_rate,
    intrinsic_dimension,
    posterior_total_correlation,
    total_correlation,
)
from lit_ae.metrics.images.valid_set import HasValidSet
from lit_ae.models.chunks import posteriors


class CodeScores(ScoreCallback):
    """`total_correlation`, `total_correlation_posterior` (nats), `information_rate` (bits), `intrinsic_dimension`.

    The second and third need codes with noise. All are computed on the codes of the split being scored; only
    `information_rate` uses the codes of all three splits together if the data set knows every valid image, as the
    shapes do.

    Args:
        draws: number of draws from the aggregated posterior, for `total_correlation_posterior`.
        seed: seed of the draws.
        every_n_epochs: as for `ScoreCallback`.
    """

    def __init__(self, draws: int = 500, seed: int = 0, every_n_epochs: int = 0) -> None:
        super().__init__(every_n_epochs)
        require_at_least(0, "CodeScores.{}", seed=seed)
        require_at_least(1, "CodeScores.{}", draws=draws)
        self.draws, self.seed = draws, seed

    def score(self, trainer: Trainer, evaluation: Evaluation) -> dict[str, float]:
        """Scores by name."""
        mu, logvar = evaluation.codes(trainer)[0], evaluation.logvar(trainer)
        values: dict[str, float] = {}
        with evaluation.leaving_out("total_correlation"):
            require_codes(mu, 2)
            values["total_correlation"] = total_correlation(mu, logvar)
        with evaluation.leaving_out("intrinsic_dimension"):
            require_codes(mu, 3)
            values["intrinsic_dimension"] = intrinsic_dimension(mu)
        protocol = {
            "total_correlation": "nats, of a Gaussian with the covariance of the "
            + ("mean codes" if logvar is None else "aggregated posterior"),
            "intrinsic_dimension": f"TwoNN in its maximum-likelihood form, on {len(mu):,} mean codes",
        }
        if logvar is None:
            evaluation.leave_out("the code has no noise", "total_correlation_posterior", "information_rate")
        else:
            z = draws_of(mu, logvar, self.draws, self.seed)
            channel = everything(trainer) if isinstance(datamodule(trainer), HasValidSet) else (mu, logvar)
            with evaluation.leaving_out("total_correlation_posterior"):
                require_codes(mu, 2)
                values["total_correlation_posterior"] = posterior_total_correlation(z, mu, logvar)
            with evaluation.leaving_out("information_rate"):
                require_codes(channel[0], 2)
                values["information_rate"] = information_rate(*channel)
            protocol["total_correlation_posterior"] = (
                f"nats, {len(z):,} draws from the mixture of {len(mu):,} posteriors"
            )
            protocol["information_rate"] = (
                f"bits, from the variance of the mean code over the mean posterior variance, {len(channel[0]):,} images"
            )
        evaluation.protocol |= {name: how for name, how in protocol.items() if name in values}
        return values


def require_codes(codes: Tensor, least: int) -> None:
    """Refuse too few codes [N, D].

    Raises:
        NotComputable: N is below `least`.
    """
    if len(codes) < least:
        raise NotComputable(f"it takes at least {least} codes, and there are {len(codes)}")


def draws_of(mu: Tensor, logvar: Tensor, n: int, seed: int) -> Tensor:
    """One draw [n, D] from each of n random posteriors of mu, logvar [N, D], or from each of all N if n is larger."""
    generator = torch.Generator().manual_seed(seed)
    some = torch.randperm(len(mu), generator=generator)[:n]
    noise = torch.randn(len(some), mu.shape[1], generator=generator)
    return mu[some] + (0.5 * logvar[some]).exp() * noise


def everything(trainer: Trainer) -> tuple[Tensor, Tensor]:
    """Mean codes and log variances [N, D] of all three splits, of a model whose code has noise."""
    module, data, scored = reconstruction_module(trainer), datamodule(trainer), split_name(trainer)
    splits = [scored_split(trainer) if name == scored else data.split(name) for name in SPLITS]
    found = [posteriors(module, split.x, split.y) for split in splits]
    means, spreads = zip(*found, strict=True)
    return torch.cat(means), torch.cat(spreads)
