"""Pictures side by side, for a notebook or a file. Loads no torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from shoegen.data.images import encode_png, fit_image, image_grid, write_image
from shoegen.errors import ConfigError, DataError


class HasImage(Protocol):
    """A shoe, a strip, a painting …"""

    @property
    def image(self) -> np.ndarray: ...


@dataclass(frozen=True, eq=False, repr=False)
class Sheet:
    """A sheet of pictures; shows itself in a notebook. image: (H, W, 3) or, with transparency, (H, W, 4) uint8."""

    image: np.ndarray

    def save(self, path: str | Path) -> None:
        """Writes it in the format of the suffix."""
        write_image(path, self.image)

    def _repr_png_(self) -> bytes:
        return encode_png(self.image)

    def __repr__(self) -> str:
        return f"Sheet({self.image.shape[1]}x{self.image.shape[0]})"


def sheet(
    pictures: Iterable[np.ndarray | HasImage],
    columns: int = 8,
    *,
    side: int = 128,
    captions: Sequence[object] | None = None,
) -> Sheet:
    """Lays pictures out row by row.

        shoegen.sheet(model.samples(range(32)))
        shoegen.sheet([photo, shoe, shoe.edit(heel=2)], side=256, captions=["photo", "found", "edited"])

    Args:
        pictures: uint8 (H, W), (H, W, 3) or (H, W, 4), or what has such an `image`, of any sizes.
        columns: pictures in a row.
        side: of the square in pixels that each is scaled to; one that is not square gets a margin.
        captions: what stands under each, by `str`; ASCII.

    Raises:
        ConfigError: columns or side below 1.
        DataError: no pictures, something that is none, or another number of captions.
    """
    if side < 1:
        raise ConfigError(f"side: got {side}, expected at least 1 pixel")
    images = [np.asarray(getattr(each, "image", each)) for each in pictures]
    channels = max((image.shape[2] for image in images if image.ndim == 3), default=3)
    tiles = [fit_image(_with_channels(image, channels), (side, side), "pad") for image in images]
    texts = None if captions is None else [str(caption) for caption in captions]
    return Sheet(image_grid(tiles, columns, captions=texts))


def _with_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """(H, W[, C]) → (H, W, 3 or 4), as many as the picture with most."""
    if image.ndim not in (2, 3) or image.dtype != np.uint8 or image.shape[2:] not in ((), (1,), (3,), (4,)):
        raise DataError(f"got an array {image.shape} of {image.dtype}, expected a picture: uint8 (H, W, 3)")
    if image.ndim == 2 or image.shape[2] == 1:
        image = np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2)
    if image.shape[2] < channels == 4:
        image = np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])
    return image
