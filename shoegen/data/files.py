"""The files of a data set: a folder or a zip file of pictures, and what stands beside them. Loads no torch."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from shoegen.data.images import IMAGE_SUFFIXES, Size, decode_part_map
from shoegen.data.labels import LabelMap
from shoegen.errors import DataError

MAX_FILE_BYTES = 512 * 2**20
"""Larger files are refused unread: a zip of some kilobytes can hold members of gigabytes."""

MAX_MEMBERS = 5_000_000
MAX_RATIO = 100
"""Pictures are compressed already; what a zip shrinks more than this is meant to fill the memory. Small files
are free to: a flat BMP shrinks five-hundredfold."""
FREE_FILE_BYTES = 32 * 2**20
FREE_TOTAL_BYTES = 2**30


class PictureFiles:
    """The pictures at any depth of a folder or zip file, and the part maps and lists beside them.

    Hidden files are left out. See `ImageDataset` for how the files are laid out. Nothing is extracted: a zip
    member named "../../x.png" is just a picture of that name.

    Attributes:
        pictures: the pictures' names, relative to `path`, with "/", sorted.
        others: files that are no part of the data set.

    Raises:
        DataError: nothing at `path`, not a zip file, no pictures, or a zip bomb.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._files = _open_files(self.path)
        self.pictures, self.others = _find_pictures(self._files.names)
        if not self.pictures:
            kinds = " ".join(sorted(IMAGE_SUFFIXES))
            raise DataError(
                f"{path} holds no pictures among {len(self.others)} files; expected files of {kinds}"
            )
        self._part_maps = {
            _stem_below_top(name): name for name in self._files.names if name.startswith("masks/")
        }

    def __contains__(self, name: str) -> bool:
        return name in self._files

    def read(self, name: str) -> bytes:
        """The bytes of a file.

        Raises:
            DataError: the reason alone that it cannot be read.
        """
        return self._files.read(name)

    def part_map(self, picture: str) -> str | None:
        """For the picture images/….jpg its part map masks/….png, or None."""
        return self._part_maps.get(_stem_below_top(picture)) if picture.startswith("images/") else None

    def read_part_map(
        self, picture: str, labels: LabelMap, size: Size, *, unlabelled: bool = False
    ) -> np.ndarray:
        """(H, W) uint8: the part map of a picture that has this (height, width); for `unlabelled`: `decode_part_map`.

        Raises:
            DataError: the reason alone: there is none, it cannot be read, or it has another size.
        """
        name = self.part_map(picture)
        if name is None:
            raise DataError(f"it has no part map; expected {self.expected_part_map(picture)}")
        try:
            part_map = self._decode_part_map(name, labels, unlabelled=unlabelled)
        except DataError as error:
            raise DataError(f"{name}: {error}") from error
        if part_map.shape != size:
            got, expected = (f"{width}x{height}" for height, width in (part_map.shape, size))
            raise DataError(f"{name} is {got}, its picture {expected}; expected one size")
        return part_map

    def expected_part_map(self, picture: str) -> str:
        """The name that a picture's part map should have."""
        return expected_part_map(picture)

    def _decode_part_map(self, name: str, labels: LabelMap, *, unlabelled: bool) -> np.ndarray:
        return decode_part_map(self.read(name), labels, unlabelled=unlabelled)

    @property
    def has_part_maps(self) -> bool:
        """Whether any picture has a part map."""
        return any(self.part_map(name) for name in self.pictures)

    def read_labels(self) -> LabelMap | None:
        """The classes of the part maps, from labels.json, or None where there is none.

        Raises:
            DataError: it cannot be read.
        """
        if "labels.json" not in self:
            return None
        try:
            return LabelMap.read(self.read("labels.json"))
        except DataError as error:
            raise DataError(f"labels.json in {self.path}: {error}") from error


def expected_part_map(picture: str) -> str:
    """The name that the part map of images/….jpg has: masks/….png."""
    return str(PurePosixPath("masks", *PurePosixPath(picture).parts[1:]).with_suffix(".png"))


def write_member(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    """Adds a file to a zip, without a clock: the same contents are the same bytes."""
    entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    entry.create_system = 3  # Unix, wherever this runs
    entry.external_attr = 0o644 << 16
    if name.endswith(".json"):  # pictures are compressed already
        entry.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(entry, content)


def _find_pictures(names: list[str]) -> tuple[list[str], list[str]]:
    """The pictures among the files of a data set, and the files that are no part of it."""
    pictures = [name for name in names if PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES]
    known: tuple[str, ...] = ("dataset.json",)
    if any(name.startswith("images/") for name in pictures):
        pictures = [name for name in pictures if name.startswith("images/")]
        known += ("masks/", "labels.json", "attributes.json", "annotations.json")
    taken = set(pictures)
    return pictures, [name for name in names if name not in taken and not name.startswith(known)]


def _stem_below_top(name: str) -> str:
    return str(PurePosixPath(*PurePosixPath(name).parts[1:]).with_suffix(""))


def _open_files(path: Path) -> _FolderFiles | _ZipFiles:
    try:
        if path.is_dir():
            return _FolderFiles(path)
        if path.exists():
            return _ZipFiles(path)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}; check the path") from error
    raise DataError(f"{path} does not exist; expected a folder or zip file of pictures")


