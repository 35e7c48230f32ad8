import json

import pytest

from shoegen.cagan.config import PRESETS, CaganConfig, DiscriminatorConfig, TrainingConfig, override
from shoegen.errors import ConfigError


def test_the_default_is_the_paper():
    config = PRESETS["paper"]("pairs.csv")
    assert config.model.channels == config.discriminator.channels == (64, 128, 256, 512)
    assert config.discriminator.norm == "batch"
    assert (config.learning_rate_g, config.learning_rate_d, config.betas[0]) == (2e-4, 2e-4, 0.5)
    assert (config.identity, config.cycle, config.truth, config.ema) == (0.1, 1, 0, 0)
    assert config.gan_loss == "log"
    assert not config.model.attention
    assert config.images // config.batch == 9000
    assert config.sheets_at == (1, 4000, 9000)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_json(name):
    config = PRESETS[name]("pairs.csv", (96, 128))
    assert TrainingConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert config.model.size == (96, 128)


def test_override_reaches_both_networks():
    config = override(PRESETS["paper"]("x"), head=8, d_norm="spectral", channels=None, batch=3)
    assert (config.model.head, config.discriminator.norm, config.batch) == (8, "spectral", 3)
    assert config.model.channels == (64, 128, 256, 512)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resolution": 40}, "expected multiples of 16"),
        ({"resolution": (64, 16)}, "16x64 px, expected multiples of 16 from 32 to 2048; change --resolution"),
        ({"resolution": 16384}, "--resolution"),
        ({"channels": (8, 8)}, "expected 4 numbers"),
        ({"channels": (10**6, 8, 8, 8)}, "expected 4 numbers from 1 to 4096"),
        ({"attention": (1,)}, "attention"),
        ({"attention": (4, 4)}, "attention"),
        ({"head": -1}, "head"),
        ({"d_channels": (8, 0, 8, 8)}, "expected 4 numbers"),
        ({"d_norm": "layer"}, "--d-norm"),
        ({"gan_loss": "x"}, "--gan-loss: got 'x', expected log, hinge, square"),
        ({"identity": -1.0}, "--identity"),
        ({"cycle": float("nan")}, "--cycle"),
        ({"truth": -1.0}, "--truth-weight"),
        ({"ema": -1.0}, "--ema"),
        ({"learning_rate_g": 0.0}, "--lr-g"),
        ({"learning_rate_d": float("inf")}, "--lr-d"),
        ({"flip": 2.0}, "--flip"),
        ({"decay": -0.1}, "--decay"),
        ({"betas": (1.0, 0.9)}, "betas"),
        ({"val_share": 1.0}, "--val-share"),
        ({"sheets_at": (0,)}, "--sheets-at"),
        ({"batch": 0}, "--batch"),
        ({"images": 0}, "--images"),
        ({"seed": -1}, "--seed"),
    ],
)
def test_what_cannot_be_names_the_option(changes, message):
    with pytest.raises(ConfigError, match=message):
        override(PRESETS["paper"]("x"), **changes)


def test_networks_are_checked_alone():
    assert CaganConfig(resolution=(64, 64)).resolution == 64
    assert CaganConfig(channels=[8, 8, 8, 8]).channels == (8, 8, 8, 8)
    with pytest.raises(ConfigError):
        DiscriminatorConfig(norm="none")
