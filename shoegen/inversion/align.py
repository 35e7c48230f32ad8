"""A photograph's shoe as the generator's own samples stand: cut out, its toe to the left, level, of their length.

The way back is `Photo.put_back`: an edited shoe over the photograph, whose background stays.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, get_args

import cv2
import numpy as np
import torch

from shoegen.data.images import resize
from shoegen.data.squares import box_of
from shoegen.errors import ConfigError, DataError
from shoegen.segmentation.cutout import Cutout, decontaminate, refine
from shoegen.segmentation.loading import AnySegmenter
from shoegen.segmentation.shoes import find_masks, grow, separate
from shoegen.segmentation.silhouette import as_mask, find, foreground, grain_of
from shoegen.stylegan.networks import Generator
from shoegen.stylegan.sampling import Classes, latents, render
from shoegen.torch_utils.pixels import as_rgb, from_pixels, to_pixels

Flip = Literal["auto", "yes", "no"]


class SeveralShoes(DataError):
    """More than one shoe, and none was chosen. shoes: their masks (h, w) bool, left to right."""

    def __init__(self, message: str, shoes: list[np.ndarray]) -> None:
        super().__init__(message)
        self.shoes = shoes


SAMPLES = 48  # of the generator, from which its way to place a shoe is learned
LEAST_SHARE = 0.15  # of the largest shoe: what is smaller is no shoe of its own
LEAST_SIDE = 16  # pixels of a shoe's longer side
ROOM = 0.03  # of the picture's height, above the shoe
LEVEL = 1.5  # degrees: what is tilted less is level
STEEPEST = 35.0  # degrees: what is tilted more is not lying on its sole
REAR = 1.03  # by how much the rear is to be taller than the toe to be told apart for certain
HALO = 0.025  # of the shoe's longer side: around the old shoe, its edge and shadow are filled too
FILL_SIDE = 512  # longest side of the picture that what was hidden is filled in
SMOOTH = 0.6  # pixels of the aligned picture: standard deviation by which a new shoe's edge is smoothed
LARGEST = 3072  # longest side of a picture in which the shoe is looked for
MAX_SIDE = 2048  # longest side of what is looked at: more shows nothing that a generator draws


@dataclass(frozen=True)
class Placement:
    """How a generator's samples stand in their pictures.

    size: (height, width) of a picture. length: of a shoe, as a share of the width. ground: the row under its sole, as
    a share of the height. center: the middle of the shoe, as a share of the width. background: RGB, 0–255.
    """

    size: tuple[int, int]
    length: float
    ground: float
    center: float
    background: tuple[int, int, int]

    @classmethod
    def of(cls, generator: Generator, segmenter: AnySegmenter, *, seed: int = 0) -> Placement:
        """Measured on samples: medians.

        Raises:
            DataError: the segmenter sees no shoe in what the generator draws.
        """
        classes: Classes = "random" if generator.config.c_dim else None
        ws = latents(generator, range(seed, seed + SAMPLES), classes=classes)
        rows, colors = [], []
        for picture in render(generator, ws):
            pixels = _rgb(picture)
            height, width = pixels.shape[:2]
            fine = 4 if max(height, width) <= 256 else 1  # a small picture's edges lie between its pixels
            shown = resize(pixels, (fine * height, fine * width), "bilinear")
            shoe = foreground(segmenter, shown) >= 0.5
            if not 0.01 < shoe.mean() < 0.95:
                continue
            _, left, bottom, right = box_of(max(separate(shoe), key=np.count_nonzero))
            rows.append((right - left, bottom, (left + right) / 2))
            colors.append(np.median(shown[~grow(shoe, 2 * fine)], axis=0))
        if len(rows) < SAMPLES / 2:
            raise DataError(
                f"the segmenter saw a shoe in {len(rows)} of {SAMPLES} pictures that the generator drew; give a "
                "segmenter that knows what it draws"
            )
        length, ground, center = np.median(rows, axis=0)
        red, green, blue = (int(each) for each in np.rint(np.median(colors, axis=0)))
        return cls(
            size=generator.config.image_size,
            length=float(length / (fine * width)),
            ground=float(ground / (fine * height)),
            center=float(center / (fine * width)),
            background=(red, green, blue),
        )


@dataclass(frozen=True, eq=False, repr=False)
class Photo:
    """A photograph and its shoe, as the generator would draw it.

    pixels: (H, W, 3) uint8, the photograph. mask: (H, W) bool, its shoe. matrix: float64 (2, 3), takes a point (x, y)
    of the photograph to its place in the aligned picture, counted from the middle of the first pixel as OpenCV does.
    aligned: (h, w, 3) uint8, the shoe before the generator's background. aligned_mask: (h, w) bool. notes: what a user
    should know, one line each.
    """

    pixels: np.ndarray
    mask: np.ndarray
    matrix: np.ndarray
    aligned: np.ndarray
    aligned_mask: np.ndarray
    notes: tuple[str, ...] = ()

    @property
    def is_flipped(self) -> bool:
        """Whether the aligned picture is a mirror image."""
        return bool(np.linalg.det(self.matrix[:, :2]) < 0)

    @property
    def scale(self) -> float:
        """Pixels of the photograph for one of the aligned picture."""
        return float(1 / np.sqrt(abs(np.linalg.det(self.matrix[:, :2]))))

    @cached_property
    def sha256(self) -> str:
        """Of the photograph's pixels and the shoe's place in it, in hexadecimal."""
        digest = hashlib.sha256(str(self.pixels.shape).encode())
        for each in (self.pixels, self.mask, self.aligned):
            digest.update(np.ascontiguousarray(each).tobytes())
        return digest.hexdigest()

    def put_back(self, rendered: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """An edited shoe over the photograph.

        What the old shoe hid and the new one does not is filled from around it (Bertalmio, Bertozzi and Sapiro 2001).
        All that is neither under the old shoe, with its edge, nor under the new one stays bit for bit.

        Args:
            rendered: (h, w, 3) uint8, what the generator draws; or so many times as large.
            mask: (h', w') bool, the new shoe in it, of the same aspect.

        Returns:
            (H, W, 3) uint8.

        Raises:
            DataError: other shapes.
        """
        if rendered.ndim != 3 or rendered.shape[2] != 3 or rendered.dtype != np.uint8 or mask.ndim != 2:
            raise DataError(
                f"got a picture {rendered.shape} of {rendered.dtype} and a mask {mask.shape}, expected (h, w, 3) uint8 "
                "and (h, w) bool"
            )
        # What a segmenter saw has steps about as large as the generator's pixels.
        soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), SMOOTH / self._fineness(mask))
        new = np.clip(self._warp_back(soft, cv2.INTER_LINEAR), 0, 1)
        # The edge is where the mask passes one half, about a pixel of the photograph wide.
        alpha = np.clip((new - 0.5) * max(2.0, 2.5 * SMOOTH * self.scale) + 0.5, 0, 1)
        old = self._halo
        result = self.pixels.copy()
        hidden = old & (alpha < 1)
        if hidden.any():
            result[hidden] = fill(self.pixels, old)[hidden]
        over = alpha > 0
        if over.any():
            # Colours of the shoe's own edge, not of the background that was drawn around it.
            fine = resize(_spread(rendered, mask), mask.shape, "bicubic")
            drawn = self._warp_back(fine.astype(np.float32), cv2.INTER_CUBIC)[over]
            share = alpha[over][:, None]
            result[over] = np.rint(np.clip(share * drawn + (1 - share) * result[over], 0, 255)).astype(
                np.uint8
            )
        return result

    @cached_property
    def _halo(self) -> np.ndarray:
        """The old shoe with its edge."""
        top, left, bottom, right = box_of(self.mask)
        return grow(self.mask, max(2, round(HALO * max(bottom - top, right - left))))

    def _fineness(self, mask: np.ndarray) -> float:
        return self.aligned.shape[1] / mask.shape[1]

    def _warp_back(self, values: np.ndarray, interpolation: int) -> np.ndarray:
        """Of an aligned picture of any resolution → of the photograph."""
        factor = values.shape[1] / self.aligned.shape[1]
        matrix = _finer(self.matrix, factor)
        size = self.pixels.shape[1], self.pixels.shape[0]
        return cv2.warpAffine(
            values,
            matrix,
            size,
            flags=interpolation | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT if values.ndim == 2 else cv2.BORDER_REPLICATE,
        )


def align(
    image: np.ndarray,
    placement: Placement,
    segmenter: AnySegmenter,
    *,
    mask: np.ndarray | None = None,
    instance: int | None = None,
    flip: Flip = "auto",
) -> Photo:
    """Finds the shoe of a photograph and places it as a generator's samples are.

    Args:
        image: (H, W, 3) uint8.
        placement: of the samples.
        segmenter: finds the shoe, and tells its parts.
        mask: (H, W), where the shoe is, instead; see `as_mask`.
        instance: which of several shoes, counted from 1, left to right.
        flip: "yes": the toe is at the right; "no": at the left; "auto": the rear is where the shoe is taller.

    Raises:
        ConfigError: no such flip, or a mask that is none.
        DataError: no shoe, no such instance, or one of a few pixels.
        SeveralShoes: several and none chosen; the masks of a huge picture are smaller than it.
    """
    if flip not in get_args(Flip):
        raise ConfigError(f"--flip: got {flip!r}, expected {', '.join(get_args(Flip))}")
    if image.ndim == 3 and max(image.shape) > LARGEST and (mask is None or mask.shape == image.shape[:2]):
        options = {"instance": instance, "flip": flip}
        return _align_smaller(image, placement, segmenter, mask, **options)
    shoe, alpha = find_shoe(image, segmenter, mask=mask, instance=instance)
    top, left, bottom, right = box_of(shoe)
    if max(bottom - top, right - left) < LEAST_SIDE:
        raise DataError(
            f"the shoe is {right - left}x{bottom - top} pixels, expected at least {LEAST_SIDE}; give a larger picture"
        )
    notes = []
    if max(bottom - top, right - left) < 0.5 * placement.length * placement.size[1]:
        notes.append(f"the shoe is only {right - left} pixels long; what is drawn of it is soft")
    if touches_edge(shoe):
        notes.append("the shoe is cut off by the picture's edge; what is beyond is made up")
    angle = tilt(shoe)
    if abs(angle) < LEVEL:
        angle = 0.0
    elif abs(angle) > STEEPEST:
        notes.append(f"the shoe seems tilted by {angle:.0f} degrees; it was left as it is")
        angle = 0.0
    mirrored = flip == "yes"
    if flip == "auto":
        ratio = rear_ratio(_turn(shoe, angle))
        mirrored = ratio < 1
        if max(ratio, 1 / ratio) < REAR:
            notes.append("which end is the toe is not clear; say so with --flip yes or --flip no")
    matrix = _place(shoe, angle, mirrored, placement)
    aligned, aligned_mask = _warp(image, alpha, matrix, placement)
    if not aligned_mask.any():
        raise DataError("nothing of the shoe is left once it is placed; give another --mask")
    return Photo(image, shoe, matrix, aligned, aligned_mask, tuple(notes))


def _align_smaller(
    image: np.ndarray, placement: Placement, segmenter: AnySegmenter, mask: np.ndarray | None, **options: Any
) -> Photo:
    """`align` for a huge picture, which is looked at in a smaller one."""
    factor = LARGEST / max(image.shape)
    height, width = (max(1, round(side * factor)) for side in image.shape[:2])
    smaller = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    if mask is not None:
        share = cv2.resize(as_mask(mask).astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
        mask = share >= 0.5
    photo = align(smaller, placement, segmenter, mask=mask, **options)
    scale = np.array([width / image.shape[1], height / image.shape[0]])
    onto = np.column_stack([np.diag(scale), 0.5 * scale - 0.5])  # pixels' middles, of the one in the other
    matrix = np.column_stack(
        [photo.matrix[:, :2] @ onto[:, :2], photo.matrix[:, :2] @ onto[:, 2] + photo.matrix[:, 2]]
    )
    share = cv2.resize(photo.mask.astype(np.float32), image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return replace(photo, pixels=image, mask=share >= 0.5, matrix=matrix)


def find_shoe(
    image: np.ndarray,
    segmenter: AnySegmenter,
    *,
    mask: np.ndarray | None = None,
    instance: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """One shoe of a picture: (H, W) bool, and its alpha (H, W) float32, 0–1.

    Raises:
        as `align`.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise DataError(f"got an array {image.shape} of {image.dtype}, expected a picture: uint8 (H, W, 3)")
    if mask is not None:
        (shoe,) = find_masks(image, mask=as_mask(mask), instance=instance)
        return shoe, shoe.astype(np.float32)
    probability = find(segmenter, image)
    shoes = separate(probability >= 0.5) if (probability >= 0.5).any() else []
    largest = max((np.count_nonzero(each) for each in shoes), default=0)
    if largest < max(32.0, 0.0005 * probability.size):
        raise DataError(
            "no shoe was found; expected one from the side, before a plain background; mark it with --mask"
        )
    shoes = [each for each in shoes if np.count_nonzero(each) >= LEAST_SHARE * largest]
    if instance is None and len(shoes) > 1:
        raise SeveralShoes(
            f"found {len(shoes)} shoes; choose one with --instance 1 to {len(shoes)}, counted left to right",
            shoes,
        )
    number = instance or 1
    if not 1 <= number <= len(shoes):
        raise DataError(f"--instance: got {instance}, but found {len(shoes)}, counted from 1, left to right")
    shoe = shoes[number - 1]
    grain = grain_of(segmenter, image.shape[:2])
    near = grow(shoe, max(2, round(2 * grain)))
    alpha = refine(image, np.where(near, probability, 0).astype(np.float32), grain)
    alpha[~near] = 0
    refined: np.ndarray = alpha >= 0.5
    return (refined, alpha) if refined.any() else (shoe, shoe.astype(np.float32))


