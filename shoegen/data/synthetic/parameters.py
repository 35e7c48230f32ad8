"""What a synthetic shoe is: its measures in millimetres, its make and the way it is photographed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from shoegen.errors import DataError

Color = tuple[int, int, int]

STYLES = ("sneaker", "pump", "block_heel", "wedge", "loafer", "ankle_boot", "high_boot", "sandal")
HEEL_SHAPES = ("stiletto", "block", "cone", "wedge", "stacked", "kitten")
MATERIALS = ("leather", "patent", "suede", "canvas", "knit")
CLOSURES = ("none", "laces", "strap", "t_bar", "zip", "gore")
STRIPES = ("none", "bars", "sweep", "band")

CHOICES = {
    "style": STYLES,
    "heel_shape": HEEL_SHAPES,
    "material": MATERIALS,
    "closure": CLOSURES,
    "stripe": STRIPES,
}

# Inclusive ranges, in millimetres unless the field says otherwise.
RANGES: dict[str, tuple[float, float]] = {
    "shoe_length": (235, 265),
    "heel_height": (0, 120),
    "heel_width": (9, 190),
    "sole_thickness": (6, 28),
    "platform_height": (0, 30),
    "toe_spring": (1, 12),
    "toe_length": (40, 66),
    "toe_height": (24, 48),
    "toe_roundness": (1.2, 3.2),
    "vamp_length": (-12, 12),
    "counter_height": (-8, 10),
    "shaft_height": (0, 150),
    "fill": (0.77, 0.80),
    "ground_row": (0.905, 0.915),
    "shift": (-0.012, 0.012),
    "background": (0.86, 1.0),
    "background_gradient": (0.0, 0.08),
    "light_angle": (-35, 35),
    "shadow": (0.2, 0.6),
}

BOOT_SHAFT = 86.0  # the lowest shaft that still has an ankle below it, mm

# The shoe trade's staple colours, as sRGB.
PALETTE: dict[str, Color] = {
    "black": (28, 27, 29),
    "charcoal": (66, 66, 70),
    "grey": (142, 143, 146),
    "silver": (194, 195, 199),
    "white": (240, 239, 236),
    "cream": (232, 222, 200),
    "beige": (208, 184, 152),
    "tan": (187, 132, 82),
    "cognac": (150, 86, 44),
    "brown": (98, 62, 40),
    "espresso": (62, 42, 34),
    "burgundy": (104, 28, 42),
    "red": (184, 34, 40),
    "coral": (226, 112, 94),
    "blush": (229, 184, 176),
    "fuchsia": (196, 46, 110),
    "lilac": (184, 166, 208),
    "navy": (36, 46, 82),
    "royal": (44, 84, 164),
    "sky": (154, 190, 218),
    "teal": (34, 110, 116),
    "mint": (168, 212, 192),
    "forest": (42, 78, 54),
    "olive": (108, 106, 66),
    "mustard": (208, 160, 52),
    "gold": (196, 164, 96),
}
# How often the colours are taken; uppers come in all of them.
UPPER_WEIGHTS = dict.fromkeys(PALETTE, 1.0) | {
    "black": 5, "white": 4, "tan": 3, "brown": 3, "navy": 3,
    "grey": 2, "beige": 2, "cognac": 2, "red": 2, "blush": 2,
}  # fmt: skip
SOLE_WEIGHTS: dict[str, float] = {
    "white": 5, "black": 4, "cream": 3, "tan": 3, "beige": 2, "brown": 2,
    "charcoal": 1, "cognac": 1, "espresso": 1, "grey": 1, "red": 0.5,
}  # fmt: skip
HEEL_WEIGHTS: dict[str, float] = {
    "black": 4, "brown": 3, "cognac": 3, "tan": 3, "espresso": 2, "beige": 2, "white": 2,
    "cream": 1, "gold": 1, "silver": 1, "charcoal": 1,
}  # fmt: skip
LINING_WEIGHTS = dict.fromkeys(("cream", "beige", "tan", "grey", "blush", "white", "charcoal", "red"), 1.0)
LACE_WEIGHTS = dict.fromkeys(("white", "black", "cream", "brown", "grey"), 1.0)

# How likely each of HEEL_SHAPES is for a style. The heel's height never enters.
SHAPE_WEIGHTS = {
    "sneaker": (0.06, 0.26, 0.08, 0.44, 0.12, 0.04),
    "pump": (0.46, 0.14, 0.12, 0.06, 0.06, 0.16),
    "block_heel": (0.00, 0.72, 0.06, 0.00, 0.22, 0.00),
    "wedge": (0.00, 0.00, 0.00, 1.00, 0.00, 0.00),
    "loafer": (0.10, 0.32, 0.10, 0.12, 0.28, 0.08),
    "ankle_boot": (0.20, 0.28, 0.12, 0.12, 0.22, 0.06),
    "high_boot": (0.24, 0.26, 0.12, 0.10, 0.22, 0.06),
    "sandal": (0.24, 0.24, 0.10, 0.24, 0.10, 0.08),
}
HEEL_WIDTHS = {  # mm
    "stiletto": (9, 13), "kitten": (13, 18), "cone": (20, 32), "block": (42, 70), "stacked": (46, 72),
    "wedge": (140, 160),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ShoeParameters:
    """One shoe in side view, toe to the left. Millimetres, degrees and fractions of the picture's side.

    The heel height is drawn on its own: no other parameter depends on it, nor it on them.

    Measures
        style: one of `STYLES`. heel_shape: one of `HEEL_SHAPES`.
        shoe_length: horizontal, toe tip to back of the heel, 235–265.
        heel_height: ground to the top of the heel part at the rear, 0–120; at 0 there is no heel part.
        heel_width: of the heel where it stands on the ground, horizontal, 9–190; a wedge's is the largest.
        sole_thickness: under the ball, without a platform's part, and under the heel seat, 6–28. Where a
            platform is higher than the heel, the sole under the seat is thicker by the difference.
        platform_height: what a platform adds under the ball, 0–30.
        toe_spring: how far the toe tip is off the ground, 1–12.
        toe_length: toe tip to the end of the toe box, 40–66. toe_height: height of the toe box, 24–48.
        toe_roundness: exponent of the toe's superellipse, 1.2 (pointed) to 3.2 (blunt).
        vamp_length: throat moved backward, −12–12. counter_height: back of the upper raised, −8–10.
        shaft_height: above the heel seat, boots 86–150 (cut below mid-calf, so that a high boot on the
            highest heel still fits a square picture), 0 for every other style.

    Make
        material: of the upper, one of `MATERIALS`; closure: one of `CLOSURES`; stripe: one of `STRIPES`.
        toe_cap, counter_panel, mudguard, stitching: whether they are there; a sandal's toe_cap makes two
        bands out of one. heel_layers: lines of a stack. two_tone: details take the accent colour, not a tone
        of the upper's. Colours: sRGB, 0–255.

    Photograph
        fill: share of the picture's width the shoe takes, 0.77–0.80. ground_row: 0.905–0.915 of its height.
        shift: sideways, −0.012–0.012. background: grey level, 0.86–1. background_gradient: 0–0.08, darker
        towards the edge. light_angle: degrees from overhead, −35 (from the toe) to 35. shadow: 0.2–0.6.
        texture_seed: of the material's grain.
    """

    style: str
    heel_shape: str
    shoe_length: float
    heel_height: float
    heel_width: float
    sole_thickness: float
    platform_height: float
    toe_spring: float
    toe_length: float
    toe_height: float
    toe_roundness: float
    vamp_length: float
    counter_height: float
    shaft_height: float
    material: str
    closure: str
    stripe: str
    toe_cap: bool
    counter_panel: bool
    mudguard: bool
    stitching: bool
    heel_layers: bool
    two_tone: bool
    upper_color: Color
    accent_color: Color
    sole_color: Color
    heel_color: Color
    lining_color: Color
    lace_color: Color
    hardware_color: Color
    fill: float
    ground_row: float
    shift: float
    background: float
    background_gradient: float
    light_angle: float
    shadow: float
    texture_seed: int

    def __post_init__(self) -> None:
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if not (math.isfinite(value) and low <= value <= high):
                raise DataError(
                    f"ShoeParameters: {name} is {value}, expected {low}–{high}; choose a value in range"
                )
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise DataError(
                    f"ShoeParameters: {name} is {getattr(self, name)!r}, expected one of {', '.join(known)}"
                )
        low, high = (BOOT_SHAFT, RANGES["shaft_height"][1]) if self.is_boot else (0, 0)
        if not low <= self.shaft_height <= high:
            raise DataError(
                f"ShoeParameters: shaft_height is {self.shaft_height}, expected {low:g}–{high:g} "
                f"for style {self.style!r}; choose a value in range"
            )

    @property
    def is_boot(self) -> bool:
        return self.style in ("ankle_boot", "high_boot")

    @property
    def attributes(self) -> dict[str, float]:
        """The measures that can be seen from the side, in millimetres.

        platform_height here is what shows: from the ground to the sole's top under the ball, platform and
        sole together. A shoe without a heel keeps the width its heel would have.
        """
        return {
            "heel_height": self.heel_height,
            "heel_width": self.heel_width,
            "sole_thickness": self.sole_thickness,
            "platform_height": self.platform_height + self.sole_thickness,
            "shaft_height": self.shaft_height,
            "toe_length": self.toe_length,
            "toe_height": self.toe_height,
            "toe_spring": self.toe_spring,
            "shoe_length": self.shoe_length,
        }

    @property
    def metadata(self) -> dict[str, Any]:
        """What is not a measure: style, shapes, materials, and colours as #rrggbb."""
        out: dict[str, Any] = {}
        for name, value in asdict(self).items():
            if name.endswith("_color"):
                out[name] = "#{:02x}{:02x}{:02x}".format(*value)
            elif isinstance(value, str | bool):
                out[name] = value
        return out

    @classmethod
    def sample(cls, rng: np.random.Generator, styles: Sequence[str] = STYLES) -> ShoeParameters:
        """A plausible shoe of any of the styles. One in twelve is flat; the other heels are uniform over 0–120 mm."""
        heel_height = float(rng.uniform(*RANGES["heel_height"])) if rng.random() > 0.08 else 0.0
        style = str(rng.choice(styles))
        make = _sample_make(style, rng)
        others: dict[str, Any] = {
            **_sample_measures(style, make["heel_shape"], rng),
            **make,
            **_sample_colors(rng),
            **_sample_photograph(rng),
        }
        return cls(style=style, heel_height=heel_height, **others)


