"""Where a training's random numbers come from; each draw has a name."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

Shape = tuple[int, ...]
MANY = 4096  # numbers per image


class Draws:
    """Draws from PyTorch's own generator; shapes are (N, …)."""

    def __init__(self, device: torch.device, dtype: torch.dtype = torch.float32) -> None:
        self.device = device
        self.dtype = dtype

    def uniform(self, name: str, shape: Shape, low: float, high: float) -> Tensor:
        """On [low, high)."""
        return self._draw(torch.rand, name, shape) * (high - low) + low

    def normal(self, name: str, shape: Shape, std: float) -> Tensor:
        """Of mean 0."""
        return self._draw(torch.randn, name, shape) * std

    def gate(self, name: str, shape: Shape, p: float) -> Tensor:
        """1 where the operation is applied, with probability p, else 0."""
        return (self._draw(torch.rand, name, shape) < p).to(self.dtype)

    def _draw(self, draw: Any, name: str, shape: Shape) -> Tensor:
        return draw(shape, device=self.device).to(self.dtype)


class BatchDraws(Draws):
    """Draws for some rows of a batch that follow from `key` alone.

    So a row gets the same numbers whichever process computes it and whichever rows are computed with it, and a run
    that is resumed needs no state of a generator.

    Args:
        key: what the numbers follow from, such as (seed, step, "generator").
        rows: of the batch, which the N images are.
        total: rows of the batch.
        device, dtype: where and as what the numbers are wanted; they are drawn in float32.
    """

    def __init__(
        self,
        key: tuple[Any, ...],
        rows: Sequence[int],
        total: int,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(device, dtype)
        self._rows, self._total = list(rows), total
        self._shared = torch.Generator().manual_seed(seed_of(key))
        self._keys = [(*key, row) for row in rows]
        self._own: list[torch.Generator] = []

    def _draw(self, draw: Any, name: str, shape: Shape) -> Tensor:
        assert shape[0] == len(self._rows), f"{name}: {shape} for {len(self._rows)} rows"
        if math.prod(shape[1:]) <= MANY:
            # For the whole batch, which is cheaper than one generator per row.
            return draw((self._total, *shape[1:]), generator=self._shared)[self._rows].to(
                self.device, self.dtype
            )
        if not self._own:
            self._own = [torch.Generator(self.device).manual_seed(seed_of(key)) for key in self._keys]
        own = [draw(shape[1:], generator=each, device=self.device) for each in self._own]
        return torch.stack(own).to(self.dtype)


def seed_of(key: tuple[Any, ...]) -> int:
    """A generator's seed that follows from `key`."""
    return int.from_bytes(hashlib.blake2b(repr(key).encode(), digest_size=4).digest(), "little")
