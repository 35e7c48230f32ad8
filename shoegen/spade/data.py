"""The pictures and part maps of a training: what is learned from, and what is held out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from shoegen.data.datasets import ImageDataset
from shoegen.data.images import fit_part_map
from shoegen.data.labels import IGNORED
from shoegen.data.loading import map_ahead
from shoegen.data.run_data import RunData
from shoegen.errors import ConfigError, DataError
from shoegen.spade.config import TrainingConfig
from shoegen.spade.maps import MappedPictures, boundaries, decode_instances
from shoegen.torch_utils.distributed import World
from shoegen.torch_utils.text import some


class Batch(NamedTuple):
    """What is shown in a step.

    images: (N, 3, H, W) uint8. part_maps: (N, H, W) uint8, whose values may be `IGNORED`. edges: (N, H, W) bool, the
    boundaries of instances, where the model has them.
    """

    images: np.ndarray
    part_maps: np.ndarray
    edges: np.ndarray | None = None

    def part(self, rows: slice | Sequence[int]) -> Batch:
        """Some rows of it."""
        return Batch(*(None if each is None else each[rows] for each in self))  # type: ignore[arg-type]


class SpadeData(RunData[Batch]):
    """Part maps and their pictures at the model's resolution, in two parts that follow from the run's seed.

    Each part map is read and checked here, before a training starts: its file, its values or colours, its size, and
    that every picture has one.

    Attributes:
        dataset: as it is on disk.
        held_out: the data set of the pictures to validate on; `dataset` unless another was given.
        labels, train, val, fingerprint, notes: see `RunData`.

    Raises:
        ConfigError: a model with edges without instances, or the other way around.
        DataError: pictures, part maps or instances that cannot be used, too few to hold one out, or pictures both to
            learn from and to validate on.
    """

    def __init__(self, config: TrainingConfig, world: World | None = None):
        super().__init__(config, world)  # type: ignore[arg-type]
        if config.model.edges != (config.instances is not None):
            got, has = ("none", "has a") if config.model.edges else ("some", "has no")
            raise ConfigError(f"--instances: got {got}, and the model {has} channel for their edges")
        if config.instances is not None and config.val is not None:
            raise ConfigError(
                "--instances are of --data alone; hold a share of it out with --val-share, not --val"
            )
        files = MappedPictures(config.data, config.maps, config.labels)
        self.dataset = self._open(config, files)
        self.labels = files.read_labels()
        self.notes = [*self.dataset.notes, *self._describe_maps(files)]
        content: list[object] = [self.dataset.content_hash, self.labels.names, self._maps_hash]
        self._edges = None if config.instances is None else self._read_edges(config)
        if self._edges is not None:
            content.append(hashlib.sha256(self._edges.tobytes()).hexdigest())
        if config.val is None:
            self.held_out = self.dataset
            self.train, self.val = self.split(self.dataset.digests)
        else:
            self.held_out = self._open(config, MappedPictures(config.val, labels=config.labels))
            self.train, self.val = np.arange(len(self.dataset)), np.arange(len(self.held_out))
            others = dict(zip(self.held_out.names, self.held_out.digests, strict=True))
            self.check_val(self.dataset.digests, others, self.held_out.labels)
            content.append(self.held_out.content_hash)
        self.fingerprint = hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def _open(self, config: TrainingConfig, files: MappedPictures) -> ImageDataset:
        return ImageDataset(
            files.path,
            resolution=config.model.size,
            fit=config.fit,
            part_maps=True,
            unlabelled=True,
            skip_bad=config.skip_bad,
            cache_bytes=4 * 2**30 // self._world.local_size,
            files=files,
        )

    def _describe_maps(self, files: MappedPictures) -> list[str]:
        """What a user should know of the part maps; their hash is found on the way."""
        digest, flat = hashlib.sha256(), []
        counts = np.zeros(256, np.int64)
        for index, name in enumerate(self.dataset.names):
            part_map = self.dataset.part_map(index)
            digest.update(part_map.tobytes())
            found = np.bincount(part_map.ravel(), minlength=256)
            counts += found
            found[IGNORED] = 0
            if np.count_nonzero(found) < 2:
                flat.append(name)
        self._maps_hash = digest.hexdigest()
        missing = [name for name, count in zip(self.labels.names, counts) if not count]
        notes = []
        if missing:
            notes.append(f"no part map has {some(missing)}; the model will not know how to paint it")
        if flat:
            notes.append(f"{len(flat)} part maps are of one class alone, those of {some(flat)}")
        if files.unused:
            notes.append(f"{len(files.unused)} part maps have no picture ({some(files.unused)})")
        return notes

    def _read_edges(self, config: TrainingConfig) -> np.ndarray:
        """(pictures, H, ⌈W / 8⌉) uint8, eight pixels in each."""
        assert config.instances is not None
        files = MappedPictures(config.data, config.instances)
        packed, errors = [], []
        for name, size in zip(self.dataset.names, self.dataset.sizes):
            try:
                found = files.part_map(name)
                if found is None:
                    raise DataError(f"it has no instances; expected {files.expected_part_map(name)}")
                instances = decode_instances(files.maps.read(found))
                if instances.shape != size:
                    got, expected = (f"{width}x{height}" for height, width in (instances.shape, size))
                    raise DataError(f"{found} is {got}, its picture {expected}; expected one size")
                fitted = fit_part_map(instances, config.model.size, config.fit)
                packed.append(np.packbits(boundaries(fitted), axis=1))
            except DataError as error:
                errors.append(f"{name}: {error}")
        if errors:
            raise DataError(
                f"the instances of {len(errors)} of {len(self.dataset.names)} pictures cannot be used: "
                f"{some(errors, separator='; ')}; mend {config.instances}"
            )
        return np.stack(packed)

    def read(self, indices: np.ndarray) -> Batch:
        return self._read(self.dataset, indices)

    def validation(self, size: int) -> Iterator[Batch]:
        """This process's share of the pictures held out, `size` at a time."""
        own = self.val[self._world.rank :: self._world.size]
        shares = [own[start : start + size] for start in range(0, len(own), size)]
        yield from map_ahead(lambda share: self._read(self.held_out, share), shares)

    def samples(self, count: int) -> Batch:
        """The first of the pictures held out."""
        return self._read(self.held_out, self.val[:count])

    def _read(self, dataset: ImageDataset, indices: Sequence[int] | np.ndarray) -> Batch:
        width, edges = dataset.image_shape[2], None
        if self._edges is not None:
            edges = np.unpackbits(self._edges[indices], axis=2, count=width).astype(bool)
        return Batch(
            np.stack([dataset[int(i)] for i in indices]),
            np.stack([dataset.part_map(int(i)) for i in indices]),
            edges,
        )
