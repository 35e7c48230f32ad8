"""Batches of pictures, read ahead by threads so that training does not wait for them. Loads no torch."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from threading import Event
from typing import Self, TypeVar

import numpy as np

from shoegen.data.datasets import ImageDataset

Item = TypeVar("Item")
Result = TypeVar("Result")
Batch = tuple[np.ndarray, np.ndarray | None]


def map_ahead(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    workers: int | None = None,
    ahead: int | None = None,
) -> Generator[Result, None, None]:
    """`map` by threads that work some items ahead of what is asked for; the results come in order.

    An error in a thread is raised in its result's place. Closing the generator ends the threads.

    Args:
        function: called in threads.
        items: may be endless.
        workers: threads; None: one per core, at most 16.
        ahead: items that are being worked on, or are done, at any time; None: twice as many as threads.
    """
    workers = workers or min(os.cpu_count() or 1, 16)  # each may hold a large picture
    remaining = iter(items)
    with ThreadPoolExecutor(workers, thread_name_prefix="shoegen-reader") as pool:
        pending = deque(pool.submit(function, item) for item in islice(remaining, ahead or 2 * workers))
        try:
            while pending:
                result = pending.popleft().result()
                pending.extend(pool.submit(function, item) for item in islice(remaining, 1))
                yield result
        finally:
            for future in pending:
                future.cancel()


class BatchReader:
    """The batches of `indices` in their order, each read by one of several threads some batches ahead.

    Each is `images` (n, C, H, W) uint8 and `classes` (n,) int64, or None where the data set has no classes.

        with BatchReader(data, batches_of(infinite_indices(len(data), seed), 32)) as batches:
            for images, classes in batches: …

    What goes wrong in a thread is raised here, in the batch where it happened. `waited_seconds` is how long the
    reader's user has waited for batches; set it to 0 to count anew.

    Args:
        dataset: the pictures.
        indices: of each batch the pictures' indices; may be endless.
        workers: threads; None: one where all pictures are cached, otherwise one per core, at most 8.
        ahead: batches in memory before they are asked for; None: twice as many as threads.
    """

    def __init__(
        self,
        dataset: ImageDataset,
        indices: Iterable[Sequence[int]],
        *,
        workers: int | None = None,
        ahead: int | None = None,
    ):
        if workers is None:
            workers = 1 if dataset.is_cached else min(os.cpu_count() or 1, 8)
        self.waited_seconds = 0.0
        self._dataset = dataset
        self._closed = Event()
        self._batches = map_ahead(self._read, indices, workers=workers, ahead=ahead)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Batch:
        """The next batch, the caller's own."""
        started = time.perf_counter()
        try:
            return next(self._batches)
        finally:
            self.waited_seconds += time.perf_counter() - started

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stops the threads, each after the picture at hand; no batch comes after that."""
        self._closed.set()
        self._batches.close()

    def _read(self, indices: Sequence[int]) -> Batch:
        images = np.empty((len(indices), *self._dataset.image_shape), np.uint8)
        for image, index in zip(images, indices):
            if self._closed.is_set():
                break  # nobody will see this batch
            image[:] = self._dataset[index]
        if not self._dataset.class_names:
            return images, None
        return images, np.array([self._dataset.class_of(index) for index in indices], np.int64)


def batches_of(indices: Iterator[int], size: int) -> Iterator[list[int]]:
    """Cuts a stream of indices into batches; an end too short for one is left off."""
    while len(batch := list(islice(indices, size))) == size:
        yield batch
