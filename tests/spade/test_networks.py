import dataclasses

import pytest
import torch

from shoegen.errors import ConfigError
from shoegen.spade.config import DiscriminatorConfig, SpadeConfig, small_config
from shoegen.spade.networks import (
    Discriminator,
    Generator,
    Modulation,
    StyleEncoder,
    load_plain,
    measure_statistics,
    plain,
    plain_state,
    semantics,
)
from shoegen.spade.networks import _modulate as modulate

TINY = SpadeConfig(
    classes=3, resolution=32, channels=2, hidden=4, z_dim=5, styled=True, shared_skip=True, modulation_kernel=1,
    encoder_channels=4, encoder_norm="group",
)  # fmt: skip
PUBLISHED = dataclasses.replace(
    TINY, styled=False, shared_skip=False, modulation_kernel=3, encoder_norm="instance"
)


def a_map(config, count=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, config.classes, (count, *config.size), generator=generator)


def a_style(config, count=2, seed=0):
    return torch.randn(count, config.z_dim, generator=torch.Generator().manual_seed(seed))


def shaken(network):
    """With biases and statistics that are no longer at their beginnings."""
    with torch.no_grad():
        for i, each in enumerate(network.parameters()):
            each.add_(0.1 * torch.randn(each.shape, generator=torch.Generator().manual_seed(i)))
    return network


@pytest.mark.parametrize("norm", ["batch", "instance", "group", "none"])
@pytest.mark.parametrize("base", [TINY, PUBLISHED], ids=["tiny", "published"])
def test_generator_learns_everywhere(base, norm):
    config = dataclasses.replace(base, norm=norm, resolution=64)
    generator = Generator(config)
    painted = generator(a_map(config), a_style(config))
    assert painted.shape == (2, 3, 64, 64)
    assert painted.abs().max() <= 1
    painted.square().sum().backward()
    assert not [name for name, each in generator.named_parameters() if each.grad is None]


@pytest.mark.parametrize(
    ("upsampling", "resolution", "blocks"),
    [("normal", (64, 32), 7), ("more", (64, 128), 7), ("most", (128, 256), 8)],
)
@pytest.mark.parametrize("z_dim", [5, None])
def test_sizes(upsampling, resolution, blocks, z_dim):
    config = dataclasses.replace(
        PUBLISHED, upsampling=upsampling, resolution=resolution, z_dim=z_dim, edges=True
    )
    generator = Generator(config)
    assert len(generator.blocks) == blocks
    z = None if z_dim is None else a_style(config, 1)
    painted = generator(a_map(config, 1), z, torch.zeros(1, 1, *config.size))
    assert painted.shape == (1, 3, *config.size)


def test_channels_are_limited():
    config = dataclasses.replace(PUBLISHED, channels=4, max_channels=10)
    widths = [block.conv_1.out_channels for block in Generator(config).blocks]
    assert widths == [10, 10, 10, 10, 10, 8, 4]


def test_unlabelled_pixels_are_of_no_class():
    one_hot = semantics(torch.tensor([[[0, 2, 255]]]), None, TINY)
    assert one_hot[0, :, 0].T.tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 0]]


def test_edges_are_a_channel():
    config = dataclasses.replace(TINY, edges=True)
    edges = torch.rand(2, 1, 32, 32)
    maps = semantics(a_map(config), edges, config)
    assert maps.shape == (2, 4, 32, 32)
    assert torch.equal(maps[:, 3:], edges)
    with pytest.raises(ConfigError, match="got none"):
        semantics(a_map(config), None, config)
    with pytest.raises(ConfigError, match="without"):
        semantics(a_map(config), edges, TINY)


def test_style_is_asked_for():
    generator = Generator(TINY)
    with pytest.raises(ConfigError, match="style: got no numbers, expected 5"):
        generator(a_map(TINY))
    with pytest.raises(ConfigError, match="got 4 numbers"):
        generator(a_map(TINY), torch.zeros(2, 4))
    without = dataclasses.replace(PUBLISHED, z_dim=None)
    with pytest.raises(ConfigError, match="expected none"):
        Generator(without)(a_map(without), torch.zeros(2, 5))
    with pytest.raises(ConfigError, match="--z-dim"):
        StyleEncoder(without)


def test_styled_modulation_follows_the_style():
    maps = semantics(a_map(TINY, 1), None, TINY)
    for config, follows in ((TINY, True), (PUBLISHED, False)):
        modulation = Modulation(config, 6)
        assert modulation(maps, a_style(config, 1)).shape == (1, 12, 32, 32)
        differ = modulation(maps, a_style(config, 1)) != modulation(maps, a_style(config, 1, seed=1))
        assert bool(differ.any()) == follows


