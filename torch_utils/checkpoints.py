"""Training state on disk: plain state dicts, written whole, checked by SHA-256 when read."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch

from shoegen.errors import FileFormatError
from shoegen.torch_utils.files import atomic_write, write_json

_MANIFEST = "checkpoints.json"
_FILE = re.compile(r"checkpoint-[0-9]+\.pt")


def save_checkpoint(
    folder: Path, images: int, state: dict[str, Any], *, keep: int, protect: Collection[int] = ()
) -> Path:
    """Adds a checkpoint to `folder` and removes all but the newest `keep`, and those at `protect` images.

    A checkpoint counts only once the manifest names it, with its hash; a crash at any moment leaves the
    older ones usable.

    Args:
        folder: the run folder.
        images: how many images training has shown; names the file.
        state: nested dicts and lists of tensors, numbers and strings.
        keep: how many to keep, at least 1.
        protect: image counts of checkpoints that stay, however old.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getbuffer()
    path = folder / f"checkpoint-{images:09d}.pt"
    with atomic_write(path) as file:
        file.write(content)
    entries = [entry for entry in _read_manifest(folder) if entry["file"] != path.name]
    entries.append({"file": path.name, "images": images, "sha256": hashlib.sha256(content).hexdigest()})
    old = [entry for entry in entries[:-keep] if entry["images"] not in protect]
    write_json(folder / _MANIFEST, [entry for entry in entries if entry not in old])
    for entry in old:
        (folder / entry["file"]).unlink(missing_ok=True)
    return path


def load_latest_checkpoint(folder: Path) -> tuple[dict[str, Any] | None, list[str]]:
    """The state in the newest intact checkpoint, or None where there is none yet, and what was wrong with newer ones.

    Those leave the manifest, so that they do not count among the ones to keep; their files stay.

    Raises:
        FileFormatError: there are checkpoints, but none is intact.
    """
    errors: list[str] = []
    entries = _read_manifest(folder)
    while entries:
        try:
            state = load_checkpoint(folder / entries[-1]["file"])
            if type(state.get("images")) is not int or state["images"] < 0:
                raise FileFormatError(
                    f"{folder / entries[-1]['file']}: not a whole checkpoint, it has no images"
                )
        except FileFormatError as error:
            errors.append(str(error))
            entries.pop()
            continue
        if errors:
            write_json(folder / _MANIFEST, entries)
        return state, errors
    if errors:
        raise FileFormatError(f"{'; '.join(errors)}; restore one, or start anew with another --out")
    return None, []


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint of a run folder, or None."""
    entries = _read_manifest(folder)
    return folder / entries[-1]["file"] if entries else None


def load_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads a checkpoint; unpickles nothing but tensors and plain values.

    Raises:
        FileFormatError: not there, truncated, altered, or not a checkpoint.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FileFormatError(f"cannot read the checkpoint {path}: {error.strerror}") from error
    for entry in _read_manifest(path.parent):
        if (
            entry["file"] == path.name
            and entry["sha256"]
            and entry["sha256"] != hashlib.sha256(content).hexdigest()
        ):
            raise FileFormatError(f"{path}: its SHA-256 is not the recorded one; it is damaged")
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, KeyError) as error:
        raise FileFormatError(
            f"{path}: not a checkpoint, or a truncated one; expected a .pt file of a run folder"
        ) from error
    if not isinstance(state, dict):
        raise FileFormatError(f"{path}: got a {type(state).__name__}, expected the state of a training run")
    return state


def _read_manifest(folder: Path) -> list[dict[str, Any]]:
    """Of each checkpoint, oldest first: file, images, sha256. Where there is no manifest, the files tell, unchecked."""
    path = folder / _MANIFEST
    try:
        entries = json.loads(path.read_bytes())
    except FileNotFoundError:
        files = [file.name for file in folder.glob("checkpoint-*.pt") if _FILE.fullmatch(file.name)]
        found = {int(name[len("checkpoint-") : -len(".pt")]): name for name in files}
        return [{"file": found[images], "images": images, "sha256": None} for images in sorted(found)]
    except (OSError, ValueError) as error:
        raise FileFormatError(
            f"{path}: cannot be read ({error}); remove it, and the files are taken as they are"
        ) from error
    if not isinstance(entries, list) or not all(map(_is_entry, entries)):
        raise FileFormatError(f"{path} lists no checkpoints; remove it, and the files are taken as they are")
    return entries


def _is_entry(entry: Any) -> bool:
    """Whether it names a file of the folder itself: those that are old are removed."""
    return (
        isinstance(entry, dict)
        and {"file", "images", "sha256"} <= entry.keys()
        and isinstance(entry["file"], str)
        and _FILE.fullmatch(entry["file"]) is not None
        and type(entry["images"]) is int
    )
