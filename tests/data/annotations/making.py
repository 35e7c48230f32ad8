"""Small sets of pictures and annotations."""

import json
from pathlib import Path

import cv2
import numpy as np

from shoegen.data.annotations import AnnotatedImage, Annotations, Instance, Polygons, Rle
from shoegen.data.annotations.pictures import Pictures
from shoegen.data.images import encode_png

from ..packs import as_zip, picture

SIZE = (24, 20)
CLASSES = ("boot", "shoe")


def photos(path: Path, count: int = 3, size=SIZE) -> Path:
    """A zip of a.png, b.png, …"""
    path.mkdir(parents=True, exist_ok=True)
    return as_zip(
        path, {f"{'abcdefghij'[index]}.png": encode_png(picture(index, *size)) for index in range(count)}
    )


def blob(seed: int, size=SIZE) -> np.ndarray:
    """(H, W) bool: some random pixels, with holes and islands."""
    noise = np.random.default_rng(seed).random(size).astype(np.float32)
    mask = cv2.GaussianBlur(noise, (5, 5), 1.2) > 0.55
    mask[seed % size[0], seed % size[1]] = True
    return mask


def of_masks(masks: list[list[np.ndarray]], pictures: Path | None = None, **more) -> Annotations:
    """Images a.png, b.png, … with instances of the two classes in turn."""
    images = tuple(
        AnnotatedImage(
            name=f"{'abcdefghij'[index]}.png",
            size=of[0].shape,
            picture=f"{'abcdefghij'[index]}.png" if pictures else None,
            instances=tuple(
                Instance(class_name=CLASSES[number % 2], shape=Rle.encode(mask), **more)
                for number, mask in enumerate(of)
            ),
        )
        for index, of in enumerate(masks)
    )
    return Annotations(images=images, class_names=CLASSES, pictures=Pictures(pictures) if pictures else None)


def polygon(*points, rule="plane") -> Polygons:
    return Polygons((np.array(points, np.float64),), rule)


def coco(images=None, items=None, **more) -> dict:
    """COCO's JSON of a.png with a 10 x 6 box at (2, 3), or of what is given."""
    square = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[2, 3, 12, 3, 12, 9, 2, 9]]}
    return {
        "images": images or [{"id": 1, "file_name": "a.png", "height": SIZE[0], "width": SIZE[1]}],
        "annotations": [square | item for item in items or [{}]],
        "categories": [{"id": 1, "name": "shoe"}],
    } | more


def via(*shapes, name="a.png", attributes=None, as_first=False) -> dict:
    regions = [
        {
            "shape_attributes": shape,
            "region_attributes": {"class_name": "shoe"} if attributes is None else attributes,
        }
        for shape in shapes
    ]
    if as_first:
        regions = {str(index): region for index, region in enumerate(regions)}
    return {f"{name}1": {"filename": name, "size": 1, "regions": regions, "file_attributes": {}}}


def outline(*points) -> dict:
    xs, ys = zip(*points)
    return {"name": "polygon", "all_points_x": list(xs), "all_points_y": list(ys)}


def labelbox(*objects, name="a.png", size=SIZE) -> dict:
    return {
        "data_row": {"id": "1", "external_id": name, "row_data": "https://example.com/a.png"},
        "media_attributes": {"height": size[0], "width": size[1]},
        "projects": {"p": {"labels": [{"annotations": {"objects": list(objects)}}]}},
    }


def save(path: Path, value) -> Path:
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path
