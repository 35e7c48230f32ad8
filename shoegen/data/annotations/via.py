"""VGG Image Annotator: exports and projects of version 2, where regions are a list, and 1, where they are an object."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from shoegen.data.annotations.findings import Fault
from shoegen.data.annotations.model import AnnotatedImage, Annotations, Instance
from shoegen.data.annotations.reading import Reading, all_whole, expect
from shoegen.data.annotations.shapes import Polygons, ellipse, parse_polygon, rectangle
from shoegen.data.annotations.writing import (
    STEM,
    Files,
    WriteOptions,
    numbers,
    parts_for,
    point_rule,
    to_json,
)
from shoegen.data.images import Size
from shoegen.errors import DataError

SUFFIX = ".json"
CLASS_ATTRIBUTES = ("class_name", "class", "label", "category", "name", "type", "object")
"""VIA lets everyone name the attribute that holds the class; these are tried in turn."""
NO_CLASS = "object"
PART_OF = "shoegen_instance"
"""The attribute that joins the regions of one instance: a region has one outline only."""
CROWD, SCORE = "iscrowd", "score"


def detect(value: Any) -> str | None:
    """ "via", "via1", "mixed", or None."""
    if not isinstance(value, dict):
        return None
    metadata = value.get("_via_img_metadata", value)
    if not isinstance(metadata, dict) or value == {}:
        return None
    entries = list(metadata.values())
    if not all(isinstance(each, dict) and "filename" in each and "regions" in each for each in entries):
        return None
    kinds = {type(each["regions"]) for each in entries if each["regions"]}
    return "mixed" if len(kinds) > 1 else "via1" if kinds == {dict} else "via"


def read(reading: Reading, value: Any) -> Annotations:
    """From parsed JSON."""
    entries = list(value.get("_via_img_metadata", value).values())
    regions = [_regions(entry, reading) for entry in entries]
    attribute = _class_attribute([region for of in regions for region in of], reading)
    rule = _decide_points(entries, regions, reading)

    def parse(items: list[dict[str, Any]], size: Size | None) -> Instance:
        return _instance(items, size, attribute, rule)

    for entry, of in zip(entries, regions):
        reading.add(entry["filename"], None, _grouped(of), parse)
    return reading.finish(_class_names(value, attribute, reading))


def _regions(entry: dict[str, Any], reading: Reading) -> list[Any]:
    regions = entry["regions"] or []
    if not isinstance(regions, dict | list):
        reading.findings.error(str(entry["filename"]), "its regions are no list", "export it again")
        return []
    return list(regions.values()) if isinstance(regions, dict) else regions


def _attributes(region: Any) -> dict[str, Any]:
    attributes = region.get("region_attributes") if isinstance(region, dict) else None
    return attributes if isinstance(attributes, dict) else {}


def _class_attribute(regions: list[Any], reading: Reading) -> str | None:
    """The attribute that holds the class; None where there are no attributes, so that all is of one class."""
    counts = Counter(name for region in regions for name in _attributes(region))
    for own in (PART_OF, CROWD, SCORE):
        counts.pop(own, None)
    if not counts:
        if regions:
            reading.notes.append(f"no region has attributes: all are of the class {NO_CLASS!r}")
        return None
    for name in CLASS_ATTRIBUTES:
        if name in counts:
            return name
    if len(counts) == 1:
        return next(iter(counts))
    raise DataError(
        f"{reading.path}: which region attribute is the class? got {', '.join(sorted(counts))}; "
        f"rename it to {CLASS_ATTRIBUTES[0]}"
    )


def _decide_points(entries: list[dict[str, Any]], regions: list[list[Any]], reading: Reading) -> str:
    told = {
        each["file_attributes"].get("points")
        for each in entries
        if isinstance(each.get("file_attributes"), dict)
    } & {"plane", "pixels"}
    if len(told) == 1:
        return reading.decide_points(told == {"pixels"}, "the file says so")
    outlines = [
        numbers
        for of in regions
        for region in of
        if isinstance(region, dict) and isinstance(shape := region.get("shape_attributes"), dict)
        for key in ("all_points_x", "all_points_y")
        if isinstance(numbers := shape.get(key), list)
    ]
    whole = all_whole(outlines)
    because = "all are whole numbers, as the tool counts pixels" if whole else "some are between pixels"
    return reading.decide_points(whole, because) if outlines else "plane"


def _grouped(regions: list[Any]) -> list[tuple[str, list[Any]]]:
    """Regions one by one, but those that are parts of one instance together."""
    groups: dict[Any, list[Any]] = {}
    for index, region in enumerate(regions):
        part_of = _attributes(region).get(PART_OF)
        groups.setdefault(index if part_of is None else f"parts {part_of}", []).append(region)
    return [(f"region {key}", items) for key, items in groups.items()]


def _instance(items: list[Any], size: Size | None, attribute: str | None, rule: str) -> Instance:
    shapes = [_polygon(item, size, rule) for item in items]
    attributes = dict(_attributes(items[0]))
    attributes.pop(PART_OF, None)
    crowd, score = attributes.pop(CROWD, None), attributes.pop(SCORE, None)
    try:
        number = None if score is None else float(score)
    except (TypeError, ValueError) as error:
        raise Fault(f"its score is {score!r}", "give it a number") from error
    return Instance(
        class_name=NO_CLASS if attribute is None else _class_of(attributes.pop(attribute, None), attribute),
        shape=Polygons(tuple(part for shape in shapes for part in shape.parts), shapes[0].points),
        is_crowd=str(crowd) == "1",
        score=number,
        attributes=attributes,
    )


def _class_of(value: Any, attribute: str) -> str:
    """The class from a text, or from the one box that is ticked."""
    if isinstance(value, dict):
        ticked = [name for name, is_ticked in value.items() if is_ticked]
        value = ticked[0] if len(ticked) == 1 else None
    if not isinstance(value, str) or not value.strip():
        raise Fault(f"it has no {attribute}", "give it a class")
    return value.strip()


def _polygon(region: Any, size: Size | None, rule: str) -> Polygons:
    expect(region, dict, "a region")
    shape = expect(region.get("shape_attributes"), dict, "shape_attributes")
    kind = shape.get("name")
    if kind in ("polygon", "polyline"):
        xs, ys = (expect(shape.get(key), list, key) for key in ("all_points_x", "all_points_y"))
        if len(xs) != len(ys):
            raise Fault(f"a polygon has {len(xs)} x and {len(ys)} y", "draw it again")
        return Polygons((parse_polygon(list(zip(xs, ys)), size),), rule)
    if kind == "rect":
        return Polygons((parse_polygon(rectangle(*_numbers(shape, "x", "y", "width", "height")), size),))
    if kind in ("circle", "ellipse"):
        keys = ("r", "r") if kind == "circle" else ("rx", "ry")
        x, y, rx, ry, theta = _numbers({"theta": 0, **shape}, "cx", "cy", *keys, "theta")
        outline = ellipse(x, y, rx, ry, theta)
        if size is not None:  # what is drawn round may reach beyond the picture
            outline = outline.clip(0, (size[1], size[0]))
        return Polygons((parse_polygon(outline, size),))
    raise Fault(
        f"it is a {kind}, which has no area; expected polygon, polyline, rect, circle or ellipse",
        "draw it again or delete it",
    )


def _numbers(shape: dict[str, Any], *keys: str) -> list[float]:
    values = [shape.get(key) for key in keys]
    if not all(isinstance(value, int | float) and abs(value) < 1e9 for value in values):
        raise Fault(f"its {', '.join(keys)} are {values}, expected numbers", "draw it again")
    return [float(value) for value in values if value is not None]


def _class_names(value: dict[str, Any], attribute: str | None, reading: Reading) -> Iterator[str]:
    """In the order of the project's options, where it lists some, then of the alphabet."""
    try:
        options = value["_via_attributes"]["region"][attribute]["options"]
        listed = [name for name in options if isinstance(name, str)]
    except (KeyError, TypeError):
        listed = []
    yield from listed
    yield from sorted({each.class_name for image in reading.images for each in image.instances})


