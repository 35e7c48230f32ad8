"""The pictures and instances of a training: what is learned from, and what is held out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from shoegen.data.annotations import AnnotatedImage, Annotations, Rle, coco, read_annotations
from shoegen.data.annotations.findings import check_findings
from shoegen.data.annotations.formats import lacking, without_bad
from shoegen.data.annotations.model import foreground
from shoegen.data.annotations.pictures import Pictures
from shoegen.data.annotations.reading import Reading, parse_json
from shoegen.data.files import PictureFiles
from shoegen.data.images import Size, decode_image, resize, resize_part_map
from shoegen.data.labels import LabelMap
from shoegen.data.loading import map_ahead
from shoegen.data.run_data import RunData
from shoegen.errors import ConfigError, DataError
from shoegen.segmentation.instances.config import InstanceTrainingConfig, MaskRCNNConfig
from shoegen.torch_utils.distributed import World
from shoegen.torch_utils.text import some

STORED = "annotations.json"  # COCO's, in a data set
CACHE_BYTES = 4 * 2**30


@dataclass(frozen=True, eq=False)
class Truth:
    """The objects of a picture of (height, width) `size`; `crowds` tells those that are many in one."""

    size: Size
    labels: tuple[int, ...]
    masks: tuple[Rle, ...]
    crowds: tuple[bool, ...]

    def without_crowds(self) -> Truth:
        kept = [i for i, crowd in enumerate(self.crowds) if not crowd]
        return replace(
            self,
            labels=tuple(self.labels[i] for i in kept),
            masks=tuple(self.masks[i] for i in kept),
            crowds=(False,) * len(kept),
        )

    def scaled(self, size: Size) -> Truth:
        """In a picture of another size; what vanishes is left out."""
        if size == self.size:
            return self
        masks = [Rle.encode(resize_part_map(mask.decode().astype(np.uint8), size)) for mask in self.masks]
        kept = [i for i, mask in enumerate(masks) if mask.area]
        return Truth(
            size,
            tuple(self.labels[i] for i in kept),
            tuple(masks[i] for i in kept),
            tuple(self.crowds[i] for i in kept),
        )

    def stacked(self) -> np.ndarray:
        """(n, H, W) uint8, 0 or 1."""
        if not self.masks:
            return np.zeros((0, *self.size), np.uint8)
        return np.stack([mask.decode() for mask in self.masks]).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class Sample:
    """A picture to learn from: image (3, H, W) uint8, labels (n,) int64 from 1 on, masks (n, H, W) uint8."""

    image: np.ndarray
    labels: np.ndarray
    masks: np.ndarray


class InstanceSet:
    """Annotated pictures, at the size at which a network sees them.

    Args:
        path: annotations of any format, or a data set, whose annotations.json counts before its part maps.
        pictures: folder or zip of the pictures, where they do not stand beside the annotations.
        model: how pictures are scaled.
        skip_bad: leave out pictures of which something cannot be used.
        cache_bytes: memory for scaled pictures; those beyond it are read again.

    Attributes:
        labels: 0 is the background.
        names, digests: of the pictures; SHA-256 of each one's file.
        truths: the objects of each, crowds too, in the picture's own size.
        seen: those that are learned from, at the network's size, without crowds.
        notes: one line for each thing that a user should know.

    Raises:
        ConfigError, DataError: nothing there, or something that cannot be used.
    """

    def __init__(
        self,
        path: str,
        pictures: str | None,
        model: MaskRCNNConfig,
        *,
        skip_bad: bool = False,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self._path, self._model = path, model
        annotations = _read(path, pictures, skip_bad)
        if annotations.pictures is None:
            raise DataError(
                f"{path} is annotations without pictures; give their folder or zip with --pictures"
            )
        self._pictures: Pictures = annotations.pictures
        self.labels = annotations.labels
        self._cache: dict[int, np.ndarray] = {}
        self._room = cache_bytes
        loaded = list(map_ahead(self._load, list(enumerate(annotations.images))))
        bad = [
            f"{image.name}: {each}"
            for image, each in zip(annotations.images, loaded)
            if isinstance(each, str)
        ]
        if bad and not skip_bad:
            raise DataError(
                f"{len(bad)} of {len(loaded)} pictures of {path} cannot be used: {some(bad, separator='; ')}; mend or "
                "remove them, or leave them out with --skip-bad"
            )
        kept = [i for i, each in enumerate(loaded) if not isinstance(each, str)]
        self._images = [annotations.images[i] for i in kept]
        self._cache = {new: self._cache[old] for new, old in enumerate(kept) if old in self._cache}
        found = [each for each in loaded if not isinstance(each, str)]
        self.names = [image.name for image in self._images]
        self.digests = [digest for digest, _, _ in found]
        self.truths = [truth for _, truth, _ in found]
        self.seen = [seen for _, _, seen in found]
        self.notes = [*annotations.notes, *([f"left out: {some(bad)}"] if bad else []), *self._count()]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def content(self) -> list[object]:
        """All that a training's data depend on, as JSON has it."""
        truths = [
            [each.labels, [mask.counts.decode() for mask in each.masks], each.crowds] for each in self.truths
        ]
        return [self.labels.names, self.names, self.digests, truths]

    def sample(self, index: int) -> Sample:
        """A picture to learn from."""
        seen = self.seen[index]
        return Sample(self.scaled(index), np.array(seen.labels, np.int64), seen.stacked())

    def scaled(self, index: int) -> np.ndarray:
        """(3, H, W) uint8 at the network's size; not the caller's own."""
        cached = self._cache.get(index)
        return self._scale(self.picture(index)) if cached is None else cached

    def picture(self, index: int) -> np.ndarray:
        """(H, W, 3) uint8 in its own size."""
        image = self._images[index]
        assert image.picture is not None
        try:
            return decode_image(self._pictures.read(image.picture))[0]
        except DataError as error:
            raise DataError(f"cannot read {image.name} of {self._path}: {error}") from error

    def _scale(self, picture: np.ndarray) -> np.ndarray:
        fitted = resize(picture, self._model.fitted(picture.shape[:2]))
        return np.ascontiguousarray(fitted.transpose(2, 0, 1))

    def _load(self, item: tuple[int, AnnotatedImage]) -> tuple[str, Truth, Truth] | str:
        """Digest, and objects in the picture's own size and in the network's; or why there are none."""
        index, image = item
        if image.picture is None:
            return f"there is no such picture in {self._pictures.path}"
        try:
            data = self._pictures.read(image.picture)
            picture = decode_image(data)[0]
            size = picture.shape[0], picture.shape[1]
            instances = image.split_instances(self.labels)
        except DataError as error:
            return str(error)
        truth = Truth(
            size,
            tuple(self.labels.index(each.class_name) for each in instances),
            tuple(each.rle(size) for each in instances),
            tuple(each.is_crowd for each in instances),
        )
        scaled = self._scale(picture)
        if scaled.nbytes <= self._room:
            self._room -= scaled.nbytes
            self._cache[index] = scaled
        seen = truth.without_crowds().scaled((scaled.shape[1], scaled.shape[2]))
        return hashlib.sha256(data).hexdigest(), truth, seen

    def _count(self) -> Iterator[str]:
        objects = sum(len(each.labels) for each in self.truths)
        crowds = sum(sum(each.crowds) for each in self.truths)
        vanished = objects - crowds - sum(len(each.labels) for each in self.seen)
        without = sum(not each.labels for each in self.seen)
        if crowds:
            yield f"{crowds} of {objects} instances are crowds: they are not learned from"
        if vanished:
            yield f"{vanished} of {objects} instances vanish at the network's resolution and are left out"
        if without:
            yield f"{without} of {len(self)} pictures have no instances"


