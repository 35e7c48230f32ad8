"""What every engine of Mask R-CNN is to its users."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

LOSSES = ("loss_cls", "loss_box_reg", "loss_mask", "loss_rpn_cls", "loss_rpn_loc")
"""Names of the terms of the loss, detectron2's; total_loss is their sum."""


@dataclass(frozen=True, eq=False)
class Targets:
    """The objects of one picture of H × W pixels.

    boxes: float (n, 4), left, top, right, bottom, in pixels, right and bottom exclusive. labels: int64 (n,) from 1 on;
    0 is the background. masks: uint8 (n, H, W), 0 or 1. n may be 0.
    """

    boxes: Tensor
    labels: Tensor
    masks: Tensor


@dataclass(frozen=True, eq=False)
class Detections:
    """The objects found in one picture of H × W pixels, best first.

    boxes: float32 (n, 4), left, top, right, bottom, in pixels. labels: int64 (n,) from 1 on. scores: float32 (n,) in
    [0, 1]. masks: bool (n, H, W).
    """

    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    masks: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)


class InstanceNet(nn.Module, ABC):
    """Mask R-CNN (He et al., arXiv 1703.06870), ResNet-50 with FPN, whoever implements it.

    Pictures are float32 (3, H, W) in [−1, 1], each of its own size; what the network resizes them to is its business,
    and boxes and masks are always in the pictures' own pixels.
    """

    @property
    def encoder(self) -> nn.Module | None:
        """The ResNet, its tensors named as torchvision's ResNet names them, or None: no published weights fit."""
        return None

    @abstractmethod
    def losses(self, images: list[Tensor], targets: list[Targets]) -> dict[str, Tensor]:
        """The terms `LOSSES` of a batch, in training mode: their sum is what training descends on."""

    @abstractmethod
    def detect(self, images: list[Tensor], *, score: float = 0.0) -> list[Detections]:
        """The objects of each picture, in evaluation mode.

        score: those below it, or below the configuration's, are left out before their masks are drawn.
        """
