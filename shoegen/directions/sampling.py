"""Latents → pictures → part maps → measured attributes, many at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from shoegen.errors import ConfigError
from shoegen.measure import measure
from shoegen.segmentation.parts import PartSegmenter
from shoegen.stylegan.networks import Generator
from shoegen.stylegan.sampling import check_seeds
from shoegen.torch_utils.pixels import as_rgb, to_pixels

FINE = 256
"""Side of the part maps that are measured: on those of a 64 px picture a heel would grow in steps of 4 mm."""

BATCH = 16

Attributes = dict[str, np.ndarray]
"""By name: (N,) values, NaN where an attribute could not be measured."""

Measure = Callable[[Tensor], Attributes]
"""ws (N, num_ws, w_dim) → the attributes of their pictures."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """Latents drawn from a generator, and what was measured on their pictures.

    w: float32 (N, w_dim), truncated with `psi`. attributes: (N,) each. seed: of the latents.
    """

    w: Tensor
    attributes: Attributes
    psi: float
    seed: int


def draw_w(generator: Generator, count: int, *, psi: float, seed: int) -> Tensor:
    """(count, w_dim): W of standard normal z, truncated towards its mean."""
    if count < 1:
        raise ConfigError(f"samples: got {count}, expected at least 1")
    check_seeds([seed])
    if not isinstance(psi, Real) or not 0 <= psi <= 2:
        raise ConfigError(f"psi: got {psi!r}, expected a number from 0 to 2 such as 0.7")
    device = generator.mapping.w_avg.device
    z = torch.randn(count, generator.config.z_dim, generator=torch.Generator().manual_seed(int(seed)))
    with torch.no_grad():
        return generator.map(z.to(device), truncation_psi=psi)[:, 0]


def draw_samples(
    generator: Generator,
    measure_ws: Measure,
    count: int,
    *,
    psi: float = 0.7,
    seed: int = 0,
    progress: Callable[[int], None] = lambda done: None,
) -> Samples:
    """Draws latents and measures their pictures; `progress` is told how many are done."""
    w = draw_w(generator, count, psi=psi, seed=seed)
    parts = []
    for first in range(0, count, BATCH):
        parts.append(measure_ws(generator.broadcast(w[first : first + BATCH])))
        progress(min(first + BATCH, count))
    attributes = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return Samples(w=w.cpu(), attributes=attributes, psi=psi, seed=seed)


def measure_ws(generator: Generator, segmenter: PartSegmenter, ws: Tensor) -> Attributes:
    """The attributes of the pictures of ws (N, num_ws, w_dim)."""
    rows = []
    for chunk in ws.split(BATCH):
        with torch.no_grad():
            images = generator.synthesis(chunk.to(generator.mapping.w_avg.device)).clamp(-1, 1)
        rows += [attributes for _, attributes in measure_images(images, segmenter)]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def measure_images(images: Tensor, segmenter: PartSegmenter) -> list[tuple[np.ndarray, dict[str, float]]]:
    """Segments and measures pictures.

    Args:
        images: (N, C, H, W) in [−1, 1]; those that are not square are given margins.
        segmenter: knows the parts of a shoe.

    Returns:
        For each picture its part map, (256, 256) uint8 or as large as the picture, and its attributes.
    """
    images = as_rgb(images)
    side = max(images.shape[-2:])
    left, top = ((side - length) // 2 for length in (images.shape[-1], images.shape[-2]))
    margins = [left, side - images.shape[-1] - left, top, side - images.shape[-2] - top]
    images = F.pad(images, margins, mode="replicate") if any(margins) else images
    size = max(FINE, side)
    part_maps = segmenter.segment(images, size=size)
    pictures = to_pixels(F.interpolate(images, (size, size), mode="bilinear"))
    return [
        (part_map, measure(part_map, segmenter.labels, image=picture))
        for part_map, picture in zip(part_maps, pictures, strict=True)
    ]
