"""Mask R-CNN in use: pictures → objects, and part maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from shoegen.data.annotations import Rle
from shoegen.data.labels import LabelMap
from shoegen.errors import ConfigError, DataError, FileFormatError
from shoegen.segmentation.instances.config import MaskRCNNConfig
from shoegen.segmentation.instances.contract import Detections, InstanceNet
from shoegen.segmentation.instances.engines import build_instance_net
from shoegen.segmentation.overlay import Overlay
from shoegen.segmentation.parts import MODEL_FILE, Images, as_tensor
from shoegen.torch_utils.tensors import load_tensors, save_tensors

KIND = "instance-segmenter"
SCORE = 0.5  # from which on an object counts in a part map


class InstanceSegmenter:
    """A trained Mask R-CNN and the labels it tells apart; in use like `PartSegmenter`.

        segmenter = InstanceSegmenter.load("runs/maskrcnn")
        found = segmenter.detect(image)  # boxes, labels, scores, masks
        part_map = segmenter.segment(image)  # (H, W, 3) uint8 → (H, W) uint8

    Attributes: net, config, labels, device.
    """

    def __init__(self, net: InstanceNet, config: MaskRCNNConfig, labels: LabelMap):
        if config.classes != len(labels):
            raise ConfigError(
                f"the network has {config.classes} classes, the labels {len(labels)}; they must agree"
            )
        self.net = net.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.config, self.labels = config, labels

    @property
    def device(self) -> torch.device:
        return next(self.net.parameters()).device

    @classmethod
    def load(cls, path: str | Path, device: str | torch.device = "cpu") -> InstanceSegmenter:
        """Reads a segmenter.safetensors, also out of a run folder.

        Raises:
            FileFormatError: the file is not there, damaged, or of another kind.
            ConfigError: its engine is not installed.
        """
        path = Path(path)
        if path.is_dir():
            path = path / MODEL_FILE
        if not path.is_file():
            raise FileFormatError(
                f"no segmenter at {path}; train one with `shoegen train-segmenter --arch maskrcnn`, or give its path"
            )
        tensors, metadata = load_tensors(path, kind=KIND)
        damaged = f"{path} does not hold the network that it names; get the file again"
        try:
            config = MaskRCNNConfig.from_dict(metadata["config"])
            labels = LabelMap.from_json(metadata["labels"])
        except (KeyError, ConfigError, DataError) as error:
            raise FileFormatError(damaged) from error
        net = build_instance_net(config)
        try:
            weights = {name: tensor.float() for name, tensor in tensors.items()}
            missing, unexpected = net.load_state_dict(weights, strict=False)
            wrong = [*unexpected, *(name for name in missing if not name.endswith("num_batches_tracked"))]
            if not wrong:
                return cls(net.to(device), config, labels)
        except (ConfigError, RuntimeError) as error:
            raise FileFormatError(damaged) from error
        raise FileFormatError(
            f"{path}: {len(wrong)} tensors missing or too many, such as {wrong[0]}; get the file again"
        )

    def save(self, path: str | Path, *, dtype: torch.dtype = torch.float16) -> None:
        """Writes the network, its filters by default in half precision, with its config and labels."""
        tensors = {
            name: tensor.to("cpu", dtype if tensor.ndim > 1 else tensor.dtype).contiguous()
            for name, tensor in self.net.state_dict().items()
            if not name.endswith("num_batches_tracked")  # of use in training only
        }
        metadata = {"kind": KIND, "config": self.config.to_dict(), "labels": self.labels.to_json()}
        save_tensors(path, tensors, metadata)

    @torch.inference_mode()
    def detect(self, image: np.ndarray) -> Detections:
        """The objects of a picture (H, W, 3) uint8, best first, in its own pixels.

        Raises:
            DataError: it has another shape or type.
        """
        if image.ndim != 3:
            raise DataError(f"got an array {image.shape}, expected one picture: uint8 (H, W, 3)")
        return self._detect(as_tensor(image)[0])

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
            part_map[:] = draw(self._detect(image), own, score)[rows][:, columns]
        return part_maps[0] if isinstance(images, np.ndarray) and images.ndim == 3 else part_maps

    def overlay(self, image: np.ndarray, *, score: float = SCORE) -> Overlay:
        """A picture (H, W, 3) uint8 with its part map over it, which a notebook shows.

        Raises:
            DataError: it has another shape or type.
        """
        if image.ndim != 3:
            raise DataError(f"got an array {image.shape}, expected one picture: uint8 (H, W, 3)")
        return Overlay(image, self.segment(image, score=score), self.labels)

    def _detect(self, image: torch.Tensor) -> Detections:
        return self.net.detect([image.to(self.device)])[0]


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
