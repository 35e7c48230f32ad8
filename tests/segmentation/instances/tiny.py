"""Pictures of rectangles and a network that learns them in seconds; pytest collects nothing here."""

import json

import numpy as np

from shoegen.data.images import write_image
from shoegen.segmentation.config import AUGMENTATIONS
from shoegen.segmentation.instances.config import InstanceTrainingConfig, MaskRCNNConfig

TINY = MaskRCNNConfig(
    classes=3, resolution=64, norm="group", width=1 / 16, blocks=(1, 1, 1, 1), rois=32, detections=10
)
COLORS = {"shoe": (230, 40, 40), "bag": (40, 60, 230)}


def rectangles(i):
    """(class, left, top, width, height) of picture i, 64 wide and 48 + 4·(i mod 3) high."""
    found = [("shoe", 4 + i, 6 + i, 22, 16)]
    if i % 2:
        found.append(("bag", 36, 20 - i, 18, 24))
    return found


def draw(i):
    image = np.full((48 + 4 * (i % 3), 64, 3), 120, np.uint8)
    for name, left, top, width, height in rectangles(i):
        image[top : top + height, left : left + width] = COLORS[name]
    return image


def write_pictures(folder, count):
    for i in range(count):
        write_image(folder / f"{i}.png", draw(i))
    return folder


def coco(count, objects=rectangles):
    """Of the first pictures, as COCO's JSON."""
    images, items = [], []
    for i in range(count):
        height, width = draw(i).shape[:2]
        images.append({"id": i + 1, "file_name": f"{i}.png", "height": height, "width": width})
        for name, x, y, w, h in objects(i):
            items.append(
                {
                    "id": len(items) + 1,
                    "image_id": i + 1,
                    "category_id": list(COLORS).index(name) + 1,
                    "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]],
                    "bbox": [x, y, w, h],
                    "area": w * h,
                    "iscrowd": 0,
                }
            )
    categories = [{"id": i, "name": name} for i, name in enumerate(COLORS, start=1)]
    return {
        "info": {"points": "plane"}, "images": images, "annotations": items, "categories": categories
    }  # fmt: skip


def write_json(path, value):
    path.write_text(json.dumps(value))
    return path


def tiny_training(data, **changes):
    changes = {
        "model": TINY, "images": 8, "val_share": 0.25, "augment": AUGMENTATIONS["street"], "log_every": 4,
        "evaluate_every": 8, "save_every": 4, "learning_rate": 1e-3, **changes,
    }  # fmt: skip
    return InstanceTrainingConfig(data=str(data), **changes)
