"""How far an edit goes: by a strength, by an amount with a unit, or to a target with a unit.

2, "2", "-1.5", "2 sd"           strength: standard deviations of the attribute
"+20mm", "-0.5 cm", "+3 %"       by so much, measured
"80mm", "=80mm", "to 80mm"       to so much, measured
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from numbers import Real
from typing import Literal

from shoegen.errors import ConfigError
from shoegen.measure import MILLIMETRES, SHOE_LENGTH, from_millimetres, to_millimetres

MAX_STRENGTH = 10  # far beyond what any direction is calibrated for
STRENGTHS = ("sd", "sigma", "σ")
SHARES = {"%": 0.01}
UNITS = {
    "share": "share",
    "ratio": "ratio",
    "lab": "CIELAB",
    "cielab": "CIELAB",
    "shoe length": "shoe length",
    "shoe lengths": "shoe length",
    "score": "score",
}
KNOWN = [*MILLIMETRES, "%", "share", "ratio", "CIELAB", "score", "sd"]
_NUMBER = re.compile(
    r"(?P<to>=|to\b)?\s*(?P<sign>[+-])?\s*(?P<number>(\d+\.?\d*|\.\d+)(e[+-]?\d+)?)\s*(?P<unit>.*)"
)

Way = Literal["strength", "by", "to"]


@dataclass(frozen=True)
class Amount:
    """A number, its unit as it was written ("" for none), and what it means."""

    way: Way
    value: float
    unit: str = ""

    @classmethod
    def parse(cls, given: object, name: str = "amount", *, way: Way | None = None) -> Amount:
        """Reads what a user wrote.

        A sign makes an amount with a unit a step from where the shoe is, none makes it a target; a number alone is a
        strength.

        Args:
            given: a number, text, or an Amount.
            name: of the option or the direction, for messages.
            way: where an option says what is meant, as --by and --to do.

        Raises:
            ConfigError: neither a number nor an amount with a known unit, or a strength beyond ±10.
        """
        if isinstance(given, cls):
            amount = given
        elif isinstance(given, Real) and not isinstance(given, bool):
            amount = cls(way or "strength", float(given))
        elif isinstance(given, str):
            amount = cls._read(given, name, way)
        else:
            raise ConfigError(_unread(name, given, way))
        if amount.way == "strength" and not abs(amount.value) <= MAX_STRENGTH:  # nor NaN
            raise ConfigError(
                f"{name}: got {given!r}, expected -{MAX_STRENGTH} to {MAX_STRENGTH} such as 2 or -1.5; amounts with a "
                "unit are given by --by +20mm, --to 80mm or heel='+20mm'"
            )
        if not math.isfinite(amount.value):
            raise ConfigError(_unread(name, given, way))
        return amount

    @classmethod
    def _read(cls, text: str, name: str, way: Way | None) -> Amount:
        match = _NUMBER.fullmatch(text.strip().replace("−", "-").lower())
        if not match or (match["to"] and way in ("strength", "by")):
            raise ConfigError(_unread(name, text, way))
        unit = match["unit"].strip()
        unit = "sd" if unit in STRENGTHS else UNITS.get(unit, unit)
        if unit not in (*MILLIMETRES, *SHARES, *UNITS.values(), "sd", ""):
            raise ConfigError(
                f"{name}: got {text!r} with the unit {match['unit']!r}, expected one of {', '.join(KNOWN)}"
            )
        value = float(f"{match['sign'] or ''}{match['number']}")
        if unit == "sd" and (match["to"] or way == "to"):
            raise ConfigError(
                f"{name}: got {text!r}, expected a target in the attribute's unit, such as 80mm"
            )
        if unit == "sd" or way == "strength" or (way is None and not unit and not match["to"]):
            if unit not in ("", "sd"):
                raise ConfigError(
                    f"{name}: got {text!r}, expected standard deviations such as 2 or -1.5; --by and --to take units"
                )
            return cls("strength", value)
        if way is None:
            way = "by" if match["sign"] and not match["to"] else "to"
        return cls(way, value, unit)

    def in_unit(self, unit: str, *, shoe_length: float = SHOE_LENGTH, name: str = "amount") -> float:
        """The value in an attribute's `unit`: "20mm" of a 265 mm shoe → 0.0755 shoe lengths.

        Raises:
            ConfigError: it has another unit, or none where several would do.
        """
        if self.unit in MILLIMETRES and unit == "shoe length":
            return from_millimetres(self.value * MILLIMETRES[self.unit], shoe_length)
        if self.unit in SHARES and unit in ("shoe length", "share"):
            return self.value * SHARES[self.unit]
        if self.unit == unit or (not self.unit and unit != "shoe length"):
            return self.value
        fits = {"shoe length": "mm, cm, in or %", "share": "share or %"}.get(unit, unit or "no unit")
        raise ConfigError(f"{name}: got {self}, but it is measured in {unit or 'no unit'}; expected {fits}")

    def __str__(self) -> str:
        sign = "" if self.way == "to" else "+"
        space = " " if len(self.unit) > 2 else ""
        number = format(self.value, f"{sign}g") if self.value or self.way == "by" else "0"
        return f"{'to ' if self.way == 'to' else ''}{number}{space}{self.unit}"


def parse_edits(texts: list[str], option: str = "--edit") -> dict[str, Amount]:
    """["heel=+20mm", "upper_a=1"] → by direction; "heel==80mm" and "heel=to 80mm" are targets as "heel=80mm" is.

    Raises:
        ConfigError: something else, or one direction twice.
    """
    edits: dict[str, Amount] = {}
    for text in texts:
        name, equals, amount = text.partition("=")
        name = name.strip()
        if not equals or not name or not amount.strip():
            raise ConfigError(f"{option}: got {text!r}, expected DIRECTION=AMOUNT such as heel=+20mm")
        if name in edits:
            raise ConfigError(f"{option}: got {name} twice; give it once")
        edits[name] = Amount.parse(amount, f"{option} {name}")
    return edits


def as_text(
    value: float, unit: str, shoe_length: float = SHOE_LENGTH, *, signed: bool = False, places: int = 1
) -> str:
    """A value in an attribute's unit: "62.1 mm", "+0.031 share"; "not measured" for NaN. places: of millimetres."""
    if math.isnan(value):
        return "not measured"
    sign = "+" if signed else ""
    if unit == "shoe length":
        return f"{to_millimetres(value, shoe_length):{sign}.{places}f} mm"
    return f"{value:{sign}.3g} {unit}".rstrip()


def _unread(name: str, given: object, way: Way | None) -> str:
    examples = {
        "strength": "standard deviations such as 2 or -1.5",
        "by": "an amount with a unit such as +20mm",
        "to": "a target with a unit such as 80mm",
        None: "a strength such as 2, an amount such as +20mm, or a target such as 80mm",
    }
    return f"{name}: got {given!r}, expected {examples[way]}"
