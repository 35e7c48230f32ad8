"""iMaterialist-Fashion: a CSV of run-lengths that count pixels from 1, column by column."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np

from shoegen.data.annotations.findings import Fault
from shoegen.data.annotations.model import BACKGROUNDS, Annotations, Instance
from shoegen.data.annotations.reading import MAX_BYTES, Reading
from shoegen.data.annotations.shapes import Rle, check_size
from shoegen.data.annotations.writing import STEM, Files, WriteOptions, full_rle, to_json
from shoegen.data.images import Size
from shoegen.errors import DataError

SUFFIX = ".csv"
COLUMNS = ("ImageId", "EncodedPixels", "Height", "Width", "ClassId")
LABELS_SUFFIX = ".labels.json"
"""Beside the CSV, since it has no names of classes: NAME.csv and NAME.labels.json."""


def detect(data: bytes) -> bool:
    first = data[:1000].split(b"\n", 1)[0].removeprefix(b"\xef\xbb\xbf").strip()
    return {b"ImageId", b"EncodedPixels"} <= set(first.split(b","))


def read(reading: Reading) -> Annotations:
    """From the file's lines; the classes' names are those of the reading's labels, or "class 6"."""
    rows: dict[str, list[tuple[str, dict[str, str]]]] = {}
    csv.field_size_limit(MAX_BYTES)  # run-lengths of a large picture exceed the usual one
    try:
        text = io.StringIO(reading.data.decode("utf-8-sig"), newline="")
        for number, row in enumerate(csv.DictReader(text), start=2):
            if None in row or None in row.values():  # type: ignore[comparison-overlap]
                reading.findings.error(
                    row.get("ImageId"), f"row {number} has not as many cells as the head", "mend it"
                )
                continue
            rows.setdefault(row["ImageId"], []).append((f"row {number}", row))
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{reading.path} is no CSV ({error}); export it again") from error
    names = reading.labels.names if reading.labels else None

    def parse(row: dict[str, str], size: Size | None) -> Instance:
        return _instance(row, size, names)

    for name, of in rows.items():
        try:
            size = _size(of)
        except Fault as fault:
            reading.findings.error(name, fault.what, fault.mend)
            continue
        reading.add(name, size, of, parse)
    if names is None:
        used = {each.class_name for image in reading.images for each in image.instances}
        reading.notes.append("the classes have numbers only; --labels FILE gives their names")
        return reading.finish(sorted(used, key=lambda name: int(name.removeprefix("class "))))
    if names[0] in BACKGROUNDS:
        return reading.finish(names[1:], part_labels=reading.labels)
    return reading.finish(names)


def _size(rows: list[tuple[str, dict[str, str]]]) -> Size | None:
    """What the rows of an image agree on."""
    sizes = {(row.get("Height"), row.get("Width")) for _, row in rows}
    if len(sizes) > 1:
        raise Fault(f"its rows give {len(sizes)} sizes", "correct them")
    height, width = sizes.pop()
    if not height and not width:
        return None
    if not (height and width and height.isdecimal() and width.isdecimal() and len(height + width) < 12):
        raise Fault(f"its size is given as {str(width)[:20]}x{str(height)[:20]}", "correct it")
    return int(height), int(width)


def _instance(row: dict[str, str], size: Size | None, names: tuple[str, ...] | None) -> Instance:
    if size is None:
        raise Fault("neither the row nor a picture gives its size", "give the pictures with --images")
    number, *attributes = row.get("ClassId", "").split("_")
    if not number.isdecimal() or len(number) > 6:
        raise Fault(f"ClassId is {row.get('ClassId', '')[:20]!r}, expected a whole number", "correct it")
    if names is not None and int(number) >= len(names):
        raise Fault(
            f"ClassId {int(number)} is not in the labels file, which has 0 to {len(names) - 1}",
            "correct it, or give the right labels file with --labels",
        )
    given = row.get("AttributesIds") or ",".join(attributes)
    name = names[int(number)] if names is not None else f"class {int(number)}"
    if names is not None and int(number) == 0 and name in BACKGROUNDS:
        raise Fault(f"ClassId 0 is the {name}, which is what no row covers", "delete the row")
    return Instance(
        class_name=name,
        shape=decode_runs(row["EncodedPixels"], size),
        attributes={"AttributesIds": given} if given else {},
    )


def decode_runs(text: str, size: Size) -> Rle:
    """From "start length start length …", 1-based and column-major.

    Raises:
        Fault: not pairs of whole numbers from 1 on, runs that overlap, or that leave the picture.
    """
    check_size(size)
    words = text.split()
    if not words or len(words) % 2:
        raise Fault(f"its run-lengths are {len(words)} numbers, expected pairs", "export it again")
    try:
        starts, lengths = np.array([int(word) for word in words], np.int64).reshape(-1, 2).T
    except (ValueError, OverflowError) as error:
        raise Fault("its run-lengths are no whole numbers", "export it again") from error
    total = size[0] * size[1]
    ends = starts + lengths  # 1-based, exclusive
    wrong = (starts < 1) | (lengths < 1) | (starts > total) | (lengths > total) | (ends - 1 > total)
    if wrong.any():
        worst = int(np.argmax(wrong))
        raise Fault(
            f"the run of {lengths[worst]} from {starts[worst]} leaves the picture, whose "
            f"{size[1]}x{size[0]} pixels are 1 to {total}",
            "export it again",
        )
    order = np.argsort(starts)
    starts, lengths, ends = starts[order], lengths[order], ends[order]
    overlaps = np.flatnonzero(starts[1:] < ends[:-1])
    if overlaps.size:
        raise Fault(f"two runs cover the pixel {starts[1:][overlaps[0]]}", "export it again")
    gaps = np.diff(starts, prepend=1) - np.concatenate([[0], lengths[:-1]])
    runs = np.stack([gaps, lengths], axis=1).reshape(-1)
    rest = total - runs.sum()
    return Rle.from_runs(np.append(runs, rest) if rest else runs, size)


def encode_runs(rle: Rle) -> str:
    """The inverse of `decode_runs`."""
    runs = rle.runs()
    ends = np.cumsum(runs)
    lengths = runs[1::2]
    starts = ends[1::2] - lengths + 1
    kept = lengths > 0
    return " ".join(map(str, np.stack([starts[kept], lengths[kept]], axis=1).reshape(-1).tolist()))


def write(annotations: Annotations, options: WriteOptions) -> Files:
    """A .csv with a row for each instance, and the classes' names; pictures without instances are not in it."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    labels = annotations.labels
    for image, instances in options.split(annotations):
        for instance in instances:
            height, width = image.known_size()
            runs = encode_runs(full_rle(instance, image))
            table.writerow([image.name, runs, height, width, labels.index(instance.class_name)])
    yield f"{STEM}{LABELS_SUFFIX}", to_json(labels.to_json())
    yield f"{STEM}.csv", text.getvalue().encode()


def labels_beside(path: Any) -> Any:
    """The labels file that was written with a CSV."""
    return path.with_name(path.name.removesuffix(SUFFIX) + LABELS_SUFFIX)
