"""Where to compute."""

from __future__ import annotations

import torch

from shoegen.errors import ConfigError


def pick_device(name: str) -> torch.device:
    """`auto` → a GPU where there is one, else the CPU; `cpu`, `cuda`, `cuda:1` as they are.

    Raises:
        ConfigError: no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"--device: got {name!r}, expected auto, cpu or cuda") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device cuda: PyTorch sees no GPU here; use --device cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"--device: got {name!r}, but there are {torch.cuda.device_count()} GPUs, from cuda:0 on"
        )
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f"--device: got {name!r}, expected auto, cpu or cuda")
    return device
