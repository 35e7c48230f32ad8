"""The shoe's outlines in side view: x from the toe tip to the rear, y up from the ground, in millimetres."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from shoegen.data.synthetic.parameters import ShoeParameters

BALL = 0.33  # where the foot's ball stands, as a share of the shoe's length from the toe tip
SEAT = 0.76  # where the heel seat begins
REFERENCE_LENGTH = 250.0  # the upper's heights are given for a shoe of this length

Points = np.ndarray  # (n, 2) float64


def smoothstep(low: float, high: float, x: np.ndarray) -> np.ndarray:
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def spline(points: ArrayLike, samples: int = 10) -> Points:
    """Centripetal Catmull-Rom spline through `points`: no loops, however uneven they lie."""
    p = np.asarray(points, float)
    chord = np.sqrt(np.maximum(np.hypot(*np.diff(p, axis=0).T), 1e-6))[:, None]
    slope = np.diff(p, axis=0) / chord
    inner = (slope[:-1] * chord[1:] + slope[1:] * chord[:-1]) / (chord[:-1] + chord[1:])
    tangent = np.concatenate([slope[:1], inner, slope[-1:]])
    t = np.linspace(0, 1, samples, endpoint=False)[None, :, None]
    a, b = p[:-1, None], p[1:, None]
    ma, mb = (tangent[:-1] * chord)[:, None], (tangent[1:] * chord)[:, None]
    curve = a + t * ma + t**2 * (3 * (b - a) - 2 * ma - mb) + t**3 * (2 * (a - b) + ma + mb)
    return np.concatenate([curve.reshape(-1, 2), p[-1:]])


def band(curve: Points, width: float | np.ndarray) -> Points:
    """The closed outline of a strip of `width` mm to the right of a curve's direction of travel."""
    step = np.gradient(curve, axis=0)
    normal = np.stack([step[:, 1], -step[:, 0]], 1) / np.maximum(np.hypot(*step.T), 1e-9)[:, None]
    return np.concatenate([curve, (curve + normal * np.reshape(width, (-1, 1)))[::-1]])


def part_of(curve: Points, start: float, stop: float, samples: int = 24) -> Points:
    """The piece of a polyline between two shares of its length."""
    along = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(curve, axis=0).T))])
    at = np.linspace(start, stop, samples) * along[-1]
    return np.stack([np.interp(at, along, curve[:, 0]), np.interp(at, along, curve[:, 1])], 1)


def along_sides(polygon: Points, samples: int = 12) -> Points:
    """A polygon with points along its sides, for a lift that bends them."""
    closed = np.concatenate([polygon, polygon[:1]])
    t = np.linspace(0, 1, samples, endpoint=False)[None, :, None]
    return (closed[:-1, None] * (1 - t) + closed[1:, None] * t).reshape(-1, 2)


