"""The segmenter that ships with shoegen keeps what benchmarks/segmenter_quality.py measured."""

import numpy as np
import pytest

from shoegen.data.synthetic import render
from shoegen.measure import is_one_shoe, measure
from shoegen.segmentation.metrics import ConfusionMatrix
from shoegen.segmentation.parts import DEFAULT_PATH, PartSegmenter


@pytest.fixture(scope="module")
def segmenter():
    return PartSegmenter.load()


@pytest.mark.parametrize(("resolution", "least_iou"), [(128, 0.90), (64, 0.88)])
def test_quality_on_unseen_shoes(segmenter, resolution, least_iou):
    confusion, errors, whole = ConfusionMatrix(len(segmenter.labels)), [], []
    for index in range(40):
        shoe = render(123_456, index, resolution)
        confusion.update(segmenter.segment(shoe.image), shoe.part_map)
        fine = segmenter.segment(shoe.image, size=256)
        true = shoe.attributes["heel_height"] / shoe.attributes["shoe_length"]
        errors.append(abs(measure(fine)["heel_height"] - true))
        whole.append(is_one_shoe(fine))
    assert confusion.mean_iou > least_iou
    assert np.median(errors) < 0.02
    assert np.mean(whole) > 0.9


def test_small_enough_to_ship():
    assert DEFAULT_PATH.stat().st_size < 8e6
