"""The pictures and part maps of a training: what is learned from, and what is held out."""

from __future__ import annotations

import contextlib
import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

import numpy as np
import torch

from shoegen.data.datasets import ImageDataset, infinite_indices
from shoegen.data.labels import IGNORED, LabelMap
from shoegen.data.loading import batches_of, map_ahead
from shoegen.errors import DataError
from shoegen.segmentation.cascade import FINER, SecondStage
from shoegen.segmentation.config import RunConfig, TrainingConfig
from shoegen.segmentation.loading import load_segmenter
from shoegen.torch_utils.distributed import World
from shoegen.torch_utils.text import some

Item = TypeVar("Item")
Batch = tuple[np.ndarray, np.ndarray]
"""Pictures (N, 3, H, W) and part maps (N, H, W), both uint8."""


class RunData(ABC, Generic[Item]):
    """The data of any run, in two parts that follow from its seed; an `Item` is a batch, or a process's share of it.

    Attributes:
        labels: what is told apart.
        train, val: indices of the pictures to learn from, and of those held out, among these or in data of their own.
        fingerprint: of the pictures and the classes, to know the data set again.
        contents: in words.
        notes: one line for each thing that a user should know.
    """

    labels: LabelMap
    train: np.ndarray
    val: np.ndarray
    fingerprint: str
    notes: list[str]

    def __init__(self, config: RunConfig, world: World | None = None) -> None:
        self._config, self._world = config, world or World()

    @property
    def contents(self) -> str:
        return f"{len(self.train)} pictures to learn from of {len(self.labels)} classes"

    @abstractmethod
    def read(self, indices: np.ndarray) -> Item:
        """Pictures to learn from by their indices."""

    @contextlib.contextmanager
    def batches(self, rows: Sequence[int], shown: int) -> Iterator[Iterator[Item]]:
        """Some rows of endless batches, the pictures in a new order at each pass, from where the run stands."""
        stream = infinite_indices(len(self.train), self._config.seed, shown)
        shares = ([batch[row] for row in rows] for batch in batches_of(stream, self._config.batch))
        with contextlib.closing(map_ahead(lambda share: self.read(self.train[share]), shares)) as batches:
            yield batches

    def split(self, digests: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Indices to learn from and to hold out; copies of one picture stay together.

        Raises:
            DataError: there is only one.
        """
        seen: dict[str, int] = {}
        first = np.array([seen.setdefault(digest, i) for i, digest in enumerate(digests)])
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

    def check_val(self, digests: Sequence[str], others: dict[str, str], labels: LabelMap | None) -> None:
        """Checks the data of `val`.

        Args:
            digests: of the pictures to learn from.
            others: name → digest of the pictures of `val`.
            labels: its classes.

        Raises:
            DataError: other classes, or the same pictures without `allow_shared`.
        """
        config = self._config
        if labels is None or labels.names != self.labels.names:
            raise DataError(
                f"--val {config.val} has other classes than {config.data}: {', '.join(labels.names if labels else ())};"
                f" expected {', '.join(self.labels.names)}"
            )
        own = set(digests)
        shared = [name for name, digest in others.items() if digest in own]
        if shared and not config.allow_shared:
            raise DataError(
                f"{len(shared)} pictures of --val {config.val} are among those to learn from in {config.data} "
                f"({some(shared)}); take them out of one, or allow it with --allow-shared"
            )


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
