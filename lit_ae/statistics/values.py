"""Values by seed, checked before a test is made of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats: TypeAlias = npt.NDArray[np.float64]

ROUNDING = 1e-6  # of float32, as a share of the values


def pairs(a: Mapping[int, float], b: Mapping[int, float], test: str, least: int) -> tuple[Floats, Floats]:
    """Values of both models in the order of their seeds.

    Raises:
        ValueError: a seed that only one of them has, fewer than `least` seeds, or a value that is not finite.
    """
    unmatched = sorted(a.keys() ^ b.keys())
    if unmatched:
        raise ValueError(f"{test} needs both values of every seed: only one side has seed {_list(unmatched)}")
    order = sorted(a)
    return finite({s: a[s] for s in order}, test, least), finite({s: b[s] for s in order}, test, least)


def finite(values: Mapping[int, float], test: str, least: int) -> Floats:
    """The values as an array.

    Raises:
        ValueError: fewer than `least` seeds, or a value that is not finite.
    """
    import numpy as np

    if len(values) < least:
        raise ValueError(f"{test} needs at least {least} seeds, got {len(values)}")
    x = np.fromiter(values.values(), dtype=np.float64)
    wrong = [seed for seed, value in values.items() if not np.isfinite(value)]
    if wrong:
        raise ValueError(f"{test} needs finite values: seed {_list(wrong)} has none")
    return x


def constant(x: Floats, scale: float) -> bool:
    """Whether x varies by no more than float32 rounding, for terms of the size `scale`."""
    return bool(x.max() - x.min() <= ROUNDING * scale)


def same_for_every_seed(x: Floats) -> bool:
    """Whether a model's values do not vary with the seed, apart from float32 rounding."""
    import numpy as np

    return constant(x, float(np.abs(x).max()))


def tied(x: Floats, scale: Floats) -> Floats:
    """x [n] with values made equal that differ by float32 rounding alone, for terms of the sizes `scale` [n]."""
    import numpy as np

    order = np.argsort(x)
    sizes = np.maximum(scale[order], np.append(0, scale[order][:-1]))  # of a value and the one before it
    first = np.diff(x[order], prepend=-np.inf) > ROUNDING * sizes  # of the values that tie
    found = np.empty_like(x)
    found[order] = x[order][first][np.cumsum(first) - 1]
    return found


def require_confidence(confidence: float) -> None:
    """Refuse what is no confidence.

    Raises:
        ValueError: it does not lie between 0 and 1.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"the confidence must lie between 0 and 1, got {confidence}")


def _list(seeds: Iterable[int]) -> str:
    return ", ".join(map(str, seeds))
