import cv2
import numpy as np
import pytest

from shoegen.errors import ConfigError
from shoegen.segmentation.grabcut import grabcut


@pytest.fixture(scope="module")
def disc():
    """A red disc before blue noise, and its mask."""
    rng = np.random.default_rng(0)
    image = (rng.normal(0, 12, (60, 80, 3)) + (60, 80, 170)).clip(0, 255).astype(np.uint8)
    mask = cv2.circle(np.zeros((60, 80), np.uint8), (42, 30), 18, 1, -1).astype(bool)
    image[mask] = (rng.normal(0, 12, (mask.sum(), 3)) + (190, 60, 40)).clip(0, 255)
    return image, mask


def agreement(one, other):
    return 2 * (one & other).sum() / (one.sum() + other.sum())


def test_a_box_a_mask_and_probabilities_find_the_object(disc):
    image, truth = disc
    assert agreement(grabcut(image, box=(20, 8, 44, 44)), truth) > 0.97
    rough = np.roll(truth, 2, axis=1)
    assert agreement(rough, truth) < 0.95
    assert agreement(grabcut(image, mask=rough), truth) > 0.97
    unsure = cv2.GaussianBlur(rough.astype(np.float32), (0, 0), 4)
    assert agreement(grabcut(image, probability=unsure), truth) > 0.97


def test_masks_of_bytes(disc):
    """128 and more counts, which leaves out what JPEG adds; 0 and 1 alone are taken as such."""
    image, truth = disc
    blurred = np.where(truth, 250, 9).astype(np.uint8)
    wanted = grabcut(image, mask=truth)
    assert np.array_equal(grabcut(image, mask=blurred), wanted)
    assert np.array_equal(grabcut(image, mask=truth.astype(np.uint8)), wanted)


def test_the_same_call_gives_the_same_mask(disc):
    image, _ = disc
    first = grabcut(image, box=(20, 8, 44, 44), seed=3)
    cv2.setRNGSeed(77)
    assert np.array_equal(first, grabcut(image, box=(20, 8, 44, 44), seed=3))


def test_large_pictures_are_cut_at_their_own_size(disc):
    image, truth = disc
    large = cv2.resize(image, (1280, 960), interpolation=cv2.INTER_NEAREST)
    cut = grabcut(large, box=(320, 128, 704, 704))
    assert cut.shape == (960, 1280)
    assert agreement(cut[8::16, 8::16], truth) > 0.97


def test_a_box_may_reach_beyond_the_picture(disc):
    image, truth = disc
    assert agreement(grabcut(image, box=(18, -5, 90, 90)), truth) > 0.9


@pytest.mark.parametrize(
    ("start", "message"),
    [
        ({"box": (80, 10, 20, 20)}, "--box: got 80,10,20,20 .* for a picture of 80x60, which lies outside"),
        ({"box": (10, 10, 0, 20)}, "width and height of at least 1"),
        ({"box": (10, 10, 20, -4)}, "width and height of at least 1"),
        ({"box": (0, 0, 80, 60)}, "all of it"),
        ({"box": (-5, -5, 200, 200)}, "all of it"),
        ({"mask": np.ones((60, 81), bool)}, "--mask is 81x60, its picture 80x60"),
        ({"mask": np.ones((60, 80), bool)}, "marks everything"),
        ({"mask": np.zeros((60, 80), bool)}, "marks nothing"),
        ({"mask": np.full((60, 80), 127, np.uint8)}, "marks nothing"),
        ({"mask": np.ones((60, 80), np.float32)}, "of float32, expected .* bool or uint8"),
        ({}, "one start"),
        ({"box": (1, 1, 9, 9), "mask": np.zeros((60, 80), bool)}, "one start"),
    ],
)
def test_bad_starts_are_one_line(disc, start, message):
    with pytest.raises(ConfigError, match=message):
        grabcut(disc[0], **start)


def test_a_start_that_tells_nothing_apart_stays(disc):
    image, _ = disc
    assert not grabcut(image, probability=np.zeros((60, 80), np.float32)).any()
    assert grabcut(image, probability=np.ones((60, 80), np.float32)).all()
