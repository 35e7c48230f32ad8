"""Latents → pictures → part maps → measured attributes, many at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from shoegen.directions.stopwatch import Stopwatch
from shoegen.errors import ConfigError, FileFormatError
from shoegen.measure import is_one_shoe, measure
from shoegen.segmentation.parts import PartSegmenter
from shoegen.stylegan.networks import Generator
from shoegen.stylegan.sampling import STYLES, check_seeds
from shoegen.torch_utils.pixels import as_rgb, to_pixels
from shoegen.torch_utils.tensors import load_tensors, save_tensors

FINE = 256
"""Side of the part maps that are measured: on those of a 64 px picture a heel would grow in steps of 4 mm."""

BATCH = 16
KIND = "samples"

WHOLE = "one shoe"
"""What `measure_ws` tells besides the attributes: 1 where the picture shows one whole shoe, else 0."""

Attributes = dict[str, np.ndarray]
"""By name: (N,) values, NaN where an attribute could not be measured."""

Measure = Callable[[Tensor], Attributes]
"""ws (N, num_ws, w_dim) → the attributes of their pictures, and `WHOLE`."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """Latents drawn from a generator, and what was measured on their pictures.

    w: float32 (N, w_dim), truncated with `psi`; where ranges of layers have a w of their own (N, ranges × w_dim), one
        after the other.
    attributes: (N,) each. seed: of the latents. ranges: the layers of each w; none where one serves all.
    origin: what the samples are of.
    """

    w: Tensor
    attributes: Attributes
    psi: float
    seed: int
    ranges: tuple[tuple[int, ...], ...] = ()
    origin: dict[str, Any] = field(default_factory=dict)

    def ws(self, num_ws: int) -> Tensor:
        """(N, num_ws, w_dim)."""
        return spread(self.w, num_ws, self.ranges)

    def sigmas(self) -> dict[str, float]:
        """Standard deviation of each attribute, without NaN; 0 where nothing was measured."""
        return {
            name: float(np.std(found[np.isfinite(found)])) if np.isfinite(found).any() else 0.0
            for name, found in self.attributes.items()
        }

    def save(self, path: str | Path) -> None:
        """Writes a safetensors file, whole or not at all; `origin` says what the samples are of."""
        tensors = {f"attribute/{name}": torch.from_numpy(found) for name, found in self.attributes.items()}
        metadata = {
            "kind": KIND,
            "psi": self.psi,
            "seed": self.seed,
            "ranges": self.ranges,
            "origin": self.origin,
        }
        save_tensors(path, {"w": self.w, **tensors}, metadata)

    @classmethod
    def load(cls, path: str | Path) -> Samples:
        """Reads a file that `save` wrote.

        Raises:
            FileFormatError: not there, damaged, or of another kind.
        """
        tensors, metadata = load_tensors(path, kind=KIND, nan=True)
        try:
            attributes = {
                name.removeprefix("attribute/"): tensor.double().numpy()
                for name, tensor in tensors.items()
                if name.startswith("attribute/")
            }
            samples = cls(
                w=tensors["w"].float(),
                attributes=attributes,
                psi=float(metadata["psi"]),
                seed=int(metadata["seed"]),
                ranges=tuple(tuple(layers) for layers in metadata["ranges"]),
                origin=dict(metadata["origin"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise FileFormatError(f"{path}: not whole samples ({error}); measure them again") from error
        if samples.w.ndim != 2 or any(found.shape != (len(samples.w),) for found in attributes.values()):
            raise FileFormatError(f"{path}: its latents and attributes do not match; measure them again")
        return samples


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


def layer_ranges(num_ws: int) -> tuple[tuple[int, ...], ...]:
    """The coarse, the middle and the fine layers of a generator, as far as it has them."""
    ranges = [tuple(layer for layer in layers if layer < num_ws) for layers in STYLES.values()]
    return tuple(layers for layers in ranges if layers)


def spread(w: Tensor, num_ws: int, ranges: Sequence[Sequence[int]] = ()) -> Tensor:
    """(…, w_dim) → (…, num_ws, w_dim), the same w for every layer; or (…, ranges × w_dim) → each range has its own."""
    if not ranges:
        return w.unsqueeze(-2).expand(*w.shape[:-1], num_ws, w.shape[-1])
    place = torch.zeros(num_ws, dtype=torch.long)
    for index, layers in enumerate(ranges):
        place[list(layers)] = index
    return w.unflatten(-1, (len(ranges), -1))[..., place, :]


def draw_samples(
    generator: Generator,
    measure_ws: Measure,
    count: int,
    *,
    psi: float = 0.7,
    seed: int = 0,
    ranges: tuple[tuple[int, ...], ...] = (),
    progress: Callable[[int], None] = lambda done: None,
    started: Samples | None = None,
    keep: Callable[[Samples], None] = lambda samples: None,
) -> Samples:
    """Draws latents and measures their pictures.

    Args:
        generator: whose latents.
        measure_ws: measures them.
        count: how many.
        psi, seed: of the latents.
        ranges: of layers, each with a w of its own, as in mixing styles; by default all have the same.
        progress: is told how many are done.
        started: the first of these samples, measured before.
        keep: is given what is there after each batch, and where the work is interrupted.
    """
    w = draw_w(generator, count * max(1, len(ranges)), psi=psi, seed=seed).reshape(count, -1)
    parts = [] if started is None else [started.attributes]
    done = 0 if started is None else len(started.w)

    def so_far() -> Samples:
        found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        parts[:] = [found]
        return Samples(w=w[:done].cpu(), attributes=found, psi=psi, seed=seed, ranges=ranges)

    while done < count:
        found = measure_ws(spread(w[done : done + BATCH], generator.num_ws, ranges))
        parts.append({name: values for name, values in found.items() if name != WHOLE})
        done = min(done + BATCH, count)
        progress(done)
        keep(so_far())
    return so_far()


def measure_ws(
    generator: Generator,
    segmenter: PartSegmenter,
    ws: Tensor,
    *,
    attributes: Sequence[str] | None = None,
    whole: bool = True,
    watch: Stopwatch | None = None,
) -> Attributes:
    """The attributes of the pictures of ws (N, num_ws, w_dim), and `WHOLE`.

    attributes: their names; by default all. whole: look whether each is one whole shoe. watch: is told how long each
    stage took.
    """
    watch = watch or Stopwatch()
    rows = []
    for chunk in ws.split(BATCH):
        with watch("drawing"), torch.no_grad():
            images = generator.synthesis(chunk.to(generator.mapping.w_avg.device)).clamp(-1, 1)
        for part_map, found in measure_images(images, segmenter, attributes=attributes, watch=watch):
            rows.append(dict(found))
            if whole:
                rows[-1][WHOLE] = float(is_one_shoe(part_map, segmenter.labels))
    return {name: np.array([row[name] for row in rows], float) for name in rows[0]}


def measure_images(
    images: Tensor,
    segmenter: PartSegmenter,
    *,
    attributes: Sequence[str] | None = None,
    watch: Stopwatch | None = None,
) -> list[tuple[np.ndarray, dict[str, float]]]:
    """Segments and measures pictures.

    Args:
        images: (N, C, H, W) in [−1, 1]; those that are not square are given margins.
        segmenter: knows the parts of a shoe.
        attributes: what to measure; by default all.
        watch: is told how long each stage took.

    Returns:
        For each picture its part map, (256, 256) uint8 or as large as the picture, and its attributes.
    """
    watch = watch or Stopwatch()
    with watch("segmenting"):
        images = as_rgb(images)
        side = max(images.shape[-2:])
        left, top = ((side - length) // 2 for length in (images.shape[-1], images.shape[-2]))
        margins = [left, side - images.shape[-1] - left, top, side - images.shape[-2] - top]
        images = F.pad(images, margins, mode="replicate") if any(margins) else images
        size = max(FINE, side)
        part_maps = segmenter.segment(images, size=size)
        pictures = to_pixels(F.interpolate(images, (size, size), mode="bilinear"))
    with watch("measuring"):
        options = {} if attributes is None else {"attributes": attributes}
        return [
            (part_map, measure(part_map, segmenter.labels, image=picture, **options))
            for part_map, picture in zip(part_maps, pictures, strict=True)
        ]
