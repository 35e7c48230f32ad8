"""Colours as the eye compares them: CIELAB, and the difference CIEDE2000 between two. Loads no torch."""

from __future__ import annotations

import numpy as np

# Linear sRGB (IEC 61966-2-1) → CIE XYZ, in rows; white, the sum of each row, is D65 for the 2° observer.
_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
_TO_XYZ = (_XYZ / _XYZ.sum(1, keepdims=True)).T  # in shares of white, so that greys have no chroma

_LEVELS = np.arange(256) / 255
_LINEAR = np.where(_LEVELS <= 0.04045, _LEVELS / 12.92, ((_LEVELS + 0.055) / 1.055) ** 2.4)


HALF_TURN = (
    180 + 1e-9
)  # degrees: the hues of opposite colours are no farther apart, whatever their last digits


def to_lab(pixels: np.ndarray) -> np.ndarray:
    """sRGB → CIELAB under D65.

    Args:
        pixels: (…, 3) uint8.

    Returns:
        (…, 3) float64: L* from 0 to 100, a* and b*.
    """
    assert pixels.dtype == np.uint8
    xyz = _LINEAR[pixels] @ _TO_XYZ
    cubic, straight = np.cbrt(xyz), xyz * (29 / 6) ** 2 / 3 + 4 / 29
    x, y, z = np.moveaxis(np.where(xyz > (6 / 29) ** 3, cubic, straight), -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def to_srgb(lab: np.ndarray) -> np.ndarray:
    """The inverse of `to_lab`, without rounding; colours that sRGB does not have are clipped.

    Args:
        lab: (…, 3) CIELAB.

    Returns:
        (…, 3) float64, 0 to 255.
    """
    light, a, b = np.moveaxis(np.asarray(lab, float), -1, 0)
    y = (light + 16) / 116
    steps = np.stack([y + a / 500, y, y - b / 200], -1)
    xyz = np.where(steps > 6 / 29, steps**3, 3 * (6 / 29) ** 2 * (steps - 4 / 29))
    linear = np.clip(xyz @ np.linalg.inv(_TO_XYZ), 0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def delta_e(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """How far apart the eye sees colours: CIEDE2000, where about 1 is just seen and 100 is black beside white.

    Args:
        one, other: (…, 3) uint8 sRGB, of shapes that broadcast.

    Returns:
        (…) float64.
    """
    return ciede2000(to_lab(one), to_lab(other))


def ciede2000(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """CIEDE2000 between colours in CIELAB, with all parametric weights 1.

    The equations are those of Sharma, Wu and Dalal, "The CIEDE2000 color-difference formula: implementation notes,
    supplementary test data, and mathematical observations" (2005); their numbers are in the comments.

    Args:
        one, other: (…, 3) CIELAB, of shapes that broadcast.

    Returns:
        (…) float64.
    """
    (l1, a1, b1), (l2, a2, b2) = (np.moveaxis(np.asarray(each, float), -1, 0) for each in (one, other))
    # Chroma and hue, greys stretched along a* (2–7).
    chroma7 = ((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2) ** 7
    stretch = 1 + 0.5 * (1 - np.sqrt(chroma7 / (chroma7 + 25.0**7)))
    a1, a2 = a1 * stretch, a2 * stretch
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = (np.degrees(np.arctan2(b, a)) % 360 for a, b in ((a1, b1), (a2, b2)))
    # Differences and means, hues along the shorter way around; a grey has none (8–14).
    grey = c1 * c2 == 0
    around = h2 - h1
    around = np.where(np.abs(around) > HALF_TURN, around - np.copysign(360, around), around)
    hue_step = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(np.where(grey, 0, around)) / 2)
    hue = np.where(grey, h1 + h2, (h1 + around / 2) % 360)
    light, chroma = (l1 + l2) / 2, (c1 + c2) / 2

    def cos(factor: float, offset: float) -> np.ndarray:
        return np.cos(np.radians(factor * hue + offset))

    # Weights and the rotation of blues (15–22).
    t = 1 - 0.17 * cos(1, -30) + 0.24 * cos(2, 0) + 0.32 * cos(3, 6) - 0.20 * cos(4, -63)
    weight_l = 1 + 0.015 * (light - 50) ** 2 / np.sqrt(20 + (light - 50) ** 2)
    weight_c, weight_h = 1 + 0.045 * chroma, 1 + 0.015 * chroma * t
    rotation = -2 * np.sqrt(chroma**7 / (chroma**7 + 25.0**7))
    rotation = rotation * np.sin(np.radians(60 * np.exp(-(((hue - 275) / 25) ** 2))))
    dl, dc, dh = (l2 - l1) / weight_l, (c2 - c1) / weight_c, hue_step / weight_h
    difference: np.ndarray = np.sqrt(np.maximum(dl**2 + dc**2 + dh**2 + rotation * dc * dh, 0))
    return difference
