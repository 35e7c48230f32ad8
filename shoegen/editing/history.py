"""What was done to a shoe."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Self

from shoegen.directions.direction import Direction
from shoegen.editing.amounts import Amount, as_text
from shoegen.measure import SHOE_LENGTH
from shoegen.torch_utils.tensors import tensors_hash


@dataclass(frozen=True, kw_only=True)
class Edit:
    """One step along one direction.

    direction: its name. attribute: what it moves, in `unit`. direction_hash: SHA-256 of what strength 1 adds to the
    latent. strength: how far it went. asked: what was asked for, as "+20mm". kept: attributes that were to stay.
    corrections: strengths of the steps that kept them. target, reached: the value that was aimed at and the one that
    was measured, in `unit`; None where a strength was asked for. pictures: how many were measured to find the strength.
    shoe_length: millimetres, which lengths were reckoned with. held: whether what the edits are not about was held as
    it looked (see `shoegen.editing.holding`), so that the latent is not the strength's alone.
    """

    direction: str
    attribute: str
    unit: str
    direction_hash: str
    strength: float
    asked: str
    kept: tuple[str, ...] = ()
    corrections: dict[str, float] = field(default_factory=dict)
    target: float | None = None
    reached: float | None = None
    pictures: int = 0
    shoe_length: float = SHOE_LENGTH
    held: bool = False

    @property
    def miss(self) -> float | None:
        """How far from its target the attribute was measured, in `unit`; None without a target."""
        return None if self.target is None or self.reached is None else self.reached - self.target

    @property
    def title(self) -> str:
        """ "heel +2" or "heel +20mm"."""
        return f"{self.direction} {self.asked}"

    def say(self) -> str:
        """ "heel +1.62: heel_height 82.1 mm, +0.1 mm from its target"."""
        text = f"{self.direction} {format_strength(self.strength)}"
        if self.miss is None or self.reached is None:
            return text
        reached, miss = (
            as_text(self.reached, self.unit, self.shoe_length),
            as_text(self.miss, self.unit, self.shoe_length, signed=True),
        )
        return f"{text}: {self.attribute} {reached}, {miss} from its target"

    def to_dict(self) -> dict[str, Any]:
        """What JSON takes."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The inverse of `to_dict`.

        Raises:
            TypeError: keys that are too many or missing.
        """
        return cls(**{**values, "kept": tuple(values.get("kept", ()))})


def direction_hash(direction: Direction, num_ws: int) -> str:
    """SHA-256 of what strength 1 adds to a latent of `num_ws` layers."""
    return tensors_hash({"offset": direction.offset(num_ws)})


def format_strength(strength: float) -> str:
    """2 → "+2", 0 → "0"."""
    return f"{strength:+.4g}" if strength else "0"


def asked_for(amount: Amount) -> str:
    """ "+2", "+20mm" or "to 80mm"."""
    return format_strength(amount.value) if amount.way == "strength" else str(amount)
