"""Pixel accuracy, IoU and Dice from a confusion matrix."""

from __future__ import annotations

import numpy as np

from shoegen.data.labels import LabelMap


class ConfusionMatrix:
    """Counts of pixels, `counts[true, predicted]`, gathered over any number of part maps."""

    def __init__(self, classes: int):
        self.counts = np.zeros((classes, classes), np.int64)

    def update(self, predicted: np.ndarray, true: np.ndarray) -> None:
        """Adds part maps of one shape, integer labels below `classes`."""
        classes = len(self.counts)
        pairs = true.astype(np.int64).ravel() * classes + predicted.astype(np.int64).ravel()
        self.counts += np.bincount(pairs, minlength=classes**2).reshape(classes, classes)

    @property
    def pixel_accuracy(self) -> float:
        return float(np.trace(self.counts) / self.counts.sum())

    @property
    def iou(self) -> np.ndarray:
        """(classes,) intersection over union; NaN for a class that is neither there nor predicted."""
        hits = np.diag(self.counts)
        union = self.counts.sum(0) + self.counts.sum(1) - hits
        return np.where(union > 0, hits / np.maximum(union, 1), np.nan)

    @property
    def dice(self) -> np.ndarray:
        """(classes,) 2·intersection over the sum of areas; IoU = Dice / (2 − Dice)."""
        hits = np.diag(self.counts)
        areas = self.counts.sum(0) + self.counts.sum(1)
        return np.where(areas > 0, 2 * hits / np.maximum(areas, 1), np.nan)

    @property
    def mean_iou(self) -> float:
        return float(np.nanmean(self.iou))

    def figures(self, labels: LabelMap) -> dict[str, float]:
        """pixel_accuracy, mean_iou, and iou_<class>, dice_<class> for the classes that occur."""
        figures = {"pixel_accuracy": self.pixel_accuracy, "mean_iou": self.mean_iou}
        for name, iou, dice in zip(labels.names, self.iou, self.dice, strict=True):
            if not np.isnan(iou):
                figures[f"iou_{name}"], figures[f"dice_{name}"] = float(iou), float(dice)
        return figures
