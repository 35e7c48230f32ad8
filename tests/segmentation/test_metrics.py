import numpy as np
import pytest

from shoegen.data.labels import LabelMap
from shoegen.segmentation.metrics import ConfusionMatrix


def test_against_counting_by_hand():
    confusion = ConfusionMatrix(4)
    true, predicted = np.array([[0, 0, 1], [1, 2, 2]], np.uint8), np.array([[0, 1, 1], [1, 2, 0]], np.uint8)
    confusion.update(predicted, true)
    assert confusion.pixel_accuracy == pytest.approx(4 / 6)
    np.testing.assert_allclose(confusion.iou, [1 / 3, 2 / 3, 1 / 2, np.nan])
    np.testing.assert_allclose(confusion.dice, [1 / 2, 4 / 5, 2 / 3, np.nan])
    assert confusion.mean_iou == pytest.approx(0.5)
    figures = confusion.figures(LabelMap.from_names(["none", "a", "b", "c"]))
    assert figures["iou_a"] == pytest.approx(2 / 3)
    assert "iou_c" not in figures


def test_iou_follows_from_dice_and_updates_add_up():
    rng = np.random.default_rng(0)
    true, predicted = rng.integers(0, 7, (2, 5, 16, 16))
    whole, pieces = ConfusionMatrix(7), ConfusionMatrix(7)
    whole.update(predicted, true)
    for one_predicted, one_true in zip(predicted, true, strict=True):
        pieces.update(one_predicted, one_true)
    np.testing.assert_array_equal(whole.counts, pieces.counts)
    np.testing.assert_allclose(whole.iou, whole.dice / (2 - whole.dice))
