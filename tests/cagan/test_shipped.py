"""The swapper that ships with shoegen keeps what benchmarks/swap_quality.py measured."""

import cv2
import numpy as np
import pytest

from shoegen.cagan.swapping import DEFAULT_PATH, Swapper
from shoegen.data.colors import delta_e
from shoegen.data.synthetic import render_worn, sample_parameters, sample_wearer
from shoegen.torch_utils.tensors import load_tensors

SEED = 123_456


@pytest.fixture(scope="module")
def swaps():
    """Of each unseen pair: the photo, the swap, the true picture, and where either shoe is."""
    swapper, found = Swapper.load(), []
    for index in range(16):
        wearer = sample_wearer(SEED, index)
        worn, truth = (render_worn(sample_parameters(SEED, each), wearer, 128) for each in (index, index + 1))
        swap = swapper.swap(worn.photo, worn.article, truth.article)
        found.append((worn.photo, swap.image, truth.photo, (worn.part_map > 0) | (truth.part_map > 0)))
    return found


def test_nearer_to_the_truth_than_the_photo_left_alone(swaps):
    made, kept = (
        np.mean([delta_e(each[index], each[2])[each[3]].mean() for each in swaps]) for index in (1, 0)
    )
    assert made < 0.6 * kept


def test_the_rest_of_the_photo_stays(swaps):
    psnr = []
    for photo, made, _, shoes in swaps:
        beyond = cv2.dilate(shoes.astype(np.uint8), np.ones((3, 3), np.uint8)) == 0
        error = np.mean((photo[beyond].astype(float) - made[beyond]) ** 2)
        psnr.append(10 * np.log10(255**2 / max(error, 1e-9)))
    assert np.mean(psnr) > 33  # the mean over many pairs is above 35


def test_small_enough_to_ship_and_says_nothing_of_where_it_was_made():
    assert DEFAULT_PATH.stat().st_size < 8e6
    _, metadata = load_tensors(DEFAULT_PATH, kind="cagan")
    assert "/" not in str(metadata)
