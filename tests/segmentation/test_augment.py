from dataclasses import fields, replace

import pytest
import torch

from shoegen.data.labels import IGNORED
from shoegen.segmentation.augment import augment
from shoegen.segmentation.config import AUGMENTATIONS, AugmentConfig
from shoegen.torch_utils.draws import BatchDraws

NOTHING = AUGMENTATIONS["none"]


@pytest.fixture
def batch():
    """A coloured block on white; the part map says where it is."""
    labels = torch.zeros(8, 32, 48, dtype=torch.int64)
    labels[:, 10:26, 8:40] = 3
    images = torch.ones(8, 3, 32, 48)
    images[(labels == 3)[:, None].expand_as(images)] = -0.5
    return images, labels


def draws(seed=0, rows=range(8)):
    return BatchDraws((seed, "augment"), rows, 8, torch.device("cpu"))


def run(batch, config, seed=0):
    images, labels = batch
    return augment(images, labels, config, draws(seed))


def test_nothing_asked_nothing_changed(batch):
    images, labels = run(batch, NOTHING)
    assert torch.allclose(images, batch[0], atol=1e-5)
    assert torch.equal(labels, batch[1])


def test_shapes_ranges_and_labels(batch):
    images, labels = run(batch, AugmentConfig())
    assert images.shape == batch[0].shape
    assert images.dtype == torch.float32
    assert -1 <= images.min() <= images.max() <= 1
    assert labels.dtype == torch.int64
    assert set(labels.unique().tolist()) <= {0, 3}


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_rows_change_alike_in_any_company(batch, name):
    config = AUGMENTATIONS[name]
    images, labels = run(batch, config)
    some = [5, 2]
    alone, alone_labels = augment(batch[0][some], batch[1][some], config, draws(rows=some))
    torch.testing.assert_close(alone, images[some])
    assert torch.equal(alone_labels, labels[some])


def test_street_pictures_keep_their_background(batch):
    config = AUGMENTATIONS["street"]
    assert (config.background, config.patches) == (0, 0)
    assert config.flip > 0
    images, labels = run(batch, config)
    assert not torch.equal(images, batch[0])
    assert not torch.equal(labels, batch[1])


def test_ignored_pixels_stay_ignored(batch):
    images, labels = batch
    labels[labels == 3] = IGNORED
    _, moved = run((images, labels), AugmentConfig(rotation=20))
    assert set(moved.unique().tolist()) == {0, IGNORED}


def test_the_draws_alone_decide(batch):
    before = torch.get_rng_state()
    first, again, other = (
        run(batch, AugmentConfig()),
        run(batch, AugmentConfig()),
        run(batch, AugmentConfig(), 1),
    )
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])
    assert torch.equal(before, torch.get_rng_state())


def test_geometry_moves_pictures_and_labels_alike(batch):
    config = replace(NOTHING, flip=0.5, rotation=20, scale=0.3, aspect=0.2, shift=0.1)
    images, labels = run(batch, config)
    assert not torch.equal(labels, batch[1])
    block = images[:, 0] < 0.25
    assert ((labels == 3) == block).float().mean() > 0.99


def test_flip_mirrors(batch):
    images, labels = batch
    images[..., 0], labels[..., 0] = 0.0, 5
    mirrored, mirrored_labels = run((images, labels), replace(NOTHING, flip=1.0))
    assert torch.allclose(mirrored, images.flip(-1), atol=1e-5)
    assert torch.equal(mirrored_labels, labels.flip(-1))


def test_patches_stay_on_the_shoe(batch):
    images, labels = run(batch, replace(NOTHING, patches=1.0))
    background = (labels == 0)[:, None].expand_as(images)
    assert torch.allclose(images[background], batch[0][background], atol=1e-5)


def test_background_changes_behind_the_shoe_only(batch):
    images, labels = run(batch, replace(NOTHING, background=1.0))
    shoe = (labels == 3)[:, None].expand_as(images)
    assert torch.allclose(images[shoe], batch[0][shoe], atol=1e-5)
    assert (images[~shoe] - batch[0][~shoe]).abs().mean() > 0.05


@pytest.mark.parametrize(
    "name", ["background", "patches", "color", "blur", "low_resolution", "noise", "cutout"]
)
def test_photometric_changes_leave_the_labels(batch, name):
    assert name in {field.name for field in fields(AugmentConfig)}
    images, labels = run(batch, replace(NOTHING, smallest=8, largest=16, **{name: 1.0}))
    assert torch.equal(labels, batch[1])
    assert (images - batch[0]).abs().max() > 0.01
