"""Cross-entropy weighted by class frequency, plus Dice."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from segmentation_models_pytorch.losses import DiceLoss
from torch import nn


def class_weights(frequencies: torch.Tensor, damping: float = 0.5) -> torch.Tensor:
    """Weights frequency^−damping, scaled so that the mean over all pixels is 1.

    frequencies: (classes,), shares of all pixels. damping: 0 weighs every pixel alike, 1 every class alike.
    A class that never occurs gets weight 0.
    """
    seen = frequencies > 0
    weights = torch.where(seen, frequencies.clamp_min(1e-12) ** -damping, torch.zeros_like(frequencies))
    return weights / (weights * frequencies).sum()


class SegmentationLoss(nn.Module):
    """Weighted cross-entropy + `dice` × soft Dice loss, averaged over the classes that occur in the batch.

    Takes logits (N, classes, H, W) and labels (N, H, W) int64, returns a scalar.
    """

    weights: torch.Tensor

    def __init__(self, weights: torch.Tensor, dice: float = 0.5):
        super().__init__()
        self.register_buffer("weights", weights)
        self.dice_weight = dice
        self.dice = DiceLoss("multiclass", from_logits=True)

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        # The weights average 1 over the data, not over each batch: a plain mean keeps rare classes rare in
        # no batch.
        cross_entropy = (F.cross_entropy(logits, labels, reduction="none") * self.weights[labels]).mean()
        return cross_entropy + self.dice_weight * self.dice(logits, labels)
