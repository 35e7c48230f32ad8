"""What is wrong with annotations, beyond what stops them from being read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from shoegen.data.annotations.findings import Finding, Findings
from shoegen.data.annotations.formats import lacking, scan_annotations
from shoegen.data.annotations.model import AnnotatedImage, Annotations
from shoegen.data.annotations.pictures import Pictures
from shoegen.data.labels import LabelMap
from shoegen.errors import DataError

TINY = 16
"""Pixels: an instance below that is more likely a slip of the mouse."""


@dataclass(kw_only=True)
class Lint:
    """What was found.

    Attributes:
        images, instances: how many can be used; `instances` by class.
        part_maps: how many images have one, and `pixels` by class the share of all pixels.
        findings: what is wrong; errors first.
        annotations: what was read.
    """

    source: str
    format: str
    images: int = 0
    instances: dict[str, int] = field(default_factory=dict)
    part_maps: int = 0
    pixels: dict[str, float] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    annotations: Annotations | None = None

    @property
    def errors(self) -> int:
        return sum(finding.severity == "error" for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        return {
            name: value for name, value in vars(self).items() if name not in ("findings", "annotations")
        } | {"errors": self.errors}


def lint(
    source: str | Path,
    *,
    images: str | Path | None = None,
    labels: str | Path | None = None,
    points: str = "auto",
    against: Sequence[str] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Lint:
    """Reads annotations of any format and says what is wrong with them.

    Args:
        source, images, labels, points: see `read_annotations`.
        against: other splits of the same data, which must share no picture with this one.

    Raises:
        ConfigError, DataError: see `read_annotations`: of the whole file only.
    """
    annotations = scan_annotations(source, images=images, labels=labels, points=points)
    found = Findings(Path(source).name)
    found += annotations.findings
    result = Lint(source=str(source), format=annotations.format, notes=list(annotations.notes))
    result.images, result.instances = len(annotations.images), annotations.count_instances()
    pixels = np.zeros(256, np.int64)
    for done, image in enumerate(annotations.images, start=1):
        if image.read_part_map is not None:
            of = image.read_part_map()
            pixels += np.bincount(of.reshape(-1), minlength=256)
            result.part_maps += 1
            if not of.any():
                found.warning(image.name, "its part map is background alone", "draw it, or leave it out")
        else:
            _check_image(image, found)
        progress(done, len(annotations.images))
    _check_classes(annotations, pixels, result, found)
    _check_pictures(annotations, found)
    if labels is not None and annotations.part_labels is None and annotations.format != "imaterialist":
        for what in lacking(annotations, LabelMap.read(Path(labels))):
            found.error(None, what, "add it, or rename the class")
    for other in against:
        others = scan_annotations(other, images=images, labels=labels, points=points)
        for name in shared_pictures(annotations, others):
            found.error(
                name, f"it is in {other} too", "keep it in one: a test on what was trained says nothing"
            )
    result.findings = sorted(found, key=lambda finding: finding.severity)  # "error" before "warning"
    result.annotations = annotations
    return result


def shared_pictures(one: Annotations, other: Annotations) -> list[str]:
    """The images of `one` that are in `other` too, by name, or, where the pictures are known, by their bytes."""
    names = {image.name for image in other.images}
    digests = set(_digests(other).values())
    own = _digests(one)
    return [image.name for image in one.images if image.name in names or own.get(image.name) in digests]


def _digests(annotations: Annotations) -> dict[str, bytes]:
    pictures = annotations.pictures
    return {
        image.name: pictures.digest(image.picture)
        for image in annotations.images
        if pictures is not None and image.picture is not None
    }


def _check_image(image: AnnotatedImage, found: Findings) -> None:
    if not image.instances:
        found.warning(image.name, "nothing is annotated in it", "annotate it, or leave it out")
    if image.size is None:
        return
    seen: dict[tuple[str, bytes], int] = {}
    for number, instance in enumerate(image.instances, start=1):
        rle = instance.rle(image.size)
        twin = seen.setdefault((instance.class_name, rle.counts), number)
        if twin != number:
            found.warning(image.name, f"instance {number} is the same as instance {twin}", "delete one")
        if rle.area < TINY:
            found.warning(
                image.name, f"instance {number} covers {rle.area} pixels", "delete it, if it is a slip"
            )


def _check_classes(annotations: Annotations, pixels: np.ndarray, result: Lint, found: Findings) -> None:
    counts = Counter(result.instances)
    if result.part_maps:
        labels = annotations.labels
        total = max(int(pixels.sum()), 1)
        result.pixels = {name: int(pixels[index]) / total for index, name in enumerate(labels.names)}
        counts += Counter({name: int(pixels[index]) for index, name in enumerate(labels.names)})
        result.instances = {}
    unused = [name for name in annotations.class_names if not counts[name]]
    if unused and annotations.images:
        listed = ", ".join(unused[:5]) + ", …" * (len(unused) > 5)
        found.warning(
            None,
            f"{len(unused)} of {len(annotations.class_names)} classes are not used: {listed}",
            "drop them",
        )
    if not annotations.images and not found:
        found.error(None, "it lists no images", "annotate some")


def _check_pictures(annotations: Annotations, found: Findings) -> None:
    pictures = annotations.pictures
    if pictures is None:
        if any(image.size is None for image in annotations.images):
            found.warning(
                None,
                "the pictures' sizes are unknown, so that points outside them cannot be told",
                "give --images",
            )
        return
    taken = {image.picture for image in annotations.images}
    bad = {finding.image for finding in annotations.findings}
    missing = [
        name
        for name in pictures.files.pictures
        if name not in taken and not {name, name.removeprefix("images/")} & bad
    ]
    for name in missing:
        found.warning(name, "the picture is not annotated", "annotate it, or leave it out")
    _find_twins(annotations, pictures, found)


def _find_twins(annotations: Annotations, pictures: Pictures, found: Findings) -> None:
    first: dict[bytes, str] = {}
    for image in annotations.images:
        if image.picture is None:
            continue
        try:
            twin = first.setdefault(pictures.digest(image.picture), image.name)
        except DataError:
            continue  # said when it was looked up
        if twin != image.name:
            found.warning(image.name, f"the same picture as {twin}", "keep one of them")