# ---- writing ----


def write(annotations: Annotations, options: WriteOptions) -> Files:
    """One .json, an export of version 2."""
    yield f"{STEM}.json", to_json(dict(_entries(annotations, options, is_first=False)))


def write_first(annotations: Annotations, options: WriteOptions) -> Files:
    """One .json, an export of version 1."""
    yield f"{STEM}.json", to_json(dict(_entries(annotations, options, is_first=True)))


def _entries(annotations: Annotations, options: WriteOptions, *, is_first: bool) -> Iterator[tuple[str, Any]]:
    rule = point_rule(annotations)
    for image, instances in options.split(annotations):
        regions = [
            region
            for number, each in enumerate(instances)
            for region in _write(each, number, image, rule, options)
        ]
        size = _file_size(annotations, image)
        entry: dict[str, Any] = {
            "filename": image.name,
            "size": size,
            "regions": {str(index): region for index, region in enumerate(regions)} if is_first else regions,
            "file_attributes": {"points": rule},
        }
        if is_first:
            entry = {"fileref": "", "base64_img_data": "", **entry}
        yield f"{image.name}{size}", entry


def _write(
    instance: Instance, number: int, image: AnnotatedImage, rule: str, options: WriteOptions
) -> Iterator[dict[str, Any]]:
    parts = parts_for(instance, image, rule, options)
    attributes = {**instance.attributes, CLASS_ATTRIBUTES[0]: instance.class_name}
    if len(parts) > 1:
        attributes[PART_OF] = str(number)
    if instance.is_crowd:
        attributes[CROWD] = "1"
    if instance.score is not None:
        attributes[SCORE] = str(instance.score)
    for part in parts:
        outline = {"name": "polygon", "all_points_x": _column(part, 0), "all_points_y": _column(part, 1)}
        yield {"shape_attributes": outline, "region_attributes": attributes}


def _column(part: np.ndarray, index: int) -> list[int | float]:
    return numbers(part[:, index])


def _file_size(annotations: Annotations, image: AnnotatedImage) -> int:
    """In bytes, which VIA has as part of its keys; −1 where the picture is not at hand."""
    if annotations.pictures is None or image.picture is None:
        return -1
    return len(annotations.pictures.read(image.picture))
