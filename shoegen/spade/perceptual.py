"""The perceptual term: how far the features of painted and real pictures are apart in a network trained before.

VGG-19 of ImageNet is the published one. Its file (548 MB) is only looked for on disk; without it the encoder of the
part segmenter that ships with shoegen takes its place, which knows less but is there.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shoegen.errors import ConfigError, FileFormatError

# The one neighbour that SPADE looks at, for the file that ships with the package.
from shoegen.segmentation.features import difference, shipped_encoder

VGG_NAME = "VGG-19"
VGG_LAYERS = (2, 7, 12, 21, 30)  # up to relu1_1, relu2_1, relu3_1, relu4_1 and relu5_1
VGG_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)  # as published


class PerceptualLoss(nn.Module):
    """(N, 3, H, W) painted, (N, 3, H, W) real, both in [−1, 1] → the loss, a mean over the pictures."""

    def forward(self, painted: Tensor, real: Tensor) -> Tensor:
        with torch.no_grad():
            targets = self.features(real.detach())
        return self.compare(self.features(painted), targets)

    def features(self, images: Tensor) -> list[Tensor]:
        """From shallow to deep."""
        raise NotImplementedError

    def compare(self, painted: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
        """Of two pictures' features."""
        raise NotImplementedError


class VggLoss(PerceptualLoss):
    """The published one: absolute differences after five layers of VGG-19, deeper ones counting more.

    Args:
        state: torchvision's weights, or None for random ones.
    """

    factor: Tensor
    offset: Tensor

    def __init__(self, state: dict[str, Tensor] | None = None) -> None:
        from torchvision.models.vgg import cfgs, make_layers

        super().__init__()
        layers = make_layers(cfgs["E"])[: VGG_LAYERS[-1]]
        if state is not None:
            layers.load_state_dict(
                {f"{name}": state[f"features.{name}"] for name in layers.state_dict()}, strict=True
            )
        for layer in layers:
            if isinstance(layer, nn.ReLU):
                layer.inplace = False  # what is before it is kept for the gradient
        self.stages = nn.ModuleList(layers[start:end] for start, end in pairwise((0, *VGG_LAYERS)))
        # As networks trained on ImageNet see pictures in [−1, 1].
        mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        self.register_buffer("factor", (0.5 / deviation).view(3, 1, 1), persistent=False)
        self.register_buffer("offset", ((0.5 - mean) / deviation).view(3, 1, 1), persistent=False)
        self.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def features(self, images: Tensor) -> list[Tensor]:
        x, results = images * self.factor + self.offset, []
        for stage in self.stages:
            x = stage(x)
            results.append(x)
        return results

    def compare(self, painted: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
        losses = [weight * F.l1_loss(*pair) for weight, pair in zip(VGG_WEIGHTS, zip(painted, real))]
        return torch.stack(losses).sum()


class SegmenterLoss(PerceptualLoss):
    """Absolute differences of the pictures themselves and after each stage of a segmenter's encoder.

    The pictures are among them because a segmenter learns to overlook colours. Each difference is divided by the mean
    absolute feature of the real picture, so that all count alike.
    """

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.eval().requires_grad_(False)

    def features(self, images: Tensor) -> list[Tensor]:
        return list(self.encoder(images))  # the first ones are the pictures

    def compare(self, painted: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
        return torch.stack([difference(*pair) for pair in zip(painted, real)]).mean()


def find_perceptual(name: str = "auto") -> tuple[PerceptualLoss | None, str]:
    """The perceptual term, and one line that says which one it is.

    Args:
        name: "vgg19", "segmenter", "none", or "auto" for VGG-19 where its weights are on disk, else the segmenter.
            Its file is looked for in the folder that SHOEGEN_ASSETS names and in torch's hub folder.

    Raises:
        ConfigError: VGG-19 is asked for and its weights are not there, or there is no such network.
        FileFormatError: the file is damaged.
    """
    if name == "none":
        return None, "no perceptual loss"
    if name not in ("auto", "vgg19", "segmenter"):
        raise ConfigError(f"--perceptual-net: got {name!r}, expected auto, vgg19, segmenter or none")
    path = find_vgg() if name != "segmenter" else None
    if path is not None:
        return VggLoss(read_vgg(path)), f"perceptual loss: {VGG_NAME} of {path}"
    if name == "vgg19":
        raise ConfigError(
            f"--perceptual-net vgg19: no {vgg_file()} in the folder that SHOEGEN_ASSETS names, nor in torch's hub "
            "folder; put it there (torchvision's VGG-19), or take --perceptual-net segmenter"
        )
    missing = f" (no {vgg_file()} on disk)" if name == "auto" else ""
    return SegmenterLoss(shipped_encoder()), f"perceptual loss: the shipped segmenter's encoder{missing}"


def vgg_file() -> str:
    """The name under which torchvision publishes VGG-19."""
    from torchvision.models import VGG19_Weights

    return Path(urlsplit(VGG19_Weights.IMAGENET1K_V1.url).path).name


def find_vgg() -> Path | None:
    """Its file, or None where it is not on this machine."""
    folders = [Path(torch.hub.get_dir()) / "checkpoints"]
    if os.environ.get("SHOEGEN_ASSETS"):
        folders.insert(0, Path(os.environ["SHOEGEN_ASSETS"]))
    return next((path for each in folders if (path := each / vgg_file()).is_file()), None)


def read_vgg(path: Path) -> dict[str, Tensor]:
    """Its weights.

    Raises:
        FileFormatError: the file is damaged, or another one.
    """
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if not digest.startswith(path.stem.rpartition("-")[2]):
        raise FileFormatError(
            f"{path}: its SHA-256 begins with {digest[:8]}, its name promises another; it is damaged, fetch it anew"
        )
    return torch.load(path, map_location="cpu", weights_only=True)
