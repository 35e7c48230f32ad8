"""Shoes as they are worn: on a foot below a leg, somewhere, with the product picture of the same shoe.

The wearer's leg, place and light do not depend on the shoe, so the same wearer in another shoe is the true picture of
a swap: only the shoes, the foot in them and the ground that they touch differ; every other pixel is the same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from shoegen.data.synthetic import geometry
from shoegen.data.synthetic.canvas import OPENING, SHIFT, Canvas, shade, tonal
from shoegen.data.synthetic.geometry import Last, Points, Upper, smoothstep, spline
from shoegen.data.synthetic.parameters import Color, ShoeParameters
from shoegen.data.synthetic.render import check_resolution, draw_shoe, render_shoe, supersampling
from shoegen.data.synthetic.scenes import Backgrounds
from shoegen.data.synthetic.shading import add_parts, cover, lit
from shoegen.data.synthetic.surroundings import PIVOT, Noise, draw_surroundings, world_grid
from shoegen.data.synthetic.wearers import Wearer

JOINT = 112.0  # mm above the heel seat, where the foot ends and the leg begins
TOP = 700.0  # mm above the ground, beyond every picture
SKIN, STOCKING, CLOTH = range(1, 4)  # what a figure's pixel shows


@dataclass(frozen=True)
class WornShoe:
    """photo, article (R, R, 3) uint8: worn, and alone before paper; part_map (R, R) uint8: the photo's, classes of
    SHOE_PARTS, where leg and surroundings are background; attributes in millimetres."""

    photo: np.ndarray
    article: np.ndarray
    part_map: np.ndarray
    attributes: dict[str, float]


def render_worn(
    parameters: ShoeParameters, wearer: Wearer, resolution: int, backgrounds: Backgrounds | None = None
) -> WornShoe:
    """A shoe on a wearer's foot; the same arguments give the same pixels.

    backgrounds: photographs that are behind the wearer instead of a drawn wall, and sometimes instead of the ground.

    Raises:
        ConfigError: resolution is not an integer from 32 to 1024.
    """
    photo, part_map = Stage(wearer, resolution, backgrounds).photograph(parameters)
    return WornShoe(photo, render_shoe(parameters, resolution).image, part_map, parameters.attributes)


class Picture(Canvas):
    """A square of `size` pixels that shows a wearer's world; outlines are in the shoe's frame, as on a `Canvas`."""

    def __init__(self, wearer: Wearer, size: int, length: float):
        self.size = size
        self.scale = size / wearer.width
        self.ground = size * wearer.ground_row
        self.left = wearer.heel * self.scale
        self.length = length  # of the shoe: its rear is the world's x = 0
        angle = np.deg2rad(wearer.tilt)
        self.cos, self.sin = float(np.cos(angle)), float(np.sin(angle))
        self.albedo = np.zeros((size, size, 3), np.uint8)
        self.parts = np.zeros((size, size), np.uint8)

    def to_pixels(self, points: np.ndarray) -> np.ndarray:
        x, y = points[:, 0] - self.length - PIVOT, points[:, 1]
        across = self.left + (PIVOT + self.cos * x - self.sin * y) * self.scale - 0.5
        down = self.ground - (self.sin * x + self.cos * y) * self.scale - 0.5
        return np.round(np.stack([across, down], 1) * (1 << SHIFT)).astype(np.int32)


class Stage:
    """A wearer in a scene, drawn once for all the shoes that are put on.

    Raises:
        ConfigError: resolution is not an integer from 32 to 1024.
    """

    def __init__(self, wearer: Wearer, resolution: int, backgrounds: Backgrounds | None = None):
        check_resolution(resolution)
        self.wearer, self.resolution = wearer, resolution
        self.leg = _Leg(wearer)
        x, y = self.x, self.y = world_grid(wearer, resolution)
        rng = np.random.default_rng([wearer.seed, 2])
        self._folds = Noise(rng)
        # Leg and shoe together darken the ground around them, whatever the shoe.
        side = np.sin(np.deg2rad(wearer.light_angle))
        off = ((x - PIVOT + 55 * side) / 150) ** 2 + ((y + 3) / np.where(y > 0, 9, 17)) ** 2
        cast = np.where(y < wearer.edge, np.exp(-0.5 * off), 0)
        self.ground = draw_surroundings(wearer, resolution, backgrounds)
        self.ground *= (1 - 0.75 * wearer.shadow * cast)[..., None]
        # Light falls off across the picture; the camera adds its grain.
        u = (np.arange(resolution, dtype=np.float32) + 0.5) / resolution - 0.5
        falloff = 1 + wearer.gradient[0] * u[None, :] - wearer.gradient[1] * u[:, None]
        self._light = falloff[..., None] * np.array(wearer.light, np.float32)
        self._grain = wearer.noise * rng.standard_normal((resolution, resolution, 1), dtype=np.float32)

    def photograph(self, parameters: ShoeParameters) -> tuple[np.ndarray, np.ndarray]:
        """The wearer in a shoe: photo (R, R, 3) uint8 and part map (R, R) uint8."""
        wearer, resolution = self.wearer, self.resolution
        p = replace(parameters, light_angle=wearer.light_angle)
        last = Last(p)
        upper = Upper(p, last)
        side = resolution * supersampling(resolution)
        shoe, figure = (Picture(wearer, side, p.shoe_length) for _ in range(2))
        draw_shoe(shoe, p, last, upper)
        foot = self.leg.draw(figure, p, last, upper)

        # The leg comes out of the opening; clothes hang over what is below them, but slim trousers go into boots.
        seen = (shoe.parts == 0) | (shoe.parts == OPENING)
        tucked = p.is_boot and wearer.clothing == "slim"
        if not tucked:
            seen |= figure.parts == CLOTH
        figure.parts[~seen] = 0
        shoe.parts[figure.parts > 0] = 0
        masks, coverage = cover(shoe, resolution)
        part_map = coverage.argmax(0).astype(np.uint8)
        worn = 1 - coverage[0]
        pixels = resolution / wearer.width  # per millimetre

        bodies = self._share(cv2.inRange(figure.parts, SKIN, CLOTH))
        image = self.ground * (1 - self._contact(p, last))[..., None]
        image *= np.maximum(1 - worn - bodies, 0)[..., None]
        add_parts(image, shoe, p, masks, coverage)
        if (figure.parts == CLOTH).any() and not tucked:  # the hem's shadow on the shoe
            hangs = self._share(figure.mask_of(CLOTH))
            image *= 1 - 0.35 * (cv2.GaussianBlur(hangs, (0, 0), 5 * pixels) * worn)[..., None]
        rim = 1 - 0.35 * cv2.GaussianBlur(worn, (0, 0), max(4 * pixels, 0.5))
        joint = last.seat_top + JOINT
        for first, final in ((SKIN, STOCKING), (CLOTH, CLOTH)):
            mask = cv2.inRange(figure.parts, first, final)
            if not mask.any():
                continue
            painted = cv2.bitwise_and(figure.albedo, figure.albedo, mask=mask)
            albedo = 255 * self._share(painted)
            light = (self._on_cloth() if first == CLOTH else self._on_leg(foot, joint)) * rim
            image += albedo * light[..., None]
        image = image * self._light + self._grain
        return np.clip(image + 0.5, 0, 255).astype(np.uint8), part_map

    def _share(self, fine: np.ndarray) -> np.ndarray:
        """(S, S) or (S, S, 3) uint8 of a canvas → (R, R) or (R, R, 3) float32, 0–1."""
        size = (self.resolution, self.resolution)
        return cv2.resize(fine, size, interpolation=cv2.INTER_AREA).astype(np.float32) / np.float32(255)

    def _contact(self, p: ShoeParameters, last: Last) -> np.ndarray:
        """(R, R) of 0–0.8: what the shoe itself takes of the light close to where it stands."""
        clearance = last.bottom.copy()
        heel = geometry.heel(p, last)
        if heel is not None:
            standing = heel[heel[:, 1] < 2, 0]
            clearance[(last.x > standing.min() - 1) & (last.x < standing.max() + 1)] = 0
        along = np.linspace(-30, p.shoe_length + 30, 220)
        near = np.interp(along, last.x, np.exp(-clearance / 4), left=0, right=0)
        near = cv2.GaussianBlur(near.astype(np.float32)[None], (0, 0), 2.0)[0]
        reach = np.interp(self.x + p.shoe_length, along, near, left=0, right=0).astype(np.float32)
        fall = np.exp(-(((self.y + 1) / np.where(self.y > 0, 3.0, 5.0)) ** 2))
        taken: np.ndarray = np.minimum(1.5 * self.wearer.shadow, 0.8) * reach * fall
        return taken

    def _on_leg(self, foot: np.ndarray | None, joint: float) -> np.ndarray:
        """(R, R) factors of the light on skin and stockings. foot: (S, S) mask of what is below the joint, if seen."""
        tube = self._on_tube(*self.leg.edges(self.y), 0.0)
        if foot is None:
            return tube
        pixels = self.resolution / self.wearer.width
        rounded, _ = lit(self._share(foot), 26 * pixels, 8, self.wearer.light_angle)
        # The ankle bone.
        bone = np.exp(-0.5 * (((self.x + 62) / 9) ** 2 + ((self.y - joint + 40) / 11) ** 2))
        rounded = rounded * (1 + 0.07 * bone)
        share = smoothstep(joint - 45, joint - 5, self.y)
        light: np.ndarray = rounded + (tube - rounded) * share
        return light

    def _on_cloth(self) -> np.ndarray:
        if self.wearer.clothing == "skirt":
            return self._on_tube(*self.leg.skirt_edges(self.y), 0.2)
        return self._on_tube(*self.leg.cloth_edges(self.y), 0.22)

    def _on_tube(self, front: np.ndarray, back: np.ndarray, folds: float) -> np.ndarray:
        """(R, R) factors of the light on an upright tube with these edges, and with creases of that strength."""
        u = np.clip((2 * self.x - front - back) / (back - front), -0.985, 0.985).astype(np.float32)
        angle = np.deg2rad(self.wearer.light_angle)
        facing = u * np.sin(angle) * 0.75 + np.sqrt(1 - u * u) * 0.72
        light = 0.56 + 0.52 * np.maximum(facing, 0)
        if folds:
            height = self.y - self.wearer.hem
            creases = self._folds(u * 0.9 + 0.004 * self.y, (self.y + 26 * u) / 30)
            light = light * (1 + 0.32 * folds * creases * np.exp(-np.maximum(height, 0) / 260))
        return light


class _Leg:
    """A wearer's leg and clothes as outlines in the world's millimetres: x behind the shoe's rear, y above ground."""

    def __init__(self, wearer: Wearer):
        self.wearer = wearer
        self.levels = np.arange(0.0, TOP + 1, 4.0)

    def edges(self, y: Any) -> tuple[np.ndarray, np.ndarray]:
        """Front and back of the leg at heights y. Narrow as far up as the highest heel lifts the ankle."""
        w = self.wearer
        swell = smoothstep(165, 400, y)
        knee = smoothstep(400, 560, y)
        front = -63 - 0.5 * w.ankle - 7 * swell + 3 * knee - w.lean * (y - 180)
        calf = (w.calf - w.ankle - 7) * swell - 14 * knee
        back = -63 + 0.5 * w.ankle + calf - w.lean * (y - 180)
        return front, back

    def cloth_edges(self, y: Any) -> tuple[np.ndarray, np.ndarray]:
        """Front and back of trousers."""
        w = self.wearer
        if w.clothing == "slim":
            front, back = self.edges(np.maximum(y, 90))
            return front - 6, back + 6  # close, but not skin
        middle = -64 - w.lean * (y - 180) + 6 * smoothstep(150, 450, y)
        half = 0.5 * (w.cuff + (max(w.calf + 34, w.cuff + 12) - w.cuff) * smoothstep(120, 520, y))
        return middle - half, middle + half

    def skirt_edges(self, y: Any) -> tuple[np.ndarray, np.ndarray]:
        front, back = self.edges(np.full_like(y, self.wearer.hem))
        return front - 46 - 0.1 * (self.wearer.hem - y), back + 50 + 0.12 * (self.wearer.hem - y)

    def draw(self, figure: Picture, p: ShoeParameters, last: Last, upper: Upper) -> np.ndarray | None:
        """Paints leg, foot and clothes for a shoe; returns the mask (S, S) of foot and ankle, hidden or not.

        A boot hides them: there, None.
        """
        w, length = self.wearer, p.shoe_length
        dressed, tone = self._dress()
        foot = None
        if p.is_boot:  # out of the shaft; what is in it never shows
            outline = self._tube(last.lift(upper.near)[:, 1].min() - 3, length)
        else:
            joint = last.seat_top + JOINT
            outline = _foot(p, last, upper, self._tube(joint, length))
            foot = figure.mask(outline[outline[:, 1] < joint + 90])
        figure.fill(outline, tone, dressed)
        within = figure.mask_of(dressed)
        if dressed == SKIN and p.style == "sandal":
            _draw_toes(figure, p, last, w, within)
        if dressed == STOCKING and w.clothing != "tights":
            self._draw_sock_top(figure, length, within)
        if w.trousers:
            self._draw_trousers(figure, length)
        elif w.clothing == "skirt":
            self._draw_skirt(figure, length)
        return foot

    def _dress(self) -> tuple[int, Color]:
        """What the leg in a shoe shows first, and its colour.

        Socks stay on in sandals: no picture of a sock tells how the skin below it looks.
        """
        w = self.wearer
        if w.clothing == "tights":
            return STOCKING, w.cloth
        return (STOCKING, w.sock) if w.sock_top > 0 else (SKIN, w.skin)

    def _tube(self, bottom: float, length: float) -> Points:
        """The leg above `bottom`: up its front and down its back. Its corners are at the same levels for every shoe."""
        level = np.concatenate([[bottom], self.levels[self.levels > bottom + 1]])
        front, back = self.edges(level)
        up, down = np.stack([front, level], 1), np.stack([back, level], 1)[::-1]
        return np.concatenate([up, down]) + (length, 0)

    def _draw_sock_top(self, figure: Picture, length: float, within: np.ndarray) -> None:
        """The leg above the sock; ribs and stripes below its edge."""
        w = self.wearer
        everywhere = np.array([(-400.0, w.sock_top), (400.0, w.sock_top), (400.0, TOP), (-400.0, TOP)])
        figure.panel(everywhere + (length, 0), w.skin, within, SKIN)
        sock = figure.mask_of(STOCKING)
        level = np.array([(-400.0, w.sock_top), (400.0, w.sock_top)]) + (length, 0)
        figure.line(level - (0, 1.5), tonal(w.sock), 3.0, sock)
        if w.details:
            for below in (14, 24):
                figure.line(level - (0, below), tonal(w.sock, 0.55, 1.6), 5.0, sock)

    def _draw_trousers(self, figure: Picture, length: float) -> None:
        w = self.wearer
        level = np.concatenate([[w.hem], self.levels[self.levels > w.hem + 1]])
        front, back = self.cloth_edges(level)
        # The hem sags in the middle, towards the camera, and hangs lower behind.
        hem = spline([(back[0], w.hem - 5), (0.5 * (front[0] + back[0]), w.hem - 7), (front[0], w.hem + 4)])
        sides = np.stack([front, level], 1)[2:], np.stack([back, level], 1)[::-1][:-2]
        figure.fill(np.concatenate([hem, *sides]) + (length, 0), w.cloth, CLOTH)
        within = figure.mask_of(CLOTH)
        hem = hem + (length, 0)
        figure.line(hem + (0, 1), tonal(w.cloth, 0.7, 1.15), 2.0, within)
        if w.details and w.clothing == "straight":  # turned up
            cuff = np.concatenate([hem, (hem + (0, 30))[::-1]])
            figure.panel(cuff, tonal(w.cloth, 1.18, 1.18), within)
            figure.line(hem + (0, 30), tonal(w.cloth, 0.72, 1.2), 2.0, within)
        else:
            figure.dashes(hem + (0, 12), tonal(w.cloth, 0.75, 1.25), within)
        seam = np.stack([0.45 * front + 0.55 * back, level], 1) + (length, 0)
        figure.line(seam, tonal(w.cloth, 0.82, 1.12), 1.4, within)

    def _draw_skirt(self, figure: Picture, length: float) -> None:
        w = self.wearer
        level = np.array([w.hem - 2, TOP])
        front, back = self.skirt_edges(level)
        hem = spline([(back[0], w.hem + 3), (0.5 * (front[0] + back[0]), w.hem - 7), (front[0], w.hem + 3)])
        sides = np.stack([front, level], 1), np.stack([back, level], 1)[::-1]
        figure.fill(np.concatenate([*sides, hem]) + (length, 0), w.cloth, CLOTH)


