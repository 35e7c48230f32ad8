"""Shapes of instances: polygons and run-lengths, and how one becomes the other.

A polygon's points, (x, y) with x to the right and y down, are meant in one of two ways:

    "plane"   points of the plane, in which pixel (row, column) covers [column, column + 1] × [row, row + 1].
              The polygon is filled as pycocotools fills it, so that areas agree with COCO's tools.
    "pixels"  pixels, all of which belong to the shape, as cv2.findContours lists them and a click on a pixel
              names it. The polygon is filled as cv2.fillPoly fills it.

The same outline is a pixel wider and higher read as pixels than read in the plane.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from shoegen.data.annotations.findings import Fault
from shoegen.data.images import MAX_PIXELS, Size

POINTS = ("plane", "pixels")
MAX_POINTS = 100_000
MAX_LENGTH = 5_000_000
"""Pixels along an outline: filling takes memory for each, however few its points are."""
FAR = 1e8
OVERSHOOT = 1.0
"""So many pixels a point may lie outside the picture: rounding does that. What is outside is cut off."""


@dataclass(frozen=True)
class Rle:
    """A mask as COCO's compressed run-lengths, column by column; `size` is (height, width)."""

    size: Size
    counts: bytes

    @classmethod
    def encode(cls, mask: np.ndarray) -> Rle:
        """From a (H, W) mask."""
        encoded = coco_mask.encode(np.asfortranarray(mask, np.uint8))
        return cls((mask.shape[0], mask.shape[1]), encoded["counts"])

    @classmethod
    def from_runs(cls, runs: np.ndarray, size: Size) -> Rle:
        """From COCO's uncompressed counts: lengths of runs, in turn outside and inside.

        Raises:
            Fault: negative lengths, or not as many pixels in all as the picture has.
        """
        check_size(size)
        total = size[0] * size[1]
        if runs.ndim != 1 or (runs < 0).any() or (runs > total).any() or int(runs.sum()) != total:
            got = int(runs.sum()) if runs.ndim == 1 and not (runs < 0).any() else "negative numbers"
            raise Fault(
                f"run-lengths cover {got} pixels, its {size[1]}x{size[0]} have {total}", "export it again"
            )
        packed = coco_mask.frPyObjects({"size": list(size), "counts": runs.tolist()}, *size)
        return cls(size, packed["counts"])

    @classmethod
    def from_text(cls, counts: str | bytes, size: Size) -> Rle:
        """From COCO's compressed counts, which pycocotools itself would read unchecked.

        Raises:
            Fault: the counts are damaged, or for another size.
        """
        data = counts.encode("ascii", "replace") if isinstance(counts, str) else counts
        return cls.from_runs(_unpack(data), size)

    def decode(self) -> np.ndarray:
        """(H, W) bool."""
        runs = self.runs()
        inside = np.arange(len(runs)) % 2 == 1
        height, width = self.size
        return np.repeat(inside, runs).reshape(width, height).T

    def to_dict(self) -> dict[str, Any]:
        """As pycocotools has it."""
        return {"size": list(self.size), "counts": self.counts}

    def runs(self) -> np.ndarray:
        """(R,) int64: the uncompressed counts, which begin outside."""
        return _unpack(self.counts)

    @property
    def area(self) -> int:
        return int(coco_mask.area(self.to_dict()))

    @property
    def box(self) -> tuple[int, int, int, int]:
        """(left, top, width, height) of the mask's pixels; all 0 where there are none."""
        left, top, width, height = coco_mask.toBbox(self.to_dict()).tolist()
        return int(left), int(top), int(width), int(height)


