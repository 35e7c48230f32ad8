"""Attributes of a shoe, measured on its part map. Loads no torch.

The shoe is seen from the side, its toe to the left. Lengths are fractions of the shoe's horizontal length,
so that they hold for every picture size; `to_millimetres` gives them a unit once the shoe's length is known.
What cannot be measured (there is no shoe, no sole, no heel whose width to take) is NaN.

All but the heel's height are defined so that a heel that lifts the shoe leaves them alone: heights are taken
above the heel seat or under the ball of the foot, which stay on their ground, and areas as shares.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from shoegen.data.labels import SHOE_PARTS, LabelMap
from shoegen.errors import DataError

NAN = math.nan


@dataclass(frozen=True)
class Attribute:
    """What `measure` knows of one attribute. unit: "shoe length", "share", "CIELAB" or "degree"."""

    name: str
    description: str
    unit: str
    needs_image: bool = False


ATTRIBUTES: dict[str, Attribute] = {
    attribute.name: attribute
    for attribute in (
        Attribute(
            "heel_height", "ground to the top of the heel part at the rear; 0 without a heel", "shoe length"
        ),
        Attribute(
            "heel_width", "width of the heel where it stands on the ground; NaN without a heel", "shoe length"
        ),
        Attribute("sole_thickness", "thickness of the sole under the heel seat", "shoe length"),
        Attribute("platform_height", "thickness of the sole under the ball of the foot", "shoe length"),
        Attribute(
            "toe_height",
            "height of the toe above the sole, a fifth of the length behind its tip",
            "shoe length",
        ),
        Attribute("toe_roundness", "height of the toe near its tip over toe_height: pointed is low", "share"),
        Attribute("rear_height", "top of the shoe at the rear above the heel seat", "shoe length"),
        Attribute("shaft_height", "top of the shaft above the heel seat; 0 without a shaft", "shoe length"),
        Attribute("opening_size", "area of the opening over that of everything above the sole", "share"),
        Attribute("fastening_size", "area of the fastening over that of everything above the sole", "share"),
        Attribute("lightness", "CIELAB L* of the upper and shaft, 0 to 100", "CIELAB", needs_image=True),
        Attribute("chroma", "CIELAB chroma of the upper and shaft, 0 for greys", "CIELAB", needs_image=True),
        Attribute(
            "hue",
            "CIELAB hue angle of the upper and shaft, −180 to 180; NaN for greys",
            "degree",
            needs_image=True,
        ),
    )
}

SMALLEST_SHOE = 0.01  # of the picture's area
SMALLEST_PART = 0.001  # of the shoe's area; less is a segmenter's stray pixels
SMALLEST_CHROMA = 5.0  # below it a hue is chance


def measure(
    part_map: np.ndarray, labels: LabelMap = SHOE_PARTS, *, image: np.ndarray | None = None
) -> dict[str, float]:
    """All attributes of the largest connected shoe in a part map.

    part_map: (H, W) class indices of `labels`, toe to the left.
    image: (H, W, 3) uint8 sRGB of the same size; without it the colour attributes are left out.

    Returns a value for each name in `ATTRIBUTES`, NaN where it cannot be measured.

    Raises:
        DataError: the arrays have other shapes, or `labels` lacks a part of the shoe.
    """
    if part_map.ndim != 2:
        raise DataError(f"got a part map of shape {part_map.shape}, expected (H, W)")
    if image is not None and image.shape != (*part_map.shape, 3):
        raise DataError(
            f"got an image of shape {image.shape}, expected {(*part_map.shape, 3)} as its part map"
        )
    geometry = [name for name, attribute in ATTRIBUTES.items() if not attribute.needs_image]
    values = dict.fromkeys(geometry, NAN)
    shoe = _Shoe.find(part_map, labels)
    if shoe is not None and shoe.sole.any():
        values |= {name: float(_MEASURES[name](shoe)) for name in geometry}
    if image is not None:
        values |= _color(image, shoe)
    return values


def to_millimetres(value: float, shoe_length: float = 265.0) -> float:
    """A length in fractions of the shoe's length → millimetres. 265 mm is a EU size 40 or so."""
    return value * shoe_length


