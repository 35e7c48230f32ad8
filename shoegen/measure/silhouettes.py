"""Attributes that a silhouette shows, so that they hold for photographs without a part map too.

Heights are taken above the underside, the highest part of the shoe's lower edge behind the ball: a heel lifts it along
with the shoe. Where a part map tells the heel apart, it is the lower edge of what is above the heel. A silhouette alone
shows the space before a heel; of a wedge, which fills that space, it shows none, and heights count the wedge.
"""

from __future__ import annotations

import numpy as np

from shoegen.measure.attribute import Attribute
from shoegen.measure.shape import NotMeasured, Shape


def silhouette_ratio(shoe: Shape) -> float:
    return (underside_row(shoe) - int(shoe.wide_rows(shoe.outline)[0])) / shoe.length


def collar_height(shoe: Shape) -> float:
    return (underside_row(shoe) - shoe.rear_top(shoe.outline)) / shoe.length


def toe_pointedness(shoe: Shape) -> float:
    """The upper edge's place in the box between its ends: areas, since a segmenter's edges are uneven."""
    low = shoe.value_at(shoe.top, 0.003, 0.027, 0.015)
    high = shoe.value_at(shoe.top, 0.18, 0.22, 0.20)
    if low - high < 0.03 * shoe.length:
        raise NotMeasured("the toe does not rise")
    filled = (low - float(np.nanmean(shoe.top[shoe.columns(0.015, 0.2)]))) / (low - high)
    if filled < 0.5:
        raise NotMeasured("a hollow toe, or an open one")
    return 1 - filled


def instep_curve(shoe: Shape) -> float:
    """The mean distance from a straight line, above the underside, which a heel lifts along with the instep."""
    height = shoe.underside - shoe.top
    toe, instep = (shoe.value_at(height, at - 0.03, at + 0.03, at) for at in (0.20, 0.56))
    columns = shoe.columns(0.20, 0.56)
    between = height[columns]
    straight = np.linspace(toe, instep, len(between))
    if np.mean(between > 0.4 * straight) < 0.9:
        raise NotMeasured("an open upper")
    return float(np.nanmean(straight - between)) / shoe.length


def underside_row(shoe: Shape) -> float:
    """The row of the highest tenth of the lower edge from the arch to the heel seat.

    Raises:
        NotMeasured: the outline has a gap there.
    """
    rows = shoe.underside[shoe.columns(0.42, 0.92)]
    if 2 * np.count_nonzero(np.isfinite(rows)) < len(rows):
        raise NotMeasured("a gap in the outline")
    return float(np.nanquantile(rows, 0.1))


SILHOUETTES = (
    Attribute(
        "silhouette_ratio",
        "height above the underside over length",
        "ratio",
        "silhouette",
        "no shoe; a gap in the outline",
        silhouette_ratio,
    ),
    Attribute(
        "collar_height",
        "top of the shoe at the rear above the underside",
        "shoe length",
        "silhouette",
        "no shoe; a gap in the outline",
        collar_height,
    ),
    Attribute(
        "toe_pointedness",
        "how much of the box around the toe's upper edge is empty: 0 is a box, 0.5 a wedge",
        "share",
        "silhouette",
        "no shoe; a gap in the outline; a toe that is open, hollow or does not rise",
        toe_pointedness,
    ),
    Attribute(
        "instep_curve",
        "how far the upper edge sags between toe and instep, on average; below 0 it bulges",
        "shoe length",
        "silhouette",
        "no shoe; a gap in the outline; an open upper",
        instep_curve,
    ),
)
