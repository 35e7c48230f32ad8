"""What the writers of all formats share."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from shoegen.data.annotations.model import (
    GROUPINGS,
    ORDERS,
    AnnotatedImage,
    Annotations,
    Instance,
)
from shoegen.data.annotations.reading import rule_of
from shoegen.data.annotations.shapes import Polygons, Rle, trace
from shoegen.data.images import Size
from shoegen.errors import ConfigError, DataError

Files = Iterator[tuple[str, bytes]]
"""(name, content) of each file that a format consists of."""

STEM = "annotations"
"""What formats of one file call it; it is written under the name that the user gives."""


@dataclass(frozen=True, kw_only=True)
class WriteOptions:
    """How annotations are written where a format leaves the choice.

    order: which instance is on top where a part map is made of them, see `AnnotatedImage.part_map`.
    instances, min_area: how a part map becomes instances, see `AnnotatedImage.split_instances`.
    simplify: pixels by which the outline may move where a mask becomes a polygon; 0 is exact.
    rle: COCO: run-lengths for all, no polygons.
    """

    order: str = "given"
    instances: str = "components"
    min_area: int = 1
    simplify: float = 0.0
    rle: bool = False

    def __post_init__(self) -> None:
        for name, value, known in (("order", self.order, ORDERS), ("instances", self.instances, GROUPINGS)):
            if value not in known:
                raise ConfigError(f"{name}: got {value!r}, expected one of {', '.join(known)}")
        if self.min_area < 1 or not 0 <= self.simplify <= 100:
            raise ConfigError(
                f"got min_area {self.min_area} and simplify {self.simplify}; expected at least 1, and 0 to 100 pixels"
            )

    def split(self, annotations: Annotations) -> Iterator[tuple[AnnotatedImage, tuple[Instance, ...]]]:
        """Each image with its instances."""
        for image in annotations.images:
            yield image, image.split_instances(annotations.labels, by=self.instances, min_area=self.min_area)

    def polygons(self, instance: Instance, size: Size) -> Polygons:
        """In the plane: as drawn there, otherwise along the edges of its pixels."""
        shape = instance.shape
        if isinstance(shape, Polygons) and shape.points == "plane":
            return shape
        return trace(instance.mask(size), simplify=self.simplify)


def point_rule(annotations: Annotations) -> str:
    """How the points of a file that can hold both kinds are meant: "pixels" if all of them are so meant."""
    if any(image.read_part_map for image in annotations.images):
        return "plane"
    return rule_of(each.shape for image in annotations.images for each in image.instances)


def parts_for(
    instance: Instance, image: AnnotatedImage, rule: str, options: WriteOptions
) -> tuple[np.ndarray, ...]:
    """The polygons of an instance, their points meant as `rule` says, which is `point_rule`'s."""
    if rule == "pixels":
        assert isinstance(instance.shape, Polygons)
        return instance.shape.parts
    if isinstance(instance.shape, Polygons) and instance.shape.points == "plane":
        return instance.shape.parts
    return options.polygons(instance, image.known_size()).parts


def numbers(values: np.ndarray) -> list[int | float]:
    """For JSON: whole numbers without a point."""
    return [int(value) if value == int(value) else value for value in values.tolist()]


def to_json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def full_rle(instance: Instance, image: AnnotatedImage) -> Rle:
    return instance.rle(image.known_size())


def check_stems(annotations: Annotations, stems: list[str]) -> None:
    """Raises DataError where two images would be written to one file."""
    seen: dict[str, str] = {}
    for image, stem in zip(annotations.images, stems):
        other = seen.setdefault(stem.lower(), image.name)
        if other != image.name:
            raise DataError(
                f"{annotations.source}: {other} and {image.name} would both be written to {stem}; rename one"
            )
