"""Annotations drawn over their pictures, to be looked at."""

from __future__ import annotations

import numpy as np

from shoegen.data.annotations.model import AnnotatedImage, Annotations
from shoegen.data.images import decode_image, fit_image, fit_part_map, image_grid
from shoegen.data.labels import LabelMap
from shoegen.data.loading import map_ahead
from shoegen.errors import DataError

COLORS = ((230, 60, 60), (60, 120, 230), (40, 170, 90), (240, 170, 30), (150, 80, 200), (20, 180, 190))


def overlay(image: np.ndarray, part_map: np.ndarray, outlines: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8: the picture, tinted where `part_map` is not 0, with a line where `outlines` changes.

    Args:
        image: (H, W, 3) uint8.
        part_map: (H, W) uint8 class indices.
        outlines: (H, W) numbers of instances, 0 outside.
    """
    colors = np.array([COLORS[(index - 1) % len(COLORS)] for index in range(256)], np.float64)[part_map]
    inside = part_map > 0
    result = image.astype(np.float64)
    result[inside] = 0.55 * result[inside] + 0.45 * colors[inside]
    edge = np.zeros(part_map.shape, bool)
    edge[:, 1:] |= outlines[:, 1:] != outlines[:, :-1]
    edge[1:] |= outlines[1:] != outlines[:-1]
    edge[:, :-1] |= edge[:, 1:] & inside[:, :-1]
    result[edge & inside] = colors[edge & inside]
    return result.round().astype(np.uint8)


def overlay_sheet(annotations: Annotations, *, count: int = 24, side: int = 256, seed: int = 0) -> np.ndarray:
    """(H, W, 3) uint8: up to `count` annotated pictures taken by chance, in squares, with names and counts below.

    Raises:
        DataError: the pictures were not given, or none can be read.
    """
    pictures = annotations.pictures
    if pictures is None:
        raise DataError("a sheet needs the pictures; give them with --images")
    drawable = [image for image in annotations.images if image.picture is not None]
    chosen = np.random.default_rng((seed, len(drawable))).permutation(len(drawable))[:count]

    def tile(index: int) -> tuple[np.ndarray, str] | None:
        image = drawable[index]
        assert image.picture is not None
        try:
            picture = decode_image(pictures.read(image.picture))[0]
            return _tile(image, picture, annotations.labels, side), _caption(image, annotations.labels)
        except DataError:
            return None

    tiles = [each for each in map_ahead(tile, sorted(chosen.tolist())) if each is not None]
    if not tiles:
        raise DataError(f"{annotations.source} has no annotated picture that can be read; nothing to draw")
    return image_grid(
        [each for each, _ in tiles], columns=6, gap=6, captions=[caption for _, caption in tiles]
    )


def _tile(image: AnnotatedImage, picture: np.ndarray, labels: LabelMap, side: int) -> np.ndarray:
    part_map = image.part_map(labels)
    numbers = part_map if not image.instances else np.zeros(part_map.shape, np.uint8)
    for number, instance in enumerate(image.instances):
        numbers[instance.mask(picture.shape[:2])] = number % 255 + 1
    square = side, side
    small = fit_image(picture, square, "pad")
    return overlay(small, fit_part_map(part_map, square, "pad"), fit_part_map(numbers, square, "pad"))


def _caption(image: AnnotatedImage, labels: LabelMap) -> str:
    names = [each.class_name for each in image.instances]
    if image.read_part_map is not None:
        names = [labels.names[index] for index in np.unique(image.part_map(labels)).tolist() if index]
        listed = ", ".join(names)
    else:
        listed = ", ".join(f"{names.count(name)} {name}" for name in dict.fromkeys(names))
    shown = (listed or "nothing annotated").encode("ascii", "replace").decode()
    title = image.name.encode("ascii", "replace").decode()[-32:]
    return f"{title}\n{shown if len(shown) <= 36 else shown[:35] + '...'}"
