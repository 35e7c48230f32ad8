"""Colours of the upper and of the sole, as medians in CIELAB."""

from __future__ import annotations

import math
from collections.abc import Callable

from shoegen.measure.attribute import Attribute
from shoegen.measure.shape import Shape

UPPER, SOLE = ("upper", "shaft"), ("sole",)


def upper_chroma(shoe: Shape) -> float:
    """The chroma of the medians, not the median of chromas, which a patterned grey would have too."""
    return math.hypot(*shoe.color(*UPPER)[1:])


def _channel(parts: tuple[str, ...], index: int) -> Callable[[Shape], float]:
    return lambda shoe: float(shoe.color(*parts)[index])


def _attribute(name: str, description: str, function: Callable[[Shape], float]) -> Attribute:
    lacking = "no upper and no shaft" if name.startswith("upper") else "no sole"
    return Attribute(name, description, "CIELAB", "image", f"no shoe or no picture; {lacking}", function)


COLORS = (
    _attribute("upper_l", "lightness L* of the upper and shaft, 0 to 100", _channel(UPPER, 0)),
    _attribute("upper_a", "a* of the upper and shaft, from green to red", _channel(UPPER, 1)),
    _attribute("upper_b", "b* of the upper and shaft, from blue to yellow", _channel(UPPER, 2)),
    _attribute("upper_chroma", "how colourful the upper and shaft are, 0 for greys", upper_chroma),
    _attribute("sole_l", "lightness L* of the sole, 0 to 100", _channel(SOLE, 0)),
    _attribute("sole_a", "a* of the sole, from green to red", _channel(SOLE, 1)),
    _attribute("sole_b", "b* of the sole, from blue to yellow", _channel(SOLE, 2)),
)
