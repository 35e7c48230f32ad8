"""Pictures with their true part maps in their own sizes, and which of them a model was trained on."""

from __future__ import annotations

import contextlib
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from shoegen.data.annotations import read_annotations
from shoegen.data.datasets import choose_subset
from shoegen.data.files import PictureFiles
from shoegen.data.images import Size, decode_image
from shoegen.data.labels import LabelMap
from shoegen.data.loading import map_ahead
from shoegen.errors import DataError
from shoegen.torch_utils.text import some


class Source(NamedTuple):
    """What a training was given: a data set, or annotations that stand alone and the pictures that they speak of."""

    data: str
    pictures: str | None = None


class Origins(NamedTuple):
    """What a model has learned from, as far as it is known.

    sources: of each "data" or, if its checkpoints were chosen by other data, "val"; the source; and the path of the
    model that learned from it, on which this one builds, "" for itself. unknown: the paths of those of which it cannot
    be told.
    """

    sources: list[tuple[str, Source, str]]
    unknown: list[str]


class LabelledPictures:
    """A folder or zip with images/, masks/ and labels.json, as trainings read it, but each picture in its own size.

    All are read once, so that nothing that cannot be used is found only after long work.

    Args:
        path: the folder or zip.
        subset: only so many of the pictures, chosen by `seed`.
        skip_bad: leave out what cannot be read.

    Attributes:
        labels: the classes of the part maps.
        names, sizes, digests: of each picture its name, its (height, width), and its file's SHA-256.
        notes: what a user should know.

    Raises:
        DataError: no pictures, no labels.json, or pictures or part maps that cannot be used.
        ConfigError: a subset of more pictures than there are.
    """

    def __init__(self, path: str | Path, *, subset: int | None = None, seed: int = 0, skip_bad: bool = False):
        self.path = Path(path)
        self._files = PictureFiles(path)
        self.labels = read_labels(self._files)
        found = choose_subset(self._files.pictures, subset, seed)
        self.names: list[str] = []
        self.sizes: list[Size] = []
        self.digests: list[str] = []
        bad: list[str] = []
        for name, (size, digest, error) in zip(found, map_ahead(self._check, found)):
            if error:
                bad.append(f"{name}: {error}")
                continue
            self.names.append(name)
            self.sizes.append(size)
            self.digests.append(digest)
        if bad and (not skip_bad or not self.names):
            raise DataError(
                f"{len(bad)} of {len(found)} pictures in {path} cannot be used: {some(bad, separator='; ')}; mend or "
                "remove them, or leave them out with --skip-bad"
            )
        self.notes = [f"{len(bad)} of {len(found)} pictures left out: {some(bad, separator='; ')}"] * bool(
            bad
        )
        if subset is not None:
            self.notes.append(f"{subset} of {len(self._files.pictures)} pictures, chosen with seed {seed}")

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """A picture, (H, W, 3) uint8, and its true part map, (H, W) uint8 with `IGNORED` where nothing is known."""
        name = self.names[index]
        try:
            image = decode_image(self._files.read(name))[0]
            return image, self._read_part_map(name, image.shape[:2])
        except DataError as error:
            raise DataError(f"cannot read {name} in {self.path}: {error}") from error

    def _check(self, name: str) -> tuple[Size, str, str]:
        """Size, digest, and what is wrong."""
        try:
            data = self._files.read(name)
            size = decode_image(data)[0].shape[:2]
            self._read_part_map(name, size)
        except DataError as error:
            return (0, 0), "", str(error)
        return size, hashlib.sha256(data).hexdigest(), ""

    def _read_part_map(self, name: str, size: Size) -> np.ndarray:
        return self._files.read_part_map(name, self.labels, size, unlabelled=True)


def read_labels(files: PictureFiles) -> LabelMap:
    """The classes of a data set with part maps.

    Raises:
        DataError: it has no labels.json, or a bad one.
    """
    labels = files.read_labels()
    if labels is None:
        raise DataError(
            f"{files.path} has no labels.json; add one that lists the classes of its part maps in masks/"
        )
    return labels


def find_shared(pictures: LabelledPictures, source: Source) -> list[str]:
    """The names of the pictures whose files are among those of another data set, under any name.

    Raises:
        DataError: there is no such data set.
    """
    own = _digests(source)
    return [name for name, digest in zip(pictures.names, pictures.digests) if digest in own]


def trained_on(model: str | Path) -> Origins:
    """What a model has learned from, and what those have that it started from or is the second network after.

    Each time the run folder's config.json is read, or the one beside a file. "default" has seen only synthetic shoes.
    """
    sources: list[tuple[str, Source, str]] = []
    unknown: list[str] = []
    waiting, visited = [str(model)], {"default"}
    while waiting:
        path = waiting.pop(0)
        folder = Path(path) if Path(path).is_dir() else Path(path).parent
        is_there = path == "default" or Path(path).exists()  # a file that is gone may be of another run
        place = str(folder.resolve()) if is_there and path != "default" else path
        if place in visited:
            continue
        visited.add(place)
        values: dict[str, object] = {}
        with contextlib.suppress(OSError, ValueError, TypeError):
            values = dict(json.loads((folder / "config.json").read_bytes())) if is_there else {}
        through = "" if path == str(model) else path
        pictures = values.get("pictures")
        if not isinstance(values.get("data"), str):
            unknown.append(path)
        for kind, own in (("data", pictures), ("val", values.get("val_pictures") or pictures)):
            if isinstance(data := values.get(kind), str):
                sources.append((kind, Source(data, own if isinstance(own, str) else None), through))
        waiting += [each for name in ("init_from", "after") if isinstance(each := values.get(name), str)]
    return Origins(sources, unknown)


@cache
def _digests(source: Source) -> frozenset[str]:
    def digest(name: str) -> str | None:
        try:
            return hashlib.sha256(files.read(name)).hexdigest()
        except DataError:
            return None  # then nothing was trained on it

    if source.pictures is None:
        files = PictureFiles(source.data)
        names = files.pictures
    else:
        annotations = read_annotations(source.data, images=source.pictures, skip_bad=True)
        assert annotations.pictures is not None  # they were given
        files = annotations.pictures.files
        names = [image.picture for image in annotations.images if image.picture is not None]
    return frozenset(each for each in map_ahead(digest, names) if each is not None)
