from dataclasses import replace

import cv2
import numpy as np
import pytest

from shoegen.data.squares import box_of
from shoegen.errors import ConfigError, DataError
from shoegen.inversion import align as aligning
from shoegen.inversion.align import Photo, Placement, align, fill, rear_ratio, tilt
from shoegen.inversion.encoder import DEFAULT_PATH
from shoegen.stylegan.networks import Generator

from .conftest import PLACEMENT

ASSETS = DEFAULT_PATH.parent


def wedge(height=120, width=200):
    """A shoe's outline, toe at the left, on a heel; before margins."""
    mask = np.zeros((height, width), bool)
    for x in range(20, width - 20):
        share = (x - 20) / (width - 40)
        top = round(height - 20 - 20 - 50 * share)
        bottom = height - 20 - (round(12 * max(0, share - 0.4)) if share < 0.85 else 0)
        mask[top:bottom, x] = True
    return mask


def on_white(mask, color=(120, 40, 40)):
    picture = np.full((*mask.shape, 3), 250, np.uint8)
    picture[mask] = color
    return picture


def turned(array, angle):
    height, width = array.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 0.8)
    return cv2.warpAffine(
        array.astype(np.uint8), matrix, (width, height), borderValue=(250, 250, 250) if array.ndim == 3 else 0
    )


