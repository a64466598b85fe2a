"""The Inception Score of class probabilities."""

from typing import Any

import torch
from torch import Tensor, distributed
from torchmetrics import Metric

from lit_ae.errors import NotComputable, SettingError


def scores(counts: Tensor, prob_sums: Tensor, plogp_sums: Tensor) -> Tensor:
    """exp(E KL(p(y|x) || p(y))) (Salimans et al. 2016, section 4) of each split, [S].

    Args:
        counts: number of images of each split [S].
        prob_sums: sum of p(y|x) over the images [S, K].
        plogp_sums: sum of Σ_y p(y|x) log p(y|x) over the images [S].
    """
    marginal = prob_sums / counts.unsqueeze(1)  # [S, K]
    return (plogp_sums / counts - torch.xlogy(marginal, marginal).sum(1)).exp()


class InceptionScore(Metric):
    """Mean and standard deviation (divisor S) of the score over S splits of the images.

    Images go to the splits in turn, without random numbers. For a process of rank r of W its i-th image is number
    r + i W, as for distributed samplers, so that several processes give the same score as one process.

    Args:
        splits: number S of splits; with 1 all images are scored together, and the standard deviation is 0.

    Raises:
        SettingError: `splits` below 1; NotComputable on computing it from fewer images than splits.
    """

    higher_is_better = True
    is_differentiable = False
    full_state_update = False

    counts: Tensor
    prob_sums: Tensor
    plogp_sums: Tensor

    def __init__(self, splits: int = 10, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if splits < 1:
            raise SettingError(f"the number of splits of the Inception Score is {splits}: it must be at least 1")
        self.splits = splits
        zeros = torch.zeros(splits, dtype=torch.float64)
        self.add_state("counts", zeros.clone(), dist_reduce_fx="sum")
        self.add_state("prob_sums", zeros.unsqueeze(1), dist_reduce_fx="sum")  # [S, K] after the first update
        self.add_state("plogp_sums", zeros.clone(), dist_reduce_fx="sum")

    def update(self, probs: Tensor) -> None:
        """Add class probabilities [B, K]."""
        rank, world = (distributed.get_rank(), distributed.get_world_size()) if _distributed() else (0, 1)
        p = probs.to(torch.float64)
        seen = int(self.counts.sum())
        number = rank + world * (seen + torch.arange(len(p), device=p.device))  # [B]
        split = number % self.splits
        self.counts = self.counts.index_add(0, split, p.new_ones(len(p)))
        self.prob_sums = self.prob_sums + p.new_zeros(self.splits, p.shape[1]).index_add(0, split, p)
        self.plogp_sums = self.plogp_sums.index_add(0, split, torch.xlogy(p, p).sum(1))

    def compute(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation over the splits, both []."""
        if not self.counts.all():
            raise NotComputable(
                f"the number of splits of the Inception Score is {self.splits} but there are "
                f"{int(self.counts.sum())} images: use fewer splits or more images"
            )
        values = scores(self.counts, self.prob_sums, self.plogp_sums)
        return values.mean(), values.std(correction=0)


def _distributed() -> bool:
    return distributed.is_available() and distributed.is_initialized()
