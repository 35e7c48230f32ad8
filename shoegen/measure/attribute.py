"""What an attribute is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from shoegen.measure.shape import Shape

NEEDS = ("silhouette", "parts", "image")


@dataclass(frozen=True)
class Attribute:
    """A number that is measured on a shoe.

    name: an identifier. description: what it is, in a few words.
    unit: "shoe length" (a length, 1 being the shoe's own), "share" (0 to 1), "CIELAB", "ratio", or one of the user's.
    needs: "silhouette", "parts" (a part map) or "image" (part map and picture).
    fails: when it is NaN, in words.
    function: takes a `Shape` and gives the number, or raises `NotMeasured` with the reason.
    """

    name: str
    description: str
    unit: str
    needs: str
    fails: str
    function: Callable[[Shape], float]
