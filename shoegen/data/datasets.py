"""Folders and zip files of pictures, as the data sets that every training reads. Loads no torch."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from shoegen.data.images import (
    IMAGE_SUFFIXES,
    Size,
    check_fit,
    decode_image,
    decode_part_map,
    fit_image,
    fit_part_map,
    same_aspect,
)
from shoegen.data.labels import LabelMap
from shoegen.errors import ConfigError, DataError

MAX_FILE_BYTES = 512 * 2**20
"""Larger files are refused unread: a zip of some kilobytes can hold members of gigabytes."""


def infinite_indices(n: int, seed: int, start: int = 0) -> Iterator[int]:
    """Endless indices 0..n − 1, each pass over them in another order, from element `start` of the stream on.

    Element k depends on (n, seed, k) alone, so that a training resumes with no more than its counter.
    """
    if n < 1 or seed < 0 or start < 0:
        raise ConfigError(f"got n={n}, seed={seed}, start={start}; expected n ≥ 1, seed ≥ 0 and start ≥ 0")
    epoch, position = divmod(start, n)
    while True:
        order = np.random.default_rng((seed, epoch)).permutation(n)
        yield from order[position:].tolist()
        epoch, position = epoch + 1, 0


class ImageDataset:
    """The pictures of a folder or zip file at one size, with part maps and attributes where there are any.

    All pictures at any depth are taken, sorted by name; hidden files and other kinds of files are not.
    Where there is an `images/` at the top (or in the only folder there), its pictures alone are taken,
    and beside it may stand

        masks/            part maps: 8-bit index PNGs named and sized like their pictures
        labels.json       the part maps' classes, see `LabelMap`
        attributes.json   {"unit": "mm", "attributes": {"images/00000000.png": {"heel_height": 62.1}, …}}

    Every picture is decoded once on construction, so that a damaged one is found before a training starts.
    `ds[i]` is (3, H, W) uint8 RGB. Works with torch's DataLoader; a copy sent to another process leaves the
    cache behind and reads from disk.

    Args:
        path: a folder or a zip file.
        resolution: the pictures' size, one number or (height, width); None: they have one size and keep it.
        fit: how a picture of another aspect ratio is brought to `resolution`, see `fit_image`.
        skip_bad: leave out what cannot be read; without it that is an error.
        mirror: append every picture's mirror image, which doubles `len(ds)`.
        part_maps: every picture must have a part map; all are checked on construction.
        labels: classes of the part maps where there is no labels.json.
        cache_bytes: memory for decoded pictures; those beyond it are read again on each access.

    Attributes:
        names: the N pictures' names, relative to `path`, with "/".
        sizes: (height, width) of each as stored.
        image_shape: (3, H, W).
        labels: classes of the part maps, or None.
        skipped: of each picture left out, by its name, the reason.
        conversions: by what had to be converted, the pictures' names.
        notes: one line for each thing that a user should know: conversions, enlargements, what was skipped.

    Raises:
        ConfigError: an argument that cannot be followed.
        DataError: nothing at `path`, no pictures, pictures that cannot be read, or sizes that do not fit.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        resolution: int | Size | None = None,
        fit: str = "strict",
        skip_bad: bool = False,
        mirror: bool = False,
        part_maps: bool = False,
        labels: LabelMap | None = None,
        cache_bytes: int = 4 * 2**30,
    ):
        check_fit(fit)
        self.path = Path(path)
        self.fit = fit
        self.mirror = mirror
        self._part_maps = part_maps

        # Find the pictures and what stands beside them.
        self._files = _open_files(self.path)
        self._found, others = _find_pictures(self._files.names)
        if not self._found:
            kinds = " ".join(sorted(IMAGE_SUFFIXES))
            raise DataError(f"{path} holds no pictures among {len(others)} files; expected files of {kinds}")
        self._part_map_names = _match_part_maps(self._found, self._files.names)
        self.labels = self._read_labels() or labels
        if part_maps and self.labels is None:
            raise DataError(f"{path} has no labels.json; add one that lists the classes of its part maps")
        size = _parse_resolution(resolution) or self._first_size()
        self.image_shape = (3, *size)

        # Decode each once; what the cache holds stays.
        channels = 4 if part_maps else 3  # the fourth is the part map
        cached = min(len(self._found), max(cache_bytes, 0) // (channels * size[0] * size[1]))
        self._cache = np.empty((cached, channels, *size), np.uint8)
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow decodes without the interpreter lock
            loaded = list(pool.map(self._load, range(len(self._found))))

        # Report.
        self.skipped = {name: each.error for name, each in zip(self._found, loaded) if each.error}
        if self.skipped and (not skip_bad or len(self.skipped) == len(self._found)):
            raise self._unreadable(self.skipped)
        self._kept = [index for index, each in enumerate(loaded) if not each.error]
        self.names = [self._found[index] for index in self._kept]
        self.sizes = [loaded[index].size for index in self._kept]
        self._check_sizes(resolution is None)
        self.conversions: dict[str, list[str]] = {}
        for index, name in zip(self._kept, self.names):
            for conversion in loaded[index].conversions:
                self.conversions.setdefault(conversion, []).append(name)
        self.notes = self._describe(others)

    # ---- access ----

    def __len__(self) -> int:
        return len(self.names) * (2 if self.mirror else 1)

    def __getitem__(self, index: int) -> np.ndarray:
        """(3, H, W) uint8 RGB, the caller's own copy; from index N on the mirror images."""
        found, mirrored = self._locate(index)
        if found < len(self._cache):
            picture = self._cache[found, :3]
        else:
            try:
                picture = self._fitted_picture(self._decode(found)[0])
            except DataError as error:
                raise DataError(f"cannot read {self._found[found]} in {self.path}: {error}") from error
        return np.array(picture[:, :, ::-1] if mirrored else picture, order="C")

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[index] for index in range(len(self)))

    def part_map(self, index: int) -> np.ndarray:
        """(H, W) uint8: the part map of picture `index`, fitted and mirrored like it; the caller's own copy.

        Raises:
            DataError: there is none, its size is not its picture's, or it holds a value that is no class.
        """
        found, mirrored = self._locate(index)
        if self._part_maps and found < len(self._cache):
            part_map = self._cache[found, 3]
        else:
            try:
                stored = self._decode_part_map(found, self.sizes[index % len(self.names)])
            except DataError as error:
                raise DataError(f"no part map for {self._found[found]} in {self.path}: {error}") from error
            part_map = fit_part_map(stored, self.image_shape[1:], self.fit)
        return np.array(part_map[:, ::-1] if mirrored else part_map, order="C")

    def attributes(self, index: int) -> dict[str, float] | None:
        """What attributes.json says of picture `index`, or None where it says nothing.

        Raises:
            DataError: attributes.json has another form.
        """
        found, _ = self._locate(index)
        return self._attributes.get(self._found[found])

    @property
    def has_part_maps(self) -> bool:
        """Whether every picture has a part map, and their classes are known."""
        return self.labels is not None and all(self._part_map_names[found] for found in self._kept)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_cache": self._cache[:0]}

    def _locate(self, index: int) -> tuple[int, bool]:
        """The position of picture `index` among those found, and whether it is to be mirrored."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"picture {index} of {len(self)}")
        index %= len(self)
        return self._kept[index % len(self.names)], index >= len(self.names)

    # ---- reading ----

    def _load(self, found: int) -> _Loaded:
        """Decodes one picture, and its part map if wanted, into the cache if it has a place there."""
        try:
            image, conversions = self._decode(found)
            size = image.shape[:2]
            part_map = self._decode_part_map(found, size) if self._part_maps else None
        except DataError as error:
            return _Loaded(error=str(error))
        fits = self.fit != "strict" or same_aspect(size, self.image_shape[1:])
        if fits and found < len(self._cache):
            self._cache[found, :3] = self._fitted_picture(image)
            if part_map is not None:
                self._cache[found, 3] = fit_part_map(part_map, self.image_shape[1:], self.fit)
        return _Loaded(size, conversions)

    def _decode(self, found: int) -> tuple[np.ndarray, list[str]]:
        return decode_image(self._files.read(self._found[found]))

    def _fitted_picture(self, image: np.ndarray) -> np.ndarray:
        """(h, w, 3) as stored → (3, H, W)."""
        return fit_image(image, self.image_shape[1:], self.fit).transpose(2, 0, 1)

    def _decode_part_map(self, found: int, size: Size) -> np.ndarray:
        name = self._part_map_names[found]
        if name is None:
            expected = PurePosixPath("masks", *PurePosixPath(self._found[found]).parts[1:]).with_suffix(
                ".png"
            )
            raise DataError(f"it has no part map; expected {expected}")
        if self.labels is None:
            raise DataError("the classes are unknown; add a labels.json")
        try:
            part_map = decode_part_map(self._files.read(name), self.labels)
        except DataError as error:
            raise DataError(f"{name}: {error}") from error
        if part_map.shape != size:
            raise DataError(
                f"{name} is {_format(part_map.shape)}, its picture {_format(size)}; expected one size"
            )
        return part_map

    def _first_size(self) -> Size:
        """(height, width) of the first picture that can be read."""
        errors = {}
        for found, name in enumerate(self._found):
            try:
                return self._decode(found)[0].shape[:2]
            except DataError as error:
                errors[name] = str(error)
        raise self._unreadable(errors)

    def _read_labels(self) -> LabelMap | None:
        if "labels.json" not in self._files.names:
            return None
        try:
            return LabelMap.read(self._files.read("labels.json"))
        except DataError as error:
            raise DataError(f"labels.json in {self.path}: {error}") from error

    @cached_property
    def _attributes(self) -> dict[str, dict[str, float]]:
        if "attributes.json" not in self._files.names:
            return {}
        expected = 'expected {"unit": "mm", "attributes": {"images/NAME": {"ATTRIBUTE": NUMBER, …}, …}}'
        try:
            table = json.loads(self._files.read("attributes.json"))["attributes"]
            return {name: {key: float(row[key]) for key in row} for name, row in table.items()}
        except DataError as error:
            raise DataError(f"cannot read attributes.json in {self.path}: {error}") from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise DataError(f"attributes.json in {self.path} has another form; {expected}") from error

    # ---- reporting ----

    def _unreadable(self, errors: dict[str, str]) -> DataError:
        reasons = _some([f"{name}: {error}" for name, error in errors.items()], "; ")
        if len(errors) == len(self._found):
            return DataError(f"none of the {len(errors)} pictures in {self.path} can be used: {reasons}")
        return DataError(
            f"{len(errors)} of {len(self._found)} pictures in {self.path} cannot be used: {reasons}; "
            "mend or remove them, or leave them out with --skip-bad"
        )

    def _check_sizes(self, must_be_equal: bool) -> None:
        size = self.image_shape[1:]
        if must_be_equal:
            if set(self.sizes) != {size}:
                raise DataError(
                    f"{self.path} has pictures of {self._list_sizes()}; expected one size; "
                    "choose one with --resolution, and with --fit crop or --fit pad how they come to it"
                )
        elif self.fit == "strict" and not all(same_aspect(each, size) for each in set(self.sizes)):
            raise DataError(
                f"{self.path} has pictures of {self._list_sizes()}; expected the shape of {_format(size)}; "
                "cut them with --fit crop or add a margin with --fit pad"
            )

    def _list_sizes(self) -> str:
        examples: dict[Size, list[str]] = {}
        for name, size in zip(self.names, self.sizes):
            examples.setdefault(size, []).append(name)
        by_count = sorted(examples.items(), key=lambda item: -len(item[1]))
        listed = _some([f"{_format(size)} ({len(names)}, such as {names[0]})" for size, names in by_count])
        return f"{len(examples)} sizes (width x height): {listed}" if len(examples) > 1 else f"size {listed}"

    def _describe(self, others: list[str]) -> list[str]:
        height, width = self.image_shape[1:]
        notes = [f"{_count(names)} {what} ({_some(names)})" for what, names in self.conversions.items()]
        if len(set(self.sizes)) > 1:
            notes.append(f"pictures of {self._list_sizes()} resized to {width}x{height}")
        pairs = list(zip(self.names, self.sizes))
        reshaped = [name for name, size in pairs if not same_aspect(size, (height, width))]
        if reshaped:
            how = {"crop": "cut", "pad": "given a margin"}[self.fit]
            notes.append(f"{_count(reshaped)} {how} to the shape of {width}x{height} ({_some(reshaped)})")
        # A padded picture is enlarged only if both its sides are short.
        is_small = all if self.fit == "pad" else any
        small = [name for name, (h, w) in pairs if is_small((h < height, w < width))]
        if small:
            notes.append(f"{_count(small)} smaller than {width}x{height}, enlarged ({_some(small)})")
        if self.skipped:
            reasons = _some([f"{name}: {error}" for name, error in self.skipped.items()], "; ")
            notes.append(f"{_count(self.skipped)} left out ({reasons})")
        if others:
            notes.append(f"{len(others)} other file{'s' * (len(others) > 1)} ignored ({_some(others)})")
        return notes


@dataclass
class _Loaded:
    """What decoding a picture showed."""

    size: Size = (0, 0)
    conversions: list[str] = field(default_factory=list)
    error: str | None = None


def _parse_resolution(resolution: int | Size | None) -> Size | None:
    if resolution is None:
        return None
    size = tuple(resolution) if isinstance(resolution, Sequence) else (resolution, resolution)
    if len(size) != 2 or not all(isinstance(side, int) and side > 0 for side in size):
        raise ConfigError(f"resolution: got {resolution!r}, expected a positive number or (height, width)")
    return size[0], size[1]


def _format(size: Iterable[int]) -> str:
    height, width = size
    return f"{width}x{height}"


def _some(items: list[str], separator: str = ", ") -> str:
    """The first three, and how many more."""
    more = [f"and {len(items) - 3} more"] if len(items) > 3 else []
    return separator.join(items[:3] + more)


def _count(pictures: Iterable[str]) -> str:
    count = len(list(pictures))
    return "1 picture" if count == 1 else f"{count} pictures"


# ---- files ----


def _find_pictures(names: list[str]) -> tuple[list[str], list[str]]:
    """The pictures among the files of a data set, and the files that are no part of it."""
    pictures = [name for name in names if PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES]
    known: tuple[str, ...] = ()
    if any(name.startswith("images/") for name in pictures):
        pictures = [name for name in pictures if name.startswith("images/")]
        known = ("masks/", "labels.json", "attributes.json")
    taken = set(pictures)
    return pictures, [name for name in names if name not in taken and not name.startswith(known)]


def _match_part_maps(pictures: list[str], names: list[str]) -> list[str | None]:
    """For each picture images/….jpg the part map masks/….png, or None."""
    part_maps = {_stem_below_top(name): name for name in names if name.startswith("masks/")}
    return [part_maps.get(_stem_below_top(name)) if name.startswith("images/") else None for name in pictures]


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

    def read(self, name: str) -> bytes:
        info = self._members[name]
        _check_bytes(info.file_size)
        try:
            return self._archive().read(info)  # never more than the size declared
        except Exception as error:  # damaged, encrypted, or compressed in an unknown way
            raise DataError(f"the zip member is damaged or encrypted ({error})") from error

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
    return not any(part.startswith(".") or part == "__MACOSX" for part in name.parts)


def _strip_outer_folder(files: dict[str, Any]) -> dict[str, Any]:
    """Takes the folder off that a whole data set with images/ is packed in."""
    outer = {name.partition("/")[0] for name in files}
    prefix = f"{next(iter(outer))}/" if len(outer) == 1 else ""
    if prefix and prefix != "images/" and any(name.startswith(f"{prefix}images/") for name in files):
        return {name.removeprefix(prefix): value for name, value in files.items()}
    return files


def _check_bytes(count: int) -> None:
    if count > MAX_FILE_BYTES:
        raise DataError(f"the file is {count} bytes; expected at most {MAX_FILE_BYTES}")