def test_placed_as_the_samples_are(segmenter):
    mask = wedge()
    photo = align(on_white(mask), PLACEMENT, segmenter, mask=mask)
    assert photo.aligned.shape == (64, 64, 3)
    top, left, bottom, right = box_of(photo.aligned_mask)
    assert abs((right - left) - 0.8 * 64) <= 1
    assert abs(bottom - 0.9 * 64) <= 1
    assert abs((left + right) / 2 - 32) <= 1
    assert not photo.is_flipped
    assert np.abs(photo.aligned[0, 0].astype(int) - 240).max() <= 1
    assert np.abs(photo.aligned[(top + bottom) // 2, 40].astype(int) - (120, 40, 40)).max() <= 4


@pytest.mark.parametrize("flip", ["auto", "yes"])
def test_the_toe_comes_to_the_left(segmenter, flip):
    mask = wedge()
    straight = align(on_white(mask), PLACEMENT, segmenter, mask=mask)
    mirrored = mask[:, ::-1].copy()
    photo = align(on_white(mirrored), PLACEMENT, segmenter, mask=mirrored, flip=flip)
    assert photo.is_flipped
    assert (photo.aligned_mask != straight.aligned_mask).mean() < 0.02
    left = align(on_white(mirrored), PLACEMENT, segmenter, mask=mirrored, flip="no")
    assert not left.is_flipped


@pytest.mark.parametrize("angle", [-12, 8])
def test_levelled(segmenter, angle):
    mask = turned(wedge(260, 260), angle) > 0
    assert tilt(mask) == pytest.approx(-angle, abs=1.5)
    photo = align(on_white(mask), PLACEMENT, segmenter, mask=mask)
    assert abs(tilt(cv2.resize(photo.aligned_mask.astype(np.uint8), (512, 512)) > 0)) < 2.5


def test_a_tall_boot_is_made_smaller(segmenter):
    mask = np.zeros((400, 200), bool)
    mask[20:380, 90:180] = True
    mask[320:380, 20:180] = True
    photo = align(on_white(mask), PLACEMENT, segmenter, mask=mask)
    top, _, bottom, _ = box_of(photo.aligned_mask)
    assert top >= 1
    assert abs(bottom - 0.9 * 64) <= 1


def test_a_shoe_is_found_and_two_ask_which(segmenter, shoe):
    image = shoe.image
    photo = align(image, PLACEMENT, segmenter)
    true = shoe.part_map > 0
    assert (photo.mask & true).sum() / (photo.mask | true).sum() > 0.93
    pair = np.concatenate([image, image], axis=1)
    with pytest.raises(DataError, match="found 2 shoes; choose one with --instance 1 to 2"):
        align(pair, PLACEMENT, segmenter)
    second = align(pair, PLACEMENT, segmenter, instance=2)
    assert box_of(second.mask)[1] > 256
    with pytest.raises(DataError, match="--instance: got 3, but found 2"):
        align(pair, PLACEMENT, segmenter, instance=3)


def test_a_huge_picture(segmenter, shoe, monkeypatch):
    photo = align(shoe.image, PLACEMENT, segmenter)
    monkeypatch.setattr(aligning, "LARGEST", 256)
    huge = cv2.resize(shoe.image, (1024, 1024), interpolation=cv2.INTER_NEAREST)
    same = align(huge, PLACEMENT, segmenter)
    assert same.pixels.shape == (1024, 1024, 3)
    assert same.mask.shape == (1024, 1024)
    assert same.scale == pytest.approx(4 * photo.scale, rel=1e-3)
    assert np.abs(same.aligned.astype(int) - photo.aligned).max() <= 1
    point = np.array([100.0, 150.0])
    there = photo.matrix @ [*point, 1]
    assert same.matrix @ [*(4 * point + 1.5), 1] == pytest.approx(there, abs=0.01)
    by_mask = align(huge, PLACEMENT, segmenter, mask=same.mask)
    assert (by_mask.aligned_mask != photo.aligned_mask).mean() < 0.02


def test_what_shows_no_shoe(segmenter):
    plain = np.full((100, 100, 3), 240, np.uint8)
    with pytest.raises(DataError, match="no shoe was found"):
        align(plain, PLACEMENT, segmenter)
    tiny = np.zeros((100, 100), bool)
    tiny[40:44, 40:52] = True
    with pytest.raises(DataError, match="the shoe is 12x4 pixels, expected at least 16"):
        align(plain, PLACEMENT, segmenter, mask=tiny)
    with pytest.raises(ConfigError, match="--flip: got 'left'"):
        align(plain, PLACEMENT, segmenter, mask=tiny, flip="left")
    with pytest.raises(DataError, match="expected a picture"):
        align(plain[..., 0], PLACEMENT, segmenter)


def test_notes(segmenter):
    mask = wedge()
    cut = mask[:, 25:].copy()
    assert any("cut off" in note for note in align(on_white(cut), PLACEMENT, segmenter, mask=cut).notes)
    block = np.zeros((80, 160), bool)
    block[20:60, 20:140] = True
    notes = align(on_white(block), PLACEMENT, segmenter, mask=block).notes
    assert any("which end is the toe" in note for note in notes)
    assert rear_ratio(block) == pytest.approx(1)


def test_put_back_changes_the_shoe_alone(segmenter):
    mask = wedge(240, 400)
    rng = np.random.default_rng(0)
    image = on_white(mask)
    image[~mask] = rng.integers(200, 256, (np.count_nonzero(~mask), 3))
    photo = align(image, PLACEMENT, segmenter, mask=mask)
    rendered = np.full((64, 64, 3), 240, np.uint8)
    new = np.zeros((64, 64), bool)
    new[40:58, 10:40] = True  # shorter than the old one
    rendered[new] = (10, 200, 30)
    made = photo.put_back(rendered, new)
    assert made.shape == image.shape
    painted = made[..., 1] > made[..., 0].astype(int) + 60
    near = cv2.dilate((mask | painted).astype(np.uint8), np.ones((31, 31))) > 0
    assert (made[~near] == image[~near]).all()
    green = (np.abs(made.astype(int) - (10, 200, 30)).max(2) < 30).sum()
    assert green * abs(np.linalg.det(photo.matrix[:, :2])) == pytest.approx(new.sum(), rel=0.1)
    hidden = mask & ~(made[..., 1] > 150)
    assert not (np.abs(made[hidden].astype(int) - (120, 40, 40)).max(1) < 20).any()


def test_put_back_of_the_same_shoe_is_the_photograph(segmenter, shoe):
    photo = align(shoe.image, replace(PLACEMENT, size=(256, 256)), segmenter)
    made = photo.put_back(photo.aligned, photo.aligned_mask)
    inside = cv2.erode(photo.mask.astype(np.uint8), np.ones((5, 5))) > 0
    assert np.abs(made[inside].astype(int) - shoe.image[inside]).mean() < 6
    with pytest.raises(DataError, match="expected"):
        photo.put_back(photo.aligned[..., 0], photo.aligned_mask)


def test_flipped_is_put_back_flipped(segmenter):
    mask = wedge(240, 400)[:, ::-1].copy()
    photo = align(on_white(mask), PLACEMENT, segmenter, mask=mask)
    assert photo.is_flipped
    made = photo.put_back(photo.aligned, photo.aligned_mask)
    shown = np.abs(made.astype(int) - (120, 40, 40)).max(2) < 60
    assert (shown & mask).sum() / (shown | mask).sum() > 0.87


def test_fill_takes_what_is_around():
    image = np.full((900, 1200, 3), 200, np.uint8)
    hole = np.zeros((900, 1200), bool)
    hole[300:600, 400:800] = True
    image[hole] = 0
    filled = fill(image, hole)
    assert np.abs(filled[hole].astype(int) - 200).max() <= 2


def test_placement_is_that_of_samples(segmenter):
    generator = Generator.load(ASSETS / "generator.safetensors")
    found = Placement.of(generator, segmenter)
    assert found.size == (64, 64)
    assert found.length == pytest.approx(0.785, abs=0.02)
    assert found.ground == pytest.approx(0.914, abs=0.02)
    assert found.center == pytest.approx(0.5, abs=0.02)
    assert min(found.background) > 220


def test_a_generator_without_shoes(segmenter, generator, monkeypatch):
    monkeypatch.setattr(aligning, "foreground", lambda _, image: np.zeros(image.shape[:2], np.float32))
    with pytest.raises(DataError, match="saw a shoe in"):
        Placement.of(generator, segmenter)


def test_hash_is_of_photograph_and_shoe(segmenter):
    mask = wedge()
    one = align(on_white(mask), PLACEMENT, segmenter, mask=mask)
    same = align(on_white(mask), PLACEMENT, segmenter, mask=mask)
    other = align(on_white(mask, (1, 2, 3)), PLACEMENT, segmenter, mask=mask)
    assert isinstance(one, Photo)
    assert one.sha256 == same.sha256 != other.sha256