class _FolderFiles:
    """The visible files below a folder."""

    def __init__(self, path: Path):
        self._paths = _strip_outer_folder(
            {
                file.relative_to(path).as_posix(): file
                for file in _walk(path)
                if _is_visible(file.relative_to(path))
            }
        )
        self.names = sorted(self._paths)

    def __contains__(self, name: str) -> bool:
        return name in self._paths

    def read(self, name: str) -> bytes:
        path = self._paths[name]
        try:
            if not path.is_file():  # a pipe would block
                raise DataError("it is not a regular file" if path.exists() else "the file does not exist")
            _check_bytes(path.stat().st_size)
            return path.read_bytes()
        except OSError as error:
            raise DataError(f"{error.strerror}") from error


class _ZipFiles:
    """The visible files of a zip file; can be sent to other processes."""

    def __init__(self, path: Path):
        self._path = path
        self._opened: tuple[int, zipfile.ZipFile] | None = None
        try:
            infos = self._archive().infolist()
        except Exception as error:  # zipfile raises many types on damaged data
            raise DataError(
                f"{path} is not a zip file, or damaged ({error}); expected a folder or zip file"
            ) from error
        self._check_bomb(infos)
        # Some programs write "\" between folders.
        members = {info.filename.replace("\\", "/"): info for info in infos}
        self._members = _strip_outer_folder(
            {
                name: info
                for name, info in members.items()
                if name[-1:] != "/" and _is_visible(PurePosixPath(name))
            }
        )
        self.names = sorted(self._members)

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def read(self, name: str) -> bytes:
        info = self._members[name]
        _check_bytes(info.file_size)
        if info.file_size > max(FREE_FILE_BYTES, MAX_RATIO * info.compress_size):
            raise DataError(
                f"the zip member grows from {info.compress_size} to {info.file_size} bytes; pictures do not, "
                "and this may be a bomb"
            )
        try:
            return self._archive().read(info)  # never more than the size declared
        except Exception as error:  # damaged, encrypted, or compressed in an unknown way
            raise DataError(f"the zip member is damaged or encrypted ({error})") from error

    def _check_bomb(self, infos: list[zipfile.ZipInfo]) -> None:
        if len(infos) > MAX_MEMBERS:
            raise DataError(f"{self._path} has {len(infos)} members; expected at most {MAX_MEMBERS}")
        # Counted against the whole file: the members of a bomb may overlap.
        total, size = sum(info.file_size for info in infos), self._path.stat().st_size
        if total > max(FREE_TOTAL_BYTES, MAX_RATIO * size):
            raise DataError(
                f"{self._path} has {size} bytes and grows to {total}; pictures do not, and this may be a zip bomb"
            )

    def _archive(self) -> zipfile.ZipFile:
        """The open file. A forked process must not share its position in the file with its parent."""
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = (os.getpid(), zipfile.ZipFile(self._path))
        return self._opened[1]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}


def _walk(folder: Path) -> Iterator[Path]:
    """All files below a folder, links followed; each folder is entered once, so that loops of links end."""

    def fail(error: OSError) -> None:
        raise error

    entered = set()
    for root, folders, files in os.walk(folder, followlinks=True, onerror=fail):
        status = os.stat(root)
        if (status.st_dev, status.st_ino) in entered:
            folders.clear()
            continue
        entered.add((status.st_dev, status.st_ino))
        folders.sort()
        yield from (Path(root, file) for file in files)


def _is_visible(name: PurePosixPath | Path) -> bool:
    return not any((part.startswith(".") and part != "..") or part == "__MACOSX" for part in name.parts)


def _strip_outer_folder(files: dict[str, Any]) -> dict[str, Any]:
    """Takes the folder off that a whole data set, with images/ or a dataset.json, is packed in."""
    outer = {name.partition("/")[0] for name in files}
    prefix = f"{next(iter(outer))}/" if len(outer) == 1 else ""
    is_whole = f"{prefix}dataset.json" in files or any(name.startswith(f"{prefix}images/") for name in files)
    if prefix and prefix != "images/" and is_whole:
        return {name.removeprefix(prefix): value for name, value in files.items()}
    return files


def _check_bytes(count: int) -> None:
    if count > MAX_FILE_BYTES:
        raise DataError(f"the file is {count} bytes; expected at most {MAX_FILE_BYTES}")