@dataclass(frozen=True, eq=False)
class Polygons:
    """One or more polygons, each (K, 2) float64 of at least 3 points; the shape is their union."""

    parts: tuple[np.ndarray, ...]
    points: str = "plane"

    def rle(self, size: Size) -> Rle:
        """The pixels of the shape in a picture of (height, width)."""
        height, width = size
        if self.points == "plane":
            # pycocotools takes a polygon that stands alone and has 4 numbers for a box; ours have 6.
            filled = coco_mask.frPyObjects([part.reshape(-1).tolist() for part in self.parts], height, width)
            return Rle(size, coco_mask.merge(filled)["counts"])
        mask = np.zeros(size, np.uint8)
        for part in self.parts:
            cv2.fillPoly(mask, [np.rint(part).astype(np.int32).reshape(-1, 1, 2)], 1)
        return Rle.encode(mask)


def parse_polygon(values: Any, size: Size | None) -> np.ndarray:
    """(K, 2) float64 from [x, y, x, y, …] or [[x, y], …], checked against a picture of (height, width).

    Raises:
        Fault: fewer than 3 points, not finite numbers, outside the picture, or too many or too long.
    """
    try:
        points = np.asarray(values, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise Fault("a polygon has a point that is no pair of numbers", "draw it again") from error
    if points.ndim == 1 and points.size % 2 == 0:
        points = points.reshape(-1, 2)
    if points.size and (points.ndim != 2 or points.shape[1] != 2):
        raise Fault(f"a polygon has {points.size} numbers, expected x and y of each point", "export it again")
    if len(points) < 3:
        raise Fault(f"a polygon has {len(points)} points, expected at least 3", "draw it again or delete it")
    if len(points) > MAX_POINTS:
        raise Fault(f"a polygon has {len(points)} points, expected at most {MAX_POINTS}", "simplify it")
    if not (np.abs(points) < FAR).all():
        raise Fault("a polygon has a point that is not finite, or far from any picture", "draw it again")
    if size is not None:
        height, width = size
        check_size(size)
        outside = (points < -OVERSHOOT) | (points > np.array([width, height]) + OVERSHOOT)
        if outside.any():
            x, y = points[outside.any(axis=1)][0]
            raise Fault(
                f"{int(outside.any(axis=1).sum())} points of a polygon are outside the picture of "
                f"{width}x{height}, such as ({x:g}, {y:g})",
                "draw it again, or check that the picture was not resized",
            )
        if np.abs(np.diff(points, axis=0, append=points[:1])).max(axis=1).sum() > MAX_LENGTH:
            raise Fault(f"a polygon's outline is longer than {MAX_LENGTH} pixels", "simplify it")
    return points


def check_size(size: Size) -> None:
    """Raises Fault where no picture can have the (height, width)."""
    height, width = size
    if height < 1 or width < 1 or height * width > MAX_PIXELS:
        raise Fault(
            f"its size is given as {width}x{height}, expected at most {MAX_PIXELS} pixels", "correct it"
        )


def rectangle(left: float, top: float, width: float, height: float) -> list[list[float]]:
    """The corners, in the plane."""
    right, bottom = left + width, top + height
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def ellipse(x: float, y: float, rx: float, ry: float, theta: float = 0.0) -> np.ndarray:
    """(K, 2): a polygon within a hundredth of a pixel of the ellipse turned by `theta` radians."""
    largest = max(abs(rx), abs(ry), 1.0)
    if not np.isfinite([x, y, rx, ry, theta]).all() or largest > 1e6:
        raise Fault(f"an ellipse has radii {rx:g} and {ry:g}", "draw it again")
    count = max(16, int(np.ceil(np.pi / np.arccos(1 - 0.01 / largest))))
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False)
    across, down = rx * np.cos(angles), ry * np.sin(angles)
    cos, sin = np.cos(theta), np.sin(theta)
    return np.stack([x + across * cos - down * sin, y + across * sin + down * cos], axis=1)


