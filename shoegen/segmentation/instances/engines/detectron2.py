"""detectron2's Mask R-CNN, its published R50-FPN network with sizes and normalisation of our choice."""

from __future__ import annotations

import contextlib
import logging
import math
import re
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shoegen.segmentation.instances.config import LEVELS, MaskRCNNConfig
from shoegen.segmentation.instances.contract import LOSSES, Detections, InstanceNet, Targets
from shoegen.segmentation.models.contract import DEVIATION, MEAN

LAYERS = (3, 4, 6, 3)  # of ResNet-50
STAGES = ("res2", "res3", "res4", "res5")
PYRAMID = ("p2", "p3", "p4", "p5", "p6")


def create(config: MaskRCNNConfig) -> Detectron2MaskRCNN:
    return Detectron2MaskRCNN(config)


class Detectron2MaskRCNN(InstanceNet):
    """See `InstanceNet` and `MaskRCNNConfig`.

    `net` is a `GeneralizedRCNN`, whose tensors have the names that detectron2's checkpoints have.
    """

    def __init__(self, config: MaskRCNNConfig) -> None:
        super().__init__()
        self.config = config
        with _quietly():
            self.net: Any = _build(config)

    @property
    def encoder(self) -> nn.Module:
        return _AsTorchvision(self.net.backbone.bottom_up)

    def losses(self, images: list[Tensor], targets: list[Targets]) -> dict[str, Tensor]:
        from detectron2.structures import BitMasks, Boxes, Instances
        from detectron2.utils.events import EventStorage

        shown = []
        for image, target in zip(images, targets, strict=True):
            size = self.config.fitted((image.shape[-2], image.shape[-1]))
            target = _fit(target, (image.shape[-2], image.shape[-1]), size)
            instances = Instances(size)
            instances.gt_boxes = Boxes(target.boxes)
            instances.gt_classes = target.labels - 1  # the background comes last
            instances.gt_masks = BitMasks(target.masks)
            shown.append({"image": _resized(image, size), "instances": instances})
        try:
            with EventStorage():  # its parts keep counts here, of which nothing is used
                return self.net(shown)
        except FloatingPointError:  # of infinite boxes; the caller judges them as any loss that is not finite
            learning = [each.sum() for each in self.parameters() if each.requires_grad]
            return dict.fromkeys(LOSSES, torch.stack(learning).sum() * math.nan)

    @torch.inference_mode()
    def detect(self, images: list[Tensor], *, score: float = 0.0) -> list[Detections]:
        self.net.roi_heads.box_predictor.test_score_thresh = max(score, self.config.score)
        shown = []
        for image in images:
            height, width = image.shape[-2:]
            size = self.config.fitted((height, width))
            shown.append({"image": _resized(image, size), "height": height, "width": width})
        found = []
        for result in self.net.inference(shown):
            instances = result["instances"].to("cpu")
            found.append(
                Detections(
                    instances.pred_boxes.tensor.numpy(),
                    instances.pred_classes.numpy() + 1,
                    instances.scores.numpy(),
                    instances.pred_masks.numpy(),
                )
            )
        return found


# ---- pictures and targets, as large as fits ----


def _resized(image: Tensor, size: tuple[int, int]) -> Tensor:
    if image.shape[-2:] == size:
        return image
    shrinks = size[0] < image.shape[-2]
    return F.interpolate(image[None], size, mode="bilinear", antialias=shrinks)[0]


def _fit(target: Targets, before: tuple[int, int], after: tuple[int, int]) -> Targets:
    if after == before:
        return target
    down, right = after[0] / before[0], after[1] / before[1]
    boxes = target.boxes * target.boxes.new_tensor([right, down, right, down])
    masks = target.masks.new_empty((0, *after))
    if len(target.masks):
        masks = F.interpolate(target.masks[None].float(), after)[0].to(target.masks.dtype)
    return Targets(boxes, target.labels, masks)


# ---- the network ----


