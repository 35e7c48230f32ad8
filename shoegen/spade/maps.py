"""Part maps as users have them: PNGs of class indices or in the classes' colours, beside their pictures or apart.

Instances, which tell the things of one class apart, are PNGs with any value or colour for each.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePosixPath

import numpy as np

from shoegen.data.annotations.pngs import decode_colors
from shoegen.data.files import PictureFiles
from shoegen.data.images import MAX_PIXELS, OVERLAY, READ_FORMATS, decode_part_map, open_picture
from shoegen.data.labels import LabelMap
from shoegen.errors import DataError
from shoegen.torch_utils.text import some


def read_map(path: str | Path, labels: LabelMap) -> np.ndarray:
    """(H, W) uint8: the part map in a file; see `decode_map`.

    Raises:
        DataError: missing, damaged, or holds a value or colour that is no class.
    """
    return _read(path, lambda data: decode_map(data, labels))


def read_instances(path: str | Path) -> np.ndarray:
    """(H, W) uint8: the instances in a file; see `decode_instances`.

    Raises:
        DataError: missing, damaged, or with too many values.
    """
    return _read(path, decode_instances)


def _read(path: str | Path, decode: Callable[[bytes], np.ndarray]) -> np.ndarray:
    try:
        return decode(Path(path).read_bytes())
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}; check the path") from error
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def decode_map(data: bytes, labels: LabelMap, *, unlabelled: bool = False) -> np.ndarray:
    """(H, W) uint8 class indices of a PNG's bytes.

    Grey values are indices. So are those of a palette, unless its colours are those of the classes: paint programs
    order palettes as they like. True-colour pictures are in the classes' colours.

    Args:
        unlabelled: allow indices that are `IGNORED`.

    Raises:
        DataError: the reason alone; the caller knows the file's name.
    """
    image = open_picture(data, READ_FORMATS, MAX_PIXELS)
    if image.format != "PNG" or image.mode not in ("P", "L", "1"):
        return decode_colors(data, labels)
    if image.mode == "P" and len(set(labels.colors)) == len(labels):
        part_map = decode_part_map(data, _ANYTHING)
        palette = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
        classes = {color: index for index, color in enumerate(labels.colors)}
        table = np.array([classes.get((r, g, b), -1) for r, g, b in palette.tolist()])
        used = np.unique(part_map)
        if used[-1] < len(table) and (table[used] >= 0).all():
            return table[part_map].astype(np.uint8)
    return decode_part_map(data, labels, unlabelled=unlabelled)


_ANYTHING = LabelMap.from_names([str(i) for i in range(256)])


def decode_instances(data: bytes) -> np.ndarray:
    """(H, W) uint8: numbers of the things in a picture, from the bytes of a PNG with any value or colour for each.

    Raises:
        DataError: the reason alone; the caller knows the file's name.
    """
    image = open_picture(data, ("PNG",), MAX_PIXELS)
    try:
        image.load()
    except Exception as error:  # Pillow raises nearly any type on damaged data
        raise DataError(f"the picture is damaged or truncated ({error})") from error
    return number_instances(np.asarray(image))


def number_instances(values: np.ndarray) -> np.ndarray:
    """(H, W) or (H, W, C) of any values → (H, W) uint8: another number for each.

    Raises:
        DataError: more values than numbers.
    """
    flat = values.reshape(values.shape[0] * values.shape[1], -1)
    found, numbers = np.unique(flat, axis=0, return_inverse=True)
    if len(found) > 256:
        raise DataError(f"it has {len(found)} values or colours; expected one for each thing, at most 256")
    return numbers.reshape(values.shape[:2]).astype(np.uint8)


def boundaries(instances: np.ndarray) -> np.ndarray:
    """(H, W) of numbers → (H, W) bool: pixels beside one of another number, above, below, left or right."""
    edges = np.zeros(instances.shape, bool)
    across, down = instances[:, 1:] != instances[:, :-1], instances[1:] != instances[:-1]
    edges[:, 1:] |= across
    edges[:, :-1] |= across
    edges[1:] |= down
    edges[:-1] |= down
    return edges


class MappedPictures(PictureFiles):
    """The pictures of a folder or zip, with part maps of any kind that `decode_map` reads.

    Args:
        path: the pictures; where `maps` is None with images/, masks/ and labels.json, see `ImageDataset`.
        maps: a folder or zip of PNGs, each named like its picture, as `shoegen segment --out` writes them.
        labels: the labels file; by default the labels.json beside the maps.

    Attributes:
        unused: those of `maps` without a picture.

    Raises:
        DataError: see `PictureFiles`; or one part map would be that of several pictures.
    """

    def __init__(self, path: str | Path, maps: str | Path | None = None, labels: str | Path | None = None):
        super().__init__(path)
        self.unused: list[str] = []
        self._labels = labels
        self.maps: PictureFiles = self if maps is None else PictureFiles(maps)
        if self.maps is self:
            used = {self.part_map(picture) for picture in self.pictures}
            self.unused = [name for name in self._part_maps.values() if name not in used]
            return
        # A whole data set is taken for its masks.
        masks = [mask for name in self.maps.pictures if (mask := self.maps.part_map(name))]
        found = masks or [
            name for name in self.maps.pictures if not PurePosixPath(name).stem.endswith(OVERLAY)
        ]
        places = {_place(name): name for name in found}
        stems: dict[str, list[str]] = {}
        for name in found:
            stems.setdefault(PurePosixPath(name).stem, []).append(name)
        self._of: dict[str, str] = {}
        for picture in self.pictures:
            same_stem = stems.get(PurePosixPath(picture).stem, [])
            nearest = places.get(_place(picture)) or (same_stem[0] if len(same_stem) == 1 else None)
            if nearest is not None:
                self._of[picture] = nearest
        pictures_of: dict[str, list[str]] = {}
        for picture, name in self._of.items():
            pictures_of.setdefault(name, []).append(picture)
        for name, pictures in pictures_of.items():
            if len(pictures) > 1:
                raise DataError(
                    f"{name} in --maps {maps} would be the part map of {some(pictures)}; give each picture a name of "
                    "its own, or lay the maps out in folders like the pictures'"
                )
        self.unused = [name for name in found if name not in pictures_of]

    def part_map(self, picture: str) -> str | None:
        return super().part_map(picture) if self.maps is self else self._of.get(picture)

    def expected_part_map(self, picture: str) -> str:
        if self.maps is self:
            return super().expected_part_map(picture)
        return f"{PurePosixPath(picture).stem}.png in {self.maps.path}"

    def _decode_part_map(self, name: str, labels: LabelMap, *, unlabelled: bool) -> np.ndarray:
        return decode_map(self.maps.read(name), labels, unlabelled=unlabelled)

    def read_labels(self) -> LabelMap:
        """The classes.

        Raises:
            DataError: they cannot be read, or are not known.
        """
        if self._labels is not None:
            return LabelMap.read(self._labels)
        labels = super().read_labels() if self.maps is self else self.maps.read_labels()
        if labels is None:
            raise DataError(
                f"{self.maps.path} has no labels.json, which names the classes of the part maps; add one, or give it "
                "with --labels"
            )
        return labels


def _place(name: str) -> str:
    """Of a picture or its part map within its data set."""
    path = PurePosixPath(name).with_suffix("")
    return str(PurePosixPath(*path.parts[1:]) if path.parts[0] in ("images", "masks") else path)
