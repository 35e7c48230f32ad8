"""What an edit changed: each attribute before and after, what moved that should not have, and where."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

import shoegen
from shoegen.data.colors import delta_e
from shoegen.data.images import encode_png, image_grid, write_image
from shoegen.editing.amounts import as_text
from shoegen.editing.shoe import Shoe, enlarge
from shoegen.measure import ATTRIBUTES, SHOE_LENGTH, to_millimetres
from shoegen.torch_utils.files import write_json

UNWANTED = 0.5  # standard deviations
CHANGED = 5.0  # CIEDE2000: seen at a glance
INK, PALE, WANTED_INK, UNWANTED_INK = "black", (150, 150, 150), (46, 125, 50), (198, 40, 40)


@dataclass(frozen=True)
class Movement:
    """One attribute, before and after. sigma: its standard deviation over the model's shoes; NaN where not known.

    is_asked: whether the edit was to move it. is_kept: whether it was to stay. reason: why it could not be measured.
    """

    name: str
    unit: str
    before: float
    after: float
    sigma: float
    is_asked: bool
    is_kept: bool
    reason: str = ""

    @property
    def change(self) -> float:
        """In the attribute's unit."""
        return self.after - self.before

    @property
    def sigmas(self) -> float:
        """In standard deviations."""
        return self.change / self.sigma

    @property
    def is_unwanted(self) -> bool:
        """Whether it moved by more than half a standard deviation without being asked to."""
        return not self.is_asked and abs(self.sigmas) > UNWANTED


