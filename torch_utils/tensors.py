"""Inference files: safetensors, with the configuration as JSON in the metadata."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from shoegen.errors import FileFormatError
from shoegen.torch_utils.files import atomic_write


def save_tensors(path: str | os.PathLike[str], tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
    """Writes a safetensors file, whole or not at all.

    Args:
        path: where to.
        tensors: by name.
        metadata: what `json.dumps` takes; its "kind" says what the file is ("generator", "direction", …).
    """
    from safetensors.torch import save

    assert "kind" in metadata
    content = save(
        {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
        metadata={"shoegen": json.dumps(metadata, sort_keys=True)},
    )
    with atomic_write(path) as file:
        file.write(content)


def load_tensors(
    path: str | os.PathLike[str], *, kind: str, nan: bool = False
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and metadata of a file that `save_tensors` wrote.

    Args:
        nan: NaN and infinity are allowed, as of what could not be measured.

    Raises:
        FileFormatError: not there, damaged, with numbers that are not finite, or not of this `kind`.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise FileFormatError(f"no such file: {path}; expected a {kind} file (.safetensors)")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = json.loads((file.metadata() or {}).get("shoegen", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise FileFormatError(
            f"{path}: not a readable safetensors file ({error}); it is damaged or of another format"
        ) from error
    if metadata.get("kind") != kind:
        raise FileFormatError(f"{path}: got a file of kind {metadata.get('kind')!r}, expected {kind!r}")
    for name, tensor in tensors.items():
        if not nan and tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise FileFormatError(f"{path}: {name} holds numbers that are not finite; get the file again")
    return tensors, metadata


def find_model(path: str | os.PathLike[str], default: Path, what: str, command: str) -> Path:
    """The file of a model that a user names.

    Args:
        path: a file, a run folder that holds one of the default's name, or "default".
        default: where the one is that ships.
        what: the model is, in words. command: that trains one.

    Raises:
        FileFormatError: there is none.
    """
    found = default if str(path) == "default" else Path(path)
    if found.is_dir():
        found = found / default.name
    if not found.is_file():
        raise FileFormatError(f"no {what} at {found}; train one with `shoegen {command}`, or give its path")
    return found


def kind_of(path: str | os.PathLike[str]) -> str | None:
    """The kind of a file that `save_tensors` wrote, or None for any other."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = json.loads((file.metadata() or {}).get("shoegen", "{}"))
    except (SafetensorError, OSError, ValueError):
        return None
    return metadata.get("kind") if isinstance(metadata, dict) else None


def tensors_hash(tensors: dict[str, Tensor]) -> str:
    """SHA-256 (hex) over names, types, shapes and values, whatever the order or the file around them."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
