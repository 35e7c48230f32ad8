"""Which pixels of a picture are a shoe, one mask for each."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from shoegen.data.labels import LabelMap
from shoegen.errors import ConfigError, DataError
from shoegen.segmentation.cascade import check_stage
from shoegen.segmentation.instances.contract import Detections
from shoegen.segmentation.instances.parts import SCORE, InstanceSegmenter
from shoegen.segmentation.loading import AnySegmenter
from shoegen.segmentation.silhouette import as_mask
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
        ConfigError: an unknown class, the second network of a cascade, or a mask that is none.
        DataError: no shoe, no such instance, or the mask does not fit the picture.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise DataError(f"got an array {image.shape} of {image.dtype}, expected a picture: uint8 (H, W, 3)")
    if mask is not None:
        chosen = _check_mask(mask, image)
        if instance is None:
            return [chosen]
        numbers, order = _number(chosen)
        return [numbers == order[_check_instance(instance, len(order)) - 1]]
    else:
        if segmenter is None:
            raise ConfigError("neither a mask nor a segmenter was given; give either")
        check_stage(segmenter, "--segmenter", second=False)
        labels = segmenter.labels
        wanted = check_classes(labels.names[1:] if classes is None else classes, labels)
        if len(wanted) == 1 and isinstance(segmenter, InstanceSegmenter):
            found = segmenter.detect(image, score=SCORE)
            masks, indices = _instances(found, wanted[0]), {0, *found.labels.tolist()}
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
    return [masks[_check_instance(instance, len(masks)) - 1]]


def _check_instance(instance: int, count: int) -> int:
    if not 1 <= instance <= count:
        raise DataError(f"--instance: got {instance}, but found {count}, counted from 1, left to right")
    return instance


def separate(mask: np.ndarray, *, speck: float = 0.0) -> list[np.ndarray]:
    """What hangs together in a bool mask (H, W), left to right; narrow gaps do not part.

    speck: what is smaller than this share of the largest is left out.
    """
    numbers, order = _number(mask, speck)
    return [numbers == number for number in order]


def _number(mask: np.ndarray, speck: float = 0.0) -> tuple[np.ndarray, list[int]]:
    """The pieces of `separate`: (H, W) int32 of their numbers, 0 outside of the mask, and those to keep, in order.

    There can be thousands of specks, so masks are made of what is kept alone.
    """
    joined = grow(mask, round(GAP * max(mask.shape)))
    _, numbers = cv2.connectedComponents(joined.astype(np.uint8))
    numbers[~mask] = 0
    sizes = np.bincount(numbers[mask], minlength=1)
    found, first = np.unique(numbers.T[mask.T], return_index=True)  # column by column
    return numbers, [int(each) for each in found[np.argsort(first)] if sizes[each] >= speck * sizes.max()]


def _instances(found: Detections, label: int) -> list[np.ndarray]:
    """The masks of the objects of a class; where they overlap, a pixel is of the best."""
    masks, taken = [], np.zeros(found.masks.shape[1:], bool)
    for index in np.flatnonzero((found.scores >= SCORE) & (found.labels == label)):
        masks.append(found.masks[index] & ~taken)
        taken |= found.masks[index]
    least = SPECK * max((each.sum() for each in masks), default=0)
    kept = [each for each in masks if each.sum() >= max(least, 1)]
    return sorted(kept, key=lambda each: int(np.flatnonzero(each.any(0))[0]))


def _check_mask(mask: np.ndarray, image: np.ndarray) -> np.ndarray:
    chosen = as_mask(mask)
    if mask.shape != image.shape[:2]:
        (height, width), (wanted_height, wanted_width) = mask.shape, image.shape[:2]
        raise DataError(
            f"--mask is {width}x{height}, the picture {wanted_width}x{wanted_height}; they must be of one size"
        )
    if not chosen.any():
        raise DataError("--mask is black all over; paint white what is to be replaced")
    return chosen


def grow(mask: np.ndarray, pixels: int) -> np.ndarray:
    """A bool mask (H, W) and all within `pixels` of it."""
    if not pixels or not mask.any():
        return mask
    return cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) <= pixels
