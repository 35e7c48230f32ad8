"""Where a shoe is in a picture, as a segmenter's probability at the picture's own resolution."""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from shoegen.errors import ConfigError
from shoegen.segmentation.instances.parts import InstanceSegmenter
from shoegen.segmentation.loading import AnySegmenter
from shoegen.torch_utils.pixels import from_pixels

CRUMB = 0.1  # of the largest piece: smaller pieces are no shoes
HOLE = 0.003  # of the shoe: smaller holes are the network's


def as_mask(mask: np.ndarray) -> np.ndarray:
    """A mask (H, W) that somebody gives → (H, W) bool.

    mask: bool; or uint8, of which 128 and more counts, or 1 where there is only 0 and 1.

    Raises:
        ConfigError: neither.
    """
    if mask.ndim != 2 or mask.dtype not in (np.bool_, np.uint8):
        raise ConfigError(
            f"mask: got an array {mask.shape} of {mask.dtype}, expected (H, W) of bool or uint8"
        )
    if mask.dtype == np.bool_:
        return mask
    marked: np.ndarray = mask >= (128 if mask.size and mask.max() > 1 else 1)
    return marked


def find(segmenter: AnySegmenter, image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 → (H, W) float32, 0–1: the probability of a shoe, tidied."""
    return tidy(foreground(segmenter, image), grain_of(segmenter, image.shape[:2]))


def grain_of(segmenter: AnySegmenter, size: tuple[int, ...]) -> float:
    """How many pixels of a picture of (height, width) are one pixel of what the network sees; at least 1."""
    return max(1.0, *(side / most for side, most in zip(size, segmenter.config.size, strict=True)))


@torch.inference_mode()
def foreground(segmenter: AnySegmenter, image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 → (H, W) float32: the probability of any class but the first; of Mask R-CNN, 0 or 1."""
    if isinstance(segmenter, InstanceSegmenter):
        return (segmenter.segment(image) > 0).astype(np.float32)
    pixels = from_pixels(torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None])
    p = 1 - segmenter.logits(pixels.to(segmenter.device)).softmax(1)[:, :1]
    p = F.interpolate(p, image.shape[:2], mode="bilinear", align_corners=False, antialias=True)
    return p[0, 0].clamp(0, 1).cpu().numpy()


def tidy(probability: np.ndarray, grain: float) -> np.ndarray:
    """Without crumbs, small holes, and haze far from the shoe; a copy.

    probability: (H, W) float32. grain: how many pixels one of its source is wide.
    """
    tidied = probability.copy()
    inside = (probability >= 0.5).astype(np.uint8)
    _, pieces, stats, _ = cv2.connectedComponentsWithStats(inside, connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    if not areas.size:
        return tidied
    side = 2 * int(np.ceil(grain)) + 1
    around = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    keep = np.concatenate([[False], areas >= CRUMB * areas.max()])
    shoe = keep[pieces]
    tidied[cv2.dilate(shoe.astype(np.uint8), around) == 0] = 0

    _, gaps, stats, _ = cv2.connectedComponentsWithStats(1 - shoe.astype(np.uint8), connectivity=4)
    left, top, width, height, area = stats.T
    touches = (left == 0) | (top == 0) | (left + width == shoe.shape[1]) | (top + height == shoe.shape[0])
    is_hole = (area < HOLE * np.count_nonzero(shoe)) & ~touches
    is_hole[0] = False  # the shoe itself
    hole = is_hole[gaps]
    if hole.any():
        tidied[(cv2.dilate(hole.astype(np.uint8), around) > 0) & (shoe | hole)] = 1
    return tidied
