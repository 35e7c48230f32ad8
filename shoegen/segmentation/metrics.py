"""Pixel accuracy, IoU and Dice from a confusion matrix."""

from __future__ import annotations

import numpy as np

from shoegen.data.labels import IGNORED, LabelMap


class ConfusionMatrix:
    """Counts of pixels, `counts[true, predicted]`, gathered over any number of part maps."""

    def __init__(self, classes: int):
        self.counts = np.zeros((classes, classes), np.int64)

    def update(self, predicted: np.ndarray, true: np.ndarray) -> None:
        """Adds part maps of one shape, integer labels below `classes`; true ones may be `IGNORED`."""
        classes = len(self.counts)
        known = true != IGNORED
        pairs = true[known].astype(np.int64) * classes + predicted[known]
        self.counts += np.bincount(pairs, minlength=classes**2).reshape(classes, classes)

    @property
    def pixel_accuracy(self) -> float:
        """NaN without any pixels."""
        return float(np.trace(self.counts) / pixels) if (pixels := self.counts.sum()) else float("nan")

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
        """Over the classes that are there or predicted; NaN without any pixels."""
        return _mean(self.iou)

    @property
    def mean_dice(self) -> float:
        """Over the classes that are there or predicted; NaN without any pixels."""
        return _mean(self.dice)

    def figures(self, labels: LabelMap) -> dict[str, float]:
        """pixel_accuracy, mean_iou, mean_dice, and iou_<class>, dice_<class> for the classes that occur."""
        means = {
            "pixel_accuracy": self.pixel_accuracy,
            "mean_iou": self.mean_iou,
            "mean_dice": self.mean_dice,
        }
        figures = {name: value for name, value in means.items() if not np.isnan(value)}
        for name, iou, dice in zip(labels.names, self.iou, self.dice, strict=True):
            if not np.isnan(iou):
                figures[f"iou_{name}"], figures[f"dice_{name}"] = float(iou), float(dice)
        return figures

    def table(self, labels: LabelMap, width: int = 100) -> str:
        """IoU, Dice and share of the true pixels of each class that occurs, in as many columns as fit."""
        shares = self.counts.sum(1) / max(self.counts.sum(), 1)
        names = max(len(name) for name in labels.names)
        cells = [
            f"{name:{names}} {iou:.3f} {dice:.3f} {share:6.1%}"
            for name, iou, dice, share in zip(labels.names, self.iou, self.dice, shares, strict=True)
            if not np.isnan(iou)
        ]
        if not cells:
            return ""
        columns = min(max(1, (width + 3) // (len(cells[0]) + 3)), len(cells))
        rows = -(-len(cells) // columns)
        columns = -(-len(cells) // rows)
        header = f"{'class':{names}} {'IoU':5} {'Dice':5} pixels"
        lines = [" | ".join([header] * columns)]
        lines += [" | ".join(cells[row::rows]) for row in range(rows)]
        return "\n".join(lines)


def _mean(values: np.ndarray) -> float:
    return float(np.nanmean(values)) if not np.isnan(values).all() else float("nan")
