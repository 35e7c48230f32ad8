"""Labelbox: the NDJSON export, one row for each picture."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from shoegen.data.annotations.coco import parse_rle
from shoegen.data.annotations.findings import Fault
from shoegen.data.annotations.model import AnnotatedImage, Annotations, Instance
from shoegen.data.annotations.reading import Reading, all_whole, expect, parse_json
from shoegen.data.annotations.shapes import Polygons, Rle, parse_polygon, rectangle
from shoegen.data.annotations.writing import (
    STEM,
    Files,
    WriteOptions,
    numbers,
    parts_for,
    point_rule,
    to_json,
)
from shoegen.data.images import Size, decode_picture, encode_png
from shoegen.errors import DataError

SUFFIX = ".ndjson"
CROWD, SCORE = "iscrowd", "score"


def detect(value: Any) -> bool:
    """Whether a row's JSON is of this format."""
    return isinstance(value, dict) and "data_row" in value


def read(reading: Reading) -> Annotations:
    """From the file's lines; a line that is no row is an error of its own."""
    rows = []
    for number, line in enumerate(reading.data.splitlines(), start=1):
        if line.strip():
            try:
                row = parse_json(line, f"line {number}")
                if not detect(row):
                    raise DataError(f"line {number} has no data_row")
                rows.append(row)
            except DataError as error:
                reading.findings.error(None, str(error), "export it again")
    objects = [_objects(row, reading) for row in rows]
    told = {points for points in ("plane", "pixels") for row in rows if row.get("points") == points}
    outlines = [
        [point.get(axis) for point in each["polygon"] if isinstance(point, dict) for axis in "xy"]
        for of in objects
        for each in of
        if isinstance(each, dict) and isinstance(each.get("polygon"), list)
    ]
    rule = "plane"
    if len(told) == 1:
        rule = reading.decide_points(told == {"pixels"}, "the file says so")
    elif outlines:
        whole = all_whole(outlines)
        because = "all are whole numbers, as the tool counts pixels" if whole else "some are between pixels"
        rule = reading.decide_points(whole, because)

    def parse(item: Any, size: Size | None) -> Instance:
        return _instance(item, size, rule)

    for row, of in zip(rows, objects):
        media = row.get("media_attributes") if isinstance(row.get("media_attributes"), dict) else {}
        reading.add(_name(row), (media.get("height"), media.get("width")), _called(of), parse)
    return reading.finish(sorted({each.class_name for image in reading.images for each in image.instances}))


def _name(row: dict[str, Any]) -> Any:
    data_row = row["data_row"] if isinstance(row["data_row"], dict) else {}
    return next((data_row[key] for key in ("external_id", "global_key", "id") if data_row.get(key)), None)


def _objects(row: dict[str, Any], reading: Reading) -> list[Any]:
    """Of the first label of each project: the others are other people's work on the same picture."""
    objects: list[Any] = []
    projects = row.get("projects")
    for project in projects.values() if isinstance(projects, dict) else ():
        labels = project.get("labels") if isinstance(project, dict) else None
        if not isinstance(labels, list) or not labels:
            continue
        if len(labels) > 1:
            reading.findings.warning(
                str(_name(row)),
                f"it has {len(labels)} labels, the first is taken",
                "export the one that counts",
            )
        annotations = labels[0].get("annotations") if isinstance(labels[0], dict) else None
        found = annotations.get("objects") if isinstance(annotations, dict) else None
        objects += found if isinstance(found, list) else []
    return objects


def _called(objects: list[Any]) -> list[tuple[str, Any]]:
    return [(f"object {index}", each) for index, each in enumerate(objects)]


