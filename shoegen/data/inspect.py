"""What is in a folder or zip of pictures, and what stands in the way of training on it. Loads no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from shoegen.data.annotations.overlay import overlay
from shoegen.data.classes import find_classes
from shoegen.data.datasets import choose_subset
from shoegen.data.files import PictureFiles
from shoegen.data.images import (
    Size,
    decode_image,
    decode_picture,
    fit_image,
    fit_part_map,
    image_grid,
    same_aspect,
)
from shoegen.data.labels import LabelMap
from shoegen.data.loading import map_ahead
from shoegen.data.prepare import pixel_digest
from shoegen.data.report import Offender
from shoegen.errors import DataError

SMALL = 3000
"""Below so many pictures the discriminator soon knows them by heart."""

ENLARGED = 0.85
"""A picture of this share of the resolution may be enlarged to it; more would show."""


@dataclass(kw_only=True)
class Inspection:
    """What `inspect` found. Counts are of pictures that can be read; sizes are "256x384" (width x height).

    Attributes:
        pictures: all of them.
        unreadable: of each that cannot be read, by its name, the reason.
        sizes, modes, conversions: how many pictures have each.
        duplicates: groups of pictures with equal pixels.
        classes: how many pictures each class has; empty where there are none.
        part_maps: how many pictures have a part map that is in order; None where there are none at all.
        part_map_classes: the share of all pixels that each class of the part maps has, by its name.
        offenders: every file that is not as it should be.
        notes: what else a user should know.
        recommendations: what to do.
    """

    source: str
    pictures: int
    unreadable: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    modes: dict[str, int] = field(default_factory=dict)
    conversions: dict[str, int] = field(default_factory=dict)
    smallest: str | None = None
    largest: str | None = None
    aspect_ratios: tuple[float, float, float] | None = None  # width / height: lowest, median, highest
    duplicates: list[list[str]] = field(default_factory=list)
    classes: dict[str, int] = field(default_factory=dict)
    part_maps: int | None = None
    part_map_classes: dict[str, float] = field(default_factory=dict)
    offenders: list[Offender] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    recommendations: list[str] = field(default_factory=list)

    @property
    def is_usable(self) -> bool:
        """Whether there is nothing that a training would refuse to read."""
        return not any(each.action == "bad" for each in self.offenders)

    def to_json(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "offenders"}


def inspect(
    source: str | Path,
    *,
    classes: str | Path = "auto",
    against: Sequence[str | Path] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Inspection:
    """Reads every picture and part map of a folder or zip file; `progress` hears how many of all are done.

    Pictures that one of `against`, other splits of the same data, has too are bad: trained on, they test nothing.

    Raises:
        ConfigError: `classes` is nothing that `find_classes` knows.
        DataError: nothing at `source`, no pictures in it, or a zip bomb.
    """
    files = PictureFiles(source)
    found = Inspection(source=str(source), pictures=len(files.pictures))
    labels = _check_lists(files, classes, found)
    looks = []
    for done, look in enumerate(map_ahead(lambda name: _look(files, name, labels), files.pictures), start=1):
        looks.append(look)
        progress(done, len(files.pictures))
    _summarise(looks, found)
    _find_duplicates(looks, found)
    for other in against:
        _find_shared(looks, other)
    if labels is not None:
        _summarise_part_maps(looks, labels, found)
    found.offenders += [offender for look in looks if (offender := look.offender())]
    found.recommendations = _recommend(found, [look.size for look in looks if look.size])
    return found


def contact_sheet(source: str | Path, *, count: int = 48, side: int = 128, seed: int = 0) -> np.ndarray:
    """(H, W, 3) uint8: up to `count` pictures taken by chance, in squares of `side` pixels, in the order of names.

    Part maps, where there are any with their labels, are drawn over them.

    Raises:
        DataError: none of the pictures taken can be read.
    """
    files = PictureFiles(source)
    labels = files.read_labels() if files.has_part_maps else None

    def tile(name: str) -> np.ndarray | None:
        try:
            picture = decode_image(files.read(name))[0]
            small = fit_image(picture, (side, side), "pad")
            if labels is None:
                return small
            part_map = fit_part_map(files.read_part_map(name, labels, picture.shape[:2]), (side, side), "pad")
            return overlay(small, part_map, part_map)
        except DataError:
            return None

    names = choose_subset(files.pictures, min(count, len(files.pictures)), seed)
    tiles = [tile for tile in map_ahead(tile, names) if tile is not None]
    return image_grid(tiles, columns=8)


# ---- looking ----


@dataclass(kw_only=True)
class _Look:
    """What one picture showed."""

    name: str
    error: str | None = None
    size: Size | None = None
    mode: str | None = None
    conversions: list[str] = field(default_factory=list)
    digest: bytes = b""
    part_map_pixels: np.ndarray | None = None  # (256,): of each class
    part_map_error: str | None = None
    twin: str | None = None
    shared_with: list[str] = field(default_factory=list)

    def offender(self) -> Offender | None:
        bad = [reason for reason in (self.error, self.part_map_error) if reason]
        bad += [f"{other} has the same picture" for other in self.shared_with]
        notable = self.conversions + ([f"same pixels as {self.twin}"] if self.twin else [])
        if not bad and not notable:
            return None
        height, width = self.size or (None, None)
        action = "bad" if bad else "converted" if self.conversions else "kept"
        return Offender(
            file=self.name, problems=bad + notable, action=action, width=width, height=height, mode=self.mode
        )


def _check_lists(files: PictureFiles, classes: str | Path, found: Inspection) -> LabelMap | None:
    """Reads what stands beside the pictures; the labels of part maps, if there are some."""
    try:
        known = find_classes(files, classes)
        found.notes += known.notes
        found.classes = known.count(files.pictures)
    except DataError as error:
        found.offenders.append(Offender(file="dataset.json", problems=[str(error)], action="bad"))
    labels = None
    if files.has_part_maps:
        try:
            labels = files.read_labels()
            if labels is None:
                found.notes.append(
                    "masks/ is there, but no labels.json that lists the classes of the part maps"
                )
        except DataError as error:
            found.offenders.append(Offender(file="labels.json", problems=[str(error)], action="bad"))
    if files.others:
        found.notes.append(f"other files, ignored: {len(files.others)}, such as {files.others[0]}")
    return labels


def _look(files: PictureFiles, name: str, labels: LabelMap | None) -> _Look:
    look = _Look(name=name)
    try:
        decoded = decode_picture(files.read(name))
    except DataError as error:
        look.error = str(error)
        return look
    look.size, look.mode = decoded.pixels.shape[:2], decoded.mode
    look.conversions, look.digest = decoded.conversions, pixel_digest(decoded.pixels)
    if labels is not None:
        try:
            part_map = files.read_part_map(name, labels, look.size)
            look.part_map_pixels = np.bincount(part_map.reshape(-1), minlength=256)
        except DataError as error:
            look.part_map_error = str(error)
    return look


# ---- drawing conclusions ----


def _summarise(looks: list[_Look], found: Inspection) -> None:
    found.unreadable = {look.name: look.error for look in looks if look.error}
    seen = [look for look in looks if look.size and look.mode]
    sizes = [look.size for look in seen if look.size]
    found.sizes = _count(_format(size) for size in sizes)
    found.modes = _count(look.mode for look in seen)
    found.conversions = _count(each for look in seen for each in look.conversions)
    if sizes:
        by_area = sorted(sizes, key=lambda size: size[0] * size[1])
        found.smallest, found.largest = _format(by_area[0]), _format(by_area[-1])
        ratios = [width / height for height, width in sizes]
        lowest, middle, highest = min(ratios), median(ratios), max(ratios)
        found.aspect_ratios = round(lowest, 3), round(middle, 3), round(highest, 3)


def _find_duplicates(looks: list[_Look], found: Inspection) -> None:
    groups: dict[bytes, list[_Look]] = {}
    for look in looks:
        if look.digest:
            groups.setdefault(look.digest, []).append(look)
    for first, *others in groups.values():
        for look in others:
            look.twin = first.name
        if others:
            found.duplicates.append([first.name, *(look.name for look in others)])


def _find_shared(looks: list[_Look], other: str | Path) -> None:
    files = PictureFiles(other)

    def digest(name: str) -> bytes:
        try:
            return pixel_digest(decode_picture(files.read(name)).pixels)
        except DataError:
            return b""  # said when that split is inspected

    theirs = set(map_ahead(digest, files.pictures))
    for look in looks:
        if look.digest and look.digest in theirs:
            look.shared_with.append(str(other))


def _summarise_part_maps(looks: list[_Look], labels: LabelMap, found: Inspection) -> None:
    counts = [look.part_map_pixels for look in looks if look.part_map_pixels is not None]
    pixels = np.sum([np.zeros(256, np.int64), *counts], axis=0)
    found.part_maps = len(counts)
    found.part_map_classes = {
        name: int(pixels[index]) / max(int(pixels.sum()), 1) for index, name in enumerate(labels.names)
    }
    unused = [name for name, share in found.part_map_classes.items() if not share]
    if unused and counts:
        listed = ", ".join(unused[:5]) + ", …" * (len(unused) > 5)
        found.notes.append(f"classes that no part map has: {len(unused)} ({listed})")
    empty = [
        look.name for look in looks if look.part_map_pixels is not None and not look.part_map_pixels[1:].any()
    ]
    if empty:
        found.notes.append(f"part maps that are {labels.names[0]} alone: {len(empty)}, such as {empty[0]}")


def _count(items: Any) -> dict[str, int]:
    return dict(Counter(items).most_common())


def _format(size: Size) -> str:
    return f"{size[1]}x{size[0]}"


# ---- recommending ----


def _recommend(found: Inspection, sizes: list[Size]) -> list[str]:
    advice = []
    bad = sum(each.action == "bad" for each in found.offenders)
    if bad:
        advice.append(f"bad files: {bad}; mend or remove them, or leave the pictures out with --skip-bad")
    if sizes:
        advice += _recommend_size(sizes)
    copies = sum(len(group) - 1 for group in found.duplicates)
    if copies:
        advice.append(
            f"copies of other pictures: {copies}; shoegen prepare --duplicates drop leaves them out"
        )
    if found.conversions.get("transparent, composited over white"):
        advice.append(
            "some pictures are transparent: they are shown on white; --channels 4 keeps the transparency"
        )
    if sizes and len(sizes) < SMALL:
        advice.append(
            f"few pictures ({len(sizes)}): train with --preset small, which is made for under {SMALL}"
        )
    return advice


def _recommend_size(sizes: list[Size]) -> list[str]:
    """Which --resolution and --fit."""
    heights, widths = (sorted(side) for side in zip(*sizes))
    short = median(min(size) for size in sizes)
    square = max((2**k for k in range(3, 11) if short >= ENLARGED * 2**k), default=8)
    middle = median(width / height for height, width in sizes)
    alike = sum(abs(width / height / middle - 1) < 0.03 for height, width in sizes) / len(sizes)
    if alike >= 0.9 and abs(middle - 1) < 0.03:
        all_or_most = "square" if alike == 1 else "mostly square"
        return [f"{all_or_most} pictures: --resolution {square}{_fit_for(sizes, (square, square))}"]
    squares = (
        f"--resolution {square} with --fit pad (margins are added, nothing is lost) "
        "or --fit crop (the centre is kept)"
    )
    shape = _best_shape(median(heights), median(widths))
    if alike < 0.9 or shape is None:
        return [f"pictures of several shapes: {squares}"]
    return [
        f"one shape prevails: --resolution {_format(shape)}{_fit_for(sizes, shape)}; or, for squares, {squares}"
    ]


def _fit_for(sizes: list[Size], target: Size) -> str:
    return "" if all(same_aspect(size, target) for size in sizes) else " --fit crop"


def _best_shape(height: float, width: float) -> Size | None:
    """The largest size that a generator can have, of about the shape of (height, width), and hardly above its size."""
    best: tuple[bool, int, float, Size] | None = None
    for doublings in range(1, 9):
        for rows in range(4, 17):
            for columns in range(4, 17):
                size = rows << doublings, columns << doublings
                error = abs(columns / rows * height / width - 1)
                fits = height >= ENLARGED * size[0] and width >= ENLARGED * size[1] and max(size) <= 1024
                if min(rows, columns) < 8 and error < 0.03 and fits:
                    is_within = height >= size[0] and width >= size[1]
                    candidate = is_within, doublings, -error, size
                    best = max(best, candidate) if best else candidate
    return best[3] if best else None
