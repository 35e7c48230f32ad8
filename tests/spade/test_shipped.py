"""The painter that ships with shoegen keeps what benchmarks/paint_quality.py measured."""

from dataclasses import replace

import numpy as np
import pytest

from shoegen.data.colors import ciede2000, to_lab
from shoegen.data.labels import SHOE_PARTS
from shoegen.data.synthetic import render, render_shoe, sample_parameters
from shoegen.measure import measure, to_millimetres
from shoegen.segmentation.metrics import ConfusionMatrix
from shoegen.segmentation.parts import PartSegmenter
from shoegen.spade.painting import DEFAULT_PATH, Painter
from shoegen.torch_utils.tensors import load_tensors

SEED = 123_456


@pytest.fixture(scope="module")
def painter():
    return Painter.load()


@pytest.fixture(scope="module")
def segmenter():
    return PartSegmenter.load()


def test_parts_are_where_the_map_has_them(painter, segmenter):
    confusion = ConfusionMatrix(len(SHOE_PARTS))
    for index in range(24):
        part_map = render(SEED, index, 128).part_map
        painting = painter.paint(part_map, painter.random_style(index))
        confusion.update(segmenter.segment(painting), part_map)
    assert confusion.mean_iou > 0.85


def test_a_heel_drawn_higher_is_painted_higher(painter, segmenter):
    grown = []
    for index in range(12):
        low = replace(sample_parameters(SEED, index), heel_height=30.0)
        heights = []
        for parameters in (low, replace(low, heel_height=50.0)):
            shoe = render_shoe(parameters, 128)
            painting = painter.paint(shoe.part_map, painter.random_style(index))
            heel = measure(segmenter.segment(painting, size=256))["heel_height"]
            heights.append(to_millimetres(heel, shoe.attributes["shoe_length"]))
        grown.append(heights[1] - heights[0])
    assert np.mean(grown) == pytest.approx(20, abs=4)


def test_a_style_keeps_its_colour(painter):
    upper = SHOE_PARTS.index("upper")
    maps = [render(SEED, index, 128).part_map for index in range(6)]
    for source in range(10, 13):
        style = painter.encode(render(SEED, source, 128).image)
        colors = [to_lab(painter.paint(each, style)[each == upper]).mean(0) for each in maps]
        apart = [ciede2000(a, b) for i, a in enumerate(colors) for b in colors[:i]]
        assert np.mean(apart) < 8  # of few maps; the mean of many styles is lower


def test_small_enough_to_ship_and_says_nothing_of_where_it_was_made():
    assert DEFAULT_PATH.stat().st_size < 12e6
    _, metadata = load_tensors(DEFAULT_PATH, kind="spade")
    assert "/" not in str(metadata)