class InstanceData(RunData[list[Sample]]):
    """The run's data in two parts that follow from its seed, see `RunData` too.

    Attributes:
        learned: the set of which `train` are the indices.
        held_out: the set of which `val` are; the same, unless another was given.

    Raises:
        ConfigError, DataError: data that cannot be used, with nothing to learn or to validate on, too few pictures to
            hold one out, or pictures both to learn from and to validate on.
    """

    def __init__(self, config: InstanceTrainingConfig, world: World | None = None) -> None:
        super().__init__(config, world)
        room = CACHE_BYTES // self._world.local_size

        def read(path: str, pictures: str | None) -> InstanceSet:
            return InstanceSet(path, pictures, config.model, skip_bad=config.skip_bad, cache_bytes=room)

        self.learned = read(config.data, config.pictures)
        self.labels, self.notes = self.learned.labels, self.learned.notes
        content = [self.learned.content]
        if config.val is None:
            self.held_out = self.learned
            self.train, self.val = self.split(self.learned.digests)
        else:
            self.held_out = read(config.val, config.val_pictures or config.pictures)
            self.train, self.val = np.arange(len(self.learned)), np.arange(len(self.held_out))
            others = dict(zip(self.held_out.names, self.held_out.digests, strict=True))
            self.check_val(self.learned.digests, others, self.held_out.labels)
            self.notes = [*self.notes, *(f"--val: {note}" for note in self.held_out.notes)]
            content.append(self.held_out.content)
        self.fingerprint = hashlib.sha256(json.dumps(content).encode()).hexdigest()
        if not any(self.learned.seen[i].labels for i in self.train):
            raise DataError(
                f"{config.data}: none of the {len(self.train)} pictures to learn from has an instance; annotate some"
            )
        if not any(self.held_out.truths[i].without_crowds().labels for i in self.val):
            raise DataError(
                f"none of the {len(self.val)} pictures held out has an instance, so nothing can be validated; give "
                "annotated ones with --val, or another --val-share or --seed"
            )

    def read(self, indices: np.ndarray) -> list[Sample]:
        return [self.learned.sample(int(i)) for i in indices]

    def validation(self) -> Iterator[tuple[np.ndarray, Truth]]:
        """This process's share of the pictures held out, (H, W, 3) uint8, with their objects, in their own sizes."""
        own = self.val[self._world.rank :: self._world.size]
        return map_ahead(
            lambda i: (self.held_out.picture(int(i)), self.held_out.truths[i]), list(own), workers=2
        )

    def samples(self, count: int) -> Iterator[tuple[np.ndarray, Truth]]:
        """The first pictures held out at the network's size, (H, W, 3) uint8, with their objects."""
        for i in self.val[:count]:
            yield self.held_out.scaled(int(i)).transpose(1, 2, 0), self.held_out.seen[i]