# ---- how a shoe lies ----


def touches_edge(shoe: np.ndarray) -> bool:
    """Whether a shoe (H, W) is cut off: more than a few pixels of it lie at an edge of its picture."""
    at_edge = max(np.count_nonzero(each) for each in (shoe[0], shoe[-1], shoe[:, 0], shoe[:, -1]))
    return at_edge > 0.05 * max(shoe.shape)


def tilt(shoe: np.ndarray) -> float:
    """Degrees by which the ground under a shoe (H, W) bool falls to the right.

    The ground is the edge of the shoe's convex hull on which it would stand: the lower one under its middle.
    """
    columns = np.flatnonzero(shoe.any(0))
    lowest = shoe.shape[0] - 1 - np.argmax(shoe[::-1], axis=0)[columns]
    outline = np.stack([columns, lowest], 1).astype(np.int32)
    hull = cv2.convexHull(outline)[:, 0].astype(float)
    middle = float(np.nonzero(shoe)[1].mean())
    steepness = [
        (max(one[1] + (other[1] - one[1]) * (middle - one[0]) / (other[0] - one[0]), -1.0), other - one)
        for one, other in zip(hull, np.roll(hull, -1, 0), strict=True)
        if min(one[0], other[0]) <= middle <= max(one[0], other[0]) and one[0] != other[0]
    ]
    if not steepness:
        return 0.0
    x, y = max(steepness, key=lambda each: each[0])[1]
    return float(np.degrees(np.arctan2(y * np.sign(x), abs(x))))


