"""Polygons and run-lengths."""

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from shoegen.data.annotations import Polygons, Rle
from shoegen.data.annotations.findings import Fault
from shoegen.data.annotations.imaterialist import decode_runs, encode_runs
from shoegen.data.annotations.shapes import ellipse, parse_polygon, rectangle, trace

from .making import polygon

masks = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=14))


@given(masks)
def test_traced_masks_are_exact(mask):
    if mask.any():
        np.testing.assert_array_equal(trace(mask).rle(mask.shape).decode(), mask)


@given(masks)
def test_run_lengths_are_exact(mask):
    rle = Rle.encode(mask)
    assert Rle.from_runs(rle.runs(), mask.shape) == rle
    assert Rle.from_text(rle.counts.decode(), mask.shape) == rle
    np.testing.assert_array_equal(rle.decode(), mask)
    assert rle.area == mask.sum()
    if mask.any():
        assert decode_runs(encode_runs(rle), mask.shape) == rle


@given(st.binary(max_size=30))
def test_any_counts_are_a_mask_or_a_fault(counts):
    with contextlib.suppress(Fault):
        assert Rle.from_text(counts, (5, 7)).decode().shape == (5, 7)


def test_known_run_lengths():
    """1-based, column by column: of 3 rows, pixel 4 is the top of the second column."""
    mask = decode_runs("4 2 9 1", (3, 3)).decode()
    assert np.argwhere(mask).tolist() == [[0, 1], [1, 1], [2, 2]]
    assert decode_runs("9 1 4 2", (3, 3)).decode().tolist() == mask.tolist()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "are 0 numbers, expected pairs"),
        ("1 2 3", "are 3 numbers, expected pairs"),
        ("1 two", "no whole numbers"),
        ("0 2", "the run of 2 from 0 leaves the picture, whose 3x4 pixels are 1 to 12"),
        ("12 2", "the run of 2 from 12 leaves the picture"),
        ("1 0", "the run of 0 from 1 leaves"),
        ("1 99999999999999999999", "no whole numbers"),
        ("9223372036854775807 9", "leaves the picture"),
        ("1 3 3 2", "two runs cover the pixel 3"),
    ],
)
def test_wrong_runs(text, message):
    with pytest.raises(Fault, match=message):
        decode_runs(text, (4, 3))


def test_simplified_outlines_stay_close():
    rows, columns = np.mgrid[:80, :80]
    disc = (rows - 40) ** 2 + (columns - 40) ** 2 < 900
    exact, rough = trace(disc), trace(disc, simplify=1)
    assert len(rough.parts[0]) < len(exact.parts[0]) / 3
    moved = rough.rle(disc.shape).decode() != disc
    assert 0 < moved.sum() < 2 * np.pi * 30  # a pixel along the outline
    distance = np.abs(np.hypot(rows - 40, columns - 40) - 30)
    assert distance[moved].max() < 2


class TestRules:
    square = ((2, 3), (12, 3), (12, 9), (2, 9))

    def test_plane(self):
        """As pycocotools: an area is that of the plane."""
        rle = polygon(*self.square).rle((24, 20))
        assert (rle.area, rle.box) == (60, (2, 3, 10, 6))

    def test_pixels(self):
        """As OpenCV: the outline's pixels belong to the shape."""
        rle = polygon(*self.square, rule="pixels").rle((24, 20))
        assert (rle.area, rle.box) == (77, (2, 3, 11, 7))

    def test_parts_are_united(self):
        parts = Polygons((np.array(self.square, float), np.array(self.square, float) + 1))
        assert parts.rle((24, 20)).area == 60 + 60 - 45

    def test_ellipse(self):
        area = Polygons((ellipse(50, 40, 30, 15, 0.3),)).rle((100, 100)).area
        assert area == pytest.approx(np.pi * 30 * 15, rel=0.01)
        assert np.ptp(ellipse(0, 0, 30, 15, np.pi / 2)[:, 1]) == pytest.approx(60, abs=0.1)

    def test_rectangle(self):
        assert polygon(*rectangle(2, 3, 10, 6)).rle((24, 20)).box == (2, 3, 10, 6)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "0 points, expected at least 3"),
        ([1, 1, 5, 5], "2 points, expected at least 3"),
        ([1, 1, 5, 5, 3], "5 numbers, expected x and y"),
        ([1, 1, 5, 5, "x", 2], "no pair of numbers"),
        ([[1, 1], [5], [3, 3]], "no pair of numbers"),
        ([1, 1, 5, 5, float("inf"), 2], "not finite, or far from any picture"),
        ([1, 1, 5, 1, 25, 5], r"1 points of a polygon are outside the picture of 20x24, such as \(25, 5\)"),
        ([1, -3, 5, 1, 5, 5], "outside the picture"),
        ([0] * 300_000, "150000 points, expected at most 100000"),
    ],
)
def test_wrong_polygons(values, message):
    with pytest.raises(Fault, match=message):
        parse_polygon(values, (24, 20))


def test_endless_outline():
    zigzag = np.array([[0, 0], [9000, 9000]] * 1000)
    with pytest.raises(Fault, match="outline is longer than"):
        parse_polygon(zigzag, (9000, 9000))


def test_points_on_the_edge_are_inside():
    assert len(parse_polygon([0, 0, 20, 0, 20.5, 24], (24, 20))) == 3
