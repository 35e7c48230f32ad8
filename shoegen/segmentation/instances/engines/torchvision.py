"""torchvision's Mask R-CNN, with sizes and normalisation of our choice."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import paste_masks_in_image
from torchvision.models.detection.transform import GeneralizedRCNNTransform, resize_boxes
from torchvision.models.resnet import Bottleneck, ResNet
from torchvision.ops import FrozenBatchNorm2d, MultiScaleRoIAlign

from shoegen.segmentation.instances.config import MaskRCNNConfig
from shoegen.segmentation.instances.contract import Detections, InstanceNet, Targets
from shoegen.segmentation.models.contract import DEVIATION, MEAN

LAYERS = (3, 4, 6, 3)  # of ResNet-50
CHANNELS = (256, 512, 1024, 2048)  # that its stages give
NAMES = {
    "loss_classifier": "loss_cls",
    "loss_box_reg": "loss_box_reg",
    "loss_mask": "loss_mask",
    "loss_objectness": "loss_rpn_cls",
    "loss_rpn_box_reg": "loss_rpn_loc",
}
PASTED = 8  # masks at a time, as float32 of the picture's size


def create(config: MaskRCNNConfig) -> TorchvisionMaskRCNN:
    return TorchvisionMaskRCNN(config)


class TorchvisionMaskRCNN(InstanceNet):
    """See `InstanceNet` and `MaskRCNNConfig`."""

    def __init__(self, config: MaskRCNNConfig) -> None:
        super().__init__()
        norm = _norm(config)
        channels = _scaled(256, config)
        resnet = ResNet(
            Bottleneck,
            list(config.stages(LAYERS)),
            width_per_group=_scaled(64, config),
            norm_layer=norm,
        )
        if config.norm == "frozen":
            # The first layers are as general as their frozen statistics (arXiv 1703.06870, the authors' code).
            for each in (resnet.conv1, resnet.layer1):
                each.requires_grad_(False)
        # Batches of pictures are too small for statistics of their own, and regions of one picture too alike.
        beyond = norm if config.norm in ("group", "auto") else None
        backbone = BackboneWithFPN(
            resnet,
            {f"layer{stage + 1}": str(stage) for stage in range(4)},
            list(CHANNELS),
            channels,
            norm_layer=beyond,
        )
        hidden = _scaled(1024, config)
        box_pool = MultiScaleRoIAlign(featmap_names=["0", "1", "2", "3"], output_size=7, sampling_ratio=2)
        self.net = MaskRCNN(
            backbone,
            rpn_anchor_generator=AnchorGenerator(
                tuple((side,) for side in config.anchor_sizes), ((0.5, 1.0, 2.0),) * len(config.anchor_sizes)
            ),
            box_roi_pool=box_pool,
            box_head=TwoMLPHead(channels * 7**2, hidden),
            box_predictor=FastRCNNPredictor(hidden, config.classes),
            mask_head=MaskRCNNHeads(channels, [channels] * 4, 1, norm_layer=beyond),
            mask_predictor=MaskRCNNPredictor(channels, channels, config.classes),
            box_batch_size_per_image=config.rois,
            box_score_thresh=config.score,
            box_detections_per_img=config.detections,
        )
        self.net.transform = _Fit(config)
        self.config = config

    @property
    def encoder(self) -> nn.Module:
        return self.net.backbone.body

    def losses(self, images: list[Tensor], targets: list[Targets]) -> dict[str, Tensor]:
        described = [{"boxes": each.boxes, "labels": each.labels, "masks": each.masks} for each in targets]
        return {NAMES[name]: loss for name, loss in self.net(images, described).items()}

    @torch.inference_mode()
    def detect(self, images: list[Tensor], *, score: float = 0.0) -> list[Detections]:
        self.net.roi_heads.score_thresh = max(score, self.config.score)
        found = []
        for result in self.net(images):
            boxes, labels, scores, masks = (
                result[name].cpu().numpy() for name in ("boxes", "labels", "scores", "masks")
            )
            found.append(Detections(boxes, labels, scores, masks[:, 0]))
        return found


def _scaled(channels: int, config: MaskRCNNConfig) -> int:
    return max(1, round(channels * config.width))


def _norm(config: MaskRCNNConfig) -> Callable[..., nn.Module]:
    norms: dict[str, Callable[..., nn.Module]] = {
        "group": _group_norm,
        "auto": _group_norm,
        "batch": nn.BatchNorm2d,
        "frozen": partial(FrozenBatchNorm2d, eps=1e-5),
    }
    return norms[config.norm]


def _group_norm(channels: int) -> nn.Module:
    groups = math.gcd(32, channels)
    if groups == channels > 1:  # of single channels, whose single pixel would have no variance
        groups //= 2
    return nn.GroupNorm(groups, channels)


class _Fit(GeneralizedRCNNTransform):
    """Pictures in [−1, 1] as large as fits, normalised as ImageNet's; masks out of boxes, a few at a time."""

    def __init__(self, config: MaskRCNNConfig) -> None:
        # In [−1, 1] mean and deviation are twice as large, and the mean is from another zero.
        super().__init__(
            min(config.size),
            max(config.size),
            [2 * each - 1 for each in MEAN],
            [2 * each for each in DEVIATION],
        )
        self.config = config

    def resize(
        self, image: Tensor, target: dict[str, Tensor] | None = None
    ) -> tuple[Tensor, dict[str, Tensor] | None]:
        before = image.shape[-2], image.shape[-1]
        after = self.config.fitted(before)
        if after == before:
            return image, target
        image = F.interpolate(image[None], after, mode="bilinear", antialias=after[0] < before[0])[0]
        if target is not None:
            masks = target["masks"]
            target["boxes"] = resize_boxes(target["boxes"], list(before), list(after))
            if len(masks):
                target["masks"] = F.interpolate(masks[:, None].float(), after)[:, 0].to(masks.dtype)
            else:
                target["masks"] = masks.new_empty((0, *after))
        return image, target

    def postprocess(self, result: Any, image_shapes: Any, original_image_sizes: Any) -> Any:
        if self.training:
            return result
        for found, seen, own in zip(result, image_shapes, original_image_sizes, strict=True):
            found["boxes"] = resize_boxes(found["boxes"], seen, own)
            pasted = [
                paste_masks_in_image(masks, boxes, own) >= 0.5
                for masks, boxes in zip(found["masks"].split(PASTED), found["boxes"].split(PASTED))
            ]
            found["masks"] = torch.cat(pasted)
        return result