def trace(mask: np.ndarray, *, simplify: float = 0.0) -> Polygons:
    """Polygons in the plane along the pixels' edges, which fill to exactly this (H, W) mask.

    One polygon for each 4-connected component. Its holes are joined to it by a line there and back, which the
    even-odd rule does not see.

    Args:
        simplify: leave out points as long as the outline moves by at most so many pixels; 0 is exact.
    """
    # A frame of empty pixels, so that every edge has two sides.
    count, components = cv2.connectedComponents(np.pad(mask.astype(np.uint8), 1), connectivity=4)
    boxes = _boxes(components, count)
    parts = []
    for index, (top, left, bottom, right) in enumerate(boxes, start=1):
        inside = components[top - 1 : bottom + 1, left - 1 : right + 1] == index
        loops = [loop + (left - 1, top - 1) for loop in _edge_loops(inside)]
        if simplify:
            loops = [_simplified(loop, simplify) for loop in loops]
        loops = [loop for loop in loops if len(loop) >= 3]
        if loops:
            parts.append(_join(loops))
    return Polygons(tuple(parts))


def _boxes(components: np.ndarray, count: int) -> list[tuple[int, int, int, int]]:
    """(top, left, bottom, right) of the components 1…count − 1."""
    rows, columns = np.nonzero(components)
    of = components[rows, columns]
    boxes = np.full((count, 4), [np.iinfo(np.int64).max] * 2 + [-1] * 2, np.int64)
    np.minimum.at(boxes[:, 0], of, rows)
    np.minimum.at(boxes[:, 1], of, columns)
    np.maximum.at(boxes[:, 2], of, rows + 1)
    np.maximum.at(boxes[:, 3], of, columns + 1)
    return [(top, left, bottom, right) for top, left, bottom, right in boxes[1:].tolist()]


def _edge_loops(inside: np.ndarray) -> list[np.ndarray]:
    """Corners (x, y) of the closed walks along the pixels' edges with the mask on the right hand.

    `inside` has a frame of False, within which corner (0, 0) is the upper left one.
    """
    here = inside[:-1, :-1], inside[:-1, 1:], inside[1:, :-1], inside[1:, 1:]
    upper_left, upper_right, lower_left, lower_right = here
    leaving: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for (dx, dy), mask in {
        (1, 0): lower_right & ~upper_right,
        (0, 1): lower_left & ~lower_right,
        (-1, 0): upper_left & ~lower_left,
        (0, -1): upper_right & ~upper_left,
    }.items():
        for y, x in np.argwhere(mask).tolist():
            leaving.setdefault((x, y), []).append((dx, dy))
    loops = []
    while leaving:
        start = x, y = next(iter(leaving))
        corners: list[tuple[int, int]] = []
        step: tuple[int, int] | None = None
        while (x, y) in leaving:
            ways = leaving[x, y]
            previous, step = step, ways.pop()
            if not ways:
                del leaving[x, y]
            if step != previous:
                corners.append((x, y))
            x, y = x + step[0], y + step[1]
        assert (x, y) == start
        loops.append(np.array(corners, np.float64))
    return loops


def _simplified(loop: np.ndarray, tolerance: float) -> np.ndarray:
    short = cv2.approxPolyDP(loop.astype(np.float32).reshape(-1, 1, 2), tolerance, True)
    return short.reshape(-1, 2).astype(np.float64)


def _join(loops: list[np.ndarray]) -> np.ndarray:
    """One polygon that walks to each loop, round it, and back."""
    if len(loops) == 1:
        return loops[0]
    home = loops[0][:1]
    pieces = [piece for loop in loops for piece in (loop, loop[:1], home)]
    return np.concatenate(pieces[:-1])


def _unpack(counts: bytes) -> np.ndarray:
    """(R,) int64 from compressed counts: 5 bits a character, signed differences from the run before last."""
    runs: list[int] = []
    value = shift = 0
    for character in counts:
        bits = character - 48
        if not 0 <= bits < 64 or shift > 30:
            raise Fault("its run-lengths are no COCO counts", "export it again")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            if bits & 16:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    if shift:
        raise Fault("its run-lengths end in the middle", "export it again")
    return np.array(runs, np.int64)
