"""GrabCut (Rother et al. 2004): a mask from the colours inside and outside of a box or of a rough mask."""

from __future__ import annotations

import cv2
import numpy as np

from shoegen.errors import ConfigError
from shoegen.segmentation.silhouette import as_mask

LONGEST_SIDE = 640  # of the picture that is cut; larger ones are made smaller, and the mask larger again
ITERATIONS = 5
RIM = 0.04  # how far a mask's edge may move either way, of the square root of its area
SURE = (0.05, 0.95)  # probabilities below and above are taken as certain

Box = tuple[int, int, int, int]


def grabcut(
    image: np.ndarray,
    *,
    box: Box | None = None,
    mask: np.ndarray | None = None,
    probability: np.ndarray | None = None,
    seed: int = 0,
) -> np.ndarray:
    """(H, W) bool: what belongs to the object that a box, a rough mask or a probability map shows.

    The same arguments give the same mask; OpenCV's generator of random numbers is set to `seed`.

    Args:
        image: (H, W, 3) uint8.
        box: (x, y, width, height) in pixels, x to the right and y down; the object lies inside of it.
        mask: (H, W), see `as_mask`; its edge is searched for near by.
        probability: (H, W), 0–1, of a segmenter; what is uncertain there is decided by colour.

    Raises:
        ConfigError: not one start of the three; a box outside of the picture, without area, or of the whole picture;
            a mask of another size or kind, or one without an edge.
    """
    if sum(start is not None for start in (box, mask, probability)) != 1:
        raise ConfigError("GrabCut needs one start: a box, a mask or a probability map")
    height, width = image.shape[:2]
    factor = min(1.0, LONGEST_SIDE / max(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    if box is not None:
        trimap = _box_trimap(check_box(box, (height, width)), (height, width))
    elif mask is not None:
        trimap = _mask_trimap(check_mask(mask, (height, width)))
    else:
        assert probability is not None
        trimap = _probability_trimap(probability)
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if factor < 1 else image
    small_trimap = cv2.resize(trimap, size, interpolation=cv2.INTER_NEAREST_EXACT)
    is_foreground = (small_trimap == cv2.GC_FGD) | (small_trimap == cv2.GC_PR_FGD)
    if is_foreground.all() or not is_foreground.any():
        return is_foreground_at(trimap)  # nothing to tell apart
    cv2.setRNGSeed(seed)  # of the k-means that the colour models start from
    found, *_ = cv2.grabCut(
        np.ascontiguousarray(small[..., ::-1]),
        small_trimap,
        (0, 0, 1, 1),  # not looked at: the start is the trimap
        np.zeros((1, 65)),
        np.zeros((1, 65)),
        ITERATIONS,
        cv2.GC_INIT_WITH_MASK,
    )
    cut = is_foreground_at(np.asarray(found))
    if factor < 1:
        cut = cv2.resize(cut.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR) >= 0.5
    return cut


def is_foreground_at(trimap: np.ndarray) -> np.ndarray:
    """(H, W) bool of OpenCV's four values."""
    foreground: np.ndarray = (trimap == cv2.GC_FGD) | (trimap == cv2.GC_PR_FGD)
    return foreground


def check_box(box: Box, size: tuple[int, int]) -> Box:
    """The part of a box that lies in a picture of (height, width).

    Raises:
        ConfigError: none does, it has no area, or it is the whole picture.
    """
    x, y, w, h = box
    height, width = size
    said = f"--box: got {x},{y},{w},{h} (x,y,width,height) for a picture of {width}x{height}"
    if w < 1 or h < 1:
        raise ConfigError(f"{said}, expected a width and height of at least 1")
    left, top, right, bottom = max(x, 0), max(y, 0), min(x + w, width), min(y + h, height)
    if left >= right or top >= bottom:
        raise ConfigError(f"{said}, which lies outside of it; give a box around the shoe")
    if (left, top, right, bottom) == (0, 0, width, height):
        raise ConfigError(f"{said}, which is all of it, so nothing is surely background; draw it closer")
    return left, top, right - left, bottom - top


def check_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A mask as (H, W) bool, see `as_mask`.

    Raises:
        ConfigError: it is no mask, not of `size`, (height, width), or does not tell anything apart.
    """
    inside = as_mask(mask)
    height, width = size
    if mask.shape != size:
        got = "x".join(map(str, mask.shape[1::-1]))
        raise ConfigError(f"--mask is {got}, its picture {width}x{height}; give a mask of the picture's size")
    if inside.all() or not inside.any():
        what = "everything" if inside.all() else "nothing"
        raise ConfigError(f"--mask marks {what}; expected black at the background and white at the shoe")
    return inside


def _box_trimap(box: Box, size: tuple[int, int]) -> np.ndarray:
    x, y, w, h = box
    trimap = np.full(size, cv2.GC_BGD, np.uint8)
    trimap[y : y + h, x : x + w] = cv2.GC_PR_FGD
    return trimap


def _mask_trimap(inside: np.ndarray) -> np.ndarray:
    """Certain beyond a rim on both sides of the mask's edge."""
    rim = max(2.0, RIM * float(np.sqrt(inside.sum())))
    depth = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, 3)
    distance = cv2.distanceTransform((~inside).astype(np.uint8), cv2.DIST_L2, 3)
    trimap = np.where(inside, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    trimap[distance > rim] = cv2.GC_BGD
    # A thin mask keeps the middle of it.
    trimap[depth > min(rim, 0.6 * float(depth.max()))] = cv2.GC_FGD
    return trimap


def _probability_trimap(probability: np.ndarray) -> np.ndarray:
    low, high = SURE
    trimap = np.where(probability >= 0.5, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    trimap[probability < low] = cv2.GC_BGD
    trimap[probability > high] = cv2.GC_FGD
    return trimap
