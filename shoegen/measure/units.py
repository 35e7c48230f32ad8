"""Attributes as text and in millimetres."""

from __future__ import annotations

import math

from shoegen.measure.registry import ATTRIBUTES

SHOE_LENGTH = 265.0
"""Millimetres: about an EU size 40."""


def to_millimetres(value: float, shoe_length: float = SHOE_LENGTH) -> float:
    """A length in fractions of the shoe's length → millimetres."""
    return value * shoe_length


def from_millimetres(value: float, shoe_length: float = SHOE_LENGTH) -> float:
    """A length in millimetres → fractions of the shoe's length."""
    return value / shoe_length


def format_measure(attribute: str, value: float, shoe_length: float = SHOE_LENGTH) -> str:
    """A measured attribute as text, lengths in millimetres: "62 mm", "0.41 ratio", "not measured"."""
    unit = ATTRIBUTES[attribute].unit
    if math.isnan(value):
        return "not measured"
    if unit == "shoe length":
        return f"{to_millimetres(value, shoe_length):.0f} mm"
    return f"{value:.3g} {unit}"
