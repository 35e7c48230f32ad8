"""Network files of every kind, in and out: our own, official pickles, rosinality's checkpoints.

What a file is, its first bytes and its content tell, not its name.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from shoegen.errors import ConfigError, FileFormatError
from shoegen.stylegan.legacy.building import build_discriminator, build_generator, check_tensors, settings_of
from shoegen.stylegan.legacy.official import KEYS, read_official
from shoegen.stylegan.legacy.pickles import check_pickle, show
from shoegen.stylegan.legacy.rosinality import export_rosinality, is_flat, read_rosinality
from shoegen.stylegan.networks import Discriminator, Generator
from shoegen.torch_utils.checkpoints import load_checkpoint
from shoegen.torch_utils.files import atomic_write
from shoegen.torch_utils.tensors import load_tensors, save_tensors

Which = Literal["g_ema", "g", "d"]
Format = Literal["shoegen", "official", "rosinality"]

KIND = "stylegan"  # of the checkpoints of our training
OWN_KEYS = {"g_ema": "generator_ema", "g": "generator", "d": "discriminator"}  # in a training's checkpoint
OFFICIAL_STATE = "official state dict"  # the kind of its safetensors
MAX_BYTES = 8 << 30
_LEGACY_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the magic number, pickled
LICENCE = "the weights keep the licence of who trained them"


@dataclass(frozen=True)
class NetworkFile:
    """A network that was read, and where it comes from.

    network: float32, on the CPU, ready for inference. kind: of the file, in words. notes: what its metadata said.
    """

    network: Generator | Discriminator
    kind: str
    notes: dict[str, Any] = field(default_factory=dict)


def read_network(path: str | os.PathLike[str], which: Which = "g_ema") -> NetworkFile:
    """One network in a file of any kind that is known here.

    Args:
        path: a generator's .safetensors, a checkpoint of our training, an official .pkl or state dict, or rosinality's
            checkpoint.
        which: the averaged generator, the generator as trained, or the discriminator. A file with one generator has
            it as g_ema.

    Raises:
        FileFormatError: not there, of another kind, damaged, or refused because it would run code.
    """
    path = Path(path)
    if path.exists() and not path.is_file():  # devices may have no end
        raise FileFormatError(f"cannot read {path}: not a file; expected one with a network")
    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            head = file.read(16)
    except OSError as error:
        raise FileFormatError(
            f"cannot read {path}: {error.strerror}; expected a file with a network"
        ) from error
    try:
        if size > MAX_BYTES:
            raise FileFormatError(f"{size >> 30} GiB, more than any network has")
        fits = int.from_bytes(head[:8], "little") <= size
        if head[8:9] == b"{" and (fits or not head.startswith(b"\x80")):  # which pickles start with
            return _from_safetensors(path, which)
        if head.startswith((b"PK\x03\x04", _LEGACY_TORCH)):
            return _from_torch(path, which)
        tensors, settings = read_official(path.read_bytes(), KEYS[which])
        return NetworkFile(_build(which, tensors, settings), f"official pickle, {KEYS[which]}")
    except FileFormatError as error:
        message = str(error).removeprefix(f"{path}: ")
        is_known = head.startswith((b"\x80", b"PK")) or head[8:9] == b"{"
        if not is_known and "asks for" not in message:  # a pickle could start with any byte, but none does
            message = "no network; expected a .safetensors, .pkl or .pt with one"
        raise FileFormatError(f"{path}: {message}") from error


def write_network(
    path: str | os.PathLike[str],
    network: Generator | Discriminator,
    to: Format,
    *,
    which: Which = "g_ema",
    notes: dict[str, Any] | None = None,
) -> list[str]:
    """Writes a network for shoegen, or its state dict for the networks of others.

    Args:
        path: .safetensors, which keeps the configuration and the notes; or .pt, which is {"G_ema": state dict,
            "config": …} for official networks, and rosinality's checkpoint {"g_ema": …, "latent_avg": …}.
        network: to write.
        to: whose names the tensors get.
        which: what a .pt calls the network.
        notes: where the weights come from.

    Returns:
        Remarks for who uses the file, each one line.

    Raises:
        ConfigError: the format cannot hold such a network, or has another suffix.
        OutputError: cannot be written.
    """
    check_target(path, to)
    state, config = network.state_dict(), network.config.to_dict()
    is_generator = isinstance(network, Generator)
    remarks: list[str] = []
    if to == "rosinality":
        data, remarks = export_rosinality(network, which)
        _save_torch(path, data)
    elif Path(path).suffix == ".pt":
        _save_torch(
            path, {KEYS[which]: {name: tensor.clone() for name, tensor in state.items()}, "config": config}
        )
    else:
        kind = OFFICIAL_STATE if to == "official" else "generator" if is_generator else "discriminator"
        save_tensors(path, state, {"kind": kind, "config": config, "notes": notes or {}})
    if to == "official":
        size = network.config.image_size
        if size[0] != size[1] or size[0] & (size[0] - 1):
            remarks.append("official networks are square with a power of two; theirs cannot take these")
    return remarks


def check_target(path: str | os.PathLike[str], to: Format) -> None:
    """That a network can be written in this format under this name.

    Raises:
        ConfigError: the suffix is of another format.
    """
    suffixes = {"shoegen": (".safetensors",), "official": (".pt", ".safetensors"), "rosinality": (".pt",)}[to]
    if Path(path).suffix not in suffixes:
        raise ConfigError(
            f"--out {path}: got {Path(path).suffix!r}, expected {' or '.join(suffixes)} for --to {to}"
        )


def origin(path: str | os.PathLike[str], found: NetworkFile) -> dict[str, Any]:
    """What a converted file's notes say of where its weights come from."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    source = {"file": Path(path).name, "kind": found.kind, "sha256": digest.hexdigest()}
    return {**found.notes, "origin": source, "licence": found.notes.get("licence", LICENCE)}


