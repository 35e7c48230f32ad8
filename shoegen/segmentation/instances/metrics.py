"""COCO's average precision of boxes and masks, by pycocotools."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from shoegen.data.annotations import Rle
from shoegen.data.labels import LabelMap
from shoegen.segmentation.instances.contract import Detections
from shoegen.segmentation.instances.data import Truth

KINDS = {"box": "bbox", "mask": "segm"}
MOST = 100  # detections of a picture that count


@dataclass(frozen=True)
class AveragePrecision:
    """In [0, 1], of a kind of shape; NaN without any objects.

    ap: mean over IoU thresholds 0.50, 0.55, …, 0.95 and classes. ap50, ap75: at one threshold. classes: ap of each
    class that occurs.
    """

    ap: float
    ap50: float
    ap75: float
    classes: dict[str, float]


class InstanceMetrics:
    """Gathers detections of any number of pictures, each in its own size, and the objects that are there."""

    def __init__(self) -> None:
        self.pictures: list[dict[str, Any]] = []

    def update(self, found: Detections, truth: Truth) -> None:
        """A picture."""
        assert found.masks.shape[1:] == truth.size, (found.masks.shape, truth.size)
        order = np.argsort(-found.scores, kind="stable")[:MOST].tolist()
        self.pictures.append(
            {
                "size": truth.size,
                "true": [
                    (label, mask.counts, crowd)
                    for label, mask, crowd in zip(truth.labels, truth.masks, truth.crowds, strict=True)
                ],
                "found": [
                    (
                        int(found.labels[i]),
                        Rle.encode(found.masks[i]).counts,
                        found.boxes[i].tolist(),
                        float(found.scores[i]),
                    )
                    for i in order
                ],
            }
        )

    def extend(self, others: Iterable[InstanceMetrics]) -> None:
        """Adds other pictures."""
        for other in others:
            self.pictures += other.pictures

    def compute(self, labels: LabelMap) -> dict[str, AveragePrecision]:
        """By kind of shape: "box" and "mask"."""
        from pycocotools.coco import COCO

        images: list[dict[str, Any]] = []
        true: list[dict[str, Any]] = []
        found: list[dict[str, Any]] = []
        for index, picture in enumerate(self.pictures, start=1):
            height, width = picture["size"]
            images.append({"id": index, "height": height, "width": width})
            for label, counts, crowd in picture["true"]:
                rle = Rle((height, width), counts)
                true.append(_item(index, label, rle, list(rle.box), id=len(true) + 1, iscrowd=int(crowd)))
            for label, counts, (left, top, right, bottom), score in picture["found"]:
                box = [left, top, right - left, bottom - top]
                rle = Rle((height, width), counts)
                found.append(_item(index, label, rle, box, id=len(found) + 1, iscrowd=0, score=score))
        categories = [{"id": label, "name": name} for label, name in enumerate(labels.names) if label]
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools tells of its progress
            # COCO.loadRes fails where nothing was found; what it would add is here already.
            truths, detections = COCO(), COCO()
            for each, items in ((truths, true), (detections, found)):
                each.dataset = {"images": images, "categories": categories, "annotations": items}
                each.createIndex()
            return {kind: _evaluate(truths, detections, name, labels) for kind, name in KINDS.items()}


def _item(image: int, label: int, rle: Rle, box: list[float], **more: Any) -> dict[str, Any]:
    return {
        "image_id": image,
        "category_id": label,
        "segmentation": rle.to_dict(),
        "area": rle.area,
        "bbox": box,
        **more,
    }


def _evaluate(truths: Any, detections: Any, kind: str, labels: LabelMap) -> AveragePrecision:
    from pycocotools.cocoeval import COCOeval

    evaluation = COCOeval(truths, detections, kind)
    evaluation.evaluate()
    evaluation.accumulate()
    # Thresholds, recalls, classes, areas, numbers of detections; −1 where a class has no objects.
    precision = evaluation.eval["precision"][:, :, :, 0, -1]
    precision = np.where(precision < 0, np.nan, precision).mean(1)  # thresholds, classes
    there = ~np.isnan(precision).any(0)
    if not there.any():
        return AveragePrecision(float("nan"), float("nan"), float("nan"), {})
    classes = [labels.names[label] for label in evaluation.params.catIds]
    return AveragePrecision(
        ap=float(precision[:, there].mean()),
        ap50=float(precision[0, there].mean()),
        ap75=float(precision[5, there].mean()),
        classes={name: float(precision[:, i].mean()) for i, name in enumerate(classes) if there[i]},
    )


def figures(found: dict[str, AveragePrecision]) -> dict[str, float]:
    """box_ap, box_ap50, box_ap75, box_ap_<class>, and the same of masks, as a log has them; without NaN."""
    values: dict[str, float] = {}
    for kind, each in found.items():
        named = {"ap": each.ap, "ap50": each.ap50, "ap75": each.ap75}
        named |= {f"ap_{name}": value for name, value in each.classes.items()}
        values |= {f"{kind}_{name}": value for name, value in named.items() if not np.isnan(value)}
    return values


def table(found: dict[str, AveragePrecision]) -> str:
    """Box and mask AP of each class that occurs."""
    names = found["mask"].classes
    width = max((len(name) for name in names), default=0)
    lines = [f"{'class':{max(width, 5)}} box AP mask AP"]
    lines += [
        f"{name:{max(width, 5)}} {found['box'].classes[name]:6.3f} {found['mask'].classes[name]:7.3f}"
        for name in names
    ]
    return "\n".join(lines)