def rear_ratio(shoe: np.ndarray) -> float:
    """How much taller the right half of a level shoe (H, W) bool stands than its left half; above 1: toe left.

    Heights are those of the outline above the lowest row, so that a heel and the arch before it count as full.
    """
    top, left, bottom, right = box_of(shoe)
    box = shoe[top:bottom, left:right]
    heights = np.where(box.any(0), box.shape[0] - np.argmax(box, axis=0), 0)
    half = max(1, len(heights) // 2)
    return float(max(heights[-half:].mean(), 1e-3) / max(heights[:half].mean(), 1e-3))


def _turn(mask: np.ndarray, angle: float) -> np.ndarray:
    """A mask turned by degrees, in a picture that holds all of it."""
    if not angle:
        return mask
    matrix, size = _upright(mask, angle)
    turned = cv2.warpAffine(mask.astype(np.uint8), matrix, size, flags=cv2.INTER_NEAREST)
    return turned > 0


def _upright(mask: np.ndarray, angle: float) -> tuple[np.ndarray, tuple[int, int]]:
    """The matrix (2, 3) that makes level what falls by `angle`, and the (width, height) that hold the shoe then."""
    top, left, bottom, right = box_of(mask)
    side = int(np.ceil(np.hypot(bottom - top, right - left))) + 4
    middle = (left + right) / 2, (top + bottom) / 2
    matrix = np.asarray(cv2.getRotationMatrix2D(middle, angle, 1.0), np.float64)
    matrix[:, 2] += side / 2 - np.array(middle)
    return matrix, (side, side)


def _place(shoe: np.ndarray, angle: float, mirrored: bool, placement: Placement) -> np.ndarray:
    """The matrix (2, 3) from the photograph to the aligned picture."""
    upright = np.eye(2, 3)
    if angle:
        upright, _ = _upright(shoe, angle)
    top, left, bottom, right = box_of(_turn(shoe, angle))
    height, width = placement.size
    length = placement.length * width
    scale = min(length / (right - left), (placement.ground - ROOM) * height / (bottom - top))
    # Edges of pixels, which lie half a pixel before their middles.
    sign = -1 if mirrored else 1
    middle = (left + right) / 2 - 0.5
    shift_x = placement.center * width - 0.5 - sign * scale * middle
    shift_y = placement.ground * height - 0.5 - scale * (bottom - 0.5)
    onto = np.array([[sign * scale, 0, shift_x], [0, scale, shift_y]])
    return np.column_stack([onto[:, :2] @ upright[:, :2], onto[:, :2] @ upright[:, 2] + onto[:, 2]])


def _finer(matrix: np.ndarray, factor: float) -> np.ndarray:
    """The matrix to an aligned picture of `factor` times the resolution."""
    scaled = matrix * factor
    scaled[:, 2] += (factor - 1) / 2
    return scaled


def _warp(
    image: np.ndarray, alpha: np.ndarray, matrix: np.ndarray, placement: Placement
) -> tuple[np.ndarray, np.ndarray]:
    """The aligned picture (h, w, 3) uint8, and its mask (h, w) bool.

    It is drawn about as large as the photograph shows it and then averaged, so that nothing is left out.
    """
    height, width = placement.size
    scale = np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    factor = int(np.clip(np.ceil(1 / scale), 1, max(1, MAX_SIDE // max(height, width))))
    size = factor * width, factor * height
    finer = _finer(matrix, factor)
    smooth = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_LINEAR
    front = cv2.warpAffine(decontaminate(image, alpha), finer, size, flags=smooth)
    share = cv2.warpAffine(alpha, finer, size, flags=cv2.INTER_LINEAR)
    made = Cutout(np.dstack([front, np.rint(255 * np.clip(share, 0, 1)).astype(np.uint8)]))
    aligned = cv2.resize(made.over(placement.background), (width, height), interpolation=cv2.INTER_AREA)
    shown = cv2.resize(share, (width, height), interpolation=cv2.INTER_AREA)
    return aligned, shown >= 0.5


def fill(image: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 with a hole (H, W) bool filled from around it; a large picture's at a lower resolution."""
    height, width = hole.shape
    factor = min(1.0, FILL_SIDE / max(height, width))
    if factor == 1:
        return cv2.inpaint(image, hole.astype(np.uint8), 3, cv2.INPAINT_NS)
    small = max(1, round(width * factor)), max(1, round(height * factor))
    # A pixel of the small picture is known if all that it stands for is.
    known = cv2.resize((~hole).astype(np.float32), small, interpolation=cv2.INTER_AREA) > 0.999
    seen = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    filled = cv2.inpaint(seen, (~known).astype(np.uint8), 3, cv2.INPAINT_NS)
    return cv2.resize(filled, (width, height), interpolation=cv2.INTER_LINEAR)


def _spread(rendered: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A picture (h, w, 3) whose shoe's colours go on beyond its edge, so that no background bleeds in."""
    height, width = rendered.shape[:2]
    inside = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA) > 0.9
    if not inside.any():
        return rendered
    _, nearest = cv2.distanceTransformWithLabels(
        (~inside).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    colors = np.zeros((nearest.max() + 1, 3), np.uint8)
    colors[nearest[inside]] = rendered[inside]
    return np.where(inside[..., None], rendered, colors[nearest])


def _rgb(picture: np.ndarray) -> np.ndarray:
    """(H, W, C) uint8 of 1, 3 or 4 channels → (H, W, 3), RGBA over white."""
    if picture.shape[2] == 3:
        return picture
    image = from_pixels(torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None])
    return to_pixels(as_rgb(image))[0]