def _foot(p: ShoeParameters, last: Last, upper: Upper, leg: Points) -> Points:
    """Foot and leg, closed: the foot fills the shoe and shows where the shoe is open. leg: of `_tube`."""
    t, h = p.vamp_length / geometry.REFERENCE_LENGTH, p.toe_height
    if p.style == "sandal":
        throat = t / 2
        u = np.array([0.06, 0.10, 0.16, 0.22, 0.28, 0.34])
        toes = np.stack([u, h * (0.22 + 0.86 * np.sin(np.pi / 2 * u / 0.40)) - 1.5], 1)
        instep = [
            (0.028, -1), (0.022, 0.20 * h), (0.034, 0.36 * h), *toes,
            (0.40, 1.2 * h + 3), (0.48 + throat / 2, 65), (0.555 + throat, 80),
        ]  # fmt: skip
    else:
        lip = upper.near[0] / (last.length, last.scale)
        inside = [(lip[0] - 0.06, lip[1] - 26), (lip[0] - 0.004, lip[1] - 2)]
        bare = [(0.42 + t / 2, max(49.0, lip[1] + 8)), (0.49 + t / 2, 60), (0.55 + t / 2, 76)]
        instep = inside + [point for point in bare if point[0] > lip[0] + 0.03 and point[1] > lip[1] + 1]
        if p.style == "sneaker":
            instep.append((max(lip[0] + 0.015, 0.585), 97))
    front = last.lift(last.place(instep))
    heel = [(0.905, 98), (0.935, 74), (0.955, 44), (0.957, 22), (0.945, 4), (0.92, -1)]
    back = last.lift(last.place(heel))
    # The instep bends into the shin.
    top = spline(np.concatenate([front, leg[:1] + (0, 2), leg[2:3]]))
    split = len(leg) // 2
    bend = spline(np.concatenate([leg[-2:], back]), 8)
    under = np.linspace(back[-1, 0], front[0, 0], 40)
    floor = np.stack([under, last.top_at(under) - 1], 1)
    return np.concatenate([top, leg[3:split], leg[split:-2], bend, floor])


def _draw_toes(figure: Picture, p: ShoeParameters, last: Last, w: Wearer, within: np.ndarray) -> None:
    """The big toe's nail, and lines between the toes."""
    h = p.toe_height

    def put(points: list[tuple[float, float]]) -> Points:
        return last.lift(spline(last.place(points), 4))

    nail = put(
        [
            (0.026, 0.20 * h),
            (0.032, 0.33 * h),
            (0.052, 0.44 * h),
            (0.054, 0.34 * h),
            (0.040, 0.20 * h),
            (0.026, 0.2 * h),
        ]
    )
    figure.panel(nail, w.polish, within)
    dark = shade(w.skin, 0.74)
    figure.line(put([(0.045, 0.05 * h), (0.075, 0.14 * h), (0.125, 0.10 * h)]), dark, 1.6, within)
    figure.line(
        put([(0.085, 0.38 * h), (0.10, 0.46 * h), (0.105, 0.54 * h)]), shade(w.skin, 0.86), 1.4, within
    )
