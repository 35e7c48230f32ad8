"""Label maps: the names and colours of a part map's classes."""

from __future__ import annotations

import colorsys
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shoegen.errors import DataError

Color = tuple[int, int, int]

IGNORED = 255
"""The value of part maps that says nothing of its pixel: trainings and figures leave it out."""
GOLDEN = (5**0.5 - 1) / 2
FEW = 12  # hues that the eye tells apart


@dataclass(frozen=True)
class LabelMap:
    """The classes of a part map: index `i` is named `names[i]` and drawn in `colors[i]` (RGB, 0..255).

    Raises:
        DataError: no classes, more than the 256 that a part map can tell apart, or names that repeat.
    """

    names: tuple[str, ...]
    colors: tuple[Color, ...]

    def __post_init__(self):
        if not 1 <= len(self.names) <= 256:
            raise DataError(f"labels: got {len(self.names)} classes, expected 1 to 256")
        repeated = sorted({name for name in self.names if self.names.count(name) > 1})
        if repeated:
            raise DataError(f"labels: {', '.join(repeated)} repeats; every class needs a name of its own")
        if len(self.colors) != len(self.names):
            raise DataError(f"labels: got {len(self.colors)} colours for {len(self.names)} classes")
        for name, color in zip(self.names, self.colors):
            if not all(0 <= value <= 255 for value in color):
                raise DataError(f"labels: {name} has the colour {color}, expected three values 0..255")

    def __len__(self) -> int:
        return len(self.names)

    def index(self, name: str) -> int:
        """The class index of `name`.

        Raises:
            DataError: there is no such class.
        """
        if name not in self.names:
            raise DataError(f"no class {name!r}; expected one of {', '.join(self.names)}")
        return self.names.index(name)

    @classmethod
    def from_names(cls, names: Sequence[str]) -> LabelMap:
        """Classes with colours spread around the hue circle, many of them also in tone; class 0 is white."""
        colors = [(255, 255, 255)]
        count = len(names) - 1
        for i in range(count):
            if count <= FEW:
                hue, saturation, value = i / count, 0.65, 0.9
            else:  # neighbours in the list are far apart on the circle, and in tone
                hue, saturation, value = (
                    i * GOLDEN % 1,
                    (0.55, 0.9, 0.75)[i % 3],
                    (0.95, 0.85, 0.6)[i // 2 % 3],
                )
            red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
            colors.append((round(255 * red), round(255 * green), round(255 * blue)))
        return cls(tuple(names), tuple(colors[: len(names)]))

    @classmethod
    def from_json(cls, value: Any) -> LabelMap:
        """From parsed JSON: a list of names, or of objects `{"name": …, "color": [r, g, b]}`.

        Raises:
            DataError: the value has another shape, or is no valid `LabelMap`.
        """
        if not isinstance(value, list):
            raise DataError(f"labels: got {type(value).__name__}, expected a list of class names")
        if all(isinstance(item, str) for item in value):
            return cls.from_names(value)
        try:
            names = tuple(str(item["name"]) for item in value)
            colors = tuple((int(r), int(g), int(b)) for r, g, b in (item["color"] for item in value))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise DataError('labels: expected names or objects {"name": …, "color": [r, g, b]}') from error
        return cls(names, colors)

    @classmethod
    def read(cls, source: str | Path | bytes) -> LabelMap:
        """Reads a labels file (a path) or its bytes.

        Raises:
            DataError: not readable, not JSON, or not a list of classes.
        """
        name = "the labels file" if isinstance(source, bytes) else f"the labels file {source}"
        try:
            value = json.loads(source if isinstance(source, bytes) else Path(source).read_bytes())
        except OSError as error:
            raise DataError(f"cannot read {name}: {error.strerror}; check the path") from error
        except (ValueError, RecursionError) as error:
            raise DataError(f"{name} is not JSON ({error}); expected a list of class names") from error
        try:
            return cls.from_json(value)
        except DataError as error:
            raise DataError(f"{name}: {str(error).removeprefix('labels: ')}") from error

    def to_json(self) -> list[dict[str, Any]]:
        """The inverse of `from_json`."""
        return [{"name": name, "color": list(color)} for name, color in zip(self.names, self.colors)]

    def palette(self) -> np.ndarray:
        """(256, 3) uint8: the colour of each index; unused ones are black."""
        palette = np.zeros((256, 3), np.uint8)
        palette[: len(self)] = self.colors
        return palette

    def colorize(self, part_map: np.ndarray) -> np.ndarray:
        """(…, H, W) uint8 part maps → (…, H, W, 3) uint8 pictures."""
        return self.palette()[part_map]


SHOE_PARTS = LabelMap(
    ("background", "sole", "heel", "upper", "shaft", "opening", "fastening"),
    (
        (255, 255, 255),
        (70, 70, 70),
        (214, 69, 65),
        (66, 133, 200),
        (72, 165, 116),
        (150, 110, 190),
        (240, 180, 50),
    ),
)
"""The default part map of a shoe."""
