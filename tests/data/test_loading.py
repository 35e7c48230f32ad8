"""Batches read ahead."""

import itertools
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoegen.data.datasets import ImageDataset, infinite_indices
from shoegen.data.images import encode_png
from shoegen.data.loading import BatchReader, batches_of, map_ahead
from shoegen.errors import DataError

from .packs import as_folder, as_zip, labelled, picture, pictures


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("shoegen-reader")]


class TestBatchReader:
    @pytest.mark.parametrize("workers", [None, 1, 3])
    @pytest.mark.parametrize("cache_bytes", [0, 2**20])
    def test_batches_in_order(self, tmp_path, workers, cache_bytes):
        ds = ImageDataset(as_zip(tmp_path, pictures(7)), mirror=True, cache_bytes=cache_bytes)
        order = list(itertools.islice(infinite_indices(14, 3), 40))
        with BatchReader(ds, batches_of(iter(order), 4), workers=workers) as batches:
            for start, (images, classes) in zip(range(0, 40, 4), batches, strict=True):
                assert classes is None
                assert images.dtype == np.uint8
                np.testing.assert_array_equal(images, np.stack([ds[i] for i in order[start : start + 4]]))
        assert readers() == []

    def test_classes(self, tmp_path):
        content = labelled([["00.png", 2], ["01.png", 0], ["02.png", 1]])
        ds = ImageDataset(
            as_zip(tmp_path, pictures(3) | {"dataset.json": content}), classes="auto", mirror=True
        )
        with BatchReader(ds, [[0, 4], [5, 3]]) as batches:
            classes = [classes for _, classes in batches]
        assert classes[0].dtype == np.int64
        assert [each.tolist() for each in classes] == [[2, 0], [1, 2]]

    def test_endless_indices_are_read_a_little_ahead(self, tmp_path):
        ds = ImageDataset(as_zip(tmp_path, pictures(2)))
        taken = itertools.count()
        indices = ([next(taken) % 2] for _ in itertools.repeat(0))
        with BatchReader(ds, indices, workers=2, ahead=3) as batches:
            for _ in range(10):
                next(batches)
        assert next(taken) == 13

    def test_errors_reach_the_reader(self, tmp_path):
        folder = as_folder(tmp_path, pictures(6))
        ds = ImageDataset(folder, cache_bytes=0)
        (folder / "04.png").unlink()
        with BatchReader(ds, [[0, 1], [2, 3], [4, 5], [0, 1]], workers=2) as batches:
            assert len(next(batches)[0]) == 2
            next(batches)
            with pytest.raises(DataError, match=r"cannot read 04\.png in .*: the file does not exist"):
                next(batches)
            assert list(batches) == []
        assert readers() == []

    def test_closing_midway_stops_the_threads(self, tmp_path):
        class Slow:
            image_shape, class_names, is_cached = (3, 4, 4), [], False

            def __getitem__(self, index):
                time.sleep(0.02)
                return np.zeros((3, 4, 4), np.uint8)

        batches = BatchReader(Slow(), itertools.repeat([0] * 1000), workers=3)
        consumer = threading.Timer(0.1, lambda: batches._closed.set())  # as a signal would, while it waits
        consumer.start()
        started = time.monotonic()
        next(batches)
        batches.close()
        assert time.monotonic() - started < 5  # a whole batch takes 20 s
        assert readers() == []
        assert list(batches) == []

    def test_waiting_is_counted(self, tmp_path):
        class Slow:
            image_shape, class_names, is_cached = (3, 4, 4), [], False

            def __getitem__(self, index):
                time.sleep(0.05)
                return np.zeros((3, 4, 4), np.uint8)

        with BatchReader(Slow(), itertools.repeat([0]), workers=1, ahead=2) as batches:
            next(batches)
            assert batches.waited_seconds > 0.04
            time.sleep(0.3)  # training: the next two are read meanwhile
            batches.waited_seconds = 0.0
            next(batches)
            assert batches.waited_seconds < 0.04

    def test_unused_reader_starts_no_threads(self, tmp_path):
        ds = ImageDataset(as_zip(tmp_path, pictures(2)))
        BatchReader(ds, itertools.repeat([0])).close()
        assert readers() == []

    def test_own_copy(self, tmp_path):
        ds = ImageDataset(as_zip(tmp_path, {"0.png": encode_png(picture(0))}))
        with BatchReader(ds, [[0], [0]]) as batches:
            next(batches)[0][:] = 0
            assert next(batches)[0].any()


@settings(max_examples=30, deadline=None)
@given(items=st.lists(st.integers(), max_size=30), workers=st.integers(1, 4), ahead=st.integers(1, 40))
def test_map_ahead_is_map(items, workers, ahead):
    assert list(map_ahead(lambda item: item * 2, items, workers=workers, ahead=ahead)) == [
        2 * i for i in items
    ]


def test_batches_of():
    assert list(batches_of(iter(range(7)), 3)) == [[0, 1, 2], [3, 4, 5]]
