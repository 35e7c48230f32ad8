"""Squares cut out of pictures, to be looked at by themselves and put back."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from shoegen.data.images import Size

Part = tuple[slice, slice]


@dataclass(frozen=True)
class Square:
    """`side` pixels from row `top` and column `left` of a picture on; it may reach beyond the picture."""

    top: int
    left: int
    side: int

    def overlap(self, size: Size) -> tuple[Part, Part]:
        """What lies in a picture of (height, width): where that is in the picture, and where in the square."""
        height, width = size
        rows, columns = (
            tuple(min(max(edge, 0), length) for edge in (start, start + self.side))
            for start, length in ((self.top, height), (self.left, width))
        )
        inside = slice(*rows), slice(*columns)
        within = (
            slice(rows[0] - self.top, rows[1] - self.top),
            slice(columns[0] - self.left, columns[1] - self.left),
        )
        return inside, within

    def cut(self, values: np.ndarray, *, fill: int | None = 0) -> np.ndarray:
        """(H, W) or (H, W, C) of the picture → (side, side) or (side, side, C).

        fill: what is beyond the picture; None: its nearest pixels, for uint8.
        """
        inside, (rows, columns) = self.overlap(values.shape[:2])
        if fill is None:
            beyond = rows.start, self.side - rows.stop, columns.start, self.side - columns.stop
            return cv2.copyMakeBorder(values[inside], *beyond, cv2.BORDER_REPLICATE)
        square = np.full((self.side, self.side, *values.shape[2:]), fill, values.dtype)
        square[rows, columns] = values[inside]
        return square


def box_of(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Top, left, bottom and right of a bool mask (H, W) that is not empty; the latter two are exclusive."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1
