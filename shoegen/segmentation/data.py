"""The pictures and part maps of a training: what is learned from, and what is held out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from shoegen.data.datasets import ImageDataset
from shoegen.data.labels import IGNORED
from shoegen.data.loading import map_ahead
from shoegen.data.run_data import RunData
from shoegen.segmentation.cascade import FINER, SecondStage
from shoegen.segmentation.config import TrainingConfig
from shoegen.segmentation.loading import load_segmenter
from shoegen.torch_utils.distributed import World

Batch = tuple[np.ndarray, np.ndarray]
"""Pictures (N, 3, H, W) and part maps (N, H, W), both uint8."""


class SegmentationData(RunData[Batch]):
    """Part maps and their pictures at the model's resolution, see `RunData` too.

    Attributes:
        dataset: as it is on disk.
        held_out: the data set of the pictures to validate on; `dataset` unless another was given.

    Raises:
        DataError: pictures or part maps that cannot be used, too few to hold one out, or pictures both to learn from
            and to validate on.
    """

    def __init__(self, config: TrainingConfig, world: World | None = None):
        super().__init__(config, world)
        self._after = config.after
        self.dataset = self._open(config.data)
        assert self.dataset.labels is not None  # part maps were asked for
        self.labels, self.notes = self.dataset.labels, self.dataset.notes
        content: list[object] = [self.dataset.content_hash, self.labels.names]
        if config.val is None:
            self.held_out = self.dataset
            self.train, self.val = self.split(self.dataset.digests)
        else:
            self.held_out = self._open(config.val)
            self.train, self.val = np.arange(len(self.dataset)), np.arange(len(self.held_out))
            others = dict(zip(self.held_out.names, self.held_out.digests, strict=True))
            self.check_val(self.dataset.digests, others, self.held_out.labels)
            content.append(self.held_out.content_hash)
        if config.after is not None:
            first = load_segmenter(config.after)
            self._stages = {
                False: SecondStage(self.dataset, first, config.model.size, config.seed),
                True: SecondStage(self.held_out, first, config.model.size),
            }
            content.append(self._stages[True].digest)
        self.fingerprint = hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def _open(self, path: str) -> ImageDataset:
        height, width = self._config.model.size
        finer = 1 if self._after is None else FINER
        return ImageDataset(
            path,
            resolution=(finer * height, finer * width),
            fit="pad",
            part_maps=True,
            unlabelled=True,
            skip_bad=self._config.skip_bad,
            cache_bytes=4 * 2**30 // self._world.local_size,
        )

    def read(self, indices: np.ndarray) -> Batch:
        return self._read(indices, held_out=False)

    def validation(self, size: int) -> Iterator[Batch]:
        """This process's share of the pictures held out, `size` at a time."""
        own = self.val[self._world.rank :: self._world.size]
        shares = [own[start : start + size] for start in range(0, len(own), size)]
        yield from map_ahead(lambda share: self._read(share, held_out=True), shares)

    def samples(self, count: int) -> Batch:
        """The first of the pictures held out."""
        return self._read(self.val[:count], held_out=True)

    def frequencies(self) -> torch.Tensor:
        """(classes,) shares of the labelled pixels of the pictures to learn from."""
        counts = np.zeros(256, np.int64)
        for i in self.train[self._world.rank :: self._world.size]:
            part_map = (
                self._read([int(i)], held_out=False)[1] if self._after else self.dataset.part_map(int(i))
            )
            counts += np.bincount(part_map.ravel(), minlength=256)
        counts[IGNORED] = 0
        known = self._world.add(torch.from_numpy(counts))[: len(self.labels)].double()
        return (known / known.sum().clamp_min(1)).float()

    def _read(self, indices: Sequence[int] | np.ndarray, *, held_out: bool) -> Batch:
        if self._after is not None:
            pairs = [self._stages[held_out].read(int(i)) for i in indices]
        else:
            dataset = self.held_out if held_out else self.dataset
            pairs = [(dataset[int(i)], dataset.part_map(int(i))) for i in indices]
        return np.stack([image for image, _ in pairs]), np.stack([part_map for _, part_map in pairs])
