"""A segmenter in use: pictures → part maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from shoegen.data.labels import LabelMap
from shoegen.errors import ConfigError, DataError, FileFormatError
from shoegen.segmentation.config import SegmenterConfig
from shoegen.segmentation.models import build_segmenter
from shoegen.segmentation.overlay import Overlay
from shoegen.torch_utils.pixels import from_pixels
from shoegen.torch_utils.tensors import load_tensors, save_tensors

MODEL_FILE = "segmenter.safetensors"  # in a run folder
DEFAULT_PATH = Path(__file__).parent.parent / "assets" / MODEL_FILE
KIND = "segmenter"

Images = np.ndarray | torch.Tensor


def is_segmenter(path: str | Path) -> bool:
    """Whether a file is a segmenter, or a run folder holds one."""
    path = Path(path)
    if path.is_dir():
        return (path / MODEL_FILE).is_file()
    try:
        load_tensors(path, kind=KIND)
    except FileFormatError:
        return False
    return True


class PartSegmenter:
    """A trained network and the labels it tells apart.

        segmenter = PartSegmenter.load()
        part_map = segmenter.segment(image)  # (H, W, 3) uint8 → (H, W) uint8
        segmenter.overlay(image)  # shown in a notebook

    Attributes: net, config, labels, device.
    """

    def __init__(self, net: nn.Module, config: SegmenterConfig, labels: LabelMap):
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
    def load(cls, path: str | Path = "default", device: str | torch.device = "cpu") -> PartSegmenter:
        """Reads a segmenter.safetensors, also out of a run folder; "default" is the one that ships with shoegen.

        Raises:
            FileFormatError: the file is not there, damaged, or of another kind.
        """
        path = DEFAULT_PATH if str(path) == "default" else Path(path)
        if path.is_dir():
            path = path / MODEL_FILE
        if not path.is_file():
            raise FileFormatError(
                f"no segmenter at {path}; train one with `shoegen train-segmenter`, or give its path"
            )
        tensors, metadata = load_tensors(path, kind=KIND)
        try:
            config = SegmenterConfig.from_dict(metadata["config"])
            labels = LabelMap.from_json(metadata["labels"])
            net = build_segmenter(config)
            weights = {name: tensor.float() for name, tensor in tensors.items()}
            missing, unexpected = net.load_state_dict(weights, strict=False)
        except (KeyError, ConfigError, DataError, RuntimeError) as error:
            raise FileFormatError(
                f"{path} does not hold the network that it names; get the file again"
            ) from error
        wrong = [*unexpected, *(name for name in missing if not name.endswith("num_batches_tracked"))]
        if wrong:
            raise FileFormatError(
                f"{path}: {len(wrong)} tensors missing or too many, such as {wrong[0]}; get the file again"
            )
        return cls(net.to(device), config, labels)

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
    def segment(
        self, images: Images, *, size: tuple[int, int] | int | None = None, batch: int = 16
    ) -> np.ndarray:
        """Part maps of one or many pictures.

        images: uint8 arrays (H, W, 3) or (N, H, W, 3), or float tensors (N, 3, H, W) in [−1, 1], of any size.
        size: (height, width) of the part maps, or a side; by default the pictures' own. Class probabilities
            are interpolated before the best is taken: part maps of small pictures become finer than their
            pixels.
        batch: pictures per pass.

        Returns (H, W) uint8 for a single (H, W, 3) array, else (N, H, W).

        Raises:
            DataError: the pictures have another shape or type.
        """
        tensor = as_tensor(images)
        height, width = (
            (size, size) if isinstance(size, int) else size or (tensor.shape[-2], tensor.shape[-1])
        )
        maps = []
        for chunk in tensor.split(batch):
            logits = self.logits(chunk.to(self.device))
            if logits.shape[-2:] != (height, width):
                logits = F.interpolate(logits.softmax(1), (height, width), mode="bilinear", antialias=True)
            # On a CPU argmax takes ten times as long as max, except along the last axis in memory.
            maps.append(logits.max(1).indices.to(torch.uint8).cpu().numpy())
        part_maps = np.concatenate(maps)
        return part_maps[0] if isinstance(images, np.ndarray) and images.ndim == 3 else part_maps

    def overlay(self, image: np.ndarray) -> Overlay:
        """A picture (H, W, 3) uint8 with its part map over it, which a notebook shows.

        Raises:
            DataError: it has another shape or type.
        """
        if image.ndim != 3:
            raise DataError(f"got an array {image.shape}, expected one picture: uint8 (H, W, 3)")
        return Overlay(image, self.segment(image), self.labels)

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) in [−1, 1] → (N, classes, h, w), the picture as large as fits into those of the training."""
        factor = min(most / side for most, side in zip(self.config.size, images.shape[-2:], strict=True))
        size = [max(1, round(side * factor)) for side in images.shape[-2:]]
        if size != list(images.shape[-2:]):
            images = F.interpolate(images, size, mode="bilinear", antialias=factor < 1)
        return self.net(images.contiguous(memory_format=torch.channels_last))


def as_tensor(images: Images) -> torch.Tensor:
    """Any accepted pictures → (N, 3, H, W) float32 in [−1, 1]."""
    if isinstance(images, torch.Tensor):
        if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
            raise DataError(
                f"got a tensor {tuple(images.shape)} of {images.dtype}, "
                "expected float (N, 3, H, W) in [−1, 1]"
            )
        return images.float()
    if images.ndim not in (3, 4) or images.shape[-1] != 3 or images.dtype != np.uint8:
        raise DataError(
            f"got an array {images.shape} of {images.dtype}, expected uint8 (H, W, 3) or (N, H, W, 3)"
        )
    pixels = torch.from_numpy(images.reshape(-1, *images.shape[-3:])).permute(0, 3, 1, 2)
    return from_pixels(pixels)
