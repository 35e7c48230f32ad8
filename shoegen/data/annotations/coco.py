"""COCO instances: one JSON file with images, categories and annotations, as polygons or run-lengths."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from shoegen.data.annotations.findings import Fault
from shoegen.data.annotations.model import Annotations, Instance
from shoegen.data.annotations.reading import Reading, all_whole, expect
from shoegen.data.annotations.shapes import Polygons, Rle, parse_polygon
from shoegen.data.annotations.writing import STEM, Files, WriteOptions, numbers, to_json
from shoegen.data.images import Size
from shoegen.errors import DataError

SUFFIX = ".json"
BOX_SLACK = 4.0
"""Pixels by which an annotation's box may differ from its polygon."""


def detect(value: Any) -> bool:
    return isinstance(value, dict) and {"images", "annotations"} <= value.keys()


def read(reading: Reading, value: Any) -> Annotations:
    """From parsed JSON."""
    try:
        images = expect(value.get("images"), list, "images")
        items = expect(value.get("annotations"), list, "annotations")
        names, supers = _categories(value.get("categories"))
    except Fault as fault:
        raise DataError(f"{reading.path}: {fault}") from fault
    by_image = _by_image(items, images, reading)
    rule = _decide_points(items, value.get("info"), reading)

    def parse(item: dict[str, Any], size: Size | None) -> Instance:
        return _instance(item, size, names, rule)

    taken: set[Any] = set()
    for image in images:
        if not isinstance(image, dict) or not isinstance(image.get("id"), int | str):
            reading.findings.error(None, f"{str(image)[:60]} is no image with an id", "export it again")
            continue
        if image["id"] in taken:
            reading.findings.error(
                str(image.get("file_name")), f"the image id {image['id']} is used twice", "give each its own"
            )
            continue
        taken.add(image["id"])
        listed = [(f"annotation {item.get('id')}", item) for item in by_image.get(image["id"], ())]
        size = image.get("height"), image.get("width")
        if added := reading.add(image.get("file_name"), size, listed, parse):
            _check_boxes(added.name, by_image.get(image["id"], ()), reading)
    return reading.finish(names.values(), supercategories=supers)


def _categories(value: Any) -> tuple[dict[Any, str], dict[str, str]]:
    """The names by id, in the order of ids, and the supercategories by name."""
    names: dict[Any, str] = {}
    supers = {}
    for each in expect(value, list, "categories"):
        expect(each, dict, "a category")
        key, name = expect(each.get("id"), int, "a category's id"), expect(each.get("name"), str, "its name")
        if key in names or name in names.values():
            raise Fault(f"the category {key}, {name!r}, is listed twice", "give each its own id and name")
        names[key] = name
        if each.get("supercategory"):
            supers[name] = str(each["supercategory"])
    return dict(sorted(names.items())), supers


def _by_image(items: list[Any], images: list[Any], reading: Reading) -> dict[Any, list[dict[str, Any]]]:
    known = {
        image["id"]: image.get("file_name")
        for image in images
        if isinstance(image, dict) and isinstance(image.get("id"), int | str)
    }
    seen: set[Any] = set()
    result: dict[Any, list[dict[str, Any]]] = {}
    for item in items:
        if not isinstance(item, dict):
            reading.findings.error(None, f"{str(item)[:60]} is no annotation", "export it again")
            continue
        key, image = item.get("id"), item.get("image_id")
        if not isinstance(image, int | str) or image not in known:
            reading.findings.error(
                None, f"annotation {key} is of image {image!r}, which is not listed", "add it to images"
            )
            continue
        if isinstance(key, int | str) and key in seen:
            reading.findings.error(
                str(known[image]), f"the annotation id {key} is used twice", "give each its own"
            )
        if isinstance(key, int | str):
            seen.add(key)
        result.setdefault(image, []).append(item)
    return result


def _decide_points(items: list[Any], info: Any, reading: Reading) -> str:
    """COCO means points of the plane; but outlines of pixels are often stored as they are, beside true boxes."""
    told = info.get("points") if isinstance(info, dict) else None
    if told in ("plane", "pixels"):
        return reading.decide_points(told == "pixels", "the file says so")
    as_pixels = as_plane = 0
    for item in items:
        try:
            box = np.array(item["bbox"], np.float64)
            polygons = item["segmentation"] if isinstance(item["segmentation"], list) else []
            if not polygons or not all_whole(polygons):
                continue
            points = np.concatenate([np.array(each, np.float64).reshape(-1, 2) for each in polygons])
            extent = np.ptp(points, axis=0)
            as_pixels += np.array_equal(box[2:], extent + 1)
            as_plane += np.array_equal(box[2:], extent)
        except (TypeError, KeyError, ValueError, OverflowError):
            continue  # said of the item when it is read
    votes = as_pixels + as_plane
    because = (
        f"{max(as_pixels, as_plane)} of {votes} boxes of polygons with whole numbers agree with that"
        if votes
        else "that is COCO's rule"
    )
    return reading.decide_points(as_pixels > as_plane, because)


