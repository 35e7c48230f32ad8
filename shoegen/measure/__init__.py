"""Attributes of a shoe, measured on its part map or silhouette. Loads no torch.

The shoe is seen from the side, its toe to the left. Lengths are fractions of the shoe's horizontal length, so that
they hold for every picture size; `to_millimetres` gives them a unit once the shoe's length is known. What cannot be
measured is NaN, and `Measures.reasons` says why.
"""

from shoegen.measure.attribute import Attribute
from shoegen.measure.measuring import Measures, measure
from shoegen.measure.registry import (
    ALIASES,
    ATTRIBUTES,
    attribute_name,
    load_attributes,
    read_scores,
    register,
)
from shoegen.measure.shape import NotMeasured, Shape, is_one_shoe
from shoegen.measure.units import (
    MILLIMETRES,
    SHOE_LENGTH,
    format_measure,
    from_millimetres,
    parse_shoe_length,
    to_millimetres,
)

__all__ = [
    "ALIASES",
    "ATTRIBUTES",
    "MILLIMETRES",
    "SHOE_LENGTH",
    "Attribute",
    "Measures",
    "NotMeasured",
    "Shape",
    "attribute_name",
    "format_measure",
    "from_millimetres",
    "is_one_shoe",
    "load_attributes",
    "measure",
    "parse_shoe_length",
    "read_scores",
    "register",
    "to_millimetres",
]