class Last:
    """The foot's frame of a shoe: the sole's two edges, and how a heel lifts everything above them.

    x, bottom, top: (161,) the sole's edges; at the rear, bottom is the heel's height.
    """

    def __init__(self, p: ShoeParameters):
        self.length = length = p.shoe_length
        self.scale = length / REFERENCE_LENGTH
        self.x = x = np.linspace(0, length, 161)
        # The bottom of the sole: toe spring, flat under the ball, S-shaped arch, slightly pitched heel seat.
        pitch = 0.36 * p.heel_height / length
        ball, seat = BALL * length, SEAT * length
        top = p.heel_height - pitch * (length - seat)
        t = np.clip((x - ball) / (seat - ball), 0, 1)
        arch = top * t * t * (3 - 2 * t) + pitch * (seat - ball) * t * t * (t - 1)
        spring = p.toe_spring * np.clip(1 - x / (0.2 * length), 0, 1) ** 2
        self.bottom = spring + arch + pitch * np.maximum(x - seat, 0)
        # A platform is under the ball; of it, the rear has what the heel lacks.
        rear = smoothstep(ball, seat, x)
        self.top = self.bottom + p.sole_thickness + p.platform_height * (1 - rear)
        self.top += max(p.platform_height - p.heel_height, 0) * rear
        self.seat_top = float(self.top[-1])

    def bottom_at(self, x: np.ndarray | float) -> np.ndarray:
        return np.asarray(np.interp(x, self.x, self.bottom))

    def top_at(self, x: np.ndarray | float) -> np.ndarray:
        return np.asarray(np.interp(x, self.x, self.top))

    def place(self, points: ArrayLike) -> Points:
        """(share of length, mm above the sole) → millimetres in the foot's frame, not lifted yet."""
        return np.asarray(points, float) * (self.length, self.scale)

    def lift(self, points: Points) -> Points:
        """From the foot's frame to the world.

        Low points ride on the sole below them. High ones behind the instep belong to the ankle and the leg,
        which stay upright and rise with the heel seat as a whole.
        """
        x, y = points[:, 0], points[:, 1]
        upright = smoothstep(30, 100, y) * smoothstep(0.28 * self.length, 0.56 * self.length, x)
        ground = self.top_at(x)
        return np.stack([x, y + ground + upright * (self.seat_top - ground)], 1)

    def sole(self) -> Points:
        """Closed outline of the sole, rounded at both ends."""
        turn = np.linspace(-np.pi / 2, np.pi / 2, 9)

        def end(x: float, low: float, high: float, side: int) -> Points:
            reach = min(0.45 * (high - low), 6)
            arc = x - side * reach * (1 - np.cos(turn)), (low + high) / 2 + (high - low) / 2 * np.sin(turn)
            return np.stack(arc, 1)

        rear = end(self.length, self.bottom[-1], self.top[-1], side=1)
        toe = end(0, self.bottom[0], self.top[0], side=-1)
        inner = (self.x > toe[:, 0].max()) & (self.x < rear[:, 0].min())
        low, high = (np.stack([self.x, y], 1)[inner] for y in (self.bottom, self.top))
        return np.concatenate([low, rear, high[::-1], toe[::-1]])


def heel(p: ShoeParameters, last: Last) -> Points | None:
    """Closed outline of the heel part, from the sole's bottom to the ground; None where there is no heel.

    A wedge is everything between sole and ground, from `heel_width` before the rear on.
    """
    if p.heel_height <= 0:
        return None
    length = p.shoe_length
    if p.heel_shape == "wedge":
        x = np.linspace(length - p.heel_width - 4, length, 48)
        back = spline([(length, p.heel_height), (length - 1, 0.5 * p.heel_height), (length - 4, 0)], 6)
        return np.concatenate([np.stack([x, last.bottom_at(x)], 1), back, [(x[0], 0.0)]])

    # From the seat (s = 0) to the ground (s = 1): how the width tapers, and how far the back edge moves in.
    s = np.linspace(0, 1, 20)
    seat_width, taper, inset = {
        "stiletto": (50.0, (1 - s) ** 2.6, 2 + 15 * np.sin(np.pi / 2 * s) ** 1.2),
        "kitten": (48.0, (1 - s) ** 2.0, 2 + 21 * np.sin(np.pi / 2 * s)),
        "cone": (58.0, (1 - s) ** 1.1, 2 + 12 * s),
        "block": (1.08 * p.heel_width, 1 - s, 3 + 3 * s),
        "stacked": (1.08 * p.heel_width, (1 - s) ** 1.5, 3 + 5 * s),
    }[p.heel_shape]
    back = length - inset
    front = back - p.heel_width - max(seat_width - p.heel_width, 0) * taper
    top = np.linspace(front[0], back[0], 16)
    sides = [np.stack([x, last.bottom_at(x[0]) * (1 - s)], 1) for x in (back, front)]
    return np.concatenate([np.stack([top, last.bottom_at(top)], 1), sides[0], sides[1][::-1]])


def ankle_seam(last: Last) -> Points:
    """Where the foot ends and the leg begins: from the bend of the ankle down to the back (not lifted)."""
    return spline(last.place([(0.36, 86), (0.48, 75), (0.60, 66), (0.80, 59), (1.05, 56)]))


