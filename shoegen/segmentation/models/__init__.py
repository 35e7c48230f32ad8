"""The semantic segmenters, one file per architecture.

Each is built from a `SegmenterConfig` and maps float32 images (N, 3, H, W) in [−1, 1] to logits (N, classes,
H, W): with classes = 7, (2, 3, 100, 130) → (2, 7, 100, 130). H and W are any; padding is the network's
business.
"""

from __future__ import annotations

from collections.abc import Callable

from shoegen.errors import ConfigError
from shoegen.segmentation.config import SegmenterConfig
from shoegen.segmentation.models import deeplab, densenet, fcn, segnet, unet
from shoegen.segmentation.models.contract import Segmenter

ARCHITECTURES: dict[str, Callable[[SegmenterConfig], Segmenter]] = {
    "unet": unet.create,
    "segnet": segnet.create,
    "deeplab": deeplab.create,
    "fcn": fcn.create,
    "densenet": densenet.create,
}


def build_segmenter(config: SegmenterConfig) -> Segmenter:
    """A new network with random weights.

    Raises:
        ConfigError: there is no such architecture.
    """
    if config.architecture not in ARCHITECTURES:
        raise ConfigError(
            f"no architecture {config.architecture!r}; expected one of {', '.join(ARCHITECTURES)}; "
            "change --arch"
        )
    return ARCHITECTURES[config.architecture](config)
