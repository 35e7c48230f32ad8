"""Which pixels of a picture are a shoe, one mask for each."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from shoegen.data.labels import LabelMap
from shoegen.errors import ConfigError, DataError
from shoegen.segmentation.instances.contract import Detections
from shoegen.segmentation.instances.parts import SCORE, InstanceSegmenter
from shoegen.segmentation.loading import AnySegmenter
from shoegen.torch_utils.text import some

GAP = 0.01  # parts nearer to one another than this share of the picture's longer side are one shoe
SPECK = 0.02  # what is smaller than this share of the largest shoe is the segmenter's noise


def check_classes(classes: Sequence[str], labels: LabelMap) -> list[int]:
    """The indices of classes.

    Raises:
        ConfigError: the segmenter lacks one; lists those that it has.
    """
    unknown = [name for name in classes if name not in labels.names]
    if unknown or not classes:
        got = ", ".join(unknown) or "none"
        raise ConfigError(f"--classes: got {got}, the segmenter knows {', '.join(labels.names)}")
    return [labels.index(name) for name in classes]


def find_masks(
    image: np.ndarray,
    *,
    mask: np.ndarray | None = None,
    segmenter: AnySegmenter | None = None,
    classes: Sequence[str] | None = None,
    instance: int | None = None,
) -> list[np.ndarray]:
    """What to replace of a picture (H, W, 3): one (H, W) bool mask for each shoe, left to right.

    See `inpaint`. Shoes are what hangs together in the part map, but for specks; where one class alone makes the
    mask and the segmenter tells its instances apart, they are the shoes. A given mask is one thing, unless one
    `instance` of it is asked for.

    Raises:
        ConfigError: an unknown class.
        DataError: no shoe, no such instance, or the mask does not fit the picture.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise DataError(f"got an array {image.shape} of {image.dtype}, expected a picture: uint8 (H, W, 3)")
    if mask is not None:
        chosen = _check_mask(mask, image)
        if instance is None:
            return [chosen]
        masks = separate(chosen)
    else:
        if segmenter is None:
            raise ConfigError("neither a mask nor a segmenter was given; give either")
        labels = segmenter.labels
        wanted = check_classes(labels.names[1:] if classes is None else classes, labels)
        if len(wanted) == 1 and isinstance(segmenter, InstanceSegmenter):
            found = segmenter.detect(image)
            masks, indices = _instances(found, wanted[0]), {0, *found.labels[found.scores >= SCORE].tolist()}
        else:
            part_map = segmenter.segment(image)
            masks, indices = (
                separate(np.isin(part_map, wanted), speck=SPECK),
                set(np.unique(part_map).tolist()),
            )
        if not masks:
            seen = [labels.names[index] for index in sorted(indices)]
            sought = some((labels.names[index] for index in wanted), 8)
            raise DataError(
                f"no shoe found: the segmenter saw only {some(seen, 8)}, expected some of {sought}; "
                "choose others with --classes, another --segmenter, or give a --mask"
            )
    if instance is None:
        return masks
    if not 1 <= instance <= len(masks):
        raise DataError(f"--instance: got {instance}, but found {len(masks)}, counted from 1, left to right")
    return [masks[instance - 1]]


def separate(mask: np.ndarray, *, speck: float = 0.0) -> list[np.ndarray]:
    """What hangs together in a bool mask (H, W), left to right; narrow gaps do not part.

    speck: what is smaller than this share of the largest is left out.
    """
    joined = grow(mask, round(GAP * max(mask.shape)))
    count, numbers = cv2.connectedComponents(joined.astype(np.uint8))
    return _in_order([mask & (numbers == number) for number in range(1, count)], speck)


def _instances(found: Detections, label: int) -> list[np.ndarray]:
    """The masks of the objects of a class; where they overlap, a pixel is of the best."""
    masks, taken = [], np.zeros(found.masks.shape[1:], bool)
    for index in np.flatnonzero((found.scores >= SCORE) & (found.labels == label)):
        masks.append(found.masks[index] & ~taken)
        taken |= found.masks[index]
    return _in_order(masks, SPECK)


def _in_order(masks: list[np.ndarray], speck: float) -> list[np.ndarray]:
    least = speck * max((each.sum() for each in masks), default=0)
    kept = [each for each in masks if each.sum() >= max(least, 1)]
    return sorted(kept, key=lambda each: int(np.flatnonzero(each.any(0))[0]))


def _check_mask(mask: np.ndarray, image: np.ndarray) -> np.ndarray:
    if mask.ndim != 2 or mask.dtype not in (np.bool_, np.uint8):
        raise DataError(f"mask: got an array {mask.shape} of {mask.dtype}, expected (H, W) of bool or uint8")
    if mask.shape != image.shape[:2]:
        (height, width), (wanted_height, wanted_width) = mask.shape, image.shape[:2]
        raise DataError(
            f"--mask is {width}x{height}, the picture {wanted_width}x{wanted_height}; they must be of one size"
        )
    chosen = mask if mask.dtype == np.bool_ else mask >= 128
    if not chosen.any():
        raise DataError("--mask is black all over; paint white what is to be replaced")
    return chosen


def grow(mask: np.ndarray, pixels: int) -> np.ndarray:
    """A bool mask (H, W) and all within `pixels` of it."""
    if not pixels or not mask.any():
        return mask
    return cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) <= pixels