def describe(network: Generator | Discriminator) -> str:
    """One line: "generator 256x256 RGB, architecture skip, no classes, 24.8 million weights"."""
    config = network.config
    height, width = config.image_size
    colors = {1: "grey", 3: "RGB", 4: "RGBA"}[config.img_channels]
    weights = sum(parameter.numel() for parameter in network.parameters()) / 1e6
    parts = [
        f"{type(network).__name__.lower()} {width}x{height} {colors}",
        f"architecture {config.architecture}",
        f"{config.c_dim or 'no'} classes",
        f"{weights:.3g} million weights",
    ]
    if isinstance(network, Generator):
        parts.append(
            f"z {network.config.z_dim}, w {network.config.w_dim}, {config.mapping_layers} mapping layers"
        )
    if config.num_fp16_res:
        parts.append(f"16 bit in the {config.num_fp16_res} highest resolutions")
    if config.conv_clamp is not None:
        parts.append(f"activations within ±{config.conv_clamp:g}")
    return ", ".join(parts)


def _build(
    which: Which, tensors: Mapping[str, Tensor], settings: Mapping[str, Any]
) -> Generator | Discriminator:
    if ("b4.out.weight" in tensors) != (which == "d"):
        wanted = "discriminator" if which == "d" else "generator"
        raise FileFormatError(f"a {wanted} was asked for, and these are not the tensors of one")
    return build_discriminator(tensors, settings) if which == "d" else build_generator(tensors, settings)


def _from_safetensors(path: Path, which: Which) -> NetworkFile:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            kind = json.loads((file.metadata() or {}).get("shoegen", "{}")).get("kind")
    except (SafetensorError, ValueError, AttributeError) as error:
        raise FileFormatError(f"not a readable safetensors file ({error})") from error
    if kind not in (None, OFFICIAL_STATE, "discriminator"):
        kind = "generator"  # whatever else it is, it should be one
    tensors, metadata = load_tensors(path, kind=kind)
    notes = metadata.get("notes")
    notes = notes if isinstance(notes, dict) else {}
    if kind == "generator" and which == "g_ema":
        return NetworkFile(Generator.load(path), "generator of shoegen", notes)
    settings = settings_of(metadata["config"]) if "config" in metadata else {}
    return NetworkFile(_build(which, tensors, settings), kind or OFFICIAL_STATE, notes)


def _from_torch(path: Path, which: Which) -> NetworkFile:
    data = _load_torch(path)
    if data.get("kind") == KIND:
        state = load_checkpoint(path)  # again, against the SHA-256 that the run folder has of it
        config = settings_of(state.get("config")).get("discriminator" if which == "d" else "generator")
        tensors = _tensors(state, OWN_KEYS[which])
        return NetworkFile(_build(which, tensors, settings_of(config)), "checkpoint of shoegen's training")
    if KEYS[which] in data:
        settings = settings_of(data["config"]) if "config" in data else {}
        network = _build(which, _tensors(data, KEYS[which]), settings)
        return NetworkFile(network, f"{OFFICIAL_STATE}, {KEYS[which]}")
    if "mapping.fc0.weight" in data or "b4.out.weight" in data:
        check_tensors(data)
        return NetworkFile(_build(which, data, {}), OFFICIAL_STATE)
    if data.keys() & OWN_KEYS.keys() or is_flat(data):
        return NetworkFile(read_rosinality(data, which), f"rosinality's checkpoint, {which}")
    some = ", ".join(show(name) for name in list(data)[:6])
    raise FileFormatError(
        f"a PyTorch file with {some or 'nothing'}; expected {KEYS[which]}, {which}, or a run's checkpoint"
    )


def _tensors(data: Mapping[str, Any], key: str) -> Mapping[str, Tensor]:
    tensors = data.get(key)
    if not isinstance(tensors, Mapping):
        raise FileFormatError(f"{key} is {show(tensors)}, expected a state dict")
    check_tensors(tensors)
    return tensors


def _load_torch(path: Path) -> dict[Any, Any]:
    """What `torch.save` wrote, by PyTorch's loader of nothing but tensors and plain values."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                    raise FileFormatError("refused: compressed, which PyTorch's files never are")
                for name in archive.namelist():
                    if name.endswith(".pkl"):
                        check_pickle(archive.read(name))
        else:
            content, end = path.read_bytes(), 0
            for _ in ("magic number", "protocol", "system", "content", "keys"):
                end = check_pickle(content, end)
            del content
        # That project keeps its command's options in its checkpoints; a namespace holds attributes and does nothing.
        with torch.serialization.safe_globals([argparse.Namespace]):
            data = torch.load(path, map_location="cpu", weights_only=True)
    except FileFormatError:
        raise
    except Exception as error:  # damaged files fail in any way that PyTorch's loader and its archives can
        asked = re.search(r"GLOBAL (\S+)", str(error))
        reason = f"not a PyTorch file, or a damaged one ({type(error).__name__}); expected one with networks"
        if asked:
            reason = f"refused: it asks for {show(asked[1])}, which no network needs"
        raise FileFormatError(reason) from error
    if not isinstance(data, dict):
        raise FileFormatError(f"a PyTorch file of {show(data)}, expected a dict with networks")
    return data


def _save_torch(path: str | os.PathLike[str], data: dict[str, Any]) -> None:
    buffer = io.BytesIO()
    torch.save(data, buffer)
    with atomic_write(path) as file:
        file.write(buffer.getbuffer())
