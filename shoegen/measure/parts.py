"""Attributes that need a part map.

All but the heel's height are defined so that a heel that lifts the shoe leaves them alone: heights are taken above the
heel seat or under the ball of the foot, which stay on their ground, and areas as shares.
"""

from __future__ import annotations

import numpy as np

from shoegen.measure.attribute import Attribute
from shoegen.measure.shape import NotMeasured, Shape, line_at

STANDS = 0.05  # of the length: a heel that ends higher above the ground is something else
TOP = 0.12  # of the length, behind which the heel's upper edge is taken for straight
OPEN = 0.02  # of the length: a toe with less above the sole is open


def heel_height(shoe: Shape) -> float:
    """The heel's upper edge is carried on to its rear, since it may slope."""
    if not shoe.sole.any() or not _stands(shoe):
        return 0.0
    rear = (int(np.flatnonzero(shoe.heel.any(0))[-1]) + 1) / shoe.length
    row = shoe.value_at(
        shoe.upper_edge(shoe.heel),
        max(0, rear - TOP),
        rear,
        rear,
        lacking="too little of a heel to have a top",
    )
    return (shoe.ground - row) / shoe.length


def heel_width(shoe: Shape) -> float:
    """The widths of its lower half are carried on to the ground, since a heel may taper."""
    if not shoe.sole.any() or not _stands(shoe):
        raise NotMeasured("no heel")
    rows = np.flatnonzero(shoe.heel.any(1))
    rows = rows[len(rows) // 2 :]
    width = line_at(rows + 0.5, shoe.heel[rows].sum(1), rows[-1] + 1)
    return max(width, 0.0) / shoe.length


def sole_thickness(shoe: Shape) -> float:
    return _sole(shoe, 0.88, 0.97, "under the heel seat")


def platform_height(shoe: Shape) -> float:
    return _sole(shoe, 0.22, 0.33, "under the ball")


def toe_height(shoe: Shape) -> float:
    height = _above_sole(shoe, 0.17, 0.23)
    if height <= 0:
        raise NotMeasured("nothing above the sole at the toe")
    return height


def toe_roundness(shoe: Shape) -> float:
    near, height = _above_sole(shoe, 0.03, 0.10), toe_height(shoe)
    if near < OPEN:
        raise NotMeasured("an open toe")
    return near / height


def rear_height(shoe: Shape) -> float:
    return (_seat(shoe) - shoe.rear_top(shoe.outline)) / shoe.length


def shaft_height(shoe: Shape) -> float:
    shaft = shoe.part("shaft")
    if not shoe.sole.any() or np.count_nonzero(shaft) < 0.02 * shoe.area:
        return 0.0
    return (_seat(shoe) - shoe.rear_top(shaft, lacking="a shaft that is not at the rear")) / shoe.length


def opening_size(shoe: Shape) -> float:
    return _share_above_sole(shoe, "opening")


def fastening_size(shoe: Shape) -> float:
    return _share_above_sole(shoe, "fastening")


def _stands(shoe: Shape) -> bool:
    """Whether there is a heel, and it reaches the ground.

    Raises:
        NotMeasured: there is a heel that ends above it.
    """
    if not shoe.heel.any():
        return False
    lowest = int(np.flatnonzero(shoe.heel.any(1))[-1]) + 1
    if shoe.ground - lowest > STANDS * shoe.length:
        raise NotMeasured("a heel that does not reach the ground")
    return True


def _seat(shoe: Shape) -> float:
    """The row of the heel seat: the sole's upper edge over the rear tenth of the shoe, at the rear."""
    edge = shoe.upper_edge(shoe.sole)
    return shoe.value_at(edge, 0.88, 0.98, 0.95, lacking="no sole under the heel seat")


def _sole(shoe: Shape, start: float, stop: float, where: str) -> float:
    thickness = shoe.thickness(shoe.sole, start, stop)
    if thickness <= 0:
        raise NotMeasured(f"no sole {where}")
    return thickness


def _above_sole(shoe: Shape, start: float, stop: float) -> float:
    above = shoe.mask & ~shoe.sole & ~shoe.part("heel")
    return shoe.thickness(above, start, stop)


def _share_above_sole(shoe: Shape, name: str) -> float:
    whole = shoe.area - np.count_nonzero(shoe.sole) - np.count_nonzero(shoe.part("heel"))
    if whole <= 0:
        raise NotMeasured("nothing above the sole")
    return np.count_nonzero(shoe.part(name)) / whole


PARTS = (
    Attribute(
        "heel_height",
        "ground to the top of the heel part at the rear; 0 without a heel",
        "shoe length",
        "parts",
        "no shoe or no sole; a heel that does not reach the ground, or too little of one",
        heel_height,
    ),
    Attribute(
        "heel_width",
        "width of the heel where it stands on the ground",
        "shoe length",
        "parts",
        "no shoe, no sole or no heel; a heel that does not reach the ground",
        heel_width,
    ),
    Attribute(
        "sole_thickness",
        "thickness of the sole under the heel seat",
        "shoe length",
        "parts",
        "no shoe, or no sole under the heel seat",
        sole_thickness,
    ),
    Attribute(
        "platform_height",
        "thickness of the sole under the ball of the foot",
        "shoe length",
        "parts",
        "no shoe, or no sole under the ball",
        platform_height,
    ),
    Attribute(
        "toe_height",
        "height of the toe above the sole, a fifth of the length behind its tip",
        "shoe length",
        "parts",
        "no shoe or no sole; nothing above it at the toe",
        toe_height,
    ),
    Attribute(
        "toe_roundness",
        "height of the toe near its tip over toe_height; pointed is low",
        "ratio",
        "parts",
        "no shoe or no sole; an open toe",
        toe_roundness,
    ),
    Attribute(
        "rear_height",
        "top of the shoe at the rear above the heel seat",
        "shoe length",
        "parts",
        "no shoe, or no sole under the heel seat",
        rear_height,
    ),
    Attribute(
        "shaft_height",
        "top of the shaft at the rear above the heel seat; 0 without a shaft",
        "shoe length",
        "parts",
        "no shoe or no sole; a shaft that is not at the rear, or no sole below it",
        shaft_height,
    ),
    Attribute(
        "opening_size",
        "area of the opening over that of everything above the sole",
        "share",
        "parts",
        "no shoe or no sole; nothing above it",
        opening_size,
    ),
    Attribute(
        "fastening_size",
        "area of the fastening over that of everything above the sole",
        "share",
        "parts",
        "no shoe or no sole; nothing above it",
        fastening_size,
    ),
)
