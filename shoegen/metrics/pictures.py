"""The pictures that are compared: those of the data, and those that a generator draws."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from shoegen.errors import ConfigError
from shoegen.stylegan.networks import Generator
from shoegen.torch_utils.pixels import as_rgb, from_pixels, to_pixels

Sampler = Callable[[int], Tensor]
"""n → the next n pictures, uint8 (n, C, H, W)."""


class Pictures(Protocol):
    """What is asked of a data set, such as `ImageDataset`: ds[i] is (C, H, W) uint8."""

    @property
    def image_shape(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> np.ndarray: ...


def chunk_size(height: int, width: int) -> int:
    """How many pictures are worked on at once: 64 up to 256 px, fewer of larger ones."""
    return max(1, min(64, 2**22 // (height * width)))


def read_pictures(dataset: Pictures, indices: Sequence[int]) -> Iterator[Tensor]:
    """The pictures of these indices in chunks, uint8 (n, C, H, W)."""
    size = chunk_size(*dataset.image_shape[1:])
    for first in range(0, len(indices), size):
        yield torch.from_numpy(np.stack([dataset[i] for i in indices[first : first + size]]))


def generator_sampler(generator: Generator, latents: tuple[Tensor, Tensor | None], psi: float) -> Sampler:
    """Draws the pictures of z (N, z_dim) and c (N, c_dim) one after the other."""
    z, c = latents
    device = next(generator.parameters()).device
    drawn = 0

    @torch.no_grad()
    def draw(count: int) -> Tensor:
        nonlocal drawn
        part = slice(drawn, drawn + count)
        drawn += count
        images = generator(z[part].to(device), None if c is None else c[part].to(device), truncation_psi=psi)
        return torch.from_numpy(to_pixels(images)).permute(0, 3, 1, 2)

    return draw


def draw_latents(
    generator: Generator, count: int, *, seed: int, classes: Sequence[int] | None = None
) -> tuple[Tensor, Tensor | None]:
    """z (count, z_dim), and for a conditional generator one-hot c (count, c_dim), on the CPU.

    Args:
        generator: names the sizes.
        count: how many.
        seed: of both; the global random state is neither used nor changed.
        classes: the class of each picture of the data; c is drawn from them, so that classes are as frequent there.

    Raises:
        ConfigError: a conditional generator, and no classes, or such as it does not know.
    """
    random = torch.Generator().manual_seed(seed)
    z = torch.randn(count, generator.config.z_dim, generator=random)
    c_dim = generator.config.c_dim
    if not c_dim:
        return z, None
    if not classes or not 0 <= min(classes) <= max(classes) < c_dim:
        got = f"classes {min(classes)} to {max(classes)}" if classes else "data without classes"
        raise ConfigError(
            f"the generator draws {c_dim} classes, got {got}; expected the data that it learned"
        )
    picked = torch.tensor(classes)[torch.randint(len(classes), (count,), generator=random)]
    return z, F.one_hot(picked, c_dim).float()


def as_rgb_pixels(pictures: Tensor) -> Tensor:
    """uint8 (N, C, H, W), grey, RGB or RGBA → (N, 3, H, W): grey three times, transparent over white."""
    if pictures.shape[1] != 4:
        return pictures.expand(-1, 3, -1, -1)
    return torch.from_numpy(to_pixels(as_rgb(from_pixels(pictures)))).permute(0, 3, 1, 2)
