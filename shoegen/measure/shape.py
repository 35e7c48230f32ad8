"""The shoe in a part map or silhouette, as what attributes are measured on."""

from __future__ import annotations

import math
from functools import cached_property

import cv2
import numpy as np

from shoegen.data.colors import to_lab
from shoegen.data.labels import SHOE_PARTS, LabelMap

SMALLEST_SHOE = 0.01  # of the picture's area
SMALLEST_PART = 0.001  # of the shoe's area; less is a segmenter's stray pixels
HAIR = 0.01  # of the shoe's length: what is thinner is no part of its outline
STANCE = 0.03  # of the shoe's length: rows with fewer pixels are not what it stands on, nor its top
MOST_COLUMNS = 64  # through which a line is laid: its slopes are as many as their square
ENOUGH = 4_000  # pixels for the median of a colour


class NotMeasured(Exception):
    """Raised by an attribute's function where it cannot be measured; the message says why, in a few words."""


class Shape:
    """The largest connected shoe of a picture, cut out: row 0 is its top, column 0 its toe.

    Positions along the shoe are shares of its length, 0 at the toe and 1 at the rear. Rows grow downwards, and edges
    lie between pixels: row 3 is the upper edge of the pixels of index 3.

    Attributes:
        mask: (h, w) bool, where the shoe is.
        outline: (h, w) bool, the same without what is thinner than a hair: `top`, `bottom` and `ground` are of it.
        area: pixels of the mask.
        length: w, the shoe's horizontal length in pixels.
        ground: the row on which it stands.
    """

    def __init__(
        self,
        mask: np.ndarray,
        outline: np.ndarray,
        parts: np.ndarray | None = None,
        labels: LabelMap = SHOE_PARTS,
        picture: np.ndarray | None = None,
    ) -> None:
        """Arrays are cut to the outline's bounding box; see `find`."""
        self.mask, self.outline = mask, outline
        self._parts, self._labels, self._picture = parts, labels, picture
        self._masks: dict[str, np.ndarray] = {}
        self._colors: dict[tuple[str, ...], np.ndarray] = {}
        self.area = int(np.count_nonzero(mask))
        self.length = mask.shape[1]
        self.ground = int(self.wide_rows(outline)[-1]) + 1

    @classmethod
    def find(
        cls, part_map: np.ndarray, labels: LabelMap = SHOE_PARTS, image: np.ndarray | None = None
    ) -> Shape:
        """The largest shoe of a part map (H, W) of `labels`, or of a silhouette (H, W) bool.

        Raises:
            NotMeasured: there is none.
            DataError: the labels have no background.
        """
        silhouette = part_map.dtype == np.bool_
        mask = largest_piece(part_map if silhouette else is_shoe(labels)[part_map])
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if not len(rows):
            raise NotMeasured("no shoe")
        if np.count_nonzero(mask) < SMALLEST_SHOE * mask.size:
            raise NotMeasured(f"no shoe that fills {SMALLEST_SHOE:.0%} of the picture")

        def cut(array: np.ndarray) -> np.ndarray:
            return array[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]

        parts = None if silhouette else cut(part_map)
        picture = None if image is None else cut(image)
        mask = cut(mask)
        outline = _without_hairs(mask, 2 * round(HAIR * mask.shape[1] / 2) + 1)
        rows, columns = np.flatnonzero(outline.any(1)), np.flatnonzero(outline.any(0))
        return cls(
            cut(mask),
            cut(outline),
            None if parts is None else cut(parts),
            labels,
            None if picture is None else cut(picture),
        )

    @property
    def is_silhouette(self) -> bool:
        """Whether there is no part map."""
        return self._parts is None

    def part(self, name: str) -> np.ndarray:
        """(h, w) bool: where a part such as "sole" is; empty where it is no more than stray pixels.

        Raises:
            NotMeasured: this is a silhouette, or its labels do not tell that part apart.
        """
        if name not in self._masks:
            if self._parts is None:
                raise NotMeasured("needs a part map")
            if name not in self._labels.names:
                raise NotMeasured(f"needs a part map that tells the {name} apart")
            found = self.mask & (self._parts == self._labels.index(name))
            if np.count_nonzero(found) < SMALLEST_PART * self.area:
                found = np.zeros_like(found)
            self._masks[name] = found
        return self._masks[name]

    @property
    def image(self) -> np.ndarray:
        """(h, w, 3) uint8 sRGB.

        Raises:
            NotMeasured: there is only the part map.
        """
        if self._picture is None:
            raise NotMeasured("needs the picture")
        return self._picture

    @property
    def sole(self) -> np.ndarray:
        """(h, w) bool.

        Raises:
            NotMeasured: as `part`, or there is no sole.
        """
        sole = self.part("sole")
        if not sole.any():
            raise NotMeasured("no sole")
        return sole

    @cached_property
    def heel(self) -> np.ndarray:
        """(h, w) bool: the largest piece of the heel; empty for a flat shoe."""
        return largest_piece(self.part("heel"))

    @cached_property
    def top(self) -> np.ndarray:
        """(length,) float: the row of the upper edge in each column, hairs left out; NaN where it has a gap."""
        return self._edge(self.mask, self.outline)

    @cached_property
    def bottom(self) -> np.ndarray:
        """(length,) float: the row of the lower edge in each column, hairs left out; NaN where it has a gap."""
        return len(self.mask) - self._edge(self.mask[::-1], self.outline[::-1])

    @cached_property
    def underside(self) -> np.ndarray:
        """(length,) float: as `bottom`, but of the shoe without its heel, where a part map tells that apart."""
        try:
            shoe = self.mask & ~self.part("heel")
        except NotMeasured:
            return self.bottom
        edge = len(self.mask) - self._edge(shoe[::-1], shoe[::-1])
        return np.where(self.part("heel").any(0), np.fmin(edge, self.bottom), self.bottom)

    def _edge(self, mask: np.ndarray, outline: np.ndarray) -> np.ndarray:
        """The mask's own edge, which is finer, but where a hair stands on the outline's."""
        fine, coarse = self.upper_edge(mask), self.upper_edge(outline)
        return np.where(coarse - fine <= HAIR * self.length + 1, fine, coarse)

    def upper_edge(self, mask: np.ndarray) -> np.ndarray:
        """(length,) float: the row of the first pixel of a mask (h, w) in each column; NaN where it has none."""
        return np.where(mask.any(0), mask.argmax(0), np.nan)

    def wide_rows(self, mask: np.ndarray) -> np.ndarray:
        """Indices of the rows in which a mask (h, w) is as wide as what a shoe stands on; else its widest."""
        counts = mask.sum(1)
        return np.flatnonzero(counts >= max(1, min(STANCE * self.length, counts.max())))

    def rear_top(self, mask: np.ndarray, *, lacking: str = "a gap at the rear") -> float:
        """The row of a mask's (h, w) upper edge at the rear: of the highest fifth, so that a pull tab does not count.

        Raises:
            NotMeasured: it is in less than a fifth of the columns there; for the reason `lacking`.
        """
        rows = self.upper_edge(mask)[self.columns(0.80, 0.97)]
        if 5 * np.count_nonzero(np.isfinite(rows)) < len(rows):
            raise NotMeasured(lacking)
        return float(np.nanquantile(rows, 0.2))

    def columns(self, start: float, stop: float) -> slice:
        """The columns between two shares of the length, at least one."""
        first = min(int(start * self.length), self.length - 1)
        return slice(first, max(first + 1, math.ceil(stop * self.length)))

    def thickness(self, mask: np.ndarray, start: float, stop: float) -> float:
        """How many pixels of `mask` stand in a column between two shares of the length, as a share of the length.

        A mean without outliers: finer than a pixel, and a third of the columns may be wrong.
        """
        return steady_mean(mask[:, self.columns(start, stop)].sum(0)) / self.length

    def value_at(
        self,
        values: np.ndarray,
        start: float,
        stop: float,
        at: float,
        *,
        lacking: str = "a gap in the outline",
    ) -> float:
        """A curve's value at a share of the length, by a straight line through it between two others.

        Args:
            values: (length,), such as the rows `top`; NaN in columns that do not count.
            lacking: the reason where there is nothing to lay a line through.

        Raises:
            NotMeasured: fewer than half of the columns count.
        """
        columns = self.columns(start, stop)
        y = values[columns]
        x = np.arange(columns.start, columns.start + len(y)) + 0.5
        there = np.isfinite(y)
        if 2 * np.count_nonzero(there) < len(y):
            raise NotMeasured(lacking)
        return line_at(x[there], y[there], at * self.length)

    def color(self, *names: str) -> np.ndarray:
        """(3,) CIELAB: the medians over some parts, without their edges, which blend into what is beside them.

        Raises:
            NotMeasured: there is no picture, or none of the parts.
        """
        if names not in self._colors:
            image = self.image
            mask = np.logical_or.reduce([self.part(name) for name in names])
            if not mask.any():
                raise NotMeasured(f"no {' or '.join(names)}")
            inner = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
            pixels = image[inner if inner.any() else mask]
            pixels = pixels[:: max(1, len(pixels) // ENOUGH)]
            self._colors[names] = np.median(to_lab(pixels), 0)
        return self._colors[names]


def is_one_shoe(part_map: np.ndarray, labels: LabelMap = SHOE_PARTS, *, share: float = 0.97) -> bool:
    """Whether this share of all that is not background is one connected piece with a sole and an upper.

    Of a silhouette (H, W) bool, whether this share is one connected piece.
    """
    silhouette = part_map.dtype == np.bool_
    try:
        shoe = Shape.find(part_map, labels)
        parts = [] if silhouette else [shoe.part("sole"), shoe.part("upper")]
    except NotMeasured:
        return False
    there = part_map if silhouette else part_map != labels.index("background")
    if shoe.area < share * np.count_nonzero(there):
        return False
    return all(np.count_nonzero(mask) >= 0.02 * shoe.area for mask in parts)


def is_shoe(labels: LabelMap) -> np.ndarray:
    """(256,) bool: which classes are a shoe: its parts; where the labels know none, all but the background."""
    known = [name for name in SHOE_PARTS.names if name in labels.names and name != "background"]
    found = np.zeros(256, bool)
    if known:
        found[[labels.index(name) for name in known]] = True
    else:
        found[: len(labels)] = True
    found[labels.index("background")] = False
    return found


def largest_piece(mask: np.ndarray) -> np.ndarray:
    """The largest 8-connected piece of a mask (H, W) bool."""
    if not mask.any():  # nor has it a size: OpenCV crashes
        return mask
    count, pieces = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    if count <= 2:
        return mask
    return pieces == 1 + np.argmax(np.bincount(pieces[mask], minlength=count)[1:])


def steady_mean(values: np.ndarray) -> float:
    """The mean of (n,) values without outliers: finer than the median of whole numbers, and nearly as robust.

    Outliers are farther from the median than three times the median distance from it, and than rounding makes them.
    """
    away = np.abs(values - np.median(values))
    return float(values[away <= max(1.5, 3 * np.median(away))].mean())


def line_at(x: np.ndarray, y: np.ndarray, at: float) -> float:
    """The value at `at` of Theil and Sen's line through points (n,): finer than a pixel, and a quarter may be wrong.

    Its slope is the median of all slopes between two points.
    """
    step = math.ceil(len(x) / MOST_COLUMNS)
    x, y = x[::step], y[::step]
    i, j = np.triu_indices(len(x), k=1)
    slope = float(np.median((y[j] - y[i]) / (x[j] - x[i]))) if len(x) > 2 else 0.0
    return steady_mean(y - slope * x) + slope * at


def _without_hairs(mask: np.ndarray, width: int) -> np.ndarray:
    """A mask (H, W) without what is thinner than `width`, an odd number of pixels; as it was where nothing is left."""
    if width <= 1:
        return mask
    square = np.ones((width, width), np.uint8)
    opened = cv2.morphologyEx(
        mask.astype(np.uint8), cv2.MORPH_OPEN, square, borderType=cv2.BORDER_CONSTANT, borderValue=0
    )
    outline = largest_piece(opened > 0)
    return outline if outline.any() else mask
