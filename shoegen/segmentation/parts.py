"""A segmenter in use: pictures → part maps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from shoegen.data.labels import LabelMap
from shoegen.errors import ConfigError, DataError, FileFormatError
from shoegen.segmentation.config import NetConfig, SegmenterConfig
from shoegen.segmentation.overlay import Overlay
from shoegen.torch_utils.pixels import from_pixels
from shoegen.torch_utils.tensors import find_model, kind_of, load_tensors, save_tensors

MODEL_FILE = "segmenter.safetensors"  # in a run folder
DEFAULT_PATH = Path(__file__).parent.parent / "assets" / MODEL_FILE
KIND = "segmenter"

Images = np.ndarray | torch.Tensor


def is_segmenter(path: str | Path) -> bool:
    """Whether a file is a segmenter, or a run folder holds one."""
    path = Path(path)
    return (path / MODEL_FILE).is_file() if path.is_dir() else kind_of(path) == KIND


class TrainedSegmenter(ABC):
    """A trained network and the labels it tells apart, whatever it finds; see `PartSegmenter` and `InstanceSegmenter`.

    Attributes: net, config, labels, device.
    """

    KIND: ClassVar[str]  # of files
    CONFIG: ClassVar[type[NetConfig]]

    net: Any
    config: Any

    def __init__(self, net: nn.Module, config: NetConfig, labels: LabelMap) -> None:
        if config.classes != len(labels):
            raise ConfigError(
                f"the network has {config.classes} classes, the labels {len(labels)}; they must agree"
            )
        self.net = net.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.config, self.labels = config, labels

    @staticmethod
    @abstractmethod
    def build(config: Any) -> nn.Module:
        """A new network."""

    @property
    def device(self) -> torch.device:
        return next(self.net.parameters()).device

    @classmethod
    def load(cls, path: str | Path = "default", device: str | torch.device = "cpu") -> Self:
        """Reads a segmenter.safetensors, also out of a run folder; "default" is the one that ships with shoegen.

        Raises:
            FileFormatError: the file is not there, damaged, or of another kind.
            ConfigError: what the network is built with is not installed.
        """
        path = find_model(path, DEFAULT_PATH, "segmenter", "train-segmenter")
        tensors, metadata = load_tensors(path, kind=cls.KIND)
        damaged = f"{path} does not hold the network that it names; get the file again"
        try:
            config = cls.CONFIG.from_dict(metadata["config"])
            labels = LabelMap.from_json(metadata["labels"])
        except (KeyError, ConfigError, DataError) as error:
            raise FileFormatError(damaged) from error
        try:
            net = cls.build(config)
        except ConfigError:
            raise
        except (
            RuntimeError,
            TypeError,
            ValueError,
            ArithmeticError,
            MemoryError,
        ) as error:  # of absurd sizes
            raise FileFormatError(damaged) from error
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
        metadata = {"kind": self.KIND, "config": self.config.to_dict(), "labels": self.labels.to_json()}
        save_tensors(path, tensors, metadata)

    @abstractmethod
    def segment(
        self, images: Images, *, size: tuple[int, int] | int | None = None, batch: int = 16
    ) -> np.ndarray:
        """Part maps of one or many pictures."""

    def overlay(self, image: np.ndarray, **settings: Any) -> Overlay:
        """A picture (H, W, 3) uint8 with its part map over it, which a notebook shows; settings: of `segment`.

        Raises:
            DataError: it has another shape or type.
        """
        if not isinstance(image, np.ndarray) or image.ndim != 3:
            got = f"an array {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
            raise DataError(f"got {got}, expected one picture: uint8 (H, W, 3)")
        return Overlay(image, self.segment(image, **settings), self.labels)


class PartSegmenter(TrainedSegmenter):
    """A trained network that gives every pixel a class.

        segmenter = PartSegmenter.load()
        part_map = segmenter.segment(image)  # (H, W, 3) uint8 → (H, W) uint8
        segmenter.overlay(image)  # shown in a notebook

    Attributes: net, config, labels, device.
    """

    KIND, CONFIG = KIND, SegmenterConfig

    config: SegmenterConfig

    @staticmethod
    def build(config: SegmenterConfig) -> nn.Module:
        """See `build_segmenter`; an architecture that this version does not know is a ConfigError."""
        # Here, since the libraries of networks take longer to load than PyTorch.
        from shoegen.segmentation.models import build_segmenter

        return build_segmenter(config)

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
    if not isinstance(images, np.ndarray):
        raise DataError(
            f"got {type(images).__name__}, expected an array; files are read by shoegen.data.images.read_image"
        )
    if images.ndim not in (3, 4) or images.shape[-1] != 3 or images.dtype != np.uint8 or not images.size:
        raise DataError(
            f"got an array {images.shape} of {images.dtype}, expected uint8 (H, W, 3) or (N, H, W, 3)"
        )
    if not images.flags.writeable:  # such as Pillow's, which PyTorch warns of
        images = images.copy()
    pixels = torch.from_numpy(images.reshape(-1, *images.shape[-3:])).permute(0, 3, 1, 2)
    return from_pixels(pixels)
