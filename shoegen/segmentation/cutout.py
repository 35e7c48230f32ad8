"""Shoes cut out of their pictures: a soft edge, and colours without what was behind.

A segmenter's probabilities are coarse; they become an alpha at the picture's own resolution by a guided filter (He,
Sun and Tang 2013), and the colours along the edge are freed of the old background by blur fusion (Forte 2021).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from shoegen.data.images import encode_png, read_image
from shoegen.errors import ConfigError, DataError
from shoegen.segmentation.cascade import check_stage, focus
from shoegen.segmentation.grabcut import LONGEST_SIDE, Box, check_box, check_mask, grabcut
from shoegen.segmentation.loading import AnySegmenter, load_segmenter
from shoegen.segmentation.silhouette import find, grain_of, tidy

METHODS = ("segmenter", "grabcut", "cascade")
LEAST_AREA = 0.0005  # of the picture: less is no shoe
GUIDE_SIDE = 1024  # longest side at which the guided filter's coefficients are found
GUIDE_EPSILON = 1e-4  # of colours in [0, 1]: how strong an edge has to be
RADIUS = 2  # of the guided filter's windows, in pixels of what the network saw
SHARPNESS = 3.0  # of alpha across an edge, which the filter smears
COLOR_REACH = 0.15  # of the shoe's longer side: from where colours of the edge are taken at first
CROP_MARGIN = 0.03  # of the shoe's longer side


@dataclass(frozen=True, eq=False)
class Cutout:
    """A shoe without its background, which a notebook shows.

    rgba: (H, W, 4) uint8, colours not multiplied by alpha.
    """

    rgba: np.ndarray

    @property
    def alpha(self) -> np.ndarray:
        """(H, W) uint8, 255 where the shoe hides all that is behind."""
        return self.rgba[..., 3]

    @cached_property
    def mask(self) -> np.ndarray:
        """(H, W) bool: where the shoe covers half a pixel or more."""
        mask: np.ndarray = self.alpha >= 128
        return mask

    def over(self, color: tuple[int, int, int]) -> np.ndarray:
        """(H, W, 3) uint8: before a background of one colour, 0–255."""
        alpha = self.alpha[..., None].astype(np.float32) / 255
        mixed = alpha * self.rgba[..., :3] + (1 - alpha) * np.array(color, np.float32)
        return np.rint(mixed).astype(np.uint8)

    def feathered(self, pixels: float) -> Cutout:
        """With an edge that fades over about so many pixels more, in the colours of the shoe near by."""
        if pixels <= 0:
            return self
        alpha = self.alpha[..., None].astype(np.float32) / 255

        def blur(x: np.ndarray) -> np.ndarray:
            return np.atleast_3d(cv2.GaussianBlur(x, (0, 0), pixels / 2))

        soft = blur(alpha)
        spread = blur(self.rgba[..., :3] * alpha) / np.maximum(soft, 1e-6)
        colors = np.where(alpha > 0, self.rgba[..., :3], np.rint(spread).clip(0, 255))
        return replace(self, rgba=np.dstack([colors, np.rint(255 * soft)]).astype(np.uint8))

    def cropped(self, margin: float = CROP_MARGIN) -> Cutout:
        """The part of the picture with the shoe, and `margin` of its longer side around it."""
        rows, columns = np.flatnonzero(self.alpha.any(1)), np.flatnonzero(self.alpha.any(0))
        if not rows.size:
            return self
        room = round(margin * max(np.ptp(rows), np.ptp(columns)))
        box = tuple(slice(max(0, each[0] - room), each[-1] + room + 1) for each in (rows, columns))
        return replace(self, rgba=self.rgba[box].copy())

    def _repr_png_(self) -> bytes:
        return encode_png(self.rgba)


def cutout(
    image: np.ndarray | str | Path,
    *,
    method: str = "segmenter",
    model: AnySegmenter | str | Path = "default",
    second: AnySegmenter | str | Path | None = None,
    box: Box | None = None,
    mask: np.ndarray | None = None,
    feather: float = 0.0,
    crop: bool = False,
) -> Cutout:
    """Cuts the shoes out of one picture.

        shoegen.cutout("photo.jpg", method="grabcut", box=(40, 90, 300, 200))

    For many pictures load the networks once, as `shoegen.load_segmenter(path)`.

    Args:
        image: (H, W, 3) uint8, or a file.
        method: "segmenter": a network's probabilities; "grabcut": colours, from a box, a mask or the network's
            probabilities; "cascade": a second network looks again at what the first found.
        model: a segmenter, its file or run folder; all of its classes but the first are cut out.
        second: the same for the second network of a cascade.
        box: (x, y, width, height) around the shoe, mask: (H, W), see `as_mask`: where GrabCut starts.
        feather: pixels over which the edge fades besides.
        crop: leave out what is empty around the shoe.

    Raises:
        ConfigError: an argument that the method does not take, a box or mask that does not fit the picture.
        DataError: the picture cannot be read, or no shoe is found in it.
        FileFormatError: a model that is none.
    """
    check_method(method, second=second is not None, box=box is not None, mask=mask is not None)
    if not 0 <= feather < 1000:
        raise ConfigError(f"feather: got {feather}, expected 0 to 1000 pixels")
    pixels = read_image(image) if isinstance(image, str | Path) else image
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
        raise DataError(f"got an array {pixels.shape} of {pixels.dtype}, expected uint8 (H, W, 3)")
    size = (pixels.shape[0], pixels.shape[1])
    if box is not None:
        check_box(box, size)
    if mask is not None:
        mask = check_mask(mask, size)

    # Where the shoe is, and how coarse that is known.
    grain = 1.0
    probability = np.zeros(size, np.float32)
    if box is None and mask is None:
        first = _loaded(model)
        check_stage(first, "--model", second=False)
        probability, grain = find(first, pixels), grain_of(first, size)
    if method == "grabcut":
        start = {"box": box, "mask": mask} if box or mask is not None else {"probability": probability}
        probability = tidy(grabcut(pixels, **start).astype(np.float32), 1.0)
        grain = max(1.0, max(size) / LONGEST_SIDE)
    elif method == "cascade":
        assert second is not None
        other = _loaded(second)
        check_stage(other, "--second", second=True)
        seen = focus(pixels, probability >= 0.5)
        probability = seen.put_back(find(other, seen.image))
        grain = grain_of(other, seen.image.shape[:2])
    if np.count_nonzero(probability >= 0.5) < max(1.0, LEAST_AREA * probability.size):
        raise DataError("no shoe was found; show more of it, or mark it with --method grabcut and --box")
    alpha = refine(pixels, probability, grain)
    colors = decontaminate(pixels, alpha)
    made = Cutout(np.dstack([colors, np.rint(alpha * 255).astype(np.uint8)])).feathered(feather)
    return made.cropped() if crop else made


def check_method(method: str, *, second: bool, box: bool, mask: bool) -> None:
    """Whether a method is known, and has what it needs and nothing else.

    Raises:
        ConfigError: says which option to change.
    """
    if method not in METHODS:
        raise ConfigError(f"--method: got {method!r}, expected {', '.join(METHODS)}")
    if second != (method == "cascade"):
        raise ConfigError(
            "--second is for --method cascade; leave it out"
            if second
            else "--method cascade needs the second network: --second MODEL, trained with --after the first"
        )
    if (box or mask) and method != "grabcut":
        raise ConfigError("--box and --mask are starts of GrabCut; add --method grabcut")
    if box and mask:
        raise ConfigError("--box and --mask: got both, expected one")


def _loaded(model: AnySegmenter | str | Path) -> AnySegmenter:
    return load_segmenter(model) if isinstance(model, str | Path) else model


def refine(image: np.ndarray, probability: np.ndarray, grain: float) -> np.ndarray:
    """(H, W) float32 alpha, 0–1, whose edge follows the picture's within a few pixels of the probability's.

    image: (H, W, 3) uint8. probability: (H, W). grain: how many pixels wide a pixel of its source is.
    """
    inside = (probability >= 0.5).astype(np.uint8)
    radius = max(2, round(RADIUS * grain))
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, 5)
    distance = cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5)
    near = (depth < 1.5 * radius) & (distance < 1.5 * radius)
    guided = guided_filter(image, probability, radius)
    sharper = np.clip(SHARPNESS * (guided - 0.5) + 0.5, 0, 1)
    alpha: np.ndarray = np.where(near, sharper, inside).astype(np.float32)
    return alpha


def guided_filter(image: np.ndarray, values: np.ndarray, radius: int) -> np.ndarray:
    """The guided filter with a colour picture as guide: He, Sun and Tang 2013, eqs. 14–16.

    In every window the values become a linear function of the colours. The functions of a large picture are found on
    a smaller one (He and Sun 2015).

    image: (H, W, 3) uint8. values: (H, W) float32. radius: of the windows, in pixels. Returns (H, W) float32.
    """
    height, width = values.shape
    factor = min(1.0, GUIDE_SIDE / max(height, width))
    small = (max(1, round(width * factor)), max(1, round(height * factor)))
    side = 2 * max(1, round(radius * factor)) + 1

    def mean(x: np.ndarray) -> np.ndarray:
        return cv2.blur(x, (side, side), borderType=cv2.BORDER_REFLECT)

    guide = cv2.resize(image, small, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    p = cv2.resize(values.astype(np.float32), small, interpolation=cv2.INTER_AREA)
    mean_i, mean_p = mean(guide), mean(p)
    covariance = mean(guide * p[..., None]) - mean_i * mean_p[..., None]  # h, w, 3
    products = mean((guide[..., :, None] * guide[..., None, :]).reshape(*p.shape, 9))
    variance = products.reshape(*p.shape, 3, 3) - mean_i[..., :, None] * mean_i[..., None, :]
    variance += GUIDE_EPSILON * np.eye(3, dtype=np.float32)
    a = np.linalg.solve(variance, covariance[..., None])[..., 0]
    b = mean_p - (a * mean_i).sum(2)
    mean_a, mean_b = mean(a), mean(b)
    if factor < 1:
        mean_a, mean_b = (
            cv2.resize(x, (width, height), interpolation=cv2.INTER_LINEAR) for x in (mean_a, mean_b)
        )
    filtered: np.ndarray = (mean_a * (image.astype(np.float32) / 255)).sum(2) + mean_b
    return filtered


def decontaminate(image: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """The shoe's own colours where its edge lets the background through: blur fusion, Forte 2021.

    image: (H, W, 3) uint8. alpha: (H, W), 0–1. Returns (H, W, 3) uint8; black well outside of the shoe.
    """
    rows, columns = np.flatnonzero((alpha > 0).any(1)), np.flatnonzero((alpha > 0).any(0))
    colors = np.zeros_like(image)
    if not rows.size:
        return colors
    reach = max(6, round(COLOR_REACH * max(np.ptp(rows), np.ptp(columns))))
    box = tuple(slice(max(0, each[0] - reach), each[-1] + reach + 1) for each in (rows, columns))
    picture = image[box].astype(np.float32)
    a = alpha[box].astype(np.float32)[..., None]

    front: np.ndarray = picture
    back: np.ndarray = picture
    for radius in (reach, 3):
        side = 2 * radius + 1

        def blur(x: np.ndarray, side: int = side) -> np.ndarray:
            return np.atleast_3d(cv2.blur(x, (side, side), borderType=cv2.BORDER_REFLECT))

        share, rest = blur(a), blur(1 - a)
        mean_front = blur(front * a) / (share + 1e-5)
        back = blur(back * (1 - a)) / (rest + 1e-5)
        front = mean_front + a * (picture - a * mean_front - (1 - a) * back)
        front = np.clip(front, 0, 255)
    front = np.where(a == 1, picture, front)
    near = (
        cv2.dilate((a > 0).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    )  # for whoever scales the picture
    colors[box] = np.rint(front * near[..., None]).astype(np.uint8)
    return colors