@pytest.mark.parametrize("slope", [0.2, 1.0])
def test_modulation_has_the_gradients_of_its_formula(slope):
    generator = torch.Generator().manual_seed(0)
    normal, modulation = (
        torch.randn(2, channels, 3, 4, dtype=torch.float64, generator=generator, requires_grad=True)
        for channels in (3, 6)
    )
    scale, shift = modulation.chunk(2, 1)
    expected = torch.nn.functional.leaky_relu(normal * scale + shift, slope)
    torch.testing.assert_close(modulate(normal, modulation, slope), expected)
    with torch.no_grad():
        torch.testing.assert_close(modulate(normal, modulation, slope), expected)
    assert torch.autograd.gradcheck(lambda *each: modulate(*each, slope), (normal, modulation))


@pytest.mark.parametrize("size", [(32, 32), (20, 31), (100, 64)])
@pytest.mark.parametrize("config", [TINY, PUBLISHED], ids=["tiny", "published"])
def test_encoder_takes_any_size(config, size):
    mean, log_variance = StyleEncoder(config)(torch.rand(2, 3, *size) * 2 - 1)
    assert mean.shape == log_variance.shape == (2, 5)


def test_discriminator():
    config = DiscriminatorConfig(channels=4, layers=3, scales=2)
    discriminator = Discriminator(config, TINY)
    images = (torch.rand(2, 3, 32, 32) * 2 - 1).requires_grad_()
    scales = discriminator(semantics(a_map(TINY), None, TINY), images)
    assert [[tuple(each.shape[1:]) for each in features] for features in scales] == [
        [(4, 17, 17), (8, 9, 9), (16, 10, 10), (1, 11, 11)],
        [(4, 9, 9), (8, 5, 5), (16, 6, 6), (1, 7, 7)],
    ]
    sum(features[-1].sum() for features in scales).backward()
    assert images.grad.abs().sum() > 0


@pytest.mark.parametrize("make", [Generator, StyleEncoder])
def test_plain_network_gives_the_same_without_spectral_norm(make):
    network = shaken(make(TINY)).eval()
    inputs = (a_map(TINY), a_style(TINY)) if make is Generator else (torch.rand(2, 3, 32, 32),)
    before = {name: each.clone() for name, each in network.state_dict().items()}
    simple = plain(network.train())
    assert network.training
    assert not simple.training
    assert not any(each.requires_grad for each in simple.parameters())
    assert not any("parametrizations" in name for name in simple.state_dict())
    assert simple.state_dict().keys() == plain_state(network).keys()
    assert all(torch.equal(each, before[name]) for name, each in network.state_dict().items())
    with torch.no_grad():
        for ours, theirs in zip(network.eval()(*inputs), simple(*inputs)):
            torch.testing.assert_close(ours, theirs)


def test_training_starts_from_a_plain_network():
    trained = shaken(Generator(TINY))
    for _ in range(40):  # singular values nearly as exact as after long training
        trained(a_map(TINY), a_style(TINY))
    state = plain(trained).state_dict()
    for spectral, tolerance in ((False, 0), (True, 0.02)):
        network = Generator(TINY, spectral=spectral)
        load_plain(network, state)
        for name, each in plain(network).state_dict().items():
            torch.testing.assert_close(each, state[name], rtol=0, atol=tolerance)
    with pytest.raises(RuntimeError, match="blocks"):
        load_plain(Generator(PUBLISHED), state)


def test_statistics_are_those_of_the_batches():
    generator = plain(shaken(Generator(TINY)))
    batches = [(semantics(a_map(TINY, 3, seed), None, TINY), a_style(TINY, 3, seed)) for seed in range(2)]
    inputs = []
    generator.blocks[0].norm_1.register_forward_hook(lambda _, given, __: inputs.append(given[0]))
    measure_statistics(generator, batches)
    assert not any(each.training for each in generator.modules())
    norm = generator.blocks[0].norm_1
    mean = torch.stack([each.mean((0, 2, 3)) for each in inputs]).mean(0)
    variance = torch.stack([each.var((0, 2, 3)) for each in inputs]).mean(0)
    torch.testing.assert_close(norm.running_mean, mean)
    torch.testing.assert_close(norm.running_var, variance)
    assert norm.momentum == 0.1


def test_averaged_network_paints_like_the_last_one_where_nothing_changes():
    generator = Generator(TINY)
    generator(a_map(TINY), a_style(TINY))
    average = plain(generator)
    for name, each in plain_state(generator).items():
        if each.is_floating_point():
            average.state_dict()[name].lerp_(each, 0.5)
    with torch.no_grad():
        ours, theirs = (each.eval()(a_map(TINY), a_style(TINY)) for each in (average, generator))
    torch.testing.assert_close(ours, theirs)


def test_small_preset_ships_in_12_megabytes():
    model = small_config("shoes").model
    count = sum(each.numel() for net in (Generator(model), StyleEncoder(model)) for each in net.parameters())
    assert 2 * count < 12e6
