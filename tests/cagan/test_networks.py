import pytest
import torch

from shoegen.cagan.config import PRESETS, CaganConfig, DiscriminatorConfig
from shoegen.cagan.networks import ArticleAttention, Discriminator, Generator, _grid, blend, carry

from .tiny import CHANNELS

PLAIN = {"channels": CHANNELS}
MODERN = {"channels": CHANNELS, "features": True, "attention": (4, 3), "head": 4}
KINDS = {
    "paper": PLAIN,
    "modern": MODERN,
    "attention at one level": {**PLAIN, "attention": (2,)},
    "attention at the coarsest": {**PLAIN, "attention": (4,), "features": True},
}


def pictures(*size, count=3, seed=0):
    torch.manual_seed(seed)
    return [torch.rand(2, 3, *size) * 2 - 1 for _ in range(count)]


@pytest.mark.parametrize("size", [(32, 32), (48, 32), (32, 80)])
@pytest.mark.parametrize("kind", KINDS)
def test_the_contract(kind, size):
    net = Generator(CaganConfig(resolution=size, **KINDS[kind]))
    photo, worn, other = pictures(*size)
    swap = net(photo, worn, other)
    assert swap.result.shape == swap.drawn.shape == (2, 3, *size)
    assert swap.alpha.shape == (2, 1, *size)
    assert 0 <= swap.alpha.min() <= swap.alpha.max() <= 1
    assert swap.drawn.abs().max() <= 1
    assert (swap.places is None) == (not net.config.attention)
    if swap.places is not None:
        assert torch.equal(swap.drawn, blend(swap.painted, swap.share, carry(other, swap.places)))
    assert torch.equal(swap.result, swap.alpha * swap.drawn + (1 - swap.alpha) * photo)
    swap.result.square().mean().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("kind", KINDS)
def test_all_three_pictures_have_a_say(kind):
    net = Generator(CaganConfig(resolution=32, **KINDS[kind]))
    inputs = pictures(32, 32)
    before = net(*inputs)
    for i in range(3):
        changed = [picture.flip(2) if i == j else picture for j, picture in enumerate(inputs)]
        assert not torch.allclose(net(*changed).drawn, before.drawn)


def test_where_alpha_is_0_the_photo_is_itself():
    photo, drawn = pictures(32, 32, count=2)
    alpha = torch.zeros(2, 1, 32, 32)
    assert torch.equal(blend(photo, alpha, drawn), photo)
    alpha[:, :, 8:] = 1
    assert torch.equal(blend(photo, alpha, drawn)[:, :, 8:], drawn[:, :, 8:])


def test_untrained_attention_looks_at_its_own_place():
    attention = ArticleAttention(6, 4)
    _, places = attention(torch.randn(2, 6, 8, 12), torch.randn(2, 4, 8, 12))
    own = _grid(torch.zeros(1, 1, 8, 12))
    assert (places - own).abs()[:, :, 2:-2, 2:-2].max() < 0.05  # at the edges it sees one side only


def test_attention_goes_where_its_offset_leads():
    attention = ArticleAttention(6, 4)
    attention.sharpness.data += 3
    attention.offset.bias.data[:] = torch.tensor([0.5, 0.0])
    _, places = attention(torch.randn(1, 6, 8, 8), torch.randn(1, 4, 8, 8))
    own = _grid(torch.zeros(1, 1, 8, 8))
    assert (places[0, 0] - own[0, 0] - 0.5)[:, :4].abs().max() < 0.05
    assert (places[0, 1] - own[0, 1]).abs().max() < 0.1


def test_an_article_is_carried_to_where_it_is_looked_for():
    (article,) = pictures(32, 32, count=1)
    own = _grid(torch.zeros(2, 1, 32, 32)).expand(2, -1, -1, -1)
    assert torch.allclose(carry(article, own), article, atol=1e-5)
    shifted = own + torch.tensor([2 * 4 / 32, 0.0])[None, :, None, None]
    assert torch.allclose(carry(article, shifted)[..., :-4], article[..., 4:], atol=1e-5)


@pytest.mark.parametrize("norm", ["batch", "spectral"])
@pytest.mark.parametrize("size", [(32, 32), (64, 48)])
def test_the_discriminator_judges_patches(norm, size):
    net = Discriminator(DiscriminatorConfig(channels=CHANNELS, norm=norm))
    photo, article, other = pictures(*size)
    assert net(photo, article).shape == (2, 1, size[0] // 16, size[1] // 16)
    assert not torch.allclose(net(photo, article), net(photo, other))
    has_norms = any(isinstance(each, torch.nn.BatchNorm2d) for each in net.modules())
    assert has_norms == (norm == "batch")


def test_the_small_preset_ships_in_8_megabytes():
    parameters = sum(each.numel() for each in Generator(PRESETS["small"]("x").model).parameters())
    assert parameters * 2 < 8e6
