"""Class labels for conditional training: one class for each picture. Loads no torch.

Not to be confused with labels.json, which lists the classes of part maps' pixels.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from shoegen.data.files import PictureFiles
from shoegen.errors import ConfigError, DataError

CLASSES_FILE = "dataset.json"
MAX_CLASSES = 10_000
"""A network has a weight for each class up to the highest, used or not."""

_FORM = 'expected {"labels": [["NAME.png", 0], ["OTHER.png", 1], …]}'
_WAY_OUT = "mend it, or train without classes with --classes none"


@dataclass(frozen=True)
class Classes:
    """The classes' `names`, and the index into them `of` each picture; both empty where there are no classes.

    `notes` has a line for each thing that a user should know.
    """

    names: list[str] = field(default_factory=list)
    of: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def count(self, pictures: list[str]) -> dict[str, int]:
        """How many of the pictures each class has."""
        counts = Counter(self.of[picture] for picture in pictures) if self.of else Counter()
        return {name: counts[index] for index, name in enumerate(self.names)}

    def to_json(self) -> dict[str, Any]:
        """What dataset.json says, in the published form, and the classes' names."""
        return {"labels": [[picture, index] for picture, index in self.of.items()], "class_names": self.names}


def find_classes(files: PictureFiles, source: str | Path = "auto") -> Classes:
    """The class of each picture of a data set.

    Args:
        files: the data set.
        source: "auto": what dataset.json says, where it says so of every picture; "none": no classes; "folders":
            the top folder of each picture (below images/, where there is that); otherwise a path to a JSON file.
            Such a file is {"labels": [["00000/img00000.png", 6], …]}, or a dict in place of the list; names
            are relative to the data set or to its images/. "class_names": ["boot", …] may stand beside it.

    Raises:
        ConfigError: `source` is nothing of these.
        DataError: labels in another form, for unknown or twice for one picture, out of range, or missing.
    """
    if source == "none":
        return Classes()
    if source == "folders":
        return _from_folders(files)
    if source == "auto":
        if CLASSES_FILE not in files:
            return Classes(notes=_hint_at_folders(files))
        name = f"{CLASSES_FILE} in {files.path}"
        try:
            data = files.read(CLASSES_FILE)
        except DataError as error:
            raise DataError(f"cannot read {name}: {error}; {_WAY_OUT}") from error
    else:
        name = str(source)
        data = _read_file(Path(source), _max_bytes(files))
    if len(data) > _max_bytes(files):
        raise DataError(
            f"{name} is {len(data)} bytes; expected at most {_max_bytes(files)} for {len(files.pictures)} pictures"
        )
    return _parse(data, name, files, required=source != "auto")


def _read_file(path: Path, max_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(max_bytes + 1)
    except FileNotFoundError as error:
        raise ConfigError(
            f"classes: got {str(path)!r}, expected auto, none, folders, or a JSON file that exists"
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"cannot read {path}: {reason}; check the path") from error


def _max_bytes(files: PictureFiles) -> int:
    """JSON takes twenty times its size once it is read."""
    return 2**20 + 1000 * len(files.pictures)


def _parse(data: bytes, name: str, files: PictureFiles, *, required: bool) -> Classes:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name} is not JSON ({error}); {_FORM}; {_WAY_OUT}") from error
    if not isinstance(value, dict):
        raise DataError(f"{name} has another form; {_FORM}; {_WAY_OUT}")
    pairs = _pairs(value.get("labels"), name)
    if all(label is None for _, label in pairs):
        if required:
            raise DataError(f"{name} has no labels; {_FORM}")
        return Classes(notes=_hint_at_folders(files))

    # Each picture's label.
    pictures = set(files.pictures)
    labels: dict[str, int] = {}
    for picture, label in pairs:
        known = picture if picture in pictures else f"images/{picture}"
        if known not in pictures:
            raise DataError(
                f"{name} labels {_short(picture)}, which is no picture of {files.path}; {_WAY_OUT}"
            )
        if known in labels:
            raise DataError(f"{name} labels {picture} twice; {_WAY_OUT}")
        if label is not None:
            labels[known] = _check_label(label, picture, name)
    missing = [picture for picture in files.pictures if picture not in labels]
    if missing:
        message = (
            f"{name} labels {len(labels)} of {len(files.pictures)} pictures, and not {missing[0]}; "
            "every picture needs a label"
        )
        if required:
            raise DataError(f"{message}; {_WAY_OUT}")
        return Classes(notes=[f"{message}; the classes are not used"])

    # Their classes.
    class_names = _class_names(value.get("class_names"), max(labels.values()), name)
    unused = sorted(set(range(len(class_names))) - set(labels.values()))
    notes = []
    if unused:
        listed = ", ".join(class_names[index] for index in unused[:5]) + ", …" * (len(unused) > 5)
        notes.append(f"{len(unused)} of {len(class_names)} classes in {name} have no picture ({listed})")
    return Classes(class_names, {picture: labels[picture] for picture in files.pictures}, notes)