def _instance(item: Any, size: Size | None, rule: str) -> Instance:
    expect(item, dict, "an object")
    name = item.get("value") or item.get("name")
    if not isinstance(name, str):
        raise Fault("it has neither name nor value", "give it a class")
    score = item.get(SCORE)
    return Instance(
        class_name=name,
        shape=_shape(item, size, rule),
        is_crowd=bool(item.get(CROWD)),
        score=float(score) if isinstance(score, int | float) else None,
        attributes=item["attributes"] if isinstance(item.get("attributes"), dict) else {},
    )


def _shape(item: dict[str, Any], size: Size | None, rule: str) -> Polygons | Rle:
    if "polygon" in item:
        points = expect(item["polygon"], list, "polygon")
        pairs = [[point.get("x"), point.get("y")] if isinstance(point, dict) else None for point in points]
        return Polygons((parse_polygon(pairs, size),), rule)
    if "bounding_box" in item:
        box = expect(item["bounding_box"], dict, "bounding_box")
        sides = [box.get(key) for key in ("left", "top", "width", "height")]
        if not all(isinstance(side, int | float) for side in sides):
            raise Fault(f"its bounding box is {sides}", "draw it again")
        return Polygons((parse_polygon(rectangle(*sides), size),))  # type: ignore[arg-type]
    if "mask" in item:
        return _mask(expect(item["mask"], dict, "mask"), size)
    kind = item.get("annotation_kind", "unknown")
    raise Fault(
        f"it is of the kind {kind}; expected a polygon, mask or bounding box", "delete it, or draw it"
    )


def _mask(mask: dict[str, Any], size: Size | None) -> Rle:
    """What is in the file: a PNG in base64, or run-lengths."""
    if "counts" in mask:
        return parse_rle(mask, size)
    link = mask.get("url") or mask.get("composite_url") or ""
    text = mask.get("png") or (link if str(link).startswith("data:") else None)
    if not isinstance(text, str):
        raise Fault(
            f"its mask is at {str(link)[:60] or 'no known place'}, and nothing is downloaded",
            'put it into the file as {"mask": {"png": base64}}, or export polygons',
        )
    try:
        data = base64.b64decode(text.rpartition(",")[2], validate=True)
        return Rle.encode(decode_picture(data, channels=1).pixels > 127)
    except (binascii.Error, ValueError) as error:
        raise Fault(f"its mask cannot be read ({error})", "export it again") from error


def write(annotations: Annotations, options: WriteOptions) -> Files:
    """One .ndjson: polygons of one part as they are, everything else as masks in the file."""
    rule = point_rule(annotations)
    rows = []
    for image, instances in options.split(annotations):
        row: dict[str, Any] = {"data_row": {"id": image.name, "external_id": image.name}, "points": rule}
        if image.size is not None:
            row["media_attributes"] = {"height": image.size[0], "width": image.size[1]}
        objects = [_object(each, image, rule, options) for each in instances]
        labels = [{"label_kind": "Default", "annotations": {"objects": objects, "classifications": []}}]
        row["projects"] = {"shoegen": {"name": "shoegen", "labels": labels}}
        rows.append(to_json(row) + b"\n")
    yield f"{STEM}.ndjson", b"".join(rows)


def _object(instance: Instance, image: AnnotatedImage, rule: str, options: WriteOptions) -> dict[str, Any]:
    item: dict[str, Any] = {"name": instance.class_name, "value": instance.class_name}
    if isinstance(instance.shape, Polygons) and len(parts := parts_for(instance, image, rule, options)) == 1:
        item["annotation_kind"] = "ImagePolygon"
        item["polygon"] = [{"x": x, "y": y} for x, y in map(numbers, parts[0])]
    else:
        item["annotation_kind"] = "ImageSegmentationMask"
        mask = instance.mask(image.known_size()).astype("uint8") * 255
        item["mask"] = {"png": base64.b64encode(encode_png(mask)).decode()}
    if instance.is_crowd:
        item[CROWD] = 1
    if instance.score is not None:
        item[SCORE] = instance.score
    if instance.attributes:
        item["attributes"] = instance.attributes
    return item