def _instance(item: dict[str, Any], size: Size | None, names: dict[Any, str], rule: str) -> Instance:
    category = item.get("category_id")
    if not isinstance(category, int) or category not in names:
        raise Fault(
            f"category_id is {category!r}, which categories lacks; expected one of "
            f"{', '.join(map(str, list(names)[:20]))}",
            "add the category, or correct the id",
        )
    shape = _shape(item.get("segmentation"), size, rule)
    score = item.get("score")
    attributes = item.get("attributes")
    return Instance(
        class_name=names[category],
        shape=shape,
        is_crowd=bool(item.get("iscrowd")),
        score=float(score) if isinstance(score, int | float) else None,
        attributes=attributes if isinstance(attributes, dict) else {},
    )


def _shape(value: Any, size: Size | None, rule: str) -> Polygons | Rle:
    if isinstance(value, list):
        if not value:
            raise Fault("its segmentation is empty", "draw it, or delete the annotation")
        return Polygons(tuple(parse_polygon(part, size) for part in value), rule)
    if isinstance(value, dict):
        return parse_rle(value, size)
    raise Fault(
        "it has no segmentation, expected polygons or run-lengths", "draw it, or delete the annotation"
    )


def parse_rle(value: dict[str, Any], size: Size | None) -> Rle:
    """From {"size": [height, width], "counts": compressed or not}.

    Raises:
        Fault: another form, or damaged.
    """
    given = value.get("size")
    is_size = isinstance(given, list) and len(given) == 2 and all(type(side) is int for side in given)
    if not is_size:
        raise Fault(f"the size of its run-lengths is {given!r}, expected [height, width]", "export it again")
    assert isinstance(given, list)
    rle_size = given[0], given[1]
    if size is not None and rle_size != size:
        raise Fault(
            f"its mask is {given[1]}x{given[0]}, the picture {size[1]}x{size[0]}",
            "use the picture that was annotated",
        )
    counts = value.get("counts")
    if isinstance(counts, str):
        return Rle.from_text(counts, rle_size)
    if not isinstance(counts, list) or not all(type(count) is int and abs(count) < 2**62 for count in counts):
        raise Fault("its run-lengths are no list of whole numbers", "export it again")
    return Rle.from_runs(np.array(counts, np.int64), rle_size)


def _check_boxes(name: str, items: Iterable[dict[str, Any]], reading: Reading) -> None:
    """Warns of boxes that are not their polygons': one of the two belongs elsewhere."""
    for item in items:
        try:
            box = np.array(item["bbox"], np.float64)
            points = np.concatenate([parse_polygon(part, None) for part in item["segmentation"]])
        except (KeyError, TypeError, ValueError):
            continue  # no box, or no polygon, or said already
        expected = np.concatenate([points.min(axis=0), np.ptp(points, axis=0)])
        if box.shape != (4,) or not np.abs(expected - box).max() <= BOX_SLACK:
            reading.findings.warning(
                name,
                f"annotation {item.get('id')}: its bbox is not its polygon's, {numbers(expected.round(1))}",
                "correct one of them, or remove the bbox",
            )


def write(annotations: Annotations, options: WriteOptions) -> Files:
    """One .json; polygons in the plane, run-lengths for crowds, or for all if `options` say so."""
    ids = {name: index for index, name in enumerate(annotations.class_names, start=1)}
    images: list[dict[str, Any]] = []
    items: list[dict[str, Any]] = []
    for index, (image, instances) in enumerate(options.split(annotations), start=1):
        height, width = image.known_size()
        images.append({"id": index, "file_name": image.name, "height": height, "width": width})
        for instance in instances:
            item = {"id": len(items) + 1, "image_id": index, "category_id": ids[instance.class_name]}
            items.append(item | _item(instance, (height, width), options))
    categories = [
        {"id": index, "name": name}
        | (
            {"supercategory": annotations.supercategories[name]}
            if name in annotations.supercategories
            else {}
        )
        for name, index in ids.items()
    ]
    info = {"description": "written by shoegen", "points": "plane"}
    yield (
        f"{STEM}.json",
        to_json({"info": info, "images": images, "annotations": items, "categories": categories}),
    )


def _item(instance: Instance, size: Size, options: WriteOptions) -> dict[str, Any]:
    rle = instance.rle(size)
    item: dict[str, Any] = {"iscrowd": int(instance.is_crowd), "area": rle.area, "bbox": list(rle.box)}
    if options.rle:
        item["segmentation"] = {"size": list(size), "counts": rle.counts.decode()}
    elif instance.is_crowd:
        item["segmentation"] = {"size": list(size), "counts": rle.runs().tolist()}
    else:
        parts = options.polygons(instance, size).parts
        points = np.concatenate(parts)
        left, top = points.min(axis=0)
        item["bbox"] = numbers(np.array([left, top, *(points.max(axis=0) - (left, top))]))
        item["segmentation"] = [numbers(part.reshape(-1)) for part in parts]
    if instance.score is not None:
        item["score"] = instance.score
    if instance.attributes:
        item["attributes"] = instance.attributes
    return item