def _pairs(value: Any, name: str) -> list[tuple[str, Any]]:
    """(picture, label) from a list of pairs, a dict, or null."""
    pairs = list(value.items()) if isinstance(value, dict) else value or []
    is_pairs = isinstance(pairs, list) and all(
        isinstance(pair, list | tuple) and len(pair) == 2 and isinstance(pair[0], str) for pair in pairs
    )
    if not is_pairs:
        raise DataError(f"{name} has another form; {_FORM}; {_WAY_OUT}")
    return [(picture.replace("\\", "/"), label) for picture, label in pairs]


def _check_label(label: Any, picture: str, name: str) -> int:
    if isinstance(label, list):
        raise DataError(
            f"{name} has a vector as the label of {picture}; only classes, one whole number for each picture, "
            f"can be trained; {_WAY_OUT}"
        )
    if isinstance(label, bool) or not isinstance(label, int):
        raise DataError(
            f"{name} labels {picture} {_short(label)}; expected a whole number from 0 on; {_WAY_OUT}"
        )
    if not 0 <= label < MAX_CLASSES:
        raise DataError(
            f"{name} labels {picture} {_short(label)}; expected 0 to {MAX_CLASSES - 1}; {_WAY_OUT}"
        )
    return label


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 60 else f"{text[:60]}…"


def _class_names(value: Any, highest: int, name: str) -> list[str]:
    if value is None:
        return [str(index) for index in range(highest + 1)]
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise DataError(f"{name}: class_names is no list of names; {_WAY_OUT}")
    if len(value) > MAX_CLASSES or len(set(value)) < len(value):
        raise DataError(
            f"{name}: class_names has {len(value)} names; expected at most {MAX_CLASSES}, all different"
        )
    if highest >= len(value):
        raise DataError(
            f"{name} has label {highest}, and {len(value)} class names; expected labels 0 to {len(value) - 1}; "
            f"{_WAY_OUT}"
        )
    return value


# ---- folders ----


def _top_folder(picture: str) -> str | None:
    parts = PurePosixPath(picture).parts[:-1]
    below = parts[1:] if parts[:1] == ("images",) else parts
    return below[0] if below else None


def _from_folders(files: PictureFiles) -> Classes:
    folders = {picture: _top_folder(picture) for picture in files.pictures}
    loose = [picture for picture, folder in folders.items() if folder is None]
    if loose:
        raise DataError(
            f"{files.path}: {len(loose)} of {len(folders)} pictures are in no folder, such as {loose[0]}; "
            "--classes folders needs each in the folder of its class"
        )
    names = sorted({folder for folder in folders.values() if folder is not None})
    if not 2 <= len(names) <= MAX_CLASSES:
        raise DataError(
            f"{files.path} has {len(names)} folders of pictures ({', '.join(names[:3])}); --classes folders "
            f"expects 2 to {MAX_CLASSES}, one for each class"
        )
    index = {name: position for position, name in enumerate(names)}
    return Classes(
        names, {picture: index[folder] for picture, folder in folders.items() if folder is not None}
    )


def _hint_at_folders(files: PictureFiles) -> list[str]:
    folders = {_top_folder(picture) for picture in files.pictures}
    names = sorted(folder for folder in folders if folder is not None)
    if len(names) < 2 or len(names) < len(folders):
        return []
    listed = ", ".join(names[:3]) + ", …" * (len(names) > 3)
    return [f"no classes; if the {len(names)} folders ({listed}) are classes, say --classes folders"]
