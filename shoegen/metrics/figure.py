"""What a metric returns."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure, with what it must not be quoted without.

    name: such as "kid". value: the figure, in `unit` where it has one. spread: its standard deviation, over subsets
    for KID, over splits for IS. parts: what the value is the mean of, such as SWD's levels. n_ref, n_gen: the pictures
    of the data and of the generator that went in. resize: the filter that brought them to the network's size.
    extra: all other settings.
    """

    name: str
    value: float
    unit: str = ""
    spread: float | None = None
    parts: dict[str, float] = field(default_factory=dict)
    n_ref: int
    n_gen: int
    resize: str
    extra: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """Such as "kid 0.0123 ± 0.0004 (N_ref 2255, N_gen 2255, resize bilinear-299 torch-fidelity)"."""
        words = [self.name, f"{self.value:.4g}"]
        if self.spread is not None:
            words += ["±", f"{self.spread:.2g}"]
        if self.unit:
            words.append(self.unit)
        if self.parts:
            words.append("[" + ", ".join(f"{name}: {value:.4g}" for name, value in self.parts.items()) + "]")
        return f"{' '.join(words)} (N_ref {self.n_ref}, N_gen {self.n_gen}, resize {self.resize})"

    def to_dict(self) -> dict[str, Any]:
        """For JSON: a value that is not finite becomes None."""
        values = dataclasses.asdict(self)
        for name in ("value", "spread"):
            if values[name] is not None and not math.isfinite(values[name]):
                values[name] = None
        return values
