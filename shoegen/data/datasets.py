"""Folders and zip files of pictures, as the data sets that every training reads. Loads no torch."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from shoegen.data.classes import find_classes
from shoegen.data.files import PictureFiles
from shoegen.data.images import (
    Size,
    check_channels,
    check_fit,
    decode_image,
    describe_fit,
    fit_image,
    fit_part_map,
    same_aspect,
)
from shoegen.data.labels import IGNORED, LabelMap
from shoegen.errors import ConfigError, DataError
from shoegen.torch_utils.text import some


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


def choose_subset(names: list[str], count: int | None, seed: int = 0) -> list[str]:
    """`count` of the names, in their order, by chance; a smaller subset of one seed is part of a larger one.

    Raises:
        ConfigError: there are fewer.
    """
    if count is None:
        return names
    if not 1 <= count <= len(names) or seed < 0:
        raise ConfigError(
            f"subset: got {count} (seed {seed}), expected 1 to {len(names)} pictures, as many as there are, and a "
            "seed ≥ 0"
        )
    chosen = np.random.default_rng((seed, len(names))).permutation(len(names))[:count]
    return [names[index] for index in sorted(chosen.tolist())]


def first_size(files: PictureFiles, names: list[str]) -> Size | None:
    """(height, width) of the first picture that can be read, or None."""
    for name in names:
        with contextlib.suppress(DataError):
            return decode_image(files.read(name))[0].shape[:2]
    return None


class ImageDataset:
    """The pictures of a folder or zip file at one size, with classes, part maps and attributes if there are any.

    All pictures at any depth are taken, sorted by name; hidden files and other kinds of files are not.
    Where there is an `images/` at the top (or in the only folder there), its pictures alone are taken,
    and beside it may stand

        masks/            part maps: 8-bit index PNGs named and sized like their pictures
        labels.json       the part maps' classes, see `LabelMap`
        attributes.json   {"unit": "mm", "attributes": {"images/00000000.png": {"heel_height": 62.1}, …}}
        dataset.json      {"labels": [["images/00000000.png", 6], …]}: a class for each picture, see `find_classes`

    Every picture is decoded once on construction, so that a damaged one is found before a training starts.
    `ds[i]` is (C, H, W) uint8. Works with torch's DataLoader; a copy sent to another process leaves the
    cache behind and reads from disk.

    Args:
        path: a folder or a zip file.
        resolution: the pictures' size, one number or (height, width); None: they have one size and keep it.
        fit: how a picture of another aspect ratio is brought to `resolution`, see `fit_image`.
        skip_bad: leave out what cannot be read; without it that is an error.
        mirror: append every picture's mirror image, which doubles `len(ds)`.
        part_maps: every picture must have a part map; all are checked on construction.
        unlabelled: part maps may have pixels that are `labels.IGNORED`, and so is the margin of fit "pad".
        labels: classes of the part maps where there is no labels.json.
        channels: C: 3 is RGB, 1 the luminance, 4 RGBA.
        subset: use only so many pictures, chosen by `subset_seed` before any is read or mirrored.
        subset_seed: another seed chooses others.
        classes: where the pictures' classes are found: "none", "auto", "folders" or a file, see `find_classes`.
        cache_bytes: memory for decoded pictures; those beyond it are read again on each access.
        files: those at `path`, where their part maps are found in another way than beside them.

    Attributes:
        names: the N pictures' names, relative to `path`, with "/".
        sizes: (height, width) of each as stored.
        digests: SHA-256 of each one's file, in hexadecimal.
        image_shape: (C, H, W).
        labels: classes of the part maps, or None.
        class_names: the pictures' classes, see `class_of`; empty where they have none.
        skipped: of each picture left out, by its name, the reason.
        conversions: by what had to be converted, the pictures' names.
        notes: one line for each thing that a user should know: conversions, enlargements, what was skipped.

    Raises:
        ConfigError: an argument that cannot be followed.
        DataError: nothing at `path`, no pictures, pictures that cannot be read, sizes that do not fit, or
            classes that are not one for each picture.
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
        unlabelled: bool = False,
        labels: LabelMap | None = None,
        channels: int = 3,
        subset: int | None = None,
        subset_seed: int = 0,
        classes: str | Path = "none",
        cache_bytes: int = 4 * 2**30,
        files: PictureFiles | None = None,
    ):
        check_fit(fit)
        check_channels(channels)
        self.path = Path(path)
        self.fit = fit
        self.mirror = mirror
        self._part_maps = part_maps
        self._unlabelled = unlabelled
        self._channels = channels

        # Find the pictures and what stands beside them.
        self._files = files or PictureFiles(self.path)
        self._classes = find_classes(self._files, classes)
        self.class_names = self._classes.names
        self._found = choose_subset(self._files.pictures, subset, subset_seed)
        self.labels = self._files.read_labels() or labels
        if part_maps and self.labels is None:
            raise DataError(f"{path} has no labels.json; add one that lists the classes of its part maps")
        # Where none can be read, any size does until that is said below.
        size = _parse_resolution(resolution) or first_size(self._files, self._found) or (1, 1)
        self.image_shape = (channels, *size)

        # Decode each once; what the cache holds stays.
        planes = channels + part_maps  # the last is the part map
        cached = min(len(self._found), max(cache_bytes, 0) // (planes * size[0] * size[1]))
        self._cache = np.empty((cached, planes, *size), np.uint8)
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
        self.digests = [loaded[index].digest for index in self._kept]
        self.notes = self._describe()
        if subset is not None:
            chosen = f"{subset} of {len(self._files.pictures)} pictures, chosen with seed {subset_seed}"
            self.notes.insert(0, chosen)

    # ---- access ----

    def __len__(self) -> int:
        return len(self.names) * (2 if self.mirror else 1)

    def __getitem__(self, index: int) -> np.ndarray:
        """(C, H, W) uint8, the caller's own copy; from index N on the mirror images."""
        found, mirrored = self._locate(index)
        if found < len(self._cache):
            picture = self._cache[found, : self._channels]
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
            part_map = self._cache[found, self._channels]
        else:
            try:
                stored = self._decode_part_map(found, self.sizes[index % len(self.names)])
            except DataError as error:
                raise DataError(f"no part map for {self._found[found]} in {self.path}: {error}") from error
            part_map = self._fitted_part_map(stored)
        return np.array(part_map[:, ::-1] if mirrored else part_map, order="C")

    def attributes(self, index: int) -> dict[str, float] | None:
        """What attributes.json says of picture `index`, or None where it says nothing.

        Raises:
            DataError: attributes.json has another form.
        """
        found, _ = self._locate(index)
        return self._attributes.get(self._found[found])

    def class_of(self, index: int) -> int | None:
        """The class of picture `index`, an index into `class_names`, or None where there are no classes."""
        found, _ = self._locate(index)
        return self._classes.of.get(self._found[found])

    @property
    def has_part_maps(self) -> bool:
        """Whether every picture has a part map, and their classes are known."""
        return self.labels is not None and all(self._files.part_map(name) for name in self.names)

    @property
    def is_cached(self) -> bool:
        """Whether every picture is in memory, so that none is decoded again."""
        return len(self._cache) == len(self._found)

    @property
    def content_hash(self) -> str:
        """SHA-256 over the pictures' names and their files' bytes as they were on construction, in hexadecimal."""
        lines = (f"{digest} {name}\n" for name, digest in zip(self.names, self.digests))
        return hashlib.sha256("".join(lines).encode(errors="surrogateescape")).hexdigest()

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
            data = self._files.read(self._found[found])
            image, conversions = decode_image(data, channels=self._channels)
            size = image.shape[:2]
            part_map = self._decode_part_map(found, size) if self._part_maps else None
        except DataError as error:
            return _Loaded(error=str(error))
        fits = self.fit != "strict" or same_aspect(size, self.image_shape[1:])
        if fits and found < len(self._cache):
            self._cache[found, : self._channels] = self._fitted_picture(image)
            if part_map is not None:
                self._cache[found, self._channels] = self._fitted_part_map(part_map)
        return _Loaded(size, conversions, hashlib.sha256(data).hexdigest())

    def _decode(self, found: int) -> tuple[np.ndarray, list[str]]:
        return decode_image(self._files.read(self._found[found]), channels=self._channels)

    def _fitted_picture(self, image: np.ndarray) -> np.ndarray:
        """(h, w, C) or (h, w) as stored → (C, H, W)."""
        fitted = fit_image(image, self.image_shape[1:], self.fit)
        return np.atleast_3d(fitted).transpose(2, 0, 1)

    def _fitted_part_map(self, part_map: np.ndarray) -> np.ndarray:
        margin = IGNORED if self._unlabelled else 0
        return fit_part_map(part_map, self.image_shape[1:], self.fit, margin=margin)

    def _decode_part_map(self, found: int, size: Size) -> np.ndarray:
        if self.labels is None:
            raise DataError("the classes are unknown; add a labels.json")
        name = self._found[found]
        return self._files.read_part_map(name, self.labels, size, unlabelled=self._unlabelled)

    @cached_property
    def _attributes(self) -> dict[str, dict[str, float]]:
        return read_attributes(self._files)["attributes"]

    # ---- reporting ----

    def _unreadable(self, errors: dict[str, str]) -> DataError:
        reasons = some([f"{name}: {error}" for name, error in errors.items()], separator="; ")
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
        listed = some([f"{_format(size)} ({len(names)}, such as {names[0]})" for size, names in by_count])
        return f"{len(examples)} sizes (width x height): {listed}" if len(examples) > 1 else f"size {listed}"

    def _describe(self) -> list[str]:
        height, width = self.image_shape[1:]
        notes = [f"{_count(names)} {what} ({some(names)})" for what, names in self.conversions.items()]
        if len(set(self.sizes)) > 1:
            notes.append(f"pictures of {self._list_sizes()} resized to {width}x{height}")
        fitted: dict[str, list[str]] = {}
        for name, size in zip(self.names, self.sizes):
            for what in describe_fit(size, (height, width), self.fit):
                fitted.setdefault(what, []).append(name)
        notes += [f"{_count(names)} {what} ({some(names)})" for what, names in sorted(fitted.items())]
        if self.skipped:
            reasons = some([f"{name}: {error}" for name, error in self.skipped.items()], separator="; ")
            notes.append(f"{_count(self.skipped)} left out ({reasons})")
        others = self._files.others
        if others:
            notes.append(f"{len(others)} other file{'s' * (len(others) > 1)} ignored ({some(others)})")
        notes += self._classes.notes
        if self.class_names:
            counts = [f"{name} {count}" for name, count in self._classes.count(self.names).items()]
            notes.append(
                f"{len(counts)} classes: {some(counts, limit=10)}; conditional training uses them, "
                "--classes none does not"
            )
        return notes


@dataclass
class _Loaded:
    """What decoding a picture showed."""

    size: Size = (0, 0)
    conversions: list[str] = field(default_factory=list)
    digest: str = ""
    error: str | None = None


def read_attributes(files: PictureFiles) -> dict[str, Any]:
    """What attributes.json holds: under "attributes" its table, {picture: {attribute: number}}.

    Raises:
        DataError: it has another form.
    """
    if "attributes.json" not in files:
        return {"attributes": {}}
    expected = 'expected {"unit": "mm", "attributes": {"images/NAME": {"ATTRIBUTE": NUMBER, …}, …}}'
    try:
        content = json.loads(files.read("attributes.json"))
        table = content["attributes"]
        return {
            **content,
            "attributes": {name: {key: float(row[key]) for key in row} for name, row in table.items()},
        }
    except DataError as error:
        raise DataError(f"cannot read attributes.json in {files.path}: {error}") from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DataError(f"attributes.json in {files.path} has another form; {expected}") from error


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


def _count(pictures: Iterable[str]) -> str:
    count = len(list(pictures))
    return "1 picture" if count == 1 else f"{count} pictures"
