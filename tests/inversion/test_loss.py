import numpy as np
import pytest
import torch

from shoegen.inversion.loss import Distance, find_lpips, total
from shoegen.torch_utils.pixels import from_pixels


@pytest.fixture(scope="module")
def setting(segmenter, shoe):
    mask = shoe.part_map[::4, ::4] > 0
    pixels = shoe.image.reshape(64, 4, 64, 4, 3).mean((1, 3)).astype(np.uint8)
    distance = Distance(segmenter)
    return distance, distance.target(pixels, mask), pixels, mask


def picture(pixels):
    return from_pixels(torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None])


def test_nought_for_the_photograph_itself(setting):
    distance, target, pixels, _ = setting
    terms = distance(picture(pixels), target)
    assert set(terms) == {"pixels", "perceptual", "parts"}
    assert all(float(value) == pytest.approx(0, abs=1e-4) for value in terms.values())


def test_the_shoe_counts_more_than_the_rest(setting):
    distance, target, pixels, mask = setting
    near = np.zeros_like(mask)
    near[np.argwhere(mask)[:200, 0], np.argwhere(mask)[:200, 1]] = True
    far = np.zeros_like(mask)
    far[:10, :20] = True
    assert near.sum() == far.sum() == 200
    on, off = (
        float(distance(picture(np.where(each[..., None], 255 - pixels, pixels)), target)["pixels"])
        for each in (near, far)
    )
    assert on > 2 * off > 0


def test_gradients_reach_the_picture(setting):
    distance, target, pixels, _ = setting
    image = (0.8 * picture(pixels)).requires_grad_()
    total(distance(image, target)).backward()
    assert torch.isfinite(image.grad).all()
    assert image.grad.abs().sum() > 0


def test_lpips_stands_in_where_it_is(setting, segmenter):
    _, target, pixels, _ = setting
    seen = []

    def lpips(one, other):
        seen.append((one, other))
        return (one - other).abs().mean((1, 2, 3))

    distance = Distance(segmenter, lpips)
    assert distance.name == "LPIPS"
    changed = picture(pixels).clone()
    changed[..., :6, :6] = -1
    value = float(distance(changed, target)["perceptual"])
    assert value > 0
    ours, theirs = seen[0]
    inside = target.weights.expand_as(ours) == 1
    assert torch.equal(ours[inside], changed[inside])  # off the shoe, mostly the photograph's
    assert (ours - theirs).abs().max() < 0.5 * (changed - theirs).abs().max()


def test_absent_weights_are_said(monkeypatch):
    monkeypatch.delenv("SHOEGEN_ASSETS", raising=False)
    found, said = find_lpips()
    assert found is None
    assert "the segmenter's features (no vgg16-397923af.pth on disk)" in said
