"""The implementations of Mask R-CNN, one module each with `create(config) -> InstanceNet`."""

from __future__ import annotations

import importlib

from shoegen.errors import ConfigError
from shoegen.segmentation.instances.config import MaskRCNNConfig
from shoegen.segmentation.instances.contract import InstanceNet

ENGINES = {
    "torchvision": "shoegen.segmentation.instances.engines.torchvision",
    "detectron2": "shoegen.segmentation.instances.engines.detectron2",
}
"""Modules, by name; a library is imported when it is asked for."""

INSTALL = (
    "pip install --no-build-isolation "
    "'git+https://github.com/facebookresearch/detectron2@02b5c4e295e990042a714712c21dc79b731e8833'"
)


def build_instance_net(config: MaskRCNNConfig) -> InstanceNet:
    """A new network with random weights.

    Raises:
        ConfigError: there is no such engine, or it is not installed.
    """
    if config.engine not in ENGINES:
        raise ConfigError(f"--engine: got {config.engine!r}, expected one of {', '.join(ENGINES)}")
    try:
        module = importlib.import_module(ENGINES[config.engine])
        return module.create(config)
    except ImportError as error:
        raise ConfigError(
            f"--engine {config.engine} needs {error.name}, which is not installed; {INSTALL}, or use --engine "
            "torchvision"
        ) from error
