"""Draws a shoe from its parameters: part by part in colour, then photographed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from shoegen.data.synthetic import geometry
from shoegen.data.synthetic.canvas import HEEL, SOLE, Canvas, seam, shade, tonal
from shoegen.data.synthetic.geometry import Last, Upper
from shoegen.data.synthetic.parameters import ShoeParameters
from shoegen.data.synthetic.shading import Scene, photograph
from shoegen.data.synthetic.uppers import draw_closed_upper, draw_sandal
from shoegen.errors import ConfigError

MIN_RESOLUTION, MAX_RESOLUTION = 32, 1024


@dataclass(frozen=True)
class RenderedShoe:
    """image (R, R, 3) uint8 sRGB; part_map (R, R) uint8, classes of SHOE_PARTS; attributes in millimetres."""

    image: np.ndarray
    part_map: np.ndarray
    attributes: dict[str, float]


def render_shoe(parameters: ShoeParameters, resolution: int, scene: Scene | None = None) -> RenderedShoe:
    """Renders one shoe, before paper or a scene; the same arguments give the same pixels.

    A part map's pixel is the part that covers most of it. A shoe too tall for the picture is drawn smaller.

    Raises:
        ConfigError: resolution is not an integer from 32 to 1024.
    """
    check_resolution(resolution)
    p = parameters
    last = Last(p)
    upper = Upper(p, last)
    canvas = Canvas(
        p, resolution * supersampling(resolution), height=float(last.lift(upper.opening)[:, 1].max())
    )
    draw_shoe(canvas, p, last, upper)
    image, part_map = photograph(canvas, p, resolution, scene)
    return RenderedShoe(image, part_map, p.attributes)


def supersampling(resolution: int) -> int:
    """How many times finer the canvas of a picture is."""
    return 3 if resolution <= 256 else 2


def draw_shoe(canvas: Canvas, p: ShoeParameters, last: Last, upper: Upper) -> None:
    """Paints all parts of a shoe, each over those behind it."""
    if p.style == "sandal":
        _draw_heel(canvas, p, last)
        _draw_sole(canvas, p, last)
        draw_sandal(canvas, p, last, upper)
    else:
        draw_closed_upper(canvas, p, last, upper)
        _draw_heel(canvas, p, last)
        _draw_sole(canvas, p, last)


def check_resolution(resolution: int) -> None:
    if not MIN_RESOLUTION <= resolution <= MAX_RESOLUTION or resolution != int(resolution):
        raise ConfigError(
            f"resolution is {resolution}, expected an integer from {MIN_RESOLUTION} to {MAX_RESOLUTION}; "
            "choose one, such as 128"
        )


def _draw_sole(canvas: Canvas, p: ShoeParameters, last: Last) -> None:
    outline = last.sole()
    canvas.fill(outline, p.sole_color, SOLE)
    within = canvas.mask(outline)
    x, bottom, top = last.x, last.bottom, last.top
    if p.style == "sneaker":
        # A rubber outsole under the foam, and on some a line around the foam.
        outsole = np.concatenate([np.stack([x, bottom - 1], 1), np.stack([x, bottom + 3.2], 1)[::-1]])
        canvas.panel(outsole, p.accent_color if p.two_tone else shade(p.sole_color, 0.55), within)
        if p.stitching:
            foxing = np.stack([x, bottom + 0.68 * (top - bottom)], 1)
            canvas.line(foxing, seam(p.sole_color), 1.2, within)
    elif (top - bottom).max() > 12:
        canvas.line(np.stack([x, (bottom + top) / 2], 1), seam(p.sole_color), 1.0, within)
    # A line where the upper meets the welt, and one where the heel meets the sole.
    canvas.line(np.stack([x, top], 1), tonal(p.sole_color, 0.7, 1.2), 1.6, within)
    if p.heel_height > 0:
        behind = x > p.shoe_length - max(p.heel_width, 40)
        canvas.line(np.stack([x, bottom], 1)[behind], shade(p.sole_color, 0.6), 1.4, within)


def _draw_heel(canvas: Canvas, p: ShoeParameters, last: Last) -> None:
    outline = geometry.heel(p, last)
    if outline is None:
        return
    canvas.fill(outline, p.heel_color, HEEL)
    within = canvas.mask(outline)

    def level(y: float, tilt: float = 0.0) -> np.ndarray:
        return np.array([(0.0, y), (p.shoe_length, y - tilt)])

    if p.heel_layers and p.heel_shape in ("stacked", "wedge", "block"):
        for i, y in enumerate(np.arange(7.0, p.heel_height + 12, 7.0)):
            canvas.line(level(y, tilt=0.05 * y), shade(p.heel_color, 0.84 if i % 2 else 0.74), 1.2, within)
    if p.heel_shape != "wedge":
        rubber = min(4.0, 0.3 * p.heel_height)
        canvas.panel(np.concatenate([level(-1), level(rubber)[::-1]]), shade(p.heel_color, 0.5), within)
    canvas.line(np.stack([last.x, last.bottom], 1), shade(p.heel_color, 0.6), 1.6, within)
