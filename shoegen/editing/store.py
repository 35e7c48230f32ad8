"""Shoes in files: the latent, where it comes from, what was done to it, and the generator where that was tuned.

The file is one of latents as `shoegen.stylegan.sampling` writes and reads them (safetensors, kind "latents", tensor w),
with more notes: `shoegen generate --w-file` draws it too. A tuned generator is stored as what it differs by, in half
precision.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import shoegen
from shoegen.editing.history import Edit
from shoegen.editing.model import ShoeModel, load
from shoegen.editing.shoe import Shoe
from shoegen.errors import ConfigError, FileFormatError
from shoegen.stylegan.networks import Generator
from shoegen.stylegan.sampling import load_ws
from shoegen.torch_utils.files import check_writable
from shoegen.torch_utils.tensors import kind_of, load_tensors, save_tensors

KIND = "latents"
TUNED = "tuned/"  # before a weight's name: the tensors of a file
SUFFIX = ".safetensors"


@dataclass(frozen=True)
class StoredShoe:
    """What a file says of its shoe.

    path: of the file. name: of the shoe. model: the name of its model. generator_hash: of what draws it. origin: of
    what its directions were fitted for. source: seed and psi, or the photograph. history: what was done. title: all
    that in words. version: of the shoegen that wrote it. count: of the latents in it.
    """

    path: Path
    name: str
    model: str
    generator_hash: str
    origin: str
    source: Mapping[str, Any]
    history: tuple[Edit, ...]
    title: str
    version: str
    count: int = 1


def check_latent(path: str | Path) -> None:
    """Refuses, before any work, a file that `save_latent` cannot write.

    Raises:
        ConfigError: another suffix.
        OutputError: the path cannot be written.
    """
    if Path(path).suffix.lower() != SUFFIX:
        raise ConfigError(f"cannot write a shoe's latent to {path}: expected the suffix {SUFFIX}")
    check_writable(path)


def save_latent(path: str | Path, shoe: Shoe, *, name: str | None = None) -> None:
    """See `Shoe.save_latent`."""
    check_latent(path)
    model = shoe.model
    tensors = {"w": shoe.ws[None].float()}
    if model.origin != model.hash:
        base = model.base or load(model.name, str(model.device))
        if base.hash != model.origin:
            raise ConfigError(
                f"{shoe.title}: the generator that its own is a tuned copy of is not there; give `base`"
            )
        tensors |= {
            TUNED + key: value for key, value in _differences(base.generator, model.generator).items()
        }
    notes = {
        "name": name or shoe.title,
        "title": shoe.title,
        "model": (model.base or model).name,
        "origin": model.origin,
        "source": dict(shoe.source),
        "history": [edit.to_dict() for edit in shoe.history],
        "shoegen": shoegen.__version__,
    }
    save_tensors(path, tensors, {"kind": KIND, "generator_hash": model.hash, **notes})


def read_latent(path: str | Path) -> StoredShoe:
    """What a file of latents says; those of `shoegen generate --save-w` say little.

    Raises:
        FileFormatError: missing, damaged, or something else.
    """
    return _read(Path(path))[0]


def list_latents(path: str | Path) -> list[StoredShoe]:
    """What a file says, or all those anywhere below a folder, by path.

    Raises:
        FileFormatError: a folder without any, or a file that is damaged or something else.
    """
    path = Path(path)
    if not path.is_dir():
        return [read_latent(path)]
    files = [file for file in sorted(path.rglob(f"*{SUFFIX}")) if kind_of(file) == KIND]
    if not files:
        raise FileFormatError(
            f"{path} has no latents; write some with `shoegen edit --save-latent` or `shoegen project`"
        )
    return [read_latent(file) for file in files]


def load_shoe(path: str | Path, model: ShoeModel | str | Path | None = None, *, device: str = "auto") -> Shoe:
    """Takes up a shoe that `Shoe.save_latent` wrote, or the one in a file of latents (.npz, .npy, .safetensors).

    Args:
        path: of the file.
        model: whose shoe it is; by default the one that the file names.
        device: for a model that has to be opened.

    Raises:
        FileFormatError: missing, damaged, or of another model; several latents.
    """
    path = Path(path)
    if path.suffix.lower() != SUFFIX:
        model = _open(model or "default", device)
        return Shoe(
            model, _only(path, load_ws(path, model.generator)), path.stem, source={"latents": path.name}
        )
    stored, tensors = _read(path)
    if model is None and not stored.model:
        model = "default"
    try:
        model = _open(model or stored.model, device)
    except FileFormatError as error:
        raise FileFormatError(f"{path} is a shoe of the model {stored.model!r}: {error}") from error
    if stored.origin not in ("", model.origin):
        raise FileFormatError(
            f"{path} is a shoe of another model, {stored.model or 'one'} with the generator {stored.origin[:12]}, not "
            f"{model.origin[:12]}; open it with that one (--model)"
        )
    ws = _only(path, load_ws(path, model.generator))
    differences = {key.removeprefix(TUNED): value for key, value in tensors.items() if key.startswith(TUNED)}
    if differences:
        base = model.base or model
        generator = _add(base.generator, differences, path)
        model = ShoeModel(
            generator,
            name=base.name,
            directions=base.directions_folders,
            segmenter=base.segmenter,
            base=base,
        )
    if stored.generator_hash not in ("", model.hash):
        raise FileFormatError(
            f"{path}: its generator is not what it was when it was written; invert the photo again"
        )
    return Shoe(model, ws, stored.title or path.stem, stored.history, source=stored.source)


def tuned_model(base: ShoeModel, generator: Generator) -> ShoeModel:
    """A model of a tuned copy of a model's generator, its weights as they would come back from a file."""
    generator = _add(base.generator, _differences(base.generator, generator), Path("memory"))
    return ShoeModel(
        generator, name=base.name, directions=base.directions_folders, segmenter=base.segmenter, base=base
    )


