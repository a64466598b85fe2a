"""Rows that are kept from each batch of a pass."""

from torch import Tensor


class KeptRows:
    """Rows [n, …] on the CPU, to which each batch adds some.

    They lie in one piece of memory, which grows by half. A small piece for each batch would lie between the large ones
    that the batch needs for a moment, which then could not be used again: with a million samples that takes 1 GB.
    """

    def __init__(self) -> None:
        self._memory: Tensor | None = None
        self._n = 0

    def __len__(self) -> int:
        return self._n

    def add(self, rows: Tensor) -> None:
        """Keep a copy of rows [b, …] without their gradient, all of one shape and dtype but for b."""
        rows = rows.detach()
        if self._memory is None:
            self._memory = rows.new_empty(0, *rows.shape[1:], device="cpu")
        end = self._n + len(rows)
        if end > len(self._memory):
            larger = self._memory.new_empty(3 * end // 2, *rows.shape[1:])
            larger[: self._n] = self._memory[: self._n]
            self._memory = larger
        self._memory[self._n : end] = rows
        self._n = end

    def all(self) -> Tensor:
        """All rows so far [n, …]; they share their memory.

        Raises:
            ValueError: no batch has been added.
        """
        if self._memory is None:
            raise ValueError("no batch has been added")
        return self._memory[: self._n]