def _pick(rng: np.random.Generator, weights: dict[str, float]) -> str:
    p = np.array(list(weights.values()), float)
    return str(rng.choice(list(weights), p=p / p.sum()))


def _sample_make(style: str, rng: np.random.Generator) -> dict[str, Any]:
    sporty = style == "sneaker"
    if sporty:
        materials = {"leather": 0.3, "patent": 0.02, "suede": 0.14, "canvas": 0.24, "knit": 0.3}
        stripes = {"none": 0.25, "bars": 0.25, "sweep": 0.3, "band": 0.2}
    else:
        materials = {"leather": 0.45, "patent": 0.22, "suede": 0.28, "canvas": 0.05}
        stripes = {"none": 0.8, "band": 0.2}
    closures = {
        "sneaker": {"laces": 1.0},
        "loafer": {"strap": 0.6, "none": 0.2, "laces": 0.2},
        "ankle_boot": {"laces": 0.3, "zip": 0.25, "gore": 0.25, "strap": 0.2},
        "high_boot": {"laces": 0.2, "zip": 0.4, "strap": 0.25, "none": 0.15},
        "sandal": {"strap": 0.7, "t_bar": 0.3},
    }.get(style, {"none": 0.5, "strap": 0.5})
    heel_shape = _pick(rng, dict(zip(HEEL_SHAPES, SHAPE_WEIGHTS[style])))
    layered = {"stacked": 0.9, "wedge": 0.6, "block": 0.2}.get(heel_shape, 0.0)
    return {
        "heel_shape": heel_shape,
        "material": _pick(rng, materials),
        "closure": _pick(rng, closures),
        "stripe": _pick(rng, stripes),
        "toe_cap": bool(rng.random() < (0.6 if sporty else 0.22)),
        "counter_panel": bool(rng.random() < (0.7 if sporty else 0.3)),
        "mudguard": bool(rng.random() < 0.5),
        "stitching": bool(rng.random() < 0.5),
        "heel_layers": bool(rng.random() < layered),
        "two_tone": bool(rng.random() < 0.5),
    }


