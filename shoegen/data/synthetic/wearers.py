"""Who wears a shoe and where: leg, clothes, ground, background, light and the picture's frame, apart from the shoe."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from shoegen.data.synthetic.parameters import PALETTE, Color

CLOTHING = ("bare", "socks", "tights", "skirt", "slim", "straight")
FLOORS = ("boards", "tiles", "carpet", "plain", "pavement", "asphalt", "sand", "grass")
WALLS = ("plain", "panels", "stripes", "bricks", "shapes", "bokeh", "foliage", "sky")
INDOORS = {
    "floor": ("boards", "tiles", "carpet", "plain"),
    "wall": ("plain", "panels", "stripes", "bricks", "shapes"),
}
OUTDOORS = {
    "floor": ("pavement", "asphalt", "sand", "grass"),
    "wall": ("bricks", "shapes", "bokeh", "foliage", "sky"),
}

SKINS: tuple[Color, ...] = (
    (246, 218, 198), (236, 199, 171), (222, 177, 145), (201, 150, 115),
    (173, 120, 87), (141, 93, 66), (108, 70, 50), (80, 52, 40),
)  # fmt: skip
CLOTHES: tuple[Color, ...] = (
    (50, 66, 100), (70, 92, 130), (118, 140, 170), (30, 31, 38), (64, 66, 72), (128, 130, 134),
    (196, 176, 142), (106, 106, 76), (36, 44, 74), (226, 222, 212), (92, 66, 48), (120, 46, 56),
)  # fmt: skip
TIGHTS: tuple[Color, ...] = (
    (26, 25, 28),
    (26, 25, 28),
    (62, 60, 64),
    (34, 40, 66),
    (74, 50, 40),
    (96, 34, 46),
)
SOCKS: tuple[Color, ...] = (
    (238, 237, 232), (238, 237, 232), (150, 152, 156), (40, 40, 44), (34, 44, 76), (160, 44, 48), (208, 164, 64),
)  # fmt: skip
FLOOR_COLORS: dict[str, tuple[Color, ...]] = {
    "boards": ((176, 132, 88), (140, 98, 62), (206, 172, 128), (104, 74, 52), (190, 180, 166)),
    "tiles": ((206, 202, 194), (170, 166, 160), (226, 224, 220), (150, 108, 84), (90, 92, 96)),
    "carpet": ((142, 132, 122), (118, 60, 58), (72, 84, 112), (188, 178, 160), (92, 104, 86)),
    "plain": ((214, 210, 204), (180, 180, 184), (232, 230, 226), (196, 172, 158), (150, 164, 176)),
    "pavement": ((168, 164, 158), (146, 144, 142), (186, 178, 166), (160, 132, 116)),
    "asphalt": ((96, 96, 98), (116, 114, 112), (78, 80, 84)),
    "sand": ((210, 188, 150), (194, 174, 142), (168, 142, 108)),
    "grass": ((96, 128, 60), (82, 112, 54), (124, 140, 74)),
}

# Inclusive ranges; millimetres unless said otherwise.
RANGES: dict[str, tuple[float, float]] = {
    "width": (375, 520),
    "ground_row": (0.84, 0.92),
    "tilt": (-6, 6),
    "ankle": (64, 76),
    "calf": (104, 122),
    "lean": (-0.03, 0.06),
    "edge": (15, 220),
    "light_angle": (-35, 35),
    "shadow": (0.3, 0.65),
}
REACH = 267.0  # what the longest shoe takes before its rear


@dataclass(frozen=True, kw_only=True)
class Wearer:
    """A leg with its clothes in a scene, side view, toe to the left; it stands at the same place in every shoe.

    Frame
        width: what the picture shows from left to right, 375–520 mm. heel: from its left side to the shoe's rear,
        mm. ground_row: 0.84–0.92 of its height. tilt: of the camera, −6° to 6°.

    Leg
        clothing: one of `CLOTHING`. skin, cloth, sock: sRGB colours. ankle, calf: their depths from front to back,
        64–76 and 104–122 mm. lean: mm towards the toe for each mm upwards, −0.03–0.06. hem: of trousers or skirt above
        the ground, mm. cuff: of the trousers when straight, their width there, mm. sock_top: above the ground, mm; 0
        without socks. details: whether the clothes have stitches and stripes. polish: of toe nails.

    Scene
        floor, wall: of `FLOORS` and `WALLS`. floor_color, wall_color, wall_accent: sRGB. edge: how high above the
        ground line the floor ends in the picture, 15–220 mm. eye, distance: of the camera above the ground and from
        the shoe, mm. blur: of what is behind, mm. light: (3,) factors of all colours. light_angle: degrees from
        overhead, −35 (from the toe) to 35. gradient: of the brightness across the picture. shadow: 0.3–0.65. noise: of
        the camera, in levels of 255. seed: of textures and grain.
    """

    width: float
    heel: float
    ground_row: float
    tilt: float
    clothing: str
    skin: Color
    cloth: Color
    sock: Color
    ankle: float
    calf: float
    lean: float
    hem: float
    cuff: float
    sock_top: float
    details: bool
    polish: Color
    floor: str
    wall: str
    floor_color: Color
    wall_color: Color
    wall_accent: Color
    edge: float
    eye: float
    distance: float
    blur: float
    light: tuple[float, float, float]
    light_angle: float
    gradient: tuple[float, float]
    shadow: float
    noise: float
    seed: int

    @property
    def trousers(self) -> bool:
        return self.clothing in ("slim", "straight")

    @property
    def metadata(self) -> dict[str, Any]:
        """What a person would say of it: clothing, floor, wall, and colours as #rrggbb."""
        named = {name: value for name, value in asdict(self).items() if isinstance(value, str)}
        colors = {
            name: getattr(self, name) for name in ("skin", "cloth", "sock", "floor_color", "wall_color")
        }
        return named | {name: "#{:02x}{:02x}{:02x}".format(*color) for name, color in colors.items()}

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Wearer:
        """A plausible wearer somewhere, indoors or outdoors."""
        drawn = {name: float(rng.uniform(*limits)) for name, limits in RANGES.items()}
        width = drawn["width"]
        # The shoe stays in the picture in whatever way it is tilted.
        heel = float(rng.uniform(REACH + 16, width - 34))
        place = INDOORS if rng.random() < 0.55 else OUTDOORS
        floor, wall = (str(rng.choice(place[name])) for name in ("floor", "wall"))
        clothing = str(rng.choice(CLOTHING, p=(0.2, 0.14, 0.1, 0.1, 0.22, 0.24)))
        # Socks end above the highest low shoe: their tops, too, are the same in every shoe.
        has_socks = clothing == "socks" or (clothing in ("slim", "straight") and rng.random() < 0.5)
        warm = rng.uniform(-1, 1)
        exposure = rng.uniform(0.84, 1.06)
        light = exposure * np.array([1 + 0.09 * warm, 1 + 0.01 * warm, 1 - 0.11 * warm])
        sky = wall in ("sky", "bokeh", "foliage")
        return cls(
            **drawn,
            heel=heel,
            clothing=clothing,
            skin=_vary(rng, SKINS, 5),
            cloth=_vary(rng, TIGHTS if clothing == "tights" else CLOTHES, 6),
            sock=_vary(rng, SOCKS, 5),
            hem=float(rng.uniform(*{"skirt": (255, 335), "slim": (150, 205)}.get(clothing, (128, 195)))),
            cuff=float(rng.uniform(112, 156)),
            sock_top=float(rng.uniform(245, 340)) if has_socks else 0.0,
            details=bool(rng.random() < 0.5),
            polish=PALETTE["red"] if rng.random() < 0.3 else (226, 190, 176),
            floor=floor,
            wall=wall,
            floor_color=_vary(rng, FLOOR_COLORS[floor], 8),
            wall_color=_wall_color(rng, wall),
            wall_accent=_wall_color(rng, wall),
            eye=drawn["edge"] + float(rng.uniform(150, 700)),
            distance=float(rng.uniform(1100, 2400)),
            blur=float(rng.uniform(4, 14) if sky or wall == "shapes" else rng.uniform(0, 3)),
            light=(float(light[0]), float(light[1]), float(light[2])),
            gradient=(float(rng.uniform(-0.16, 0.16)), float(rng.uniform(-0.04, 0.14))),
            noise=float(rng.uniform(0, 2.2)),
            seed=int(rng.integers(2**31)),
        )


def _vary(rng: np.random.Generator, colors: tuple[Color, ...], by: float) -> Color:
    picked = np.array(colors[rng.integers(len(colors))]) + rng.normal(0, by, 3)
    red, green, blue = np.clip(picked, 8, 250).astype(int).tolist()
    return red, green, blue


def _wall_color(rng: np.random.Generator, wall: str) -> Color:
    if wall == "sky":
        return _vary(rng, ((170, 198, 224), (200, 210, 218), (216, 206, 198)), 10)
    if wall == "foliage":
        return _vary(rng, ((84, 112, 62), (110, 132, 84), (60, 88, 54)), 10)
    if wall == "bricks":
        return _vary(rng, ((158, 84, 64), (178, 112, 84), (196, 186, 172), (120, 78, 66)), 8)
    pale = rng.random() < 0.6
    base = rng.uniform(150, 240) if pale else rng.uniform(60, 170)
    red, green, blue = np.clip(base + rng.normal(0, 10 if pale else 18, 3), 20, 248).astype(int).tolist()
    return red, green, blue
