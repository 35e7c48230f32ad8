"""Attributes as text and in millimetres."""

from __future__ import annotations

import math
import re
from numbers import Real

from shoegen.errors import ConfigError
from shoegen.measure.registry import ATTRIBUTES

SHOE_LENGTH = 265.0
"""Millimetres: about an EU size 40."""

MILLIMETRES = {"mm": 1.0, "cm": 10.0, "in": 25.4, "inch": 25.4}
"""Of the units in which lengths may be written."""


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


def parse_shoe_length(given: float | str, option: str = "shoe_length") -> float:
    """ "265mm", "26.5 cm", "265" or 265.0 → 265.0, in millimetres.

    Raises:
        ConfigError: not a length above 0 and below 1000 mm.
    """
    amount = None
    if isinstance(given, str):
        match = re.fullmatch(r"(\d+\.?\d*|\.\d+)\s*(mm|cm|in|inch)?", given.strip().lower())
        amount = float(match[1]) * MILLIMETRES[match[2] or "mm"] if match else None
    elif isinstance(given, Real) and not isinstance(given, bool):
        amount = float(given)
    if amount is None or not 0 < amount < 1000:
        raise ConfigError(f"{option}: got {given!r}, expected millimetres between 0 and 1000, such as 265mm")
    return amount
