"""What is around a worn shoe: the ground in perspective, what is behind it, and the grid that both are drawn on."""

from __future__ import annotations

import cv2
import numpy as np

from shoegen.data.synthetic.geometry import smoothstep
from shoegen.data.synthetic.parameters import Color
from shoegen.data.synthetic.scenes import Backgrounds
from shoegen.data.synthetic.wearers import Wearer

PIVOT = -125.0  # the middle of the shoe: the picture is tilted around it
TILE = 256  # side of a tile of noise


def world_grid(wearer: Wearer, side: int) -> tuple[np.ndarray, np.ndarray]:
    """(side, side) float32 each: millimetres behind the shoe's rear and above the ground, of each pixel's centre."""
    at = (np.arange(side, dtype=np.float32) + 0.5) * np.float32(wearer.width / side)
    x = at[None, :] - np.float32(wearer.heel + PIVOT)
    y = np.float32(wearer.ground_row * wearer.width) - at[:, None]
    angle = np.deg2rad(wearer.tilt)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return cos * x + sin * y + np.float32(PIVOT), cos * y - sin * x


def draw_surroundings(wearer: Wearer, resolution: int, backgrounds: Backgrounds | None = None) -> np.ndarray:
    """(R, R, 3) float32, 0–255, before light and shadow.

    With `backgrounds` the wall is a crop of a photograph, and half the time the ground, too.
    """
    rng = np.random.default_rng([wearer.seed, 1])
    fine = 2 if resolution <= 256 else 1
    side = resolution * fine
    x, y = world_grid(wearer, side)
    tile = Noise(rng)
    photo = None if backgrounds is None else backgrounds.crop(rng, side).astype(np.float32)
    wall = _wall(wearer, x, y, tile, rng) if photo is None else photo
    if wearer.blur * side / wearer.width > 0.4 and photo is None:
        wall = np.asarray(cv2.GaussianBlur(wall, (0, 0), wearer.blur * side / wearer.width))
    if photo is not None and rng.random() < 0.5:
        picture = photo
    else:
        step = wearer.width / side
        # A plain studio's floor turns into its wall without an edge.
        soft = 60.0 if wearer.floor == "plain" and wearer.wall == "plain" else step
        if wearer.floor == "grass":
            soft = 6.0
        share = np.clip(0.5 + (wearer.edge - y) / soft, 0, 1)[..., None]
        picture = wall + (_floor(wearer, x, y, tile, step) - wall) * share
    if fine > 1:
        picture = np.asarray(cv2.resize(picture, (resolution, resolution), interpolation=cv2.INTER_AREA))
    return np.clip(picture, 0, 255)


