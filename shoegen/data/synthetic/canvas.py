"""Painting outlines in millimetres onto a supersampled colour picture and part map."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from shoegen.data.labels import SHOE_PARTS
from shoegen.data.synthetic.parameters import Color, ShoeParameters

SOLE, HEEL, UPPER, SHAFT, OPENING, FASTENING = (
    SHOE_PARTS.index(name) for name in ("sole", "heel", "upper", "shaft", "opening", "fastening")
)
SHIFT = 4  # cv2's fixed-point bits for sub-pixel corners


def shade(color: Color, factor: float) -> Color:
    """Darker (factor < 1) or lighter (> 1, towards white)."""
    c = np.array(color, float)
    red, green, blue = (
        (c * factor if factor <= 1 else c + (255 - c) * (factor - 1)).round().astype(int).tolist()
    )
    return red, green, blue


def seam(color: Color) -> Color:
    """The tone of a seam on leather of this colour: a dark groove, or a light one on black."""
    return shade(color, 0.62 if sum(color) > 150 else 1.16)


def tonal(color: Color, darker: float = 0.84, lighter: float = 1.12) -> Color:
    """A neighbouring tone for a panel: darker, or lighter where the colour is dark already."""
    return shade(color, darker if sum(color) > 200 else lighter)


class Canvas:
    """A square picture of `size` pixels: albedo (size, size, 3) uint8 and parts (size, size) uint8.

    Millimetres are placed so that the shoe takes `fill` of the width and stands on `ground_row`.
    """

    def __init__(self, p: ShoeParameters, size: int, height: float):
        self.size = size
        # A shoe taller than the space above the ground line is drawn smaller.
        self.scale = size * min(p.fill / p.shoe_length, (p.ground_row - 0.03) / height)
        self.left = size * (0.5 + p.shift) - 0.5 * p.shoe_length * self.scale
        self.ground = size * p.ground_row
        self.albedo = np.zeros((size, size, 3), np.uint8)
        self.parts = np.zeros((size, size), np.uint8)

    def to_pixels(self, points: np.ndarray) -> np.ndarray:
        x = self.left + points[:, 0] * self.scale - 0.5
        y = self.ground - points[:, 1] * self.scale - 0.5
        return np.round(np.stack([x, y], 1) * (1 << SHIFT)).astype(np.int32)

    def fill(self, points: np.ndarray, color: Color, part: int) -> None:
        """Paints a closed outline."""
        corners = [self.to_pixels(points)]
        cv2.fillPoly(self.albedo, corners, color, shift=SHIFT)
        cv2.fillPoly(self.parts, corners, part, shift=SHIFT)

    def mask(self, points: np.ndarray) -> np.ndarray:
        """(size, size) uint8, 255 inside a closed outline."""
        mask = np.zeros((self.size, self.size), np.uint8)
        return cv2.fillPoly(mask, [self.to_pixels(points)], 255, shift=SHIFT)

    def mask_of(self, part: int) -> np.ndarray:
        """(size, size) uint8, 255 where a part has been painted."""
        return cv2.inRange(self.parts, part, part)

    def panel(self, points: np.ndarray, color: Color, within: np.ndarray, part: int | None = None) -> None:
        """Paints a closed outline inside a mask (size, size) uint8; without a part, the parts stay."""
        corners = self.to_pixels(points)
        self._paint(corners, color, within, part, lambda mask, at: cv2.fillPoly(mask, [at], 255, shift=SHIFT))

    def line(
        self, points: np.ndarray, color: Color, width: float, within: np.ndarray, part: int | None = None
    ) -> None:
        """Draws an open curve `width` mm wide inside a mask."""
        thickness = max(1, round(width * self.scale))

        def draw(mask: np.ndarray, at: np.ndarray) -> None:
            cv2.polylines(mask, [at], False, 255, thickness, shift=SHIFT)

        self._paint(self.to_pixels(points), color, within, part, draw, margin=thickness)

    def dashes(self, points: np.ndarray, color: Color, within: np.ndarray) -> None:
        """Draws a row of stitches along a curve: 3 mm each, 2 mm apart."""
        along = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
        starts = np.arange(0, along[-1] - 3, 5.0)
        at = np.stack([starts, starts + 3], 1).ravel()
        ends = np.stack([np.interp(at, along, points[:, 0]), np.interp(at, along, points[:, 1])], 1)
        thickness = max(1, round(0.9 * self.scale))

        def draw(mask: np.ndarray, at: np.ndarray) -> None:
            cv2.polylines(mask, list(at.reshape(-1, 2, 2)), False, 255, thickness, shift=SHIFT)

        self._paint(self.to_pixels(ends), color, within, None, draw, margin=thickness)

    def _paint(
        self,
        corners: np.ndarray,
        color: Color,
        within: np.ndarray,
        part: int | None,
        draw: Callable[[np.ndarray, np.ndarray], object],
        margin: int = 1,
    ) -> None:
        """Draws into the corners' bounding box only: most panels are small."""
        if len(corners) == 0:
            return
        left, top = np.clip((corners.min(0) >> SHIFT) - margin, 0, self.size)
        right, bottom = np.clip((corners.max(0) >> SHIFT) + margin + 2, 0, self.size)
        if left >= right or top >= bottom:
            return
        box = np.s_[top:bottom, left:right]
        mask = np.zeros((bottom - top, right - left), np.uint8)
        draw(mask, (corners - np.array([left, top]) * (1 << SHIFT)).astype(np.int32))
        mask &= within[box]
        self.albedo[box][mask > 0] = color
        if part is not None:
            self.parts[box][mask > 0] = part