def _read(path: str, pictures: str | None, skip_bad: bool) -> Annotations:
    if Path(path).is_dir() or path.lower().endswith(".zip"):
        files = PictureFiles(path)
        if STORED in files:
            if pictures is not None:
                raise ConfigError(f"{path} is a data set with pictures of its own; leave out --pictures")
            return _read_stored(files, skip_bad)
    return read_annotations(path, images=pictures, skip_bad=skip_bad)


def _read_stored(files: PictureFiles, skip_bad: bool) -> Annotations:
    """The annotations.json of a data set, in the classes and colours of its labels.json."""
    name = f"{files.path}: {STORED}"
    try:
        data = files.read(STORED)
    except DataError as error:
        raise DataError(f"{name} cannot be read: {error}") from error
    value = parse_json(data, name)
    if not coco.detect(value):
        raise DataError(f"{name} is no COCO JSON; write it with shoegen convert-annotations, or remove it")
    annotations = coco.read(
        Reading(path=files.path, format="coco", data=data, pictures=Pictures(files.path)), value
    )
    if skip_bad:
        annotations = without_bad(annotations)
    else:
        check_findings(annotations.findings, str(files.path))
    labels: LabelMap | None = files.read_labels()
    if labels is None:
        return annotations
    for what in lacking(annotations, labels):
        raise DataError(f"{name}: {what}; add it to labels.json")
    return replace(annotations, part_labels=labels, class_names=foreground(labels))