@dataclass(frozen=True, eq=False, repr=False)
class EditReport:
    """See `compare`. Shows itself in a notebook."""

    before: Shoe
    after: Shoe
    movements: tuple[Movement, ...]
    shoe_length: float

    @property
    def unwanted(self) -> list[Movement]:
        """What moved that should not have, most first."""
        return sorted(
            (each for each in self.movements if each.is_unwanted), key=lambda each: -abs(each.sigmas)
        )

    @cached_property
    def differences(self) -> np.ndarray:
        """(H, W) CIEDE2000 between the pictures."""
        return delta_e(self.before.rgb, self.after.rgb)

    @cached_property
    def changed(self) -> np.ndarray:
        """(H, W) bool: where the pictures differ so that it is seen at a glance (CIEDE2000 above 5)."""
        mask: np.ndarray = self.differences > CHANGED
        return mask

    def figures(self) -> dict[str, Any]:
        """What the JSON file holds; null where something could not be measured or is not known."""
        after = self.after
        return {
            "shoegen": shoegen.__version__,
            "model": {"name": after.model.name, "hash": after.model.hash, "origin": after.model.origin},
            "before": self.before.title,
            "after": after.title,
            "shoe_length_mm": self.shoe_length,
            "edits": [edit.to_dict() for edit in after.history[len(self.before.history) :]],
            "attributes": {each.name: self._figures_of(each) for each in self.movements},
            "moved_unasked": [each.name for each in self.unwanted],
            "changed_share": float(self.changed.mean()),
            "mean_delta_e": float(self.differences.mean()),
        }

    def _figures_of(self, movement: Movement) -> dict[str, Any]:
        numbers = {
            "before": movement.before,
            "after": movement.after,
            "change": movement.change,
            "sigmas": movement.sigmas,
        }
        if movement.unit == "shoe length":
            for key in ("before", "after", "change"):
                numbers[f"{key}_mm"] = to_millimetres(numbers[key], self.shoe_length)
        rounded = {key: round(value, 5) if math.isfinite(value) else None for key, value in numbers.items()}
        reason = {"reason": movement.reason} if movement.reason else {}
        return {
            "unit": movement.unit, **rounded, "asked": movement.is_asked, "kept": movement.is_kept, **reason
        }  # fmt: skip

    @cached_property
    def image(self) -> np.ndarray:
        """(H, W, 3) uint8: before, after, what changed in red, and how far each attribute moved."""
        before, after = (enlarge(shoe.rgb) for shoe in (self.before, self.after))
        factor = after.shape[0] // self.changed.shape[0]
        mask = cv2.resize(
            self.changed.astype(np.uint8), None, fx=factor, fy=factor, interpolation=cv2.INTER_NEAREST
        )
        grey = np.repeat(after.mean(2, keepdims=True), 3, axis=2)
        red = np.where(mask[..., None] > 0, 0.45 * grey + 0.55 * np.array([220, 30, 30]), 0.5 * grey + 127)
        captions = ["before", "after", f"changed: {self.changed.mean():.0%} of the picture"]
        sheet = image_grid([before, after, red.astype(np.uint8)], 3, captions=captions)
        return np.concatenate([sheet, self._bars(sheet.shape[1])])

    def _bars(self, width: int) -> np.ndarray:
        """(h, width, 3): a bar for each attribute, as far as it moved in standard deviations."""
        size = max(12, width // 60)
        font, row = ImageFont.load_default(size), 2 * size
        picture = Image.new("RGB", (width, row * (len(self.movements) + 1) + size), "white")
        draw = ImageDraw.Draw(picture)
        middle, one = round(0.42 * width), 0.05 * width  # pixels of one standard deviation
        bottom = row * len(self.movements) + size // 2
        for sigmas in (-UNWANTED, UNWANTED):
            x = middle + sigmas * one
            draw.line([(x, size // 2), (x, bottom)], PALE)
        draw.text((middle, bottom + 2), "standard deviations; lines at 0.5", PALE, font, anchor="ma")
        for index, each in enumerate(self.movements):
            top = index * row + size // 2
            ink = WANTED_INK if each.is_asked else UNWANTED_INK if each.is_unwanted else PALE
            note = " (kept)" if each.is_kept else ""
            draw.text((size // 2, top), f"{each.name}{note}", INK, font)
            if math.isfinite(each.sigmas):
                end = middle + max(-3.0, min(3.0, each.sigmas)) * one
                draw.rectangle([min(middle, end), top + 2, max(middle, end), top + size], ink)
            draw.text((round(0.6 * width), top), self._line(each), ink if ink != PALE else INK, font)
        draw.line([(middle, size // 2), (middle, bottom)], INK)
        return np.asarray(picture)

    def _line(self, movement: Movement) -> str:
        """ "57.1 mm -> 77.0 mm, +19.9 mm, +0.7 sd"."""
        texts = [
            as_text(value, movement.unit, self.shoe_length) for value in (movement.before, movement.after)
        ]
        text = " -> ".join(texts)
        if math.isfinite(movement.change):
            text += f", {as_text(movement.change, movement.unit, self.shoe_length, signed=True)}"
        return text + (f", {movement.sigmas:+.2f} sd" if math.isfinite(movement.sigmas) else "")

    def save(self, path: str | Path) -> Path:
        """Writes the figures as JSON, and the picture beside it.

        Returns:
            The path of the picture, that of the JSON with the suffix .png.
        """
        picture = Path(path).with_suffix(".png")
        write_image(picture, self.image)
        write_json(path, self.figures())
        return picture

    def _repr_png_(self) -> bytes:
        return encode_png(self.image)

    def __repr__(self) -> str:
        lines = []
        for each in self.movements:
            mark = "*" if each.is_asked else "!" if each.is_unwanted else " "
            lines.append(f" {mark}{each.name}: {self._line(each)}")
        return "\n".join([f"EditReport({self.before.title} -> {self.after.title})", *lines])


def compare(before: Shoe, after: Shoe, *, shoe_length: float = SHOE_LENGTH) -> EditReport:
    """What is not the same of two shoes of one model.

    Args:
        before, after: after's history beyond before's says what was to move and what was to stay.
        shoe_length: millimetres.
    """
    edits = after.history[len(before.history) :]
    asked = {edit.attribute for edit in edits}
    kept = {name for edit in edits for name in edit.kept}
    sigmas, movements = after.model.sigmas, []
    for name in after.measures:
        values = [shoe.measures.get(name, math.nan) for shoe in (before, after)]
        reasons = [getattr(shoe.measures, "reasons", {}).get(name, "") for shoe in (before, after)]
        movements.append(
            Movement(
                name,
                ATTRIBUTES[name].unit,
                values[0],
                values[1],
                sigmas.get(name, math.nan),
                name in asked,
                name in kept,
                next((reason for reason in reasons if reason), ""),
            )
        )
    return EditReport(before, after, tuple(movements), shoe_length)
