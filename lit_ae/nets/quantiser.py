"""A layer that replaces vectors by the nearest entries of a codebook, and how the entries are used."""

import torch
import torch.distributed
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import Metric

from lit_ae.errors import SettingError, require_at_least
from lit_ae.nets.precision import full_precision

UNUSED = 1e-6  # an entry whose number of choices has decayed below this counts as never chosen


class VectorQuantiser(nn.Module):
    """K entries e_k of d numbers, each the moving average of the vectors that choose it as their nearest.

    van den Oord et al. 2017, appendix A.1, for n_k vectors of a batch that choose e_k: N_k ← γ N_k + (1 - γ) n_k,
    m_k ← γ m_k + (1 - γ) Σ vectors, e_k = m_k / N_k; only N and e are stored, since m_k = N_k e_k. An entry that has
    never been chosen, or not for so long that N_k has vanished, is replaced by a random vector of the batch.

    Args:
        features: size of a code, M vectors of d numbers one after the other.
        entries: K.
        dim: d.
        decay: γ.

    Raises:
        SettingError: `entries` below 1, `dim` no divisor of `features`, or `decay` not in [0, 1).
    """

    codebook: Tensor  # [K, d]
    counts: Tensor  # [M, K], whose sum over the positions is N

    def __init__(self, features: int, entries: int, dim: int, decay: float = 0.99) -> None:
        super().__init__()
        require_at_least(1, "model.{}", entries=entries)
        if dim < 1 or features % dim:
            raise SettingError(
                f"model.entry_dim is {dim}: it must be a divisor of model.latent_dim, which is {features}"
            )
        if not 0 <= decay < 1:
            raise SettingError(f"model.decay is {decay}: it must be at least 0 and below 1")
        self.decay, self.usage = decay, CodebookUsage(entries)
        self.register_buffer("codebook", torch.randn(entries, dim))
        self.register_buffer("counts", torch.zeros(features // dim, entries))

    def nearest(self, codes: Tensor) -> Tensor:
        """Index of the entry nearest to each of the vectors in codes [B, M d]: [B, M]."""
        vectors = codes.detach().reshape(-1, self.codebook.shape[1]).to(self.codebook.dtype)  # [B M, d]
        centre = self.codebook.mean(0)  # far from 0 the rounding errors of distances would exceed their differences
        with full_precision(codes.device):
            return torch.cdist(vectors - centre, self.codebook - centre).argmin(1).view(-1, len(self.counts))

    def forward(self, codes: Tensor) -> Tensor:
        """The nearest entries [B, M d] of codes [B, M d], without gradient; in training the entries then move."""
        chosen = self.nearest(codes)
        found = self.codebook[chosen].flatten(1)
        if self.training:
            self._move(codes.detach().reshape(-1, self.codebook.shape[1]).to(found.dtype), chosen)
        return found

    def _move(self, vectors: Tensor, chosen: Tensor) -> None:
        one_hot = F.one_hot(chosen, len(self.codebook)).to(vectors.dtype)  # [B, M, K]
        with full_precision(vectors.device):
            counts, sums = one_hot.sum(0), one_hot.flatten(0, 1).T @ vectors  # [M, K], [K, d]
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(counts)
            torch.distributed.all_reduce(sums)
        moved = (self.counts.sum(0).unsqueeze(1) * self.codebook).lerp(sums, 1 - self.decay)  # m [K, d]
        self.counts.lerp_(counts, 1 - self.decay)
        number = self.counts.sum(0).unsqueeze(1)  # N [K, 1]
        drawn = vectors[torch.randint(len(vectors), (len(number),), device=vectors.device)]
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.broadcast(drawn, 0)  # each process has drawn from its own batch
        self.codebook.copy_(torch.where(number > UNUSED, moved / number, drawn))

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Codes [n, M d] on the generator's device, each entry drawn by how often its position has chosen it."""
        counts, codebook = self.counts.to(generator.device), self.codebook.to(generator.device)
        chances = counts.clamp(min=1e-12)  # before training all are equal
        return codebook[chances.multinomial(n, replacement=True, generator=generator).T].flatten(1)


class CodebookUsage(Metric):
    """Perplexity exp(-Σ_k p_k log p_k) of the entries' frequencies p_k, and how many entries were never chosen.

    Args:
        entries: number K of entries; a perplexity of K is the largest, when all are chosen equally often.
    """

    usage: Tensor  # [K]

    def __init__(self, entries: int) -> None:
        super().__init__()
        self.add_state("usage", torch.zeros(entries, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, chosen: Tensor) -> None:
        """Add indices [B, M] of chosen entries."""
        self.usage += chosen.flatten().bincount(minlength=len(self.usage))

    def compute(self) -> dict[str, Tensor]:
        """`codebook_perplexity` and `dead_codes`."""
        share = self.usage / self.usage.sum()
        return {
            "codebook_perplexity": torch.special.entr(share).sum().exp(),
            "dead_codes": (self.usage == 0).sum().to(share.dtype),
        }
