"""Part map → attributes."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping
from numbers import Real

import numpy as np

from shoegen.data.labels import SHOE_PARTS, LabelMap
from shoegen.errors import DataError, ShoegenError
from shoegen.measure.attribute import Attribute
from shoegen.measure.registry import ATTRIBUTES, attribute_name
from shoegen.measure.shape import NotMeasured, Shape


class Measures(dict[str, float]):
    """Attributes by name; NaN where one could not be measured, and why in `reasons`."""

    def __init__(self, values: Mapping[str, float] = {}, reasons: Mapping[str, str] = {}) -> None:
        super().__init__(values)
        self.reasons: dict[str, str] = dict(reasons)


def measure(
    part_map: np.ndarray,
    labels: LabelMap = SHOE_PARTS,
    *,
    image: np.ndarray | None = None,
    attributes: Iterable[str] | None = None,
) -> Measures:
    """Attributes of the largest connected shoe in a part map or silhouette.

    Args:
        part_map: (H, W) class indices of `labels`, toe to the left; or a silhouette, (H, W) bool, on which only
            attributes that need no more are measured.
        labels: of the part map.
        image: (H, W, 3) uint8 sRGB of the same size, for the colours.
        attributes: names, or their short forms; by default all that there are.

    Returns:
        A value for each name, NaN where it cannot be measured: what is missing is then said in `reasons`.

    Raises:
        DataError: the arrays have other shapes, or classes that the labels do not have.
        ConfigError: an attribute that there is not.
    """
    chosen = [ATTRIBUTES[attribute_name(name)] for name in (ATTRIBUTES if attributes is None else attributes)]
    _check(part_map, labels, image)
    try:
        shoe: Shape | NotMeasured = Shape.find(part_map, labels, image)
    except NotMeasured as reason:
        shoe = reason
    measures = Measures()
    for attribute in chosen:
        try:
            measures[attribute.name] = _value(attribute, shoe)
        except NotMeasured as reason:
            measures[attribute.name] = math.nan
            measures.reasons[attribute.name] = str(reason) or "not measured"
    return measures


def _check(part_map: np.ndarray, labels: LabelMap, image: np.ndarray | None) -> None:
    if part_map.ndim != 2:
        raise DataError(f"got a part map of shape {part_map.shape}, expected (H, W)")
    if part_map.dtype not in (np.bool_, np.uint8):
        raise DataError(f"got a part map of {part_map.dtype}, expected uint8, or bool for a silhouette")
    if part_map.dtype == np.uint8 and part_map.size and part_map.max() >= len(labels):
        raise DataError(
            f"got a part map with class {part_map.max()}, expected 0 to {len(labels) - 1} of its labels"
        )
    if image is not None and image.shape != (*part_map.shape, 3):
        raise DataError(
            f"got an image of shape {image.shape}, expected {(*part_map.shape, 3)} as its part map"
        )
    if image is not None and image.dtype != np.uint8:
        raise DataError(f"got an image of {image.dtype}, expected uint8")


def _value(attribute: Attribute, shoe: Shape | NotMeasured) -> float:
    if isinstance(shoe, NotMeasured):
        raise shoe
    if attribute.needs != "silhouette" and shoe.is_silhouette:
        raise NotMeasured("needs a part map")
    if attribute.needs == "image":
        _ = shoe.image
    try:
        value = attribute.function(shoe)
    except (NotMeasured, ShoegenError):
        raise
    except Exception as error:
        said = f"its function failed: {type(error).__name__}: {error}"
        warnings.warn(f"attribute {attribute.name}: {said}", stacklevel=3)
        raise NotMeasured(said) from error
    if not isinstance(value, Real) or not math.isfinite(value):
        raise NotMeasured(f"its function gave {value!r}")
    return float(value)
