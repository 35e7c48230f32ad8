"""What a segmenter sees on its way to the parts, which tells how alike two pictures look where no VGG is at hand."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from shoegen.segmentation.models.contract import Segmenter


def shipped_encoder() -> nn.Module:
    """The encoder of the part segmenter that ships with shoegen: (N, 3, H, W) in [−1, 1] → features, the pictures
    themselves first."""
    from shoegen.segmentation.parts import PartSegmenter  # whose libraries take a second to load

    encoder = PartSegmenter.load().net.encoder
    assert encoder is not None
    return encoder


def look(net: Segmenter, images: Tensor) -> tuple[list[Tensor], Tensor]:
    """In one pass, (N, 3, H, W) in [−1, 1] → the features of a segmenter's encoder, from shallow to deep, and logits.

    A network whose encoder cannot be told apart has no features.
    """
    seen: list[Any] = []
    if net.encoder is None:
        return [], net(images)
    # Stages that the network calls one by one make features one by one.
    stages = list(net.encoder) if isinstance(net.encoder, nn.ModuleList) else [net.encoder]
    mine = threading.get_ident()

    def keep(module: nn.Module, inputs: Any, outputs: Any) -> None:
        if threading.get_ident() == mine:  # another thread's pass through the same network is its own
            seen.append(outputs)

    hooks = [each.register_forward_hook(keep) for each in stages]
    try:
        logits = net(images)
    finally:
        for hook in hooks:
            hook.remove()
    if len(seen) == 1:
        (found,) = seen
        seen = list(
            found.values() if isinstance(found, Mapping) else [found] if isinstance(found, Tensor) else found
        )
    return seen, logits


def difference(ours: Tensor, theirs: Tensor, weights: Tensor | None = None) -> Tensor:
    """How far features (N, C, H, W) are apart, as shares of their mean absolute value: (N,).

    weights: (N, 1, h, w) of any resolution, how much each place counts; None: all alike.
    """
    if weights is None:
        return (ours - theirs).abs().mean((1, 2, 3)) / theirs.abs().mean((1, 2, 3)).clamp(min=1e-3)
    weights = F.adaptive_avg_pool2d(weights, (ours.shape[-2], ours.shape[-1]))
    apart, size = (ours - theirs).abs().mean(1, keepdim=True), theirs.abs().mean(1, keepdim=True)
    total = weights.sum((1, 2, 3)).clamp(min=1e-6)
    return (apart * weights).sum((1, 2, 3)) / total / size.mean((1, 2, 3)).clamp(min=1e-3)
