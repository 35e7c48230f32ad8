"""The pictures and part maps of a training: what is learned from, and what is held out."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from shoegen.data.datasets import ImageDataset, infinite_indices
from shoegen.data.labels import IGNORED, LabelMap
from shoegen.data.loading import batches_of, map_ahead
from shoegen.errors import DataError
from shoegen.segmentation.config import TrainingConfig
from shoegen.torch_utils.distributed import World
from shoegen.torch_utils.text import some

Batch = tuple[np.ndarray, np.ndarray]
"""Pictures (N, 3, H, W) and part maps (N, H, W), both uint8."""


class SegmentationData:
    """The run's data at the model's resolution, in two parts that follow from its seed.

    Attributes:
        dataset, labels: as they are on disk.
        train: indices of the pictures to learn from.
        held_out: the data set of the pictures to validate on; `dataset` unless another was given.
        val: their indices in it.
        fingerprint: of the pictures and the classes, to know the data set again.

    Raises:
        DataError: pictures or part maps that cannot be used, too few to hold one out, or pictures both to learn from
            and to validate on.
    """

    def __init__(self, config: TrainingConfig, world: World | None = None):
        self._config, self._world = config, world or World()
        self.dataset = self._open(config.data)
        assert self.dataset.labels is not None  # part maps were asked for
        self.labels: LabelMap = self.dataset.labels
        content: list[object] = [self.dataset.content_hash, self.labels.names]
        if config.val is None:
            self.held_out = self.dataset
            self.train, self.val = self._split()
        else:
            self.held_out = self._open(config.val)
            self.train, self.val = np.arange(len(self.dataset)), np.arange(len(self.held_out))
            self._check_val()
            content.append(self.held_out.content_hash)
        self.fingerprint = hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def _open(self, path: str) -> ImageDataset:
        return ImageDataset(
            path,
            resolution=self._config.model.size,
            fit="pad",
            part_maps=True,
            unlabelled=True,
            skip_bad=self._config.skip_bad,
            cache_bytes=4 * 2**30 // self._world.local_size,
        )

    def _split(self) -> tuple[np.ndarray, np.ndarray]:
        """Indices to learn from and to hold out; copies of one picture stay together."""
        seen: dict[str, int] = {}
        first = np.array([seen.setdefault(digest, i) for i, digest in enumerate(self.dataset.digests)])
        pictures = np.unique(first)
        if len(pictures) < 2:
            raise DataError(
                f"{self._config.data} has {len(pictures)} picture: the training and the validation split need one "
                "each; add pictures"
            )
        order = np.random.default_rng(self._config.seed).permutation(len(first))
        order = order[np.isin(order, pictures)]
        count = min(max(1, round(self._config.val_share * len(order))), len(order) - 1)
        held_out, learned = order[:count], order[count:]
        copies = np.setdiff1d(np.arange(len(first)), pictures)
        in_val = np.isin(first[copies], held_out)
        return np.concatenate([learned, copies[~in_val]]), np.concatenate([held_out, copies[in_val]])

    def _check_val(self) -> None:
        config, labels = self._config, self.held_out.labels
        if labels is None or labels.names != self.labels.names:
            raise DataError(
                f"--val {config.val} has other classes than {config.data}: {', '.join(labels.names if labels else ())};"
                f" expected {', '.join(self.labels.names)}"
            )
        own = set(self.dataset.digests)
        shared = [name for name, digest in zip(self.held_out.names, self.held_out.digests) if digest in own]
        if shared and not config.allow_shared:
            raise DataError(
                f"{len(shared)} pictures of --val {config.val} are among those to learn from in {config.data} "
                f"({some(shared)}); take them out of one, or allow it with --allow-shared"
            )

    @contextlib.contextmanager
    def batches(self, rows: Sequence[int], shown: int) -> Iterator[Iterator[Batch]]:
        """Some rows of endless batches, the pictures in a new order at each pass, from where the run stands."""
        stream = infinite_indices(len(self.train), self._config.seed, shown)
        shares = ([batch[row] for row in rows] for batch in batches_of(stream, self._config.batch))
        with contextlib.closing(
            map_ahead(lambda share: _read(self.dataset, self.train[share]), shares)
        ) as batches:
            yield batches

    def validation(self, size: int) -> Iterator[Batch]:
        """This process's share of the pictures held out, `size` at a time."""
        own = self.val[self._world.rank :: self._world.size]
        shares = [own[start : start + size] for start in range(0, len(own), size)]
        yield from map_ahead(lambda share: _read(self.held_out, share), shares)

    def samples(self, count: int) -> Batch:
        """The first of the pictures held out."""
        return _read(self.held_out, self.val[:count])

    def frequencies(self) -> torch.Tensor:
        """(classes,) shares of the labelled pixels of the pictures to learn from."""
        counts = np.zeros(256, np.int64)
        for i in self.train[self._world.rank :: self._world.size]:
            counts += np.bincount(self.dataset.part_map(int(i)).ravel(), minlength=256)
        counts[IGNORED] = 0
        known = self._world.add(torch.from_numpy(counts))[: len(self.labels)].double()
        return (known / known.sum().clamp_min(1)).float()


def _read(dataset: ImageDataset, indices: Sequence[int] | np.ndarray) -> Batch:
    images = np.stack([dataset[int(i)] for i in indices])
    return images, np.stack([dataset.part_map(int(i)) for i in indices])
