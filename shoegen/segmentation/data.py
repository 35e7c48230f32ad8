"""The pictures and part maps of a training: what is learned from, and what is held out."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from shoegen.data.datasets import ImageDataset, infinite_indices
from shoegen.data.labels import LabelMap
from shoegen.data.loading import batches_of, map_ahead
from shoegen.errors import DataError
from shoegen.segmentation.config import IGNORED, TrainingConfig
from shoegen.torch_utils.distributed import World

Batch = tuple[np.ndarray, np.ndarray]
"""Pictures (N, 3, H, W) and part maps (N, H, W), both uint8."""


class SegmentationData:
    """The run's data at the model's resolution, in two parts that follow from its seed.

    Attributes:
        dataset, labels: as they are on disk.
        train, val: indices of the pictures to learn from, and of those held out.
        fingerprint: of the pictures and the classes, to know the data set again.

    Raises:
        DataError: pictures or part maps that cannot be used, or too few to hold one out.
    """

    def __init__(self, config: TrainingConfig, world: World | None = None):
        self._config, self._world = config, world or World()
        self.dataset = ImageDataset(
            config.data,
            resolution=config.model.resolution,
            fit="pad",
            part_maps=True,
            skip_bad=config.skip_bad,
            cache_bytes=4 * 2**30 // self._world.local_size,
        )
        assert self.dataset.labels is not None  # part maps were asked for
        self.labels: LabelMap = self.dataset.labels
        count = len(self.dataset)
        if count < 2:
            raise DataError(
                f"{config.data} has {count} picture: the training and the validation split need one each; add pictures"
            )
        order = np.random.default_rng(config.seed).permutation(count)
        held_out = min(max(1, round(config.val_share * count)), count - 1)
        self.val, self.train = order[:held_out], order[held_out:]
        content = json.dumps([self.dataset.content_hash, self.labels.names])
        self.fingerprint = hashlib.sha256(content.encode()).hexdigest()

    @contextlib.contextmanager
    def batches(self, rows: Sequence[int], shown: int) -> Iterator[Iterator[Batch]]:
        """Some rows of endless batches, the pictures in a new order at each pass, from where the run stands."""
        stream = infinite_indices(len(self.train), self._config.seed, shown)
        shares = ([batch[row] for row in rows] for batch in batches_of(stream, self._config.batch))
        with contextlib.closing(map_ahead(lambda share: self.read(self.train[share]), shares)) as batches:
            yield batches

    def validation(self, size: int) -> Iterator[Batch]:
        """This process's share of the pictures held out, `size` at a time."""
        own = self.val[self._world.rank :: self._world.size]
        yield from map_ahead(self.read, [own[start : start + size] for start in range(0, len(own), size)])

    def read(self, indices: Sequence[int] | np.ndarray) -> Batch:
        """Pictures of the data set and their part maps."""
        images = np.stack([self.dataset[int(i)] for i in indices])
        return images, np.stack([self.dataset.part_map(int(i)) for i in indices])

    def frequencies(self) -> torch.Tensor:
        """(classes,) shares of the labelled pixels of the pictures to learn from."""
        counts = np.zeros(256, np.int64)
        for i in self.train[self._world.rank :: self._world.size]:
            counts += np.bincount(self.dataset.part_map(int(i)).ravel(), minlength=256)
        counts[IGNORED] = 0
        known = self._world.add(torch.from_numpy(counts))[: len(self.labels)].double()
        return (known / known.sum().clamp_min(1)).float()
