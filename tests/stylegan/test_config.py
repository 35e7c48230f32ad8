import json

import pytest

from shoegen.errors import ConfigError
from shoegen.stylegan.config import (
    PRESETS,
    AugmentConfig,
    NetworkConfig,
    TrainingConfig,
    cpu_config,
    override,
    small_config,
    smallest_size,
)

# The published table (arXiv 2006.06676): kimg, batch, group, width, learning rate, gamma, EMA kimg, ramp, mapping.
PUBLISHED = {
    "stylegan2": (25000, 32, 4, 1, 0.002, 10, 10, None, 8),
    "paper256": (25000, 64, 8, 0.5, 0.0025, 1, 20, None, 8),
    "paper512": (25000, 64, 8, 1, 0.0025, 0.5, 20, None, 8),
    "paper1024": (25000, 32, 4, 1, 0.002, 2, 10, None, 8),
    "cifar": (100000, 64, 32, 1, 0.0025, 0.01, 500, 0.05, 2),
}


def figures(config):
    return (
        config.kimg,
        config.batch,
        config.discriminator.mbstd_group,
        config.generator.channel_base / 32768,
        config.learning_rate,
        config.r1_gamma,
        config.ema_kimg,
        config.ema_rampup,
        config.generator.mapping_layers,
    )


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_presets(name):
    assert figures(PRESETS[name]("data", 256, processes=2)) == PUBLISHED[name]


@pytest.mark.parametrize(
    ("resolution", "processes", "expected"),
    [
        (256, 1, (25000, 16, 4, 0.5, 0.0025, 0.0002 * 256**2 / 16, 5, 0.05, 2)),
        (256, 8, (25000, 64, 4, 0.5, 0.0025, 0.0002 * 256**2 / 64, 20, 0.05, 2)),
        (1024, 1, (25000, 4, 4, 1, 0.002, 0.0002 * 1024**2 / 4, 1.25, 0.05, 2)),
        (1024, 16, (25000, 64, 4, 1, 0.002, 0.0002 * 1024**2 / 64, 20, 0.05, 2)),
        (32, 128, (25000, 128, 1, 0.5, 0.0025, 0.0002 * 32**2 / 128, 40, 0.05, 2)),
    ],
)
def test_auto_follows_from_resolution_and_processes(resolution, processes, expected):
    assert figures(PRESETS["auto"]("data", resolution, processes=processes)) == pytest.approx(expected)


def test_what_all_published_presets_share():
    config = PRESETS["auto"]("data", 512)
    for network in (config.generator, config.discriminator):
        assert (network.num_fp16_res, network.conv_clamp, network.channel_max) == (4, 256, 512)
        assert [network.is_16bit(r) for r in (32, 64, 512)] == [False, True, True]
        assert [network.channels(r) for r in (4, 64, 128, 512)] == [512, 512, 256, 64]
    assert (config.generator.architecture, config.discriminator.architecture) == ("skip", "resnet")
    assert (config.r1_interval, config.path_length_interval, config.path_length_weight) == (16, 4, 2)
    cifar = PRESETS["cifar"]("data", 32)
    assert (cifar.discriminator.architecture, cifar.style_mixing, cifar.path_length_weight) == ("orig", 0, 0)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_can_be_divided_and_is_json(name):
    for resolution in (64, 256, (256, 384)):
        config = PRESETS[name]("data", resolution)
        assert config.check_batch(1) == config.batch
        assert TrainingConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_small_is_auto_for_few_pictures():
    auto, small = PRESETS["auto"]("data", 256), small_config("data", 256)
    assert small.mirror
    assert small.r1_gamma > auto.r1_gamma
    assert small.augment.speed_kimg < auto.augment.speed_kimg
    assert small.augment.p == 0
    assert small.kimg < auto.kimg


@pytest.mark.parametrize(
    ("resolution", "smallest", "doublings"),
    [(8, (4, 4), 1), (256, (4, 4), 6), ((256, 384), (4, 6), 6), (96, (6, 6), 4), ((64, 48), (8, 6), 3)],
)
def test_what_networks_start_from(resolution, smallest, doublings):
    assert smallest_size(resolution) == (smallest, doublings)


def test_squares_have_one_name():
    assert NetworkConfig(resolution=[64, 64], architecture="skip").resolution == 64
    config = NetworkConfig(resolution=[64, 96], architecture="skip")
    assert config.image_shape == (3, 64, 96)
    assert [config.size(r) for r in config.resolutions] == [(4, 6), (8, 12), (16, 24), (32, 48), (64, 96)]


def test_overrides_reach_the_networks():
    config = override(
        cpu_config("data", 64),
        width=0.25,
        mapping_layers=5,
        g_architecture="resnet",
        d_architecture="orig",
        mbstd_group=2,
        img_channels=4,
        r1_gamma=3.0,
        kimg=None,
    )
    assert (config.generator.channel_base, config.discriminator.channel_base) == (8192, 8192)
    assert (config.generator.mapping_layers, config.discriminator.mapping_layers) == (5, 8)
    assert (config.generator.architecture, config.discriminator.architecture) == ("resnet", "orig")
    assert (config.generator.img_channels, config.discriminator.mbstd_group) == (4, 2)
    assert (config.r1_gamma, config.kimg) == (3, 200)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"img_channels": 2}, "img_channels: got 2"),
        ({"width": 0.0}, "--width: got 0"),
        ({"channel_base": 16}, "at least 1 channel"),
        ({"precision": "float8", "num_fp16_res": 4}, "--precision: got 'float8'"),
        ({"precision": "bfloat16"}, "expected num_fp16_res of at least 1"),
        ({"mapping_layers": 0}, "mapping_layers 0"),
        ({"style_mixing": 2.0}, "style_mixing 2"),
        ({"d_architecture": "vgg"}, "architecture: got 'vgg'"),
    ],
)
def test_what_cannot_be_is_refused(change, message):
    config = cpu_config("data", 64)
    with pytest.raises(ConfigError, match=message):
        override(config, **change)


def test_an_augmentation_that_cannot_be_is_refused():
    with pytest.raises(ConfigError, match="augment: got 'sometimes'"):
        AugmentConfig(mode="sometimes")
