"""Small data sets, as folders and zip files."""

import json
import zipfile
from pathlib import Path

import numpy as np

from shoegen.data.images import encode_part_map, encode_png
from shoegen.data.labels import SHOE_PARTS


def picture(index: int, height: int = 16, width: int = 16) -> np.ndarray:
    return np.random.default_rng(index).integers(0, 256, (height, width, 3), np.uint8)


def part_map(index: int, height: int = 16, width: int = 16) -> np.ndarray:
    return np.random.default_rng(index).integers(0, 7, (height, width), np.uint8)


def pictures(count: int) -> dict[str, bytes]:
    return {f"{index:02d}.png": encode_png(picture(index)) for index in range(count)}


def shoes(count: int) -> dict[str, bytes]:
    """A whole data set: pictures, part maps, labels and attributes."""
    files = {"labels.json": json.dumps(SHOE_PARTS.to_json()).encode()}
    attributes = {f"images/{index:02d}.png": {"heel_height": 10.0 * index} for index in range(count - 1)}
    files["attributes.json"] = json.dumps({"unit": "mm", "attributes": attributes}).encode()
    for index in range(count):
        files[f"images/{index:02d}.png"] = encode_png(picture(index))
        files[f"masks/{index:02d}.png"] = encode_part_map(part_map(index), SHOE_PARTS)
    return files


def as_folder(path: Path, files: dict[str, bytes]) -> Path:
    folder = path / "shoes"
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    folder.mkdir(exist_ok=True)
    return folder


def as_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path / "shoes.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path / "shoes.zip"


def labelled(labels, names=None) -> bytes:
    """A dataset.json."""
    return json.dumps({"labels": labels} | ({"class_names": names} if names else {})).encode()
