"""Draws the pictures of docs/attributes.md: each attribute on the part map of a synthetic shoe.

    python scripts/draw_attributes.py --out docs/attributes

Where lines are drawn is computed by the same code that measures.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from shoegen.data.labels import SHOE_PARTS
from shoegen.data.synthetic import ShoeParameters, render_shoe
from shoegen.measure import ATTRIBUTES, Shape, format_measure, measure
from shoegen.measure.silhouettes import underside_row
from shoegen.torch_utils.files import atomic_write

RESOLUTION = 480  # of the renders
MARGIN = 46  # pixels around the shoe, for lines and words
COLORS = 48  # of the PNGs: flat tones and a few between them
INK, LINE, BAND = (20, 20, 20), (200, 30, 40), (252, 148, 60)


def example(style: str, seed: int = 1, **measures: float | str) -> ShoeParameters:
    return replace(ShoeParameters.sample(np.random.default_rng(seed), [style]), **measures)


PUMP = example(
    "pump", heel_shape="block", heel_height=70.0, heel_width=50.0, sole_thickness=9.0, platform_height=8.0,
    toe_height=36.0, toe_roundness=1.9, toe_length=52.0, closure="strap",
)  # fmt: skip
BOOT = example(
    "ankle_boot", heel_shape="stacked", heel_height=45.0, heel_width=60.0, shaft_height=96.0, closure="none"
)
HIGH_BOOT = example("high_boot", heel_height=0.0, shaft_height=118.0, closure="none")
SNEAKER = example("sneaker", heel_height=0.0, platform_height=0.0, sole_thickness=24.0)
STILETTO = example(
    "pump", heel_shape="stiletto", heel_height=85.0, heel_width=10.0, closure="none", platform_height=0.0
)


class Drawing:
    """A part map, softened, on which is drawn in the coordinates of its `Shape`: columns and rows of the shoe."""

    def __init__(self, parameters: ShoeParameters, *, silhouette: bool = False) -> None:
        shoe = render_shoe(parameters, RESOLUTION)
        self.part_map, self.photograph = shoe.part_map, shoe.image
        self.shape = Shape.find(shoe.part_map, SHOE_PARTS, shoe.image)
        rows, columns = (np.flatnonzero((shoe.part_map > 0).any(axis)) for axis in (1, 0))
        cut = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        colors = SHOE_PARTS.colorize(shoe.part_map[cut]).astype(float)
        if silhouette:
            colors[shoe.part_map[cut] > 0] = 150
        soft = (255 - 0.5 * (255 - colors)).astype(np.uint8)
        soft = cv2.copyMakeBorder(
            soft, MARGIN, MARGIN, MARGIN, MARGIN, cv2.BORDER_CONSTANT, value=(255, 255, 255)
        )
        self.picture = Image.fromarray(soft)
        self.pen = ImageDraw.Draw(self.picture)
        self.font = ImageFont.load_default(14)

    def x(self, share: float) -> float:
        """A share of the length → pixels."""
        return MARGIN + share * self.shape.length

    def y(self, row: float) -> float:
        return MARGIN + row

    def band(self, mask: np.ndarray, start: float = 0.0, stop: float = 1.0) -> None:
        """Tints what is measured of a mask (h, w), between two shares of the length."""
        chosen = np.zeros_like(mask)
        columns = self.shape.columns(start, stop)
        chosen[:, columns] = mask[:, columns]
        pixels = np.asarray(self.picture).copy()
        inside = pixels[MARGIN : MARGIN + mask.shape[0], MARGIN : MARGIN + mask.shape[1]]
        inside[chosen] = BAND
        self.picture = Image.fromarray(pixels)
        self.pen = ImageDraw.Draw(self.picture)

    def level(self, row: float, start: float, stop: float) -> None:
        """A dashed horizontal line."""
        for x in np.arange(self.x(start), self.x(stop), 8):
            self.pen.line([x, self.y(row), min(x + 4, self.x(stop)), self.y(row)], fill=INK, width=1)

    def height(self, at: float, low: float, high: float, text: str, *, left: bool = False) -> None:
        """A vertical arrow at a share of the length between two rows, and its words."""
        x, top, bottom = self.x(at), self.y(high), self.y(low)
        self._arrow((x, top), (x, bottom))
        width = self.font.getlength(text)
        place = x - width - 6 if left else x + 6
        self._words(place, (top + bottom) / 2 - 8, text)

    def width(self, row: float, start: float, stop: float, text: str) -> None:
        """A horizontal arrow below a row, and its words."""
        y = self.y(row) + 12
        self._arrow((self.x(start), y), (self.x(stop), y))
        middle = (self.x(start) + self.x(stop)) / 2 - self.font.getlength(text) / 2
        self._words(middle, y + 5, text)

    def curve(self, rows: np.ndarray, start: float, stop: float) -> None:
        """Follows rows (length,) between two shares of the length."""
        columns = self.shape.columns(start, stop)
        points = [(MARGIN + columns.start + i + 0.5, self.y(row)) for i, row in enumerate(rows[columns])]
        self.pen.line(points, fill=LINE, width=3)

    def straight(self, start: tuple[float, float], stop: tuple[float, float]) -> None:
        """A line between two points: shares of the length, and rows."""
        self.pen.line(
            [self.x(start[0]), self.y(start[1]), self.x(stop[0]), self.y(stop[1])], fill=INK, width=1
        )

    def title(self, text: str) -> None:
        self._words(6, 4, text)

    def save(self, path: Path) -> None:
        with atomic_write(path) as file:
            self.picture.quantize(COLORS, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)

    def _arrow(self, one: tuple[float, float], other: tuple[float, float]) -> None:
        self.pen.line([one, other], fill=LINE, width=2)
        along = np.subtract(other, one) / max(1e-6, float(np.hypot(*np.subtract(other, one))))
        across = np.array([-along[1], along[0]])
        size = min(6.0, 0.4 * float(np.hypot(*np.subtract(other, one))))
        for tip, way in ((one, along), (other, -along)):
            corners = [
                np.array(tip),
                np.add(tip, size * way + 4 * across),
                np.add(tip, size * way - 4 * across),
            ]
            self.pen.polygon([tuple(corner) for corner in corners], fill=LINE)

    def _words(self, x: float, y: float, text: str) -> None:
        x = min(max(2.0, x), self.picture.width - self.font.getlength(text) - 2)
        self.pen.text((x, y), text, INK, self.font, stroke_width=3, stroke_fill=(255, 255, 255))


def heel_height(d: Drawing, text: str) -> None:
    shoe = d.shape
    d.band(shoe.heel)
    top = shoe.ground - measure(d.part_map)["heel_height"] * shoe.length
    d.level(shoe.ground, -0.05, 1.08)
    d.level(top, 0.7, 1.08)
    d.height(1.03, shoe.ground, top, text, left=True)


def heel_width(d: Drawing, text: str) -> None:
    shoe = d.shape
    d.band(shoe.heel)
    standing = np.flatnonzero(shoe.heel[shoe.ground - 3])
    d.level(shoe.ground, -0.05, 1.08)
    d.width(shoe.ground, standing[0] / shoe.length, (standing[-1] + 1) / shoe.length, text)


def sole_at(start: float, stop: float) -> Callable[[Drawing, str], None]:
    def draw(d: Drawing, text: str) -> None:
        shoe, middle = d.shape, (start + stop) / 2
        d.band(shoe.sole, start, stop)
        rows = np.flatnonzero(shoe.sole[:, int(middle * shoe.length)])
        d.height(middle, rows[-1] + 1, rows[0], text, left=middle > 0.5)

    return draw


def toe_height(d: Drawing, text: str) -> None:
    shoe = d.shape
    above = shoe.mask & ~shoe.sole & ~shoe.heel
    d.band(above, 0.17, 0.23)
    rows = np.flatnonzero(above[:, int(0.2 * shoe.length)])
    d.height(0.2, rows[-1] + 1, rows[0], text)


def toe_roundness(d: Drawing, text: str) -> None:
    shoe = d.shape
    above = shoe.mask & ~shoe.sole & ~shoe.heel
    d.band(above, 0.03, 0.10)
    d.band(above, 0.17, 0.23)
    for at in (0.065, 0.2):
        rows = np.flatnonzero(above[:, int(at * shoe.length)])
        d.height(at, rows[-1] + 1, rows[0], text if at == 0.2 else "")


def above_seat(name: str) -> Callable[[Drawing, str], None]:
    def draw(d: Drawing, text: str) -> None:
        shoe = d.shape
        if name == "shaft_height":
            d.band(shoe.part("shaft"), 0.80, 0.97)
        seat = shoe.value_at(shoe.upper_edge(shoe.sole), 0.88, 0.98, 0.95)
        top = seat - measure(d.part_map)[name] * shoe.length
        d.curve(shoe.upper_edge(shoe.sole), 0.88, 0.98)
        d.level(seat, 0.8, 1.08)
        d.level(top, 0.8, 1.08)
        d.height(1.04, seat, top, text, left=True)

    return draw


def share(part: str) -> Callable[[Drawing, str], None]:
    return lambda d, text: d.band(d.shape.part(part))


def above_underside(name: str) -> Callable[[Drawing, str], None]:
    def draw(d: Drawing, text: str) -> None:
        shoe, row = d.shape, underside_row(d.shape)
        d.curve(shoe.underside, 0.42, 0.92)
        top = row - measure(d.part_map)[name] * shoe.length
        if name == "collar_height":
            d.curve(shoe.top, 0.80, 0.97)
        d.level(row, -0.06, 1.08)
        d.level(top, 0.35, 1.08)
        d.height(1.04, row, top, text, left=True)
        if name == "silhouette_ratio":
            d.width(shoe.ground, 0, 1, "length")

    return draw


def toe_pointedness(d: Drawing, text: str) -> None:
    shoe = d.shape
    low, high = shoe.value_at(shoe.top, 0.003, 0.027, 0.015), shoe.value_at(shoe.top, 0.18, 0.22, 0.20)
    empty = np.arange(len(shoe.mask))[:, None] < shoe.top
    empty[: round(high)] = False
    empty[round(low) :] = False
    d.band(empty, 0.015, 0.20)
    corners = [(0.015, low), (0.2, low), (0.2, high), (0.015, high)]
    for one, other in zip(corners, [*corners[1:], corners[0]], strict=True):
        d.straight(one, other)
    d.curve(shoe.top, 0.015, 0.20)


def instep_curve(d: Drawing, text: str) -> None:
    shoe = d.shape
    one, other = (shoe.value_at(shoe.top, at - 0.03, at + 0.03, at) for at in (0.20, 0.56))
    straight = np.interp(np.arange(shoe.length) + 0.5, [0.20 * shoe.length, 0.56 * shoe.length], [one, other])
    rows = np.arange(len(shoe.mask))[:, None]
    d.band((rows > np.fmin(straight, shoe.top)) & (rows < np.fmax(straight, shoe.top)), 0.20, 0.56)
    d.curve(shoe.top, 0.20, 0.56)
    d.straight((0.20, one), (0.56, other))
    for at in (0.20, 0.56):
        d.straight((at, one if at == 0.20 else other), (at, shoe.underside[int(at * shoe.length)]))


def color(*parts: str) -> Callable[[Drawing, str], None]:
    def draw(d: Drawing, text: str) -> None:
        mask = np.logical_or.reduce([d.shape.part(part) for part in parts])
        inner = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        pixels = np.asarray(d.picture).copy()
        inside = pixels[MARGIN : MARGIN + mask.shape[0], MARGIN : MARGIN + mask.shape[1]]
        inside[inner] = d.shape.image[inner]
        d.picture = Image.fromarray(pixels)
        d.pen = ImageDraw.Draw(d.picture)

    return draw


DRAWINGS: dict[str, tuple[ShoeParameters, Callable[[Drawing, str], None]]] = {
    "heel_height": (PUMP, heel_height),
    "heel_width": (PUMP, heel_width),
    "sole_thickness": (PUMP, sole_at(0.88, 0.97)),
    "platform_height": (PUMP, sole_at(0.22, 0.33)),
    "toe_height": (PUMP, toe_height),
    "toe_roundness": (PUMP, toe_roundness),
    "rear_height": (PUMP, above_seat("rear_height")),
    "shaft_height": (BOOT, above_seat("shaft_height")),
    "opening_size": (SNEAKER, share("opening")),
    "fastening_size": (SNEAKER, share("fastening")),
    "silhouette_ratio": (STILETTO, above_underside("silhouette_ratio")),
    "collar_height": (SNEAKER, above_underside("collar_height")),
    "toe_pointedness": (STILETTO, toe_pointedness),
    "instep_curve": (HIGH_BOOT, instep_curve),
    "upper_l": (SNEAKER, color("upper", "shaft")),
    "sole_l": (SNEAKER, color("sole")),
}
"""By attribute; the other channels of a colour share its drawing."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", default="docs/attributes", type=Path, help="folder (default: docs/attributes)"
    )
    options = parser.parse_args()
    for name, (parameters, draw) in DRAWINGS.items():
        drawing = Drawing(parameters, silhouette=ATTRIBUTES[name].needs == "silhouette")
        image = drawing.photograph if ATTRIBUTES[name].needs == "image" else None
        value = measure(drawing.part_map, image=image)[name]
        text = format_measure(name, value, parameters.shoe_length)
        draw(drawing, text)
        drawing.title(
            f"{name}  {text}" if ATTRIBUTES[name].needs != "image" else name.replace("_l", "_l, _a, _b")
        )
        drawing.save(options.out / f"{name.replace('_l', '_color') if name.endswith('_l') else name}.png")
    print(f"{options.out}: {len(DRAWINGS)} drawings")


if __name__ == "__main__":
    main()