def _differences(base: Generator, tuned: Generator) -> dict[str, Tensor]:
    """float16, of the weights that differ."""
    before = base.state_dict()
    return {
        name: (value.float() - before[name].float()).cpu().half()
        for name, value in tuned.state_dict().items()
        if not torch.equal(value, before[name])
    }


def _add(base: Generator, differences: Mapping[str, Tensor], path: Path) -> Generator:
    generator = copy.deepcopy(base)
    weights = dict(generator.state_dict())
    for name, difference in differences.items():
        if name not in weights or weights[name].shape != difference.shape or not difference.isfinite().all():
            raise FileFormatError(
                f"{path}: its tuned weight {name} does not fit the generator; get the file again"
            )
        weights[name].add_(difference.to(weights[name]))
    return generator.eval().requires_grad_(False)


def _read(path: Path) -> tuple[StoredShoe, dict[str, Tensor]]:
    tensors, notes = load_tensors(path, kind=KIND)
    try:
        stored = StoredShoe(
            path=path,
            name=str(notes.get("name", path.stem)),
            model=str(notes.get("model", "")),
            generator_hash=str(notes.get("generator_hash", "")),
            origin=str(notes.get("origin", notes.get("generator_hash", ""))),
            source=dict(notes.get("source", {})),
            history=tuple(Edit.from_dict(edit) for edit in notes.get("history", [])),
            title=str(notes.get("title", "")),
            version=str(notes.get("shoegen", "")),
            count=len(tensors["w"]) if "w" in tensors and tensors["w"].ndim else 0,
        )
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise FileFormatError(
            f"{path}: what it says of its shoe is damaged ({error}); get the file again"
        ) from error
    if any(not math.isfinite(edit.strength) for edit in stored.history):
        raise FileFormatError(f"{path}: what it says of its shoe is damaged; get the file again")
    return stored, tensors


def _only(path: Path, ws: Tensor) -> Tensor:
    if len(ws) != 1:
        raise FileFormatError(
            f"{path} has {len(ws)} latents, expected one; draw them with `shoegen generate --w-file`"
        )
    return ws[0]


def _open(model: ShoeModel | str | Path, device: str) -> ShoeModel:
    return model if isinstance(model, ShoeModel) else load(model, device)
