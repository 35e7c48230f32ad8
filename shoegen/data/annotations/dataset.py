"""A data set that trainings read: images/, masks/ and labels.json, and the instances beside them as COCO's JSON."""

from __future__ import annotations

from pathlib import PurePosixPath

from shoegen.data.annotations import coco
from shoegen.data.annotations.model import Annotations
from shoegen.data.annotations.pngs import mask_names, write_index
from shoegen.data.annotations.writing import Files, WriteOptions
from shoegen.data.images import IMAGE_SUFFIXES, decode_image
from shoegen.errors import DataError


def write(annotations: Annotations, options: WriteOptions) -> Files:
    """The pictures' files as they are, a part map for each, the classes' names, and annotations.json."""
    mask_names(annotations)
    for image in annotations.images:
        if annotations.pictures is None or image.picture is None:
            raise DataError(f"a data set needs the picture {image.name}; give the pictures with --images")
        name = PurePosixPath(image.name)
        if name.suffix.lower() not in IMAGE_SUFFIXES:
            name = PurePosixPath(f"{name}{PurePosixPath(image.picture).suffix}")
        data = annotations.pictures.read(image.picture)
        try:
            decode_image(data)
        except DataError as error:
            raise DataError(
                f"cannot read the picture {image.picture}: {error}; replace or remove it"
            ) from error
        yield f"images/{name}", data
    yield from write_index(annotations, options)
    yield from coco.write(annotations, options)
