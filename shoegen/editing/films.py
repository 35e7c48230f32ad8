"""Edits as films: from one shoe to the next and back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from shoegen.data.images import resize
from shoegen.editing.shoe import SHOWN, Shoe
from shoegen.errors import ConfigError
from shoegen.stylegan.sampling import Walk
from shoegen.torch_utils.files import check_writable
from shoegen.torch_utils.video import check_film, write_film

MAX_FRAMES = 10_000


def film(
    path: str | Path, shoes: Sequence[Shoe], *, frames: int = 48, fps: int = 24, scale: int | None = None
) -> None:
    """Writes a film that goes through the shoes and back, and repeats without a jump.

    It lingers at both ends, where the change is slow. Titles and edits do not matter, only the latents.

    Args:
        path: ends in .gif, .mp4 or .webp.
        shoes: two or more, of one model.
        frames: of the whole film, from 2 on.
        fps: frames per second.
        scale: how many times as large as the generator's pictures; by default what makes 256 pixels.

    Raises:
        ConfigError: another suffix, too few shoes, of several models, or a number that makes no film.
        OutputError: the path cannot be written.
    """
    if len(shoes) < 2:
        raise ConfigError(f"sweep: got {len(shoes)} shoe, expected at least two to go from one to the other")
    model = shoes[0].model
    if any(shoe.model is not model for shoe in shoes):
        raise ConfigError("sweep: got shoes of several models, expected one")
    _, scale = check_sweep(path, model.generator.config.image_size, frames=frames, fps=fps, scale=scale)
    keys = torch.stack([shoe.ws for shoe in shoes])
    walk = Walk(model.generator, frames, frames, lambda shares: _there_and_back(keys, shares))
    write_film(path, _scaled(walk, scale), fps=fps, count=frames)


def check_sweep(
    path: str | Path, size: tuple[int, int], *, frames: int, fps: int, scale: int | None
) -> tuple[tuple[int, int], int]:
    """Refuses, before any work, what `film` cannot write; gives the (height, width) of its frames and the scale."""
    if not 2 <= frames <= MAX_FRAMES:
        raise ConfigError(f"frames: got {frames}, expected from 2 to {MAX_FRAMES}")
    scale = max(1, -(-SHOWN // min(size))) if scale is None else scale
    if not 1 <= scale <= 64:
        raise ConfigError(f"scale: got {scale}, expected from 1 to 64")
    scaled = size[0] * scale, size[1] * scale
    check_film(path, size=scaled, count=frames, fps=fps)
    check_writable(path)
    return scaled, scale


def _there_and_back(keys: Tensor, shares: Tensor) -> Tensor:
    """Shares of the film's time (N,) from 0 to 1 → ws between the keys (K, num_ws, w_dim): the first, the last, the
    first."""
    places = (1 - torch.cos(2 * torch.pi * shares)) / 2 * (len(keys) - 1)
    before = places.floor().long().clamp(max=len(keys) - 2)
    share = (places - before).to(keys)[:, None, None]
    return torch.lerp(keys[before], keys[before + 1], share)


def _scaled(frames: Walk, scale: int) -> Iterator[np.ndarray]:
    for frame in frames:
        size = scale * frame.shape[0], scale * frame.shape[1]
        yield resize(frame, size).reshape(*size, -1)