def is_one_shoe(part_map: np.ndarray, labels: LabelMap = SHOE_PARTS, *, share: float = 0.97) -> bool:
    """Whether this share of all that is not background is one connected piece with a sole and an upper."""
    shoe = _Shoe.find(part_map, labels)
    if shoe is None or shoe.area < share * np.count_nonzero(part_map != labels.index("background")):
        return False
    return all(mask.sum() >= 0.02 * shoe.area for mask in (shoe.sole, shoe.upper))


class _Shoe:
    """The largest connected piece, as masks (H', W') of its bounding box: row 0 its top, column 0 its toe."""

    def __init__(self, parts: np.ndarray, labels: LabelMap, place: tuple[slice, slice], mask: np.ndarray):
        self.place, self.mask = place, mask
        self.area = int(mask.sum())

        def part(name: str) -> np.ndarray:
            found = mask & (parts == labels.index(name))
            return found if found.sum() >= SMALLEST_PART * self.area else np.zeros_like(found)

        self.sole, self.upper, self.shaft = part("sole"), part("upper"), part("shaft")
        self.opening, self.fastening = part("opening"), part("fastening")
        self.heel = _largest_piece(part("heel"))
        # The ground: the lowest row that is more than a speck.
        self.length = mask.shape[1]
        self.ground = int(_more_than_a_speck(mask.sum(1), 0.01 * self.length)[-1]) + 1

    @classmethod
    def find(cls, part_map: np.ndarray, labels: LabelMap) -> _Shoe | None:
        mask = _largest_piece(part_map != labels.index("background"))
        if mask.sum() < SMALLEST_SHOE * mask.size:
            return None
        rows, columns = np.flatnonzero(mask.any(1)), _more_than_a_speck(mask.sum(0), 0.01 * mask.any(0).sum())
        place = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        return cls(part_map[place], labels, place, mask[place])

    def columns(self, start: float, stop: float) -> slice:
        """The columns between two shares of the length, at least one, counted from the toe."""
        first = min(int(start * self.length), self.length - 1)
        return slice(first, max(first + 1, math.ceil(stop * self.length)))

    def thickness(self, mask: np.ndarray, start: float, stop: float) -> float:
        """How many pixels of `mask` stand in a column, the median of several, as a fraction of the length.

        Each column is averaged with its neighbours first, or the median could only be whole pixels.
        """
        counts = mask[:, self.columns(start, stop)].sum(0).astype(float)
        return float(np.median(_smooth(counts))) / self.length

    @property
    def seat(self) -> float:
        """The row of the heel seat: the sole's upper edge over the rear tenth of the shoe, at the rear."""
        return _edge_at_rear(self.sole, self.columns(0.88, 0.98), at=0.95 * self.length)


def _heel_height(shoe: _Shoe) -> float:
    if not shoe.heel.any():
        return 0.0
    rear = int(np.flatnonzero(shoe.heel.any(0))[-1])
    columns = slice(max(0, rear + 1 - math.ceil(0.12 * shoe.length)), rear + 1)
    return (shoe.ground - _edge_at_rear(shoe.heel, columns, at=rear + 1)) / shoe.length


def _heel_width(shoe: _Shoe) -> float:
    rows = np.flatnonzero(shoe.heel.any(1))
    if len(rows) == 0:
        return NAN
    lowest = rows[-max(1, round(0.2 * len(rows))) :]
    return float(np.median(shoe.heel[lowest].sum(1))) / shoe.length


def _toe_height(shoe: _Shoe) -> float:
    return _above_sole(shoe, 0.17, 0.23)


def _toe_roundness(shoe: _Shoe) -> float:
    height = _toe_height(shoe)
    return _above_sole(shoe, 0.03, 0.07) / height if height > 0 else NAN