def _build(config: MaskRCNNConfig) -> nn.Module:
    """configs/common/models/mask_rcnn_fpn.py of detectron2, with our sizes."""
    from detectron2.layers import ShapeSpec
    from detectron2.modeling import FPN, GeneralizedRCNN
    from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
    from detectron2.modeling.backbone.fpn import LastLevelMaxPool
    from detectron2.modeling.box_regression import Box2BoxTransform
    from detectron2.modeling.matcher import Matcher
    from detectron2.modeling.poolers import ROIPooler
    from detectron2.modeling.proposal_generator import RPN, StandardRPNHead
    from detectron2.modeling.roi_heads import (
        FastRCNNConvFCHead,
        FastRCNNOutputLayers,
        MaskRCNNConvUpsampleHead,
        StandardROIHeads,
    )

    # Batches of pictures are too small for statistics of their own, and regions of one picture too alike.
    beyond = _group_norm if config.norm in ("group", "auto") else ""
    channels, hidden, objects = _scaled(256, config), _scaled(1024, config), config.classes - 1
    strides = [4 * 2**level for level in range(LEVELS)]

    def pooler(size: int) -> nn.Module:
        scales = [1 / stride for stride in strides[:-1]]
        return ROIPooler(output_size=size, scales=scales, sampling_ratio=0, pooler_type="ROIAlignV2")

    return GeneralizedRCNN(
        backbone=FPN(
            bottom_up=_resnet(config),
            in_features=STAGES,
            out_channels=channels,
            norm=beyond,
            top_block=LastLevelMaxPool(),
        ),
        proposal_generator=RPN(
            in_features=PYRAMID,
            head=StandardRPNHead(in_channels=channels, num_anchors=3),
            anchor_generator=DefaultAnchorGenerator(
                sizes=[[side] for side in config.anchor_sizes],
                aspect_ratios=[0.5, 1.0, 2.0],
                strides=strides,
                offset=0.0,
            ),
            anchor_matcher=Matcher([0.3, 0.7], [0, -1, 1], allow_low_quality_matches=True),
            box2box_transform=Box2BoxTransform((1.0, 1.0, 1.0, 1.0)),
            batch_size_per_image=256,
            positive_fraction=0.5,
            pre_nms_topk=(2000, 1000),
            post_nms_topk=(1000, 1000),
        ),
        roi_heads=StandardROIHeads(
            num_classes=objects,
            batch_size_per_image=config.rois,
            positive_fraction=0.25,
            proposal_matcher=Matcher([0.5], [0, 1], allow_low_quality_matches=False),
            box_in_features=PYRAMID[:-1],
            box_pooler=pooler(7),
            box_head=FastRCNNConvFCHead(
                ShapeSpec(channels=channels, height=7, width=7), conv_dims=[], fc_dims=[hidden, hidden]
            ),
            box_predictor=FastRCNNOutputLayers(
                ShapeSpec(channels=hidden),
                box2box_transform=Box2BoxTransform((10.0, 10.0, 5.0, 5.0)),
                num_classes=objects,
                test_score_thresh=config.score,
                test_topk_per_image=config.detections,
            ),
            mask_in_features=PYRAMID[:-1],
            mask_pooler=pooler(14),
            mask_head=MaskRCNNConvUpsampleHead(
                ShapeSpec(channels=channels, height=14, width=14),
                num_classes=objects,
                conv_dims=[channels] * 5,
                conv_norm=beyond,
            ),
        ),
        # Of ImageNet, in RGB. In [−1, 1] mean and deviation are twice as large, and the mean is from another zero.
        pixel_mean=[2 * each - 1 for each in MEAN],
        pixel_std=[2 * each for each in DEVIATION],
        input_format="RGB",
    )


def _resnet(config: MaskRCNNConfig) -> nn.Module:
    """ResNet-50 as torchvision's weights are of: the stride is in the 3×3 convolution."""
    from detectron2.modeling import ResNet
    from detectron2.modeling.backbone.resnet import BasicStem, BottleneckBlock

    norm = {"group": _group_norm, "auto": _group_norm, "batch": "BN", "frozen": "FrozenBN"}[config.norm]
    stages, channels = [], 64
    for stage, blocks in enumerate(config.stages(LAYERS)):
        stages.append(
            ResNet.make_stage(
                BottleneckBlock,
                blocks,
                stride_per_block=[1 if stage == 0 else 2] + [1] * (blocks - 1),
                in_channels=channels,
                out_channels=256 * 2**stage,
                bottleneck_channels=_scaled(64, config) * 2**stage,
                norm=norm,
                stride_in_1x1=False,
            )
        )
        channels = 256 * 2**stage
    # Frozen statistics are of pretrained weights, and the first layers are as general as they. Random weights they
    # leave unnormalised: features grow with each residual sum, 70-fold from the stem to the last stage, and the first
    # steps at any usual rate end in infinity.
    frozen = 2 if config.norm == "frozen" else 0
    return ResNet(BasicStem(3, 64, norm), stages, out_features=STAGES, freeze_at=frozen)


def _scaled(channels: int, config: MaskRCNNConfig) -> int:
    return max(1, round(channels * config.width))


def _group_norm(channels: int) -> nn.Module:
    groups = math.gcd(32, channels)
    if groups == channels > 1:  # of single channels, whose single pixel would have no variance
        groups //= 2
    return nn.GroupNorm(groups, channels)


# ---- its surroundings ----


class _AsTorchvision(nn.Module):
    """The tensors of a ResNet of detectron2 by the names that torchvision has for them."""

    def __init__(self, resnet: nn.Module) -> None:
        super().__init__()
        self._resnet = [resnet]  # in a list: it is a part of the network already

    def state_dict(self, *args: Any, **options: Any) -> dict[str, Any]:  # type: ignore[override]
        return {_torchvision_name(name): each for name, each in self._resnet[0].state_dict().items()}

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:
        names = {_torchvision_name(name): name for name in self._resnet[0].state_dict()}
        renamed = {names.get(name, name): each for name, each in state_dict.items()}
        return self._resnet[0].load_state_dict(renamed, strict, assign)


def _torchvision_name(name: str) -> str:
    """ "res2.0.conv1.norm.bias" → "layer1.0.bn1.bias" """
    changes: list[tuple[str, str | Callable[[re.Match], str]]] = [
        (r"^stem\.", ""),
        (r"^res(\d)", lambda found: f"layer{int(found[1]) - 1}"),
        (r"conv(\d)\.norm", r"bn\1"),
        (r"shortcut\.norm", "downsample.1"),
        (r"shortcut", "downsample.0"),
    ]
    for pattern, replacement in changes:
        name = re.sub(pattern, replacement, name)
    return name


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """detectron2 uses parts of PyTorch that warn of their end; nothing of what they say is about shoegen."""
    logger = logging.getLogger("torch.fx._symbolic_trace")
    before, logger.disabled = logger.disabled, True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from detectron2.utils.tracing import is_fx_tracing

            # What PyTorch thinks of these it says at the first call only: here, where nobody listens.
            is_fx_tracing()
            torch.meshgrid(torch.zeros(1), torch.zeros(1))
            yield
    finally:
        logger.disabled = before
