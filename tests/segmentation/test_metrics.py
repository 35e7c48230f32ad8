import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoegen.data.labels import IGNORED, LabelMap
from shoegen.segmentation.metrics import ConfusionMatrix


def test_against_counting_by_hand():
    confusion = ConfusionMatrix(4)
    true, predicted = np.array([[0, 0, 1], [1, 2, 2]], np.uint8), np.array([[0, 1, 1], [1, 2, 0]], np.uint8)
    confusion.update(predicted, true)
    assert confusion.counts.tolist() == [[1, 1, 0, 0], [0, 2, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]
    assert confusion.pixel_accuracy == pytest.approx(4 / 6)
    np.testing.assert_allclose(confusion.iou, [1 / 3, 2 / 3, 1 / 2, np.nan])
    np.testing.assert_allclose(confusion.dice, [1 / 2, 4 / 5, 2 / 3, np.nan])
    assert confusion.mean_iou == pytest.approx(0.5)
    assert confusion.mean_dice == pytest.approx((1 / 2 + 4 / 5 + 2 / 3) / 3)
    figures = confusion.figures(LabelMap.from_names(["none", "a", "b", "c"]))
    assert figures["iou_a"] == pytest.approx(2 / 3)
    assert "iou_c" not in figures


@given(st.integers(0, 2**32 - 1), st.integers(2, 60))
def test_iou_follows_from_dice_and_updates_add_up(seed, classes):
    true, predicted = np.random.default_rng(seed).integers(0, classes, (2, 5, 16, 16))
    whole, pieces = ConfusionMatrix(classes), ConfusionMatrix(classes)
    whole.update(predicted, true)
    for one_predicted, one_true in zip(predicted, true, strict=True):
        pieces.update(one_predicted, one_true)
    np.testing.assert_array_equal(whole.counts, pieces.counts)
    np.testing.assert_allclose(whole.iou, whole.dice / (2 - whole.dice))


def test_ignored_pixels_do_not_count():
    confusion = ConfusionMatrix(3)
    confusion.update(np.array([[0, 1, 2]], np.uint8), np.array([[0, IGNORED, IGNORED]], np.uint8))
    assert confusion.counts.sum() == confusion.counts[0, 0] == 1


def test_nothing_seen_is_no_figure():
    confusion = ConfusionMatrix(3)
    assert np.isnan(confusion.mean_iou)
    assert confusion.figures(LabelMap.from_names(["a", "b", "c"])) == {}
    assert confusion.table(LabelMap.from_names(["a", "b", "c"])) == ""


@pytest.mark.parametrize("classes", [2, 7, 59])
def test_the_table_names_every_class_within_the_width(classes):
    labels = LabelMap.from_names([f"class-{i}" for i in range(classes)])
    confusion = ConfusionMatrix(classes)
    confusion.update(np.arange(classes), np.arange(classes))
    text = confusion.table(labels, width=80)
    assert all(len(line) <= 80 for line in text.splitlines())
    assert all(f"{name} " in text for name in labels.names)
    assert len(text.splitlines()) == 1 + -(-classes // 2)
    assert text.count("1.000 1.000") == classes
