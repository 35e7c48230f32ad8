"""Segmenters of any kind out of their files."""

from __future__ import annotations

from pathlib import Path

import torch

from shoegen.segmentation.instances.parts import KIND as INSTANCES
from shoegen.segmentation.instances.parts import InstanceSegmenter
from shoegen.segmentation.parts import MODEL_FILE, PartSegmenter
from shoegen.torch_utils.tensors import kind_of

AnySegmenter = PartSegmenter | InstanceSegmenter


def load_segmenter(path: str | Path = "default", device: str | torch.device = "cpu") -> AnySegmenter:
    """Reads a segmenter.safetensors of either kind, also out of a run folder; "default" is the shipped one.

    Both kinds have `segment`, `overlay`, `labels`, `config`, `net` and `device`; one that knows instances, Mask R-CNN,
    has `detect` too.

    Raises:
        FileFormatError: the file is not there, damaged, or of another kind.
        ConfigError: its engine is not installed.
    """
    if is_instance_segmenter(path):
        return InstanceSegmenter.load(path, device)
    return PartSegmenter.load(path, device)


def is_instance_segmenter(path: str | Path) -> bool:
    """Whether a file is a Mask R-CNN, or a run folder holds one."""
    path = Path(path)
    return kind_of(path / MODEL_FILE if path.is_dir() else path) == INSTANCES
