import numpy as np
import pytest

from shoegen.data.annotations import Rle
from shoegen.data.labels import LabelMap
from shoegen.segmentation.instances.contract import Detections
from shoegen.segmentation.instances.data import Truth
from shoegen.segmentation.instances.metrics import InstanceMetrics, figures, table

LABELS = LabelMap.from_names(["background", "shoe", "bag"])
SIZE = (40, 60)


def mask(left, top, right, bottom):
    found = np.zeros(SIZE, bool)
    found[top:bottom, left:right] = True
    return found


def truth(*boxes, crowd=False):
    """Of (label, left, top, right, bottom)."""
    return Truth(
        SIZE,
        tuple(label for label, *_ in boxes),
        tuple(Rle.encode(mask(*box)) for _, *box in boxes),
        (crowd,) * len(boxes),
    )


def found(*boxes):
    """Of (score, label, left, top, right, bottom)."""
    return Detections(
        np.array([box for _, _, *box in boxes], np.float32).reshape(-1, 4),
        np.array([label for _, label, *_ in boxes], np.int64),
        np.array([score for score, *_ in boxes], np.float32),
        np.array([mask(*box) for _, _, *box in boxes], bool).reshape(-1, *SIZE),
    )


def compute(*pictures):
    metrics = InstanceMetrics()
    for detections, true in pictures:
        metrics.update(detections, true)
    return metrics.compute(LABELS)


SHOE, BAG = (1, 2, 2, 22, 12), (2, 30, 10, 50, 30)


def test_all_right_is_one(capfd):
    ap = compute((found((0.9, *SHOE), (0.8, *BAG)), truth(SHOE, BAG)))
    for kind in ("box", "mask"):
        assert (ap[kind].ap, ap[kind].ap50, ap[kind].ap75) == pytest.approx((1, 1, 1))
        assert ap[kind].classes == pytest.approx({"shoe": 1, "bag": 1})
    assert capfd.readouterr() == ("", "")


def test_nothing_found_is_zero():
    ap = compute((found(), truth(SHOE)), (found(), truth()))
    assert ap["mask"].ap == ap["box"].ap == 0
    assert ap["mask"].classes == {"shoe": 0}


def test_nothing_there_is_not_a_number():
    ap = compute((found((0.9, *SHOE)), truth()))
    assert np.isnan(ap["mask"].ap)
    assert figures(ap) == {}


def test_the_overlap_decides_by_threshold():
    """A box of 20 × 10 that is found 4 columns too far: IoU 16/24 = 0.67, right at 0.50 to 0.65."""
    ap = compute((found((0.9, 1, 6, 2, 26, 12)), truth(SHOE)))["box"]
    assert ap.ap == pytest.approx(4 / 10)
    assert (ap.ap50, ap.ap75) == pytest.approx((1, 0))


def test_a_false_find_above_a_right_one_halves_the_precision():
    wrong = (0.95, 1, 40, 30, 50, 38)
    ap = compute((found(wrong, (0.9, *SHOE)), truth(SHOE)))
    assert ap["mask"].ap == pytest.approx(0.5)
    below = compute((found((0.9, *SHOE), (0.1, *wrong[1:])), truth(SHOE)))
    assert below["mask"].ap == pytest.approx(1)


def test_a_class_that_is_mistaken_counts_for_neither():
    ap = compute((found((0.9, 2, *SHOE[1:])), truth(SHOE, BAG)))
    assert ap["mask"].ap == 0
    assert ap["mask"].classes == {"shoe": 0, "bag": 0}


def test_masks_and_boxes_are_judged_apart():
    half = Detections(
        np.array([SHOE[1:]], np.float32), np.array([1]), np.array([0.9], np.float32), mask(2, 2, 10, 12)[None]
    )
    ap = compute((half, truth(SHOE)))
    assert ap["box"].ap == pytest.approx(1)
    assert ap["mask"].ap == 0


def test_what_is_found_in_a_crowd_is_excused():
    picture = (found((0.95, *SHOE)), truth(SHOE, crowd=True))
    assert compute(picture, (found((0.9, *SHOE)), truth(SHOE)))["mask"].ap == pytest.approx(1)


def test_figures_and_table():
    ap = compute((found((0.9, *SHOE)), truth(SHOE, BAG)))
    values = figures(ap)
    assert values["mask_ap"] == pytest.approx(0.5)
    assert {"box_ap50", "mask_ap75", "mask_ap_shoe", "box_ap_bag"} <= values.keys()
    assert table(ap).splitlines()[1].split() == ["shoe", "1.000", "1.000"]
