"""What a training learns from and what is held out, whatever it is."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from shoegen.data.datasets import infinite_indices
from shoegen.data.labels import LabelMap
from shoegen.data.loading import batches_of, map_ahead
from shoegen.errors import DataError
from shoegen.torch_utils.distributed import World
from shoegen.torch_utils.text import some

Item = TypeVar("Item")


class RunData(ABC, Generic[Item]):
    """The data of any run, in two parts that follow from its seed; an `Item` is a batch, or a process's share of it.

    Args:
        config: a `LoopConfig` with `val`, `val_share` and `allow_shared`.
        world: the processes.

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

    def __init__(self, config: Any, world: World | None = None) -> None:
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
