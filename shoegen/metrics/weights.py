"""The published networks that metrics see through: where their files are looked for, and whether they are whole.

Nothing is downloaded. A file is taken from the path given (`--weights`), else from the folder that SHOEGEN_ASSETS
names, under the name that it was published with.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from shoegen.errors import ConfigError, FileFormatError

ASSETS_VARIABLE = "SHOEGEN_ASSETS"


@dataclass(frozen=True, kw_only=True)
class PublishedWeights:
    """names: of the file, as published. sha256: how its SHA-256 begins. origin: who publishes it."""

    network: str
    names: tuple[str, ...]
    sha256: str
    origin: str

    @property
    def missing(self) -> str:
        """What to say where the file is not there."""
        return (
            f"no {self.network} weights here; put {self.names[0]} ({self.origin}) into a folder and name it with "
            f"--weights or {ASSETS_VARIABLE}"
        )


INCEPTION = PublishedWeights(
    network="Inception",
    # One file under two names: torch-fidelity's and pytorch-fid's.
    names=("weights-inception-2015-12-05-6726825d.pth", "pt_inception-2015-12-05-6726825d.pth"),
    sha256="6726825d",
    origin="of torch-fidelity's release v0.2.0",
)
VGG = PublishedWeights(
    network="VGG", names=("vgg16-397923af.pth",), sha256="397923af", origin="torchvision's VGG-16"
)


def find_weights(published: PublishedWeights, given: str | os.PathLike[str] | None = None) -> Path | None:
    """The file of a network, or None where it is not on this machine.

    Args:
        published: INCEPTION or VGG.
        given: a folder with the files, or a file that serves as Inception whatever its name.

    Raises:
        ConfigError: nothing at `given`.
    """
    folders = []
    if given is not None:
        path = Path(given)
        if not path.exists():
            raise ConfigError(
                f"--weights: nothing at {path}; expected a folder with {INCEPTION.names[0]}, or such a file"
            )
        if published is INCEPTION and path.is_file() and path.name not in VGG.names:
            return path
        folders.append(path if path.is_dir() else path.parent)
    if os.environ.get(ASSETS_VARIABLE):
        folders.append(Path(os.environ[ASSETS_VARIABLE]))
    files = (folder / name for folder in folders for name in published.names)
    return next((file for file in files if file.is_file()), None)


def read_weights(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], str]:
    """The state dict in a .pth file, and the SHA-256 (hex) of the file.

    Where the name ends in "-" and eight hex digits, as torch's hub has it, the SHA-256 must begin with them.

    Raises:
        FileFormatError: damaged, or no state dict.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FileFormatError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    digest = hashlib.sha256(content).hexdigest()
    promised = re.search(r"-([0-9a-f]{8})\.pth$", path.name)
    if promised and not digest.startswith(promised[1]):
        raise FileFormatError(
            f"{path}: its SHA-256 begins with {digest[:8]}, its name promises {promised[1]}; it is "
            "damaged, fetch it anew"
        )
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types on damaged data
        raise FileFormatError(f"{path}: not a file of weights (.pth), or damaged; fetch it anew") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise FileFormatError(f"{path}: holds no weights by name; expected a state dict (.pth)")
    return state, digest


def mismatch(path: str | os.PathLike[str], network: str) -> FileFormatError:
    """The error for a state dict of another network."""
    return FileFormatError(f"{path}: its weights are not those of {network}; give another file")
