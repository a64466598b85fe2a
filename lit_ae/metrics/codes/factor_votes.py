"""The FactorVAE score: which code dimension varies least while a factor is held fixed?"""

import torch
from torch import Tensor

from lit_ae.errors import NotComputable

VOTES = 800  # for the classifier, and as many for its accuracy; the paper takes 800 in all
SIZE = 64  # codes in a vote
COLLAPSED = 0.05  # a dimension whose standard deviation is below this share of the largest one takes no part


def factor_vae_score(codes: Tensor, factors: Tensor, seed: int = 0, votes: int = VOTES, size: int = SIZE) -> float:
    """Accuracy in [0, 1] of a majority vote that names the factor which was held fixed (Kim & Mnih 2018, section 4).

    For a vote a factor k and one of its values are drawn, and then `size` samples with this value. The dimension whose
    variance among their codes, relative to its variance over all codes, is the smallest votes for k. Each dimension
    stands for the factor that most of its votes are for; the accuracy is that on further votes. With F factors a code
    that knows nothing of them scores about 1 / F. The paper generates new samples for a vote; here they are drawn with
    replacement from those that there are.

    Args:
        codes: mean codes [N, D].
        factors: known factors [N, F]; a constant one takes no part.
        seed: of the draws.
        votes: how many decide what a dimension stands for, and how many more are scored.
        size: number of samples in a vote.

    Raises:
        NotComputable: fewer than 2 factors vary, or no code does.
    """
    z = codes.double()
    scale = z.std(0, correction=0)
    used = scale > COLLAPSED * scale.max()
    z = z[:, used] / scale[used]
    groups = [_groups(column) for column in factors.T]
    groups = [rows for rows in groups if len(rows) > 1]
    if len(groups) < 2 or not z.shape[1]:
        raise NotComputable(
            "the FactorVAE score needs two factors that vary and have values which samples share, and codes that vary"
        )
    generator = torch.Generator().manual_seed(seed)

    def draw(n: int) -> Tensor:
        """The place [n] of (dimension, factor) of each vote in a table [D, F]."""
        place = []
        for k in torch.randint(len(groups), (n,), generator=generator).tolist():
            rows = groups[k][int(torch.randint(len(groups[k]), (), generator=generator))]
            some = z[rows[torch.randint(len(rows), (size,), generator=generator)]]
            place.append(int(some.var(0).argmin()) * len(groups) + k)
        return torch.tensor(place)

    cells = z.shape[1] * len(groups)
    table, further = (draw(votes).bincount(minlength=cells).view(-1, len(groups)) for _ in range(2))
    return (further.gather(1, table.argmax(1, keepdim=True)).sum() / votes).item()


def _groups(column: Tensor) -> list[Tensor]:
    """For each value of a factor [N] that several samples have, the places of these samples."""
    _, which = column.unique(return_inverse=True)
    order = which.argsort(stable=True)
    return [rows for rows in order.split(which.bincount().tolist()) if len(rows) > 1]