class Upper:
    """Outlines of the upper in the foot's frame (mm, not lifted).

    vamp: from the toe to the throat; near, far: the two toplines, throat to back; back: up the rear;
    outline: the near wall, closed; opening: what shows of the inside between the toplines, closed.
    """

    def __init__(self, p: ShoeParameters, last: Last):
        # Points are (share of the length, mm above the sole); `t` moves the throat, `up` raises the back.
        t, up, h = p.vamp_length / REFERENCE_LENGTH, p.counter_height, p.toe_height
        if p.is_boot:
            top = p.shaft_height / last.scale
            flare = 0.02 * (top - 88) / 57
            front, rear = (0.530 - flare, top + 1), (0.966 + flare, top)
            vamp = [(0.31, 0.5 * h + 31), (0.40 + t / 2, 72), (0.50 + t / 2, min(96, 0.95 * top))]
            if top > 104:
                vamp.append((0.532 - flare / 2, 43 + 0.55 * top))
            vamp.append(front)
            back = [(0.984, 0), (0.994, 22), (0.975, 58), (0.962, 80), rear]
            rim = np.array([(0.56, 3.5), (0.65, 6), (0.84, 6), (0.94, 3.5)])
            near = [front, *((0, top) + rim * (1, -1)), rear]
            far = [front, *((0, top) + rim), rear]
        elif p.style == "sneaker":
            lip, rear = (0.572 + t, 85.0), (0.962, 70 + up)
            vamp = [(0.30, 0.5 * h + 31), (0.37 + t / 2, 59), (0.46 + t, 74), (0.535 + t, 87), lip]
            back = [(0.982, 0), (0.990, 20), (0.972, 46), (0.981, 62 + up), rear]
            near = [lip, (0.615 + t, 68), (0.71, 52 + 0.3 * up), (0.84, 54 + up / 2), (0.92, 65 + up), rear]
            far = [lip, (0.65 + t, 76), (0.74, 67), (0.85, 67 + up / 2), (0.92, 73 + up), rear]
        elif p.style == "loafer":
            lip, rear = (0.44 + t, 69.0), (0.966, 62 + up)
            vamp = [(0.30, 0.5 * h + 32), (0.37 + t / 2, 60), lip]
            back = [(0.984, 0), (0.992, 20), (0.976, 45), rear]
            near = [lip, (0.485 + t, 54), (0.60, 45), (0.76, 45 + 0.4 * up), (0.90, 55 + up), rear]
            far = [lip, (0.52 + t, 62), (0.64, 56), (0.78, 57 + 0.4 * up), (0.90, 63 + up), rear]
        else:
            lip, rear = (0.335 + t / 2, h + 8), (0.968, 58 + up)
            vamp = [lip]
            back = [(0.984, 0), (0.993, 20), (0.979, 42), rear]
            sides = np.array([(0.38 + t / 2, h - 1), (0.48 + t / 2, 26), (0.63, 24), (0.80, 36 + up / 2)])
            near = [lip, *sides, (0.91, 53 + up), rear]
            far = [lip, *(sides + [(0.03, 5), (0.03, 14), (0.02, 16), (0, 14)]), (0.91, 60 + up), rear]

        self.vamp = spline(last.place([*_toe(p), *vamp]), 6)
        self.back = spline(last.place(back), 8)
        self.near = spline(last.place(near), 10)
        self.far = spline(last.place(far), 10)
        # Tucked 2 mm into the sole, so that no gap shows between them.
        feather = np.linspace(self.back[0, 0], self.vamp[0, 0], 40)
        tucked = np.stack([feather, np.full_like(feather, -2)], 1)
        self.outline = np.concatenate([self.vamp, self.near, self.back[::-1], tucked])
        self.opening = np.concatenate([self.near, self.far[::-1]])


def _toe(p: ShoeParameters) -> Points:
    """The toe box: a quarter of a superellipse on a slight slope; (share of length, mm above the sole)."""
    s = 1 - np.cos(np.linspace(0, np.pi / 2, 14))
    round_part = (1 - (1 - s) ** p.toe_roundness) ** (1 / p.toe_roundness)
    start, end = 0.012, p.toe_length / p.shoe_length
    return np.stack([start + (end - start) * s, p.toe_height * (0.86 * round_part + 0.14 * s)], 1)
