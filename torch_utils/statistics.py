"""Figures that a training collects between two reports."""

from __future__ import annotations

from torch import Tensor


class RunningMeans:
    """Means of what was added since the last `take`; nothing leaves the device before then."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, name: str, value: Tensor) -> None:
        """Adds all elements of `value`."""
        value = value.detach().float()
        self._sums[name] = self._sums.get(name, 0) + value.sum()
        self._counts[name] = self._counts.get(name, 0) + value.numel()

    def peek(self) -> dict[str, float]:
        """The means, kept."""
        return {name: float(total) / self._counts[name] for name, total in self._sums.items()}

    def take(self) -> dict[str, float]:
        """The means; starts anew."""
        means = self.peek()
        self._sums.clear()
        self._counts.clear()
        return means
