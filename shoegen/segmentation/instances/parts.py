"""Mask R-CNN in use: pictures → objects, and part maps."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from shoegen.data.annotations import Rle
from shoegen.data.labels import LabelMap
from shoegen.errors import DataError
from shoegen.segmentation.instances.config import MaskRCNNConfig
from shoegen.segmentation.instances.contract import Detections, InstanceNet
from shoegen.segmentation.instances.engines import build_instance_net
from shoegen.segmentation.parts import Images, TrainedSegmenter, as_tensor

KIND = "instance-segmenter"
SCORE = 0.5  # from which on an object counts in a part map


class InstanceSegmenter(TrainedSegmenter):
    """A trained Mask R-CNN; in use like `PartSegmenter`.

        segmenter = InstanceSegmenter.load("runs/maskrcnn")
        found = segmenter.detect(image)  # boxes, labels, scores, masks
        part_map = segmenter.segment(image)  # (H, W, 3) uint8 → (H, W) uint8

    Attributes: net, config, labels, device.
    """

    KIND, CONFIG = KIND, MaskRCNNConfig

    net: InstanceNet
    config: MaskRCNNConfig

    @staticmethod
    def build(config: MaskRCNNConfig) -> InstanceNet:
        """See `build_instance_net`."""
        return build_instance_net(config)

    @torch.inference_mode()
    def detect(self, image: np.ndarray, *, score: float = 0.0) -> Detections:
        """The objects of a picture (H, W, 3) uint8 of at least this score, best first, in its own pixels.

        Raises:
            DataError: it has another shape or type.
        """
        if image.ndim != 3:
            raise DataError(f"got an array {image.shape}, expected one picture: uint8 (H, W, 3)")
        return self._detect(as_tensor(image)[0], score)

    @torch.inference_mode()
    def segment(
        self,
        images: Images,
        *,
        size: tuple[int, int] | int | None = None,
        batch: int = 16,
        score: float = SCORE,
    ) -> np.ndarray:
        """Part maps of one or many pictures: where objects overlap, that of the highest score is on top.

        images: uint8 arrays (H, W, 3) or (N, H, W, 3), or float tensors (N, 3, H, W) in [−1, 1], of any size.
        size: (height, width) of the part maps, or a side; by default the pictures' own.
        batch: as for `PartSegmenter`; pictures are looked at one by one here.
        score: objects below it are left out.

        Returns (H, W) uint8 for a single (H, W, 3) array, else (N, H, W).

        Raises:
            DataError: the pictures have another shape or type.
        """
        tensor = as_tensor(images)
        own = tensor.shape[-2], tensor.shape[-1]
        wanted = (size, size) if isinstance(size, int) else size or own
        part_maps = np.zeros((len(tensor), *wanted), np.uint8)
        rows, columns = (
            np.minimum((np.arange(new) + 0.5) * old / new, old - 1).astype(int)
            for new, old in zip(wanted, own, strict=True)
        )
        for part_map, image in zip(part_maps, tensor):
            part_map[:] = draw(self._detect(image, score), own, score)[rows][:, columns]
        return part_maps[0] if isinstance(images, np.ndarray) and images.ndim == 3 else part_maps

    def _detect(self, image: torch.Tensor, score: float) -> Detections:
        return self.net.detect([image.to(self.device)], score=score)[0]


def draw(found: Detections, size: tuple[int, int], score: float) -> np.ndarray:
    """(H, W) uint8: the objects of at least this score, the best on top, over class 0."""
    part_map = np.zeros(size, np.uint8)
    for i in reversed(np.flatnonzero(found.scores >= score).tolist()):
        part_map[found.masks[i]] = found.labels[i]
    return part_map


class CocoInstances:
    """What was found in pictures as COCO's JSON of instances with scores, masks as run-lengths.

    Args:
        labels: whose classes from 1 on are the categories.
        score: objects below it are left out.
    """

    def __init__(self, labels: LabelMap, *, score: float = 0.0) -> None:
        self._score = score
        self._categories = [{"id": index, "name": name} for index, name in enumerate(labels.names) if index]
        self._images: list[dict[str, Any]] = []
        self._items: list[dict[str, Any]] = []

    def add(self, name: str, size: tuple[int, int], found: Detections) -> None:
        """A picture by its name and (height, width)."""
        height, width = size
        self._images.append(
            {"id": len(self._images) + 1, "file_name": name, "height": height, "width": width}
        )
        for i in np.flatnonzero(found.scores >= self._score).tolist():
            rle = Rle.encode(found.masks[i])
            if not rle.area:
                continue  # a box in which no pixel is likely enough
            left, top, right, bottom = found.boxes[i].tolist()
            self._items.append(
                {
                    "id": len(self._items) + 1,
                    "image_id": len(self._images),
                    "category_id": int(found.labels[i]),
                    "segmentation": {"size": [height, width], "counts": rle.counts.decode()},
                    "area": rle.area,
                    "bbox": [round(each, 2) for each in (left, top, right - left, bottom - top)],
                    "iscrowd": 0,
                    "score": round(float(found.scores[i]), 5),
                }
            )

    def __len__(self) -> int:
        """Objects so far."""
        return len(self._items)

    def to_json(self) -> dict[str, Any]:
        info = {"description": "written by shoegen", "points": "plane"}
        return {
            "info": info, "images": self._images, "annotations": self._items, "categories": self._categories
        }  # fmt: skip
