"""Annotations of pictures, whatever the format they came from: instances, part maps, or both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import cv2
import numpy as np

from shoegen.data.annotations.findings import Finding
from shoegen.data.annotations.pictures import Pictures
from shoegen.data.annotations.shapes import Polygons, Rle
from shoegen.data.images import Size
from shoegen.data.labels import LabelMap
from shoegen.errors import ConfigError, DataError

ORDERS = ("given", "score")
GROUPINGS = ("components", "classes")


@dataclass(frozen=True, kw_only=True, eq=False)
class Instance:
    """One object of a picture. `is_crowd`: many that are not told apart; `attributes`: what else is said of it."""

    class_name: str
    shape: Polygons | Rle
    is_crowd: bool = False
    score: float | None = None
    attributes: dict[str, Any] = field(default_factory=dict)

    def rle(self, size: Size) -> Rle:
        """Its pixels in a picture of (height, width)."""
        return self.shape if isinstance(self.shape, Rle) else self.shape.rle(size)

    def mask(self, size: Size) -> np.ndarray:
        """(H, W) bool."""
        return self.rle(size).decode()


@dataclass(frozen=True, kw_only=True, eq=False)
class AnnotatedImage:
    """A picture's `name` in the annotations, its (height, width) if known, and what is annotated.

    `instances` are in their order. `read_part_map` gives the (H, W) uint8 part map, in the classes of the
    annotations' `labels`, where there is a stored one. `picture` is its name among the pictures.
    """

    name: str
    size: Size | None
    instances: tuple[Instance, ...] = ()
    read_part_map: Callable[[], np.ndarray] | None = None
    picture: str | None = None

    def known_size(self) -> Size:
        """The size.

        Raises:
            DataError: the format does not tell it, and the pictures were not given.
        """
        if self.size is None:
            raise DataError(f"the size of {self.name} is unknown; give the pictures with --images")
        return self.size

    def part_map(self, labels: LabelMap, *, order: str = "given") -> np.ndarray:
        """(H, W) uint8: the stored part map, or the instances over class 0, later ones over earlier ones.

        Args:
            labels: of the annotations, see `Annotations.labels`.
            order: "given", or "score": the highest score on top, and what has none at the bottom.
        """
        if order not in ORDERS:
            raise ConfigError(f"order: got {order!r}, expected one of {', '.join(ORDERS)}")
        if self.read_part_map is not None:
            return self.read_part_map()
        size = self.known_size()
        instances = list(self.instances)
        if order == "score":
            instances.sort(key=lambda each: -np.inf if each.score is None else each.score)
        part_map = np.zeros(size, np.uint8)
        for instance in instances:
            part_map[instance.mask(size)] = labels.index(instance.class_name)
        return part_map

    def split_instances(
        self, labels: LabelMap, *, by: str = "components", min_area: int = 1
    ) -> tuple[Instance, ...]:
        """The instances; of a part map, its 8-connected components of `min_area` pixels, or its classes."""
        if by not in GROUPINGS:
            raise ConfigError(f"instances: got {by!r}, expected one of {', '.join(GROUPINGS)}")
        if self.read_part_map is None:
            return self.instances
        return tuple(_instances_of(self.read_part_map(), labels, by, min_area))


def _instances_of(part_map: np.ndarray, labels: LabelMap, by: str, min_area: int) -> Iterator[Instance]:
    for index in np.unique(part_map).tolist():
        if index == 0:
            continue
        of_class = (part_map == index).astype(np.uint8)
        if by == "classes":
            masks = [of_class]
        else:
            count, components = cv2.connectedComponents(of_class, connectivity=8)
            masks = [components == component for component in range(1, count)]
        for mask in masks:
            if np.count_nonzero(mask) >= min_area:
                yield Instance(class_name=labels.names[index], shape=Rle.encode(mask))


@dataclass(frozen=True, kw_only=True, eq=False)
class Annotations:
    """What a file or folder says of a set of pictures.

    Attributes:
        images: each with what is annotated in it.
        class_names: of the instances, in the format's order; without the background.
        source, format: where it was read from, and as what.
        part_labels: names and colours of the part maps' classes, where such were read; 0 is the background.
        findings: what is wrong with it, see `read_annotations`.
        notes: one line for each thing that a user should know.
        supercategories: of classes, where there are any.
        pictures: the pictures, where they were given.
    """

    images: tuple[AnnotatedImage, ...]
    class_names: tuple[str, ...]
    source: str = ""
    format: str = ""
    part_labels: LabelMap | None = None
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    supercategories: dict[str, str] = field(default_factory=dict)
    pictures: Pictures | None = None

    @cached_property
    def labels(self) -> LabelMap:
        """The classes as those of a part map: 0 is the background, what no instance covers.

        Raises:
            DataError: more classes than the 255 that a part map can tell apart beside it.
        """
        if self.part_labels is not None:
            return self.part_labels
        background = next(name for name in BACKGROUNDS if name not in self.class_names)
        return LabelMap.from_names((background, *self.class_names))

    def count_instances(self) -> dict[str, int]:
        """How many instances each class has; what is stored as part maps has none."""
        counts = Counter(each.class_name for image in self.images for each in image.instances)
        return {name: counts[name] for name in self.class_names}

    def with_images(self, images: tuple[AnnotatedImage, ...]) -> Annotations:
        return replace(self, images=images)

    def with_classes(self, mapping: dict[str, str]) -> Annotations:
        """Keeps the classes that `mapping` lists, under their new names; those of one name become one.

        What is of another class becomes background.

        Raises:
            ConfigError: a class that is not there, or the background's name for one that is.
        """
        for old, new in mapping.items():
            if old not in self.class_names:
                raise ConfigError(
                    f"--classes: no class {old!r} in {self.source}; expected some of {', '.join(self.class_names)}"
                )
            if new in BACKGROUNDS:
                raise ConfigError(f"--classes: got {old}={new}; to drop a class, leave it out")
        names = tuple(dict.fromkeys(mapping.values()))
        part_labels = table = None
        if self.part_labels is not None:
            part_labels = _relabel(self.part_labels, names)
            table = np.zeros(256, np.uint8)
            for old, new in mapping.items():
                table[self.part_labels.index(old)] = part_labels.index(new)
        supers = {
            new: self.supercategories[old] for old, new in mapping.items() if old in self.supercategories
        }
        return replace(
            self,
            class_names=names,
            part_labels=part_labels,
            supercategories=supers,
            images=tuple(_rename(image, mapping, table) for image in self.images),
        )


BACKGROUNDS = ("background", "null", "void", "_background_")


def foreground(labels: LabelMap) -> tuple[str, ...]:
    """The classes of a part map without the background, which is class 0."""
    return labels.names[1:]


def _relabel(labels: LabelMap, names: tuple[str, ...]) -> LabelMap:
    """Background and `names`, each in the colour that it had."""
    fresh = LabelMap.from_names((labels.names[0], *names))
    colors = [
        labels.colors[labels.names.index(name)] if name in labels.names else color
        for name, color in zip(fresh.names, fresh.colors)
    ]
    return LabelMap(fresh.names, tuple(colors))


def _rename(image: AnnotatedImage, mapping: dict[str, str], table: np.ndarray | None) -> AnnotatedImage:
    instances = tuple(
        replace(each, class_name=mapping[each.class_name])
        for each in image.instances
        if each.class_name in mapping
    )
    read = image.read_part_map
    if read is None or table is None:
        return replace(image, instances=instances)
    return replace(image, instances=instances, read_part_map=lambda: table[read()])
