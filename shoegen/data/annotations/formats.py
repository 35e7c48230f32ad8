"""The formats' one contract, and reading and writing of any of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from shoegen.data.annotations import coco, dataset, imaterialist, labelbox, pngs, via
from shoegen.data.annotations.findings import check_findings
from shoegen.data.annotations.model import Annotations, foreground
from shoegen.data.annotations.pictures import Pictures
from shoegen.data.annotations.reading import MAX_BYTES, Reading, parse_json
from shoegen.data.annotations.shapes import POINTS
from shoegen.data.annotations.writing import Files, WriteOptions
from shoegen.data.files import PictureFiles
from shoegen.data.labels import LabelMap
from shoegen.errors import ConfigError, DataError


@dataclass(frozen=True)
class Format:
    """How a format is read and written.

    read: (reading, the parsed JSON where the format is such) → annotations, with what is wrong as findings.
    write: (annotations, options) → (name, content) of each file. `suffix`: of the one file; None: a folder or zip.
    """

    suffix: str | None
    read: Callable[[Reading, Any], Annotations]
    write: Callable[[Annotations, WriteOptions], Files]


FORMATS = {
    "coco": Format(coco.SUFFIX, coco.read, coco.write),
    "via": Format(via.SUFFIX, via.read, via.write),
    "via1": Format(via.SUFFIX, via.read, via.write_first),
    "labelbox": Format(labelbox.SUFFIX, lambda reading, _: labelbox.read(reading), labelbox.write),
    "imaterialist": Format(
        imaterialist.SUFFIX, lambda reading, _: imaterialist.read(reading), imaterialist.write
    ),
    "index-png": Format(None, pngs.read_index, pngs.write_index),
    "color-png": Format(None, pngs.read_color, pngs.write_color),
    "alpha": Format(None, pngs.read_alpha, pngs.write_alpha),
    "dataset": Format(None, pngs.read_index, dataset.write),
}

_KNOWN = (
    "expected VIA, COCO or Labelbox JSON, an iMaterialist CSV, or a folder or zip of index PNGs, colour PNGs or "
    "cut-outs"
)


def read_annotations(
    path: str | Path,
    *,
    images: str | Path | None = None,
    format: str = "auto",
    labels: str | Path | None = None,
    points: str = "auto",
    classes: dict[str, str] | None = None,
    skip_bad: bool = False,
) -> Annotations:
    """Reads annotations of any format.

    Args:
        path: a file, or a folder or zip of masks.
        images: the folder or zip of the pictures; needed for formats that do not tell their sizes.
        format: a name in `FORMATS`, or "auto": told by the content.
        labels: the labels file; for formats that have names of their own, the order of the classes.
        points: what polygons' points are: "plane", "pixels", see shapes.py, or "auto": what the file's own boxes
            say (COCO), or otherwise whether they are whole numbers.
        classes: which to keep, and their new names, see `Annotations.with_classes`.
        skip_bad: leave out images of which something cannot be used; without it that is an error.

    Raises:
        ConfigError: an argument that cannot be followed.
        DataError: nothing there, an unknown or damaged format, or something that cannot be used.
    """
    annotations = scan_annotations(path, images=images, format=format, labels=labels, points=points)
    if skip_bad:
        annotations = without_bad(annotations)
    else:
        check_findings(annotations.findings, str(path))
    if classes:
        annotations = annotations.with_classes(classes)
    if labels is None or annotations.part_labels is not None or annotations.format == "imaterialist":
        return annotations
    label_map = LabelMap.read(Path(labels))
    for what in lacking(annotations, label_map):
        raise DataError(
            f"{path}: {what}; give another file with --labels, or rename the class with --classes"
        )
    return replace(annotations, part_labels=label_map, class_names=foreground(label_map))


def lacking(annotations: Annotations, labels: LabelMap) -> list[str]:
    """A line for each class of instances that the labels do not have."""
    return [
        f"{count} instances are {name!r}, which the labels file lacks; it has {', '.join(labels.names)}"
        for name, count in annotations.count_instances().items()
        if name not in foreground(labels)
    ]


def without_bad(annotations: Annotations) -> Annotations:
    """Without the images that have errors: half of what is annotated would teach that the rest is background.

    Raises:
        DataError: nothing is left.
    """
    bad = {finding.image for finding in annotations.findings if finding.severity == "error"}
    kept = tuple(image for image in annotations.images if image.name not in bad)
    if not kept:
        check_findings(annotations.findings, annotations.source)
        raise DataError(f"{annotations.source} has no images that can be used")
    left_out = len(bad - {None})
    notes = (
        (*annotations.notes, f"left out: {left_out} images with errors") if left_out else annotations.notes
    )
    return replace(annotations, images=kept, notes=notes)


def scan_annotations(
    path: str | Path,
    *,
    images: str | Path | None = None,
    format: str = "auto",
    labels: str | Path | None = None,
    points: str = "auto",
) -> Annotations:
    """As `read_annotations`, but what cannot be used stays as errors in `findings`; only the whole file raises."""
    for name, value, known in (("format", format, ("auto", *FORMATS)), ("points", points, ("auto", *POINTS))):
        if value not in known:
            raise ConfigError(f"{name}: got {value!r}, expected one of {', '.join(known)}")
    path = Path(path)
    pictures = None if images is None else Pictures(images)
    label_map = None if labels is None else LabelMap.read(Path(labels))
    try:
        is_file, start = path.is_file(), b""
        if is_file:
            with path.open("rb") as file:
                start = file.read(4)
        elif not path.is_dir():
            raise DataError(f"{path} does not exist; {_KNOWN}")
        if not is_file or start.startswith(b"PK"):
            return _read_folder(path, format, pictures, label_map)
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"{path} is {path.stat().st_size} bytes; expected at most {MAX_BYTES}, split it")
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}; check the path") from error
    return _read_file(path, data, format, pictures, label_map, points)


def _read_folder(path: Path, format: str, pictures: Pictures | None, labels: LabelMap | None) -> Annotations:
    files = PictureFiles(path)
    labels = labels or files.read_labels()
    if format == "auto":
        format = pngs.detect(files, labels)
    if FORMATS[format].suffix is not None:
        raise DataError(f"{path} is a folder or zip of pictures; {format} is a {FORMATS[format].suffix} file")
    reading = Reading(path=path, format=format, files=files, pictures=pictures, labels=labels)
    annotations = FORMATS[format].read(reading, None)
    if not annotations.images and not annotations.findings:
        raise DataError(f"{path} has no masks; {_KNOWN}")
    return annotations


def _read_file(
    path: Path, data: bytes, format: str, pictures: Pictures | None, labels: LabelMap | None, points: str
) -> Annotations:
    found, value = _detect(path, data)
    if format not in ("auto", found):
        raise DataError(f"{path} is of the format {found}, got {format} as its format; say auto")
    if labels is None and found == "imaterialist":
        labels = _labels_beside(path, pictures)
    reading = Reading(path=path, format=found, data=data, pictures=pictures, labels=labels, points=points)
    return FORMATS[found].read(reading, value)


def _detect(path: Path, data: bytes) -> tuple[str, Any]:
    """The format of a file by its content, and its JSON where it is one."""
    start = data[:100].removeprefix(b"\xef\xbb\xbf").lstrip()
    if imaterialist.detect(data):
        return "imaterialist", None
    if not start:
        raise DataError(f"{path} is empty; {_KNOWN}")
    if start[:1] == b"<":
        raise DataError(f"{path} is XML or HTML, which is not read; {_KNOWN}")
    if start[:1] not in (b"{", b"["):
        raise DataError(f"{path} is of no known format; {_KNOWN}")
    first, _, rest = data.partition(b"\n")
    if b'"data_row"' in first or (rest.lstrip()[:1] == b"{" and b'"data_row"' in rest[:10_000]):
        return "labelbox", None
    value = parse_json(data, str(path))
    if coco.detect(value):
        if any(isinstance(each, dict) and "regions" in each for each in value.values()):
            raise DataError(f"{path} mixes COCO and VIA; split it into one file for each")
        return "coco", value
    kind = via.detect(value)
    if kind == "mixed":
        raise DataError(
            f"{path} mixes VIA 1 (regions as objects) and VIA 2 (regions as lists); split it into one file for each"
        )
    if kind is None:
        keys = ", ".join(map(str, list(value)[:5])) if isinstance(value, dict) else "a list"
        raise DataError(f"{path} is JSON of no known format ({keys[:80]}); {_KNOWN}")
    return kind, value


def _labels_beside(path: Path, pictures: Pictures | None) -> LabelMap | None:
    beside = imaterialist.labels_beside(path)
    if beside.is_file():
        return LabelMap.read(beside)
    return pictures.files.read_labels() if pictures else None
