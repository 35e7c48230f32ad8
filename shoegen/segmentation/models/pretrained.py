"""Published ImageNet weights for the segmenters' encoders: from disk, else from where their libraries fetch them."""

from __future__ import annotations

import contextlib
import os
import socket
import warnings
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

import huggingface_hub.constants
import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn
from torchvision.models import ResNet50_Weights, VGG16_BN_Weights

from shoegen.segmentation.config import SegmenterConfig
from shoegen.segmentation.models import build_segmenter

URLS = {
    "unet": "https://huggingface.co",
    "segnet": VGG16_BN_Weights.IMAGENET1K_V1.url,
    "fcn": ResNet50_Weights.IMAGENET1K_V2.url,
    "deeplab": ResNet50_Weights.IMAGENET1K_V2.url,
}
SECONDS = 5.0  # to wait for an answer of the network


def find_weights(config: SegmenterConfig) -> tuple[dict[str, Tensor], str] | str:
    """State of a segmenter's encoder and where it is from, or in one line why there is none.

    torchvision's files are looked for in the folder that SHOEGEN_ASSETS names and in torch's hub folder, then
    fetched; U-Net encoders come through segmentation-models-pytorch from Hugging Face's cache or hub.
    """
    encoder = build_segmenter(config).encoder
    if encoder is None:
        return f"there are none for a {config.architecture} of this size"
    try:
        with online_if_possible(URLS[config.architecture]):
            if config.architecture == "unet":
                return _unet_encoder(config), f"ImageNet's {config.encoder}"
            name, found = read_published(URLS[config.architecture])
    except Exception as error:  # of as many kinds as there are libraries, caches and networks
        return not_found(error)
    if config.architecture == "segnet":
        found = _by_order(found, encoder)
    return chosen_for(encoder, found, name)


def not_found(error: Exception) -> str:
    """Why weights could not be had, in one line."""
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return f"they are not on disk and cannot be fetched ({type(error).__name__}: {first[:100]})"


def chosen_for(
    encoder: nn.Module, found: dict[str, Tensor], name: str
) -> tuple[dict[str, Tensor], str] | str:
    """The tensors that an encoder needs out of the file called `name`, or why they do not fit."""
    wanted = learned(encoder.state_dict())
    misfits = [each for each in wanted if each not in found or found[each].shape != wanted[each].shape]
    if misfits:
        return f"{name} has no {misfits[0]} of the right shape"
    return {each: found[each] for each in wanted}, name


def _unet_encoder(config: SegmenterConfig) -> dict[str, Tensor]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about which of a timm encoder's weights these are
        depth = len(config.decoder_channels)
        return smp.encoders.get_encoder(config.encoder, depth=depth, weights="imagenet").state_dict()


def read_published(url: str) -> tuple[str, dict[str, Tensor]]:
    """The name and content of a file of torchvision's weights."""
    name, assets = Path(urlsplit(url).path).name, os.environ.get("SHOEGEN_ASSETS")
    here = assets if assets and (Path(assets) / name).is_file() else None
    return name, torch.hub.load_state_dict_from_url(
        url, model_dir=here, map_location="cpu", progress=False, check_hash=True, weights_only=True
    )


def _by_order(vgg: dict[str, Tensor], encoder: nn.Module) -> dict[str, Tensor]:
    """VGG's layers are numbered with its ReLUs and poolings between them: what counts is their order."""
    features = [tensor for name, tensor in learned(vgg).items() if name.startswith("features.")]
    return dict(zip(learned(encoder.state_dict()), features))


def learned(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without counts of batches."""
    return {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}


@contextlib.contextmanager
def online_if_possible(url: str) -> Iterator[None]:
    """Libraries try for a minute and say much where there is no network; here they are told."""
    offline, timeout = huggingface_hub.constants.HF_HUB_OFFLINE, socket.getdefaulttimeout()
    try:
        if not getproxies():
            socket.create_connection((urlsplit(url).hostname or "", 443), timeout=SECONDS).close()
    except OSError:
        huggingface_hub.constants.HF_HUB_OFFLINE = True
    socket.setdefaulttimeout(SECONDS)
    try:
        yield
    finally:
        huggingface_hub.constants.HF_HUB_OFFLINE = offline
        socket.setdefaulttimeout(timeout)
