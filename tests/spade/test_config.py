import dataclasses
import json

import pytest

from shoegen.errors import ConfigError
from shoegen.spade.config import (
    PRESETS,
    DiscriminatorConfig,
    SpadeConfig,
    TrainingConfig,
    override,
    small_config,
)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_pass_through_json(name):
    config = PRESETS[name]("shoes", classes=4, resolution=(128, 256))
    again = TrainingConfig.from_dict(json.loads(json.dumps(config.to_dict())))
    assert again == config
    assert config.model.classes == 4
    assert config.model.size == (128, 256)


def test_published_figures():
    config = PRESETS["paper256"]("shoes")
    model, discriminator = config.model, config.discriminator
    assert (model.channels, model.hidden, model.doublings, model.z_dim, model.norm) == (
        64,
        128,
        5,
        256,
        "batch",
    )
    assert not model.styled
    assert not model.shared_skip
    assert model.modulation_kernel == 3
    assert (discriminator.channels, discriminator.layers, discriminator.scales) == (64, 4, 2)
    assert (config.learning_rate_g, config.learning_rate_d) == (1e-4, 4e-4)
    assert (config.beta1, config.beta2) == (0.0, 0.9)
    assert (config.feature_matching, config.perceptual, config.kl) == (10, 10, 0.05)


def test_sizes_that_follow():
    config = SpadeConfig(resolution=(256, 512), upsampling="more", channels=8, max_channels=48, edges=True)
    assert config.start_size == (4, 8)
    assert [config.width(multiple) for multiple in (16, 4, 1, 0.5)] == [48, 32, 8, 4]
    assert config.semantic_channels == 8
    assert SpadeConfig(resolution=(64, 64)).resolution == 64
    assert [SpadeConfig(resolution=side).encoder_side for side in (32, 96, 128, 256, 512)] == [
        32,
        64,
        128,
        256,
        256,
    ]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"classes": 0}, "labels file"),
        ({"classes": 256}, "labels file"),
        ({"resolution": 100}, "--resolution: got 100x100.*multiples of 32"),
        ({"resolution": (64, 96), "upsampling": "more"}, "--resolution: got 96x64.*multiples of 64"),
        ({"resolution": 4096}, "up to 2048"),
        ({"upsampling": "least"}, "--upsampling: got 'least', expected normal, more or most"),
        ({"norm": "layer"}, "--norm: got 'layer', expected batch"),
        ({"encoder_norm": "layer"}, "--encoder-norm"),
        ({"z_dim": 0}, "--z-dim"),
        ({"hidden": 0}, "--hidden"),
        ({"max_channels": 10**6}, "max_channels is 1000000, expected at most 4096; change --max-channels"),
        ({"modulation_kernel": 5}, "--modulation-kernel: got 5, expected 1 or 3"),
        ({"channels": 1, "upsampling": "most", "resolution": 128}, "--channels"),
        ({"norm": "instance", "resolution": 32}, "--norm instance"),
        ({"z_dim": None, "styled": True}, "--z-dim"),
    ],
)
def test_model_errors_name_what_to_change(values, message):
    with pytest.raises(ConfigError, match=message):
        SpadeConfig(**values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"images": 0}, "--images"),
        ({"save_every": 0}, "--save-every"),
        ({"learning_rate_g": 0.0}, "--lr-g"),
        ({"learning_rate_d": float("nan")}, "--lr-d"),
        ({"beta2": 1.0}, "betas"),
        ({"perceptual": -1.0}, "--perceptual"),
        ({"feature_matching": -1.0}, "--feature-matching"),
        (
            {"perceptual_net": "vgg16"},
            "--perceptual-net: got 'vgg16', expected auto, vgg19, segmenter or none",
        ),
        ({"val_share": 1.0}, "--val-share"),
        (
            {"model": SpadeConfig(resolution=64), "discriminator": DiscriminatorConfig(scales=7)},
            "--scales: got 7, expected at most 6",
        ),
        ({"seed": -1}, "--seed"),
    ],
)
def test_training_errors_name_what_to_change(values, message):
    with pytest.raises(ConfigError, match=message):
        TrainingConfig(data="shoes", **values)


def test_discriminator_errors():
    for name, value, option in (
        ("layers", 0, "--d-layers"),
        ("scales", 20, "--scales"),
        ("channels", 0, "--d-"),
    ):
        with pytest.raises(ConfigError, match=option):
            DiscriminatorConfig(**{name: value})


def test_batch_is_shared_alike():
    config = TrainingConfig(data="shoes", batch=8)
    assert config.check_batch(4) == 2
    with pytest.raises(ConfigError, match="--batch: got 8, expected a multiple of the 3 processes"):
        config.check_batch(3)
    with pytest.raises(ConfigError, match=r"--batch: got 1.*--norm"):
        dataclasses.replace(config, batch=1)
    single = override(config, batch=1, norm="instance")
    assert single.check_batch(1) == 1


def test_override_reaches_the_networks():
    config = override(small_config("shoes"), norm="group", d_channels=5, scales=3, images=7, seed=None)
    assert config.model.norm == "group"
    assert config.images == 7
    assert config.seed == 0
    assert config.discriminator == DiscriminatorConfig(channels=5, layers=4, scales=3)
    with pytest.raises(TypeError, match="nonsense"):
        override(config, nonsense=1)