def _sample_measures(style: str, heel_shape: str, rng: np.random.Generator) -> dict[str, float]:
    def uniform(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    sporty = style == "sneaker"
    dressy = style in ("pump", "block_heel", "wedge")
    pointed = dressy or (style in ("ankle_boot", "high_boot", "loafer") and rng.random() < 0.4)
    length = uniform(*RANGES["shoe_length"])
    # A picture shows 1.094 lengths above the ground; the highest heel, sole and rim take 142 mm of it.
    tallest = min(1.094 * length - 142, RANGES["shaft_height"][1])
    shaft = {"ankle_boot": (BOOT_SHAFT, 100), "high_boot": (tallest - 18, tallest)}.get(style, (0, 0))
    return {
        "shoe_length": length,
        "heel_width": uniform(*HEEL_WIDTHS[heel_shape]),
        "sole_thickness": uniform(14, 28) if sporty else uniform(6, 10 if dressy else 14),
        "platform_height": uniform(4, 30) if rng.random() < 0.25 else 0.0,
        "toe_spring": uniform(3, 12) if sporty else uniform(1, 8),
        "toe_length": uniform(50, 66) if pointed else uniform(40, 58),
        "toe_height": uniform(26, 36) if pointed or sporty else uniform(34, 44),
        "toe_roundness": uniform(1.25, 2.2) if pointed else uniform(1.9, 3.0),
        "vamp_length": uniform(*RANGES["vamp_length"]),
        "counter_height": uniform(*RANGES["counter_height"]),
        "shaft_height": uniform(*shaft),
    }


def _sample_colors(rng: np.random.Generator) -> dict[str, Color]:
    def pick(weights: dict[str, float]) -> Color:
        return _to_color(np.array(PALETTE[_pick(rng, weights)]) + rng.normal(0, 5, 3))

    upper, accent = pick(UPPER_WEIGHTS), pick(UPPER_WEIGHTS)
    sole = _distinct(pick(SOLE_WEIGHTS), upper, contrast=24)
    covered, own = rng.random() < 0.35, pick(HEEL_WEIGHTS)
    return {
        "upper_color": upper,
        "accent_color": accent,
        "sole_color": sole,
        "heel_color": _distinct(upper if covered else own, sole, contrast=34),
        "lining_color": pick(LINING_WEIGHTS),
        "lace_color": pick(LACE_WEIGHTS) if rng.random() < 0.7 else accent,
        "hardware_color": PALETTE["gold" if rng.random() < 0.5 else "silver"],
    }


def _to_color(values: np.ndarray) -> Color:
    red, green, blue = np.clip(values, 8, 250).astype(int).tolist()
    return red, green, blue


def _distinct(color: Color, other: Color, contrast: float) -> Color:
    """`color`, made lighter or darker until its luma is `contrast` levels from that of `other`.

    A sole shows below its upper, and a heel below its sole, as a layer of its own; two blacks would not.
    """
    luma, base = (float(np.dot((0.299, 0.587, 0.114), c)) for c in (color, other))
    if abs(luma - base) >= contrast:
        return color
    lighter = base < 50 or (luma >= base and base < 200)
    target = base + contrast if lighter else base - contrast
    return _to_color(np.array(color) + (target - luma))


def _sample_photograph(rng: np.random.Generator) -> dict[str, Any]:
    names = ("fill", "ground_row", "shift", "background", "background_gradient", "light_angle", "shadow")
    drawn: dict[str, Any] = {name: float(rng.uniform(*RANGES[name])) for name in names}
    if rng.random() < 0.4:
        drawn["background"] = 1.0
    return drawn | {"texture_seed": int(rng.integers(2**31))}
