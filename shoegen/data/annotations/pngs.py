"""Folders or zips of part maps: PNGs of class indices, or of the colours that a labels file gives the classes.

Such a set is masks/ beside images/, as in a training data set, or PNGs alone, each named like its picture.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from shoegen.data.annotations.findings import Fault
from shoegen.data.annotations.model import Annotations, foreground
from shoegen.data.annotations.pictures import Pictures
from shoegen.data.annotations.reading import Reading
from shoegen.data.annotations.writing import Files, WriteOptions, check_stems, to_json
from shoegen.data.files import PictureFiles, expected_part_map
from shoegen.data.images import (
    MAX_PIXELS,
    READ_FORMATS,
    decode_part_map,
    decode_picture,
    encode_part_map,
    encode_png,
    open_picture,
)
from shoegen.data.labels import LabelMap
from shoegen.errors import DataError

SUFFIX = None

Decode = Callable[[bytes, LabelMap], np.ndarray]


def detect(files: PictureFiles, labels: LabelMap | None) -> str:
    """ "index-png", "color-png" or "alpha", by how the first mask is stored.

    Raises:
        DataError: none of these.
    """
    first = next((name for _, name in _masks(files)), files.pictures[0])
    try:
        image = open_picture(files.read(first), READ_FORMATS, MAX_PIXELS)
    except DataError as error:
        raise DataError(f"{first} in {files.path} cannot be read: {error}") from error
    if image.format == "PNG" and image.mode in ("P", "L", "1"):
        return "index-png"
    if image.mode in ("RGBA", "LA"):
        return "alpha"
    if image.format == "PNG" and image.mode == "RGB" and labels is not None:
        return "color-png"
    raise DataError(
        f"{files.path} holds no annotations that are known: {first} is a {image.format} picture of mode {image.mode}; "
        "expected PNGs of class indices, of colours with a labels file (--labels), or cut-outs with transparency"
    )


def _masks(files: PictureFiles) -> list[tuple[str, str]]:
    """(the image's name, its mask's) of each; for PNGs alone both are the mask's."""
    if files.has_part_maps:
        return [(name, mask) for name in files.pictures if (mask := files.part_map(name))]
    return [(name.removeprefix("masks/"), name) for name in files.pictures]


def read_index(reading: Reading, value: Any = None) -> Annotations:
    """Part maps of class indices."""
    return _read(reading, decode_part_map)


def read_color(reading: Reading, value: Any = None) -> Annotations:
    """Part maps of colours."""
    return _read(reading, decode_colors)


def _read(reading: Reading, decode: Decode) -> Annotations:
    assert reading.files is not None
    files, labels = reading.files, reading.labels
    if labels is None:
        raise DataError(
            f"{reading.path} has no labels.json, which names the classes; add one, or give it with --labels"
        )
    if files.has_part_maps and reading.pictures is None:
        reading.pictures = Pictures(reading.path)
    if files.has_part_maps:
        for name in files.pictures:
            if files.part_map(name) is None:
                reading.findings.error(name, "it has no part map", f"add {expected_part_map(name)}")
    for name, mask in _masks(files):
        _add(reading, name, mask, decode, labels)
    return reading.finish(foreground(labels), part_labels=labels)


def _add(reading: Reading, name: str, mask: str, decode: Decode, labels: LabelMap) -> None:
    assert reading.files is not None
    files = reading.files

    def read_part_map() -> np.ndarray:
        try:
            return decode(files.read(mask), labels)
        except DataError as error:
            raise Fault(f"{mask}: {error}", "draw it again, or correct the labels file") from error

    try:
        part_map = read_part_map()
    except Fault as fault:
        reading.findings.error(name, fault.what, fault.mend)
        return
    reading.add(_plain(reading, name), part_map.shape, [], None, read_part_map=read_part_map)


def _plain(reading: Reading, name: str) -> str:
    """What the image is called: as its picture is, below images/."""
    found = reading.pictures.find_stem(name) if reading.pictures else None
    return (found or name).removeprefix("images/")