def _above_sole(shoe: _Shoe, start: float, stop: float) -> float:
    above = shoe.mask & ~shoe.sole & ~shoe.heel
    return shoe.thickness(above, start, stop)


def _rear_height(shoe: _Shoe) -> float:
    rear = shoe.mask[:, shoe.columns(0.85, 1.0)]
    top = float(_more_than_a_speck(rear.sum(1), 0.02 * shoe.length)[0])
    return (shoe.seat - top) / shoe.length


def _shaft_height(shoe: _Shoe) -> float:
    return _rear_height(shoe) if shoe.shaft.sum() > 0.02 * shoe.area else 0.0


def _share_above_sole(shoe: _Shoe, part: np.ndarray) -> float:
    whole = shoe.area - shoe.sole.sum() - shoe.heel.sum()
    return part.sum() / whole if whole else NAN


_MEASURES: dict[str, Callable[[_Shoe], float]] = {
    "heel_height": _heel_height,
    "heel_width": _heel_width,
    "sole_thickness": lambda shoe: shoe.thickness(shoe.sole, 0.88, 0.97),
    "platform_height": lambda shoe: shoe.thickness(shoe.sole, 0.22, 0.33),
    "toe_height": _toe_height,
    "toe_roundness": _toe_roundness,
    "rear_height": _rear_height,
    "shaft_height": _shaft_height,
    "opening_size": lambda shoe: _share_above_sole(shoe, shoe.opening),
    "fastening_size": lambda shoe: _share_above_sole(shoe, shoe.fastening),
}


def _color(image: np.ndarray, shoe: _Shoe | None) -> dict[str, float]:
    """Medians over the upper and shaft, without their edges, which blend into what is beside them."""
    values = {"lightness": NAN, "chroma": NAN, "hue": NAN}
    if shoe is None:
        return values
    skin = shoe.upper | shoe.shaft
    inner = cv2.erode(skin.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    pixels = image[shoe.place][inner if inner.any() else skin]
    if len(pixels) == 0:
        return values
    lab = cv2.cvtColor(pixels[None].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[0]
    lightness, a, b = (float(v) for v in np.median(lab, 0))
    chroma = math.hypot(a, b)
    hue = math.degrees(math.atan2(b, a)) if chroma >= SMALLEST_CHROMA else NAN
    return {"lightness": lightness, "chroma": chroma, "hue": hue}


def _largest_piece(mask: np.ndarray) -> np.ndarray:
    """The largest 8-connected piece of a mask."""
    count, pieces, statistics, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count <= 2:
        return mask
    return pieces == 1 + np.argmax(statistics[1:, cv2.CC_STAT_AREA])


def _more_than_a_speck(counts: np.ndarray, least: float) -> np.ndarray:
    """Indices of the rows or columns with at least that many pixels; the fullest where none has."""
    return np.flatnonzero(counts >= max(1, min(least, counts.max())))


def _edge_at_rear(mask: np.ndarray, columns: slice, *, at: float) -> float:
    """The upper edge of a mask over some columns, as a row: a straight line through them, taken at column
    `at`.

    Theil and Sen's line, the median of all slopes: sub-pixel, and a third of the columns may be wrong.
    NaN where the mask has no pixel there.
    """
    piece = mask[:, columns]
    (x,) = np.nonzero(piece.any(0))
    if len(x) == 0:
        return NAN
    y = piece[:, x].argmax(0).astype(float)
    centre = x + columns.start + 0.5
    i, j = np.triu_indices(len(x), k=1)
    slope = float(np.median((y[j] - y[i]) / (centre[j] - centre[i]))) if len(x) > 2 else 0.0
    return float(np.median(y - slope * centre)) + slope * at


def _smooth(values: np.ndarray) -> np.ndarray:
    return np.convolve(values, np.ones(3) / 3, mode="valid") if len(values) >= 5 else values
