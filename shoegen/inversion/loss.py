"""How far a picture is from the photograph that it is to show: in colours, features and parts, mostly of the shoe."""

from __future__ import annotations

import contextlib
import warnings
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shoegen.errors import ShoegenError
from shoegen.metrics.path_length import PerceptualDistance
from shoegen.metrics.weights import VGG, find_weights
from shoegen.segmentation.features import difference, look
from shoegen.segmentation.parts import PartSegmenter
from shoegen.segmentation.shoes import grow
from shoegen.torch_utils.pixels import as_rgb, from_pixels

BACKGROUND = 0.15  # how much a place off the shoe counts
EDGE = 0.03  # of the picture's width: around the shoe, what counts as much as the shoe
LEAST_SIDE = 32  # pixels that LPIPS is shown at least
WEIGHTS = {"pixels": 4.0, "perceptual": 0.5, "parts": 2.0}


@dataclass(frozen=True, eq=False)
class Target:
    """A photograph, and what of it need not be computed again.

    image: (1, 3, h, w) in [−1, 1]. weights: (1, 1, h, w), how much each place counts. features: of the segmenter.
    parts: (1, classes, h', w') probabilities.
    """

    image: Tensor
    weights: Tensor
    features: list[Tensor]
    parts: Tensor


class Distance(nn.Module):
    """Of pictures to a target.

    The perceptual term is LPIPS where its weights are on disk, else the segmenter's own features; pictures are compared
    where the target's weights are. The parts are those that the segmenter sees.

    Attributes: name of what the perceptual term is.
    """

    def __init__(self, segmenter: PartSegmenter, lpips: PerceptualDistance | None = None) -> None:
        super().__init__()
        self.segmenter, self.lpips = segmenter, lpips
        has_features = segmenter.net.encoder is not None
        self.name = "LPIPS" if lpips else "the segmenter's features" if has_features else "none"

    def target(self, pixels: np.ndarray, mask: np.ndarray) -> Target:
        """Of an aligned picture (h, w, 3) uint8 and its shoe (h, w) bool."""
        device = self.segmenter.device
        image = from_pixels(torch.from_numpy(pixels).permute(2, 0, 1)[None].to(device))
        near = grow(mask, max(1, round(EDGE * mask.shape[1])))
        weights = torch.from_numpy(np.where(near, 1.0, BACKGROUND).astype(np.float32))[None, None].to(device)
        with torch.no_grad():
            features, logits = self._look(image)
        parts = logits.softmax(1)
        return Target(image, weights, features, parts)

    def forward(self, images: Tensor, target: Target) -> dict[str, Tensor]:
        """(N, C, h, w) → the terms, means over the pictures."""
        images = as_rgb(images)
        terms = {
            "pixels": weighted_mean(
                F.smooth_l1_loss(images, target.image.expand_as(images), beta=0.2, reduction="none"),
                target.weights,
            )
        }
        features, logits = self._look(images)
        if self.lpips is not None:
            terms["perceptual"] = self._lpips_of(images, target)
        elif features:
            deep = [pair for pair in zip(features, target.features) if pair[0].shape[1] > 3]
            terms["perceptual"] = torch.stack(
                [difference(*pair, target.weights).mean() for pair in deep]
            ).mean()
        logs = logits.log_softmax(1)
        terms["parts"] = (target.parts * (target.parts.clamp(min=1e-6).log() - logs)).sum(1).mean()
        return terms

    def _look(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """As large as the segmenter was trained on, see `PartSegmenter.logits`."""
        size = self.segmenter.config.size
        factor = min(most / side for most, side in zip(size, images.shape[-2:], strict=True))
        if factor != 1:
            fitted = [max(1, round(side * factor)) for side in images.shape[-2:]]
            images = F.interpolate(images, fitted, mode="bilinear", antialias=factor < 1)
        return look(self.segmenter.net, images.contiguous(memory_format=torch.channels_last))

    def _lpips_of(self, images: Tensor, target: Target) -> Tensor:
        assert self.lpips is not None
        # LPIPS takes no mask: what does not count is the photograph's in both.
        theirs = target.image.expand_as(images)
        ours = torch.lerp(theirs, images, target.weights)
        side = min(images.shape[-2:])
        if side < LEAST_SIDE:
            factor = LEAST_SIDE / side
            ours, theirs = (
                F.interpolate(each, scale_factor=factor, mode="bilinear") for each in (ours, theirs)
            )
        return self.lpips(ours, theirs).mean()


def total(terms: dict[str, Tensor]) -> Tensor:
    """The terms of `Distance` as one."""
    return torch.stack([WEIGHTS[name] * value for name, value in terms.items()]).sum()


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Of (N, C, h, w), where (1, 1, h, w) says how much each place counts."""
    return (values.mean(1, keepdim=True) * weights).sum() / (weights.sum() * len(values))


def find_lpips() -> tuple[PerceptualDistance | None, str]:
    """LPIPS where its weights are on disk, and one line that says what the perceptual term is."""
    path = find_weights(VGG)
    if path is None:
        return None, f"perceptual loss: the segmenter's features (no {VGG.names[0]} on disk)"
    with contextlib.suppress(ImportError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return PerceptualDistance(path), f"perceptual loss: LPIPS, with {path}"
        except ShoegenError as error:
            return None, f"perceptual loss: the segmenter's features ({error})"
    return None, "perceptual loss: the segmenter's features (the library lpips is not installed)"