def decode_colors(data: bytes, labels: LabelMap) -> np.ndarray:
    """(H, W) uint8 class indices from the bytes of an RGB PNG.

    Raises:
        DataError: not such a PNG, a colour that no class has, or that two classes have.
    """
    decoded = decode_picture(data, channels=3)
    if not decoded.mode.startswith("PNG RGB") or "16-bit" in decoded.mode:
        raise DataError(f"a mask of colours is an 8-bit RGB PNG, got {decoded.mode}")
    codes = _codes(np.array(labels.colors, np.uint8))
    if len(np.unique(codes)) < len(codes):
        raise DataError("two classes of the labels file have one colour; give each its own")
    order = np.argsort(codes)
    of = _codes(decoded.pixels)
    positions = np.searchsorted(codes[order], of).clip(max=len(codes) - 1)
    part_map = order[positions].astype(np.uint8)
    wrong = codes[part_map] != of
    if wrong.any():
        strange, counts = np.unique(of[wrong], return_counts=True)
        color = tuple(int(strange[0]) >> shift & 255 for shift in (16, 8, 0))
        raise DataError(
            f"colour {color} at {counts[0]} pixels is no class ({counts.sum()} such pixels and {len(strange)} such "
            f"colours in all); expected those of {', '.join(labels.names)}"
        )
    return part_map


def _codes(colors: np.ndarray) -> np.ndarray:
    red, green, blue = np.moveaxis(colors.astype(np.int32), -1, 0)
    return red << 16 | green << 8 | blue


def write_index(annotations: Annotations, options: WriteOptions) -> Files:
    """masks/NAME.png of class indices, and labels.json."""
    return _write(annotations, options, encode_part_map)


def write_color(annotations: Annotations, options: WriteOptions) -> Files:
    """masks/NAME.png in the classes' colours, and labels.json."""
    return _write(annotations, options, lambda part_map, labels: encode_png(labels.colorize(part_map)))


def _write(
    annotations: Annotations, options: WriteOptions, encode: Callable[[np.ndarray, LabelMap], bytes]
) -> Files:
    labels = annotations.labels
    yield "labels.json", to_json(labels.to_json())
    names = mask_names(annotations)
    for image, name in zip(annotations.images, names):
        yield name, encode(image.part_map(labels, order=options.order), labels)


def mask_names(annotations: Annotations) -> list[str]:
    """masks/NAME.png of each image."""
    names = [expected_part_map(f"images/{image.name}") for image in annotations.images]
    check_stems(annotations, names)
    return names


# ---- cut-outs ----

CUT_OUT_CLASS = "shoe"
OPAQUE = 128
"""Alpha from here on belongs to the shape."""


def read_alpha(reading: Reading, value: Any = None) -> Annotations:
    """Cut-outs: RGBA pictures whose alpha is the mask. All are of the class "shoe"; they are their own pictures."""
    assert reading.files is not None
    files = reading.files
    labels = LabelMap.from_names(("background", CUT_OUT_CLASS))
    if reading.pictures is None:
        reading.pictures = Pictures(reading.path)
    for name in files.pictures:

        def read_part_map(name: str = name) -> np.ndarray:
            return decode_alpha(files.read(name))

        try:
            part_map = read_part_map()
        except DataError as error:
            reading.findings.error(name, str(error), "save it as a PNG with transparency")
            continue
        if part_map.all():
            reading.findings.warning(name, "no pixel is transparent: all of it is the shape", "cut it out")
        reading.add(_plain(reading, name), part_map.shape, [], None, read_part_map=read_part_map)
    return reading.finish((CUT_OUT_CLASS,), part_labels=labels)


def decode_alpha(data: bytes) -> np.ndarray:
    """(H, W) uint8, 1 where alpha is at least `OPAQUE`.

    Raises:
        DataError: the picture cannot be read, or has no alpha.
    """
    decoded = decode_picture(data, channels=4)
    if "without transparency, made opaque" in decoded.conversions:
        raise DataError(f"a cut-out has transparency, got {decoded.mode}")
    return (decoded.pixels[..., 3] >= OPAQUE).astype(np.uint8)


def write_alpha(annotations: Annotations, options: WriteOptions) -> Files:
    """NAME.png of each picture, opaque where anything is annotated."""
    names = [str(PurePosixPath(image.name).with_suffix(".png")) for image in annotations.images]
    check_stems(annotations, names)
    for image, name in zip(annotations.images, names):
        if annotations.pictures is None or image.picture is None:
            raise DataError(f"a cut-out needs the picture {image.name}; give the pictures with --images")
        rgba = _rgba(annotations.pictures.read(image.picture))
        rgba[..., 3] = 255 * (image.part_map(annotations.labels, order=options.order) > 0)
        yield name, encode_png(rgba)


def _rgba(data: bytes) -> np.ndarray:
    return decode_picture(data, channels=4).pixels