class Noise:
    """Smooth and rough noise of about unit deviation that goes on for ever; the same tile for all that is drawn."""

    def __init__(self, rng: np.random.Generator):
        self.tile = rng.standard_normal((TILE, TILE), dtype=np.float32)

    def __call__(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Noise at (H, W) places, one bump per unit."""
        column, row = (np.mod(each, TILE).astype(np.float32) for each in np.broadcast_arrays(x, y))
        values = cv2.remap(self.tile, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        return np.asarray(values) * np.float32(1.4)

    def cell(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """A value for each whole number of places."""
        rows, columns = (np.mod(np.floor(each), TILE).astype(np.int32) for each in (y, x))
        return self.tile[rows, columns]


def _color(color: Color) -> np.ndarray:
    return np.array(color, np.float32)


def _line(at: np.ndarray, every: float, wide: float, footprint: np.ndarray | float) -> np.ndarray:
    """How much of each pixel is covered by lines `wide` mm wide, `every` mm apart; footprint: mm a pixel."""
    off = np.abs(np.mod(at + every / 2, every) - every / 2)
    reach = np.maximum(footprint, wide)
    return np.clip((reach - off) / reach, 0, 1) * np.minimum(wide / np.maximum(footprint, 1e-3), 1)


def _floor(wearer: Wearer, x: np.ndarray, y: np.ndarray, noise: Noise, step: float) -> np.ndarray:
    """(H, W, 3): the ground in perspective; step: mm of the picture's plane per pixel."""
    below = np.minimum(y, wearer.edge)
    near = (wearer.eye - below) / np.float32(wearer.eye)  # how large things look there, 1 at the shoe
    across, depth = (x + 120) / near, wearer.distance * (1 / near - 1)
    along = step / near  # mm a pixel, sideways
    deep = step * wearer.distance / (wearer.eye * near * near)  # and in depth

    def grain(size: float, stretch: float = 1.0) -> np.ndarray:
        # What is finer than a pixel averages out.
        fade = 1 / (1 + (np.maximum(along / stretch, deep / 2) / size) ** 2)
        return noise(across / (size * stretch), depth / size) * fade

    color = _color(wearer.floor_color)
    if wearer.floor == "boards":
        row = np.floor(depth / 110)
        shift = across + 700 * np.mod(row * 0.618, 1) * 2
        tone = 1 + 0.07 * noise.cell(shift / 1200, row) + 0.05 * grain(5, 22) + 0.03 * grain(14, 12)
        seams = np.maximum(_line(depth, 110, 2.5, deep), _line(shift, 1200, 2.0, along))
        tone = tone * (1 - 0.45 * seams)
    elif wearer.floor == "tiles":
        size = 240.0 if wearer.details else 330.0
        tone = 1 + 0.03 * noise.cell(across / size, depth / size) + 0.025 * grain(60) + 0.02 * grain(8)
        if wearer.eye % 2 < 0.7:  # a chequerboard
            tone = tone * np.where(np.mod(np.floor(across / size) + np.floor(depth / size), 2) > 0, 1, 0.62)
        joints = np.maximum(_line(depth, size, 5, deep), _line(across, size, 5, along))
        tone = tone * (1 - 0.25 * joints)
    elif wearer.floor == "carpet":
        tone = 1 + 0.10 * grain(5) + 0.05 * grain(14)
        if wearer.details:
            tone = (
                tone
                * (1 - 0.22 * (np.mod(depth, 180) < 60))
                * (1 + 0.08 * np.sin(across / 22) * np.sin(depth / 22))
            )
    elif wearer.floor == "pavement":
        tone = 1 + 0.08 * grain(4) + 0.05 * grain(40) + 0.04 * noise.cell(across / 500, depth / 380)
        joints = np.maximum(
            _line(depth, 380, 9, deep), _line(across + 250 * np.mod(np.floor(depth / 380), 2), 500, 9, along)
        )
        tone = tone * (1 - 0.4 * joints)
    elif wearer.floor == "asphalt":
        tone = 1 + 0.16 * grain(5) + 0.05 * grain(70)
    elif wearer.floor == "sand":
        tone = 1 + 0.07 * grain(4) + 0.06 * grain(45, 2.5)
    elif wearer.floor == "grass":
        blades = noise(x / 3 / near, y / 26) / (1 + (along / 3) ** 2)
        tone = 1 + 0.17 * blades + 0.10 * grain(30) + 0.08 * noise(x / 9, y / 40)
    else:
        tone = 1 + 0.012 * grain(40)
    picture = color * tone[..., None]
    if wearer.floor == "grass":
        picture = picture * (1 + np.array([0.07, 0.02, -0.03], np.float32) * noise(x / 14, y / 30)[..., None])
    # Farther off, it is a little paler.
    haze = np.clip(below / 900, 0, 0.2)[..., None]
    lit: np.ndarray = picture + (200 - picture) * haze
    return lit


def _wall(wearer: Wearer, x: np.ndarray, y: np.ndarray, noise: Noise, rng: np.random.Generator) -> np.ndarray:
    """(H, W, 3): what is behind the ground's far edge."""
    far = (wearer.eye - wearer.edge) / wearer.eye
    across, up = x / far, (y - wearer.edge) / far
    step = wearer.width / len(x) / far
    color, accent = _color(wearer.wall_color), _color(wearer.wall_accent)
    flat = np.ones_like(x)[..., None]
    if wearer.wall == "bricks":
        row = np.floor(up / 75)
        shift = across + 112 * np.mod(row, 2)
        tone = 1 + 0.09 * noise.cell(shift / 225, row) + 0.06 * noise(across / 6, up / 6)
        joints = np.maximum(_line(up, 75, 6, step), _line(shift, 225, 6, step))[..., None]
        return color * tone[..., None] * (1 - joints) + np.float32(190) * joints
    if wearer.wall == "stripes":
        every = 60.0 + wearer.ankle
        stripe = np.clip(0.5 + (0.25 - np.abs(np.mod(across / every, 1) - 0.5)) * every / step, 0, 1)[
            ..., None
        ]
        picture = color + (0.5 * color + 0.5 * accent - color) * stripe
    elif wearer.wall == "panels":
        board = np.abs(np.mod(across, 420) - 210)
        rim = np.clip((18 - np.abs(board - 150)) / 9, 0, 1) * (up > 150)
        picture = color * (1 - 0.10 * rim + 0.06 * np.clip((8 - np.abs(board - 140)) / 8, 0, 1))[..., None]
    elif wearer.wall == "sky":
        picture = (
            color * flat + (np.array([236, 236, 234], np.float32) - color) * smoothstep(0, 400, up)[..., None]
        )
        skyline = (
            60
            + 90 * noise.cell(across / 130 + 7, np.zeros_like(across))
            + 40 * noise.cell(across / 50, flat[..., 0])
        )
        built = np.clip(0.5 + (np.clip(skyline, 20, 320) - up) / 6, 0, 1)[..., None]
        picture = picture + (0.55 * accent + 30 - picture) * built
    elif wearer.wall == "foliage":
        tone = 1 + 0.18 * noise(across / 60, up / 50) + 0.18 * noise(across / 22, up / 20)
        picture = (
            color * np.maximum(tone, 0.5)[..., None]
            + 30 * smoothstep(0.8, 2.2, noise(across / 34, up / 34))[..., None]
        )
    else:
        picture = color * (1 + 0.02 * noise(across / 90, up / 90))[..., None]
        picture = picture * (1 - 0.12 * smoothstep(0, 700, up))[..., None]
    if wearer.wall in ("shapes", "bokeh"):
        picture = _shapes(wearer, picture, rng)
    elif wearer.wall in ("plain", "panels", "stripes") and wearer.details and wearer.floor != "plain":
        skirting = (np.clip(0.5 + (90 - up) / step, 0, 1) * (1 - 0.3 * _line(up - 90, 1e6, 6, step)))[
            ..., None
        ]
        picture = picture + (np.float32(226) - picture) * 0.8 * skirting
    return picture.astype(np.float32)


def _shapes(wearer: Wearer, picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Furniture, doors and passers-by as what a blur leaves of them, or spots of light."""
    side = len(picture)
    picture = np.ascontiguousarray(picture, np.float32)
    accent = _color(wearer.wall_accent)
    floor = side * (wearer.ground_row - wearer.edge / wearer.width)
    for _ in range(rng.integers(4, 9)):
        tone = np.clip(accent * rng.uniform(0.4, 1.3) + rng.normal(0, 15, 3), 10, 250).tolist()
        left, wide = rng.uniform(-0.1, 1) * side, rng.uniform(0.06, 0.34) * side
        if wearer.wall == "bokeh":
            centre = round(left), round(rng.uniform(0, max(floor, 1)))
            glow = picture.copy()
            cv2.circle(
                glow,
                centre,
                max(2, round(0.35 * wide)),
                [min(255.0, 1.25 * v + 40) for v in tone],
                -1,
                cv2.LINE_AA,
            )
            picture = 0.5 * (picture + glow)
        else:
            top = rng.uniform(-0.2, 0.9) * floor
            corners = (round(left), round(top)), (round(left + wide), round(floor + 4))
            cv2.rectangle(picture, *corners, tone, -1)
    return picture
