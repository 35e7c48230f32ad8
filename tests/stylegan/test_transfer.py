import pytest
import torch

import shoegen
from shoegen.errors import FileFormatError
from shoegen.ops import downsample2d, setup_filter, upsample2d
from shoegen.stylegan.config import cpu_config, override
from shoegen.stylegan.networks import Generator
from shoegen.stylegan.trainer import Trainer
from shoegen.stylegan.transfer import read_weights

RESOLUTION = 16
FILTER = setup_filter([1, 3, 3, 1])


def trainer(resolution=RESOLUTION, classes=0, **changes):
    config = override(cpu_config("", resolution, batch=8), **changes).with_classes(classes)
    return Trainer(config, torch.device("cpu"))


def trained(**changes):
    one = trainer(**changes)
    for _ in range(2):
        one.train_step(torch.rand(8, *one.config.generator.image_shape) * 2 - 1)
    return one


def test_everything_fits_the_same_networks():
    source, own = trained(), trainer()
    report = own.init_from(source.state_dict())
    assert not report.missing + report.mismatched + report.grown + report.unused
    torch.testing.assert_close(own.generator.state_dict(), source.generator_ema.state_dict(), rtol=0, atol=0)
    torch.testing.assert_close(
        own.discriminator.state_dict(), source.discriminator.state_dict(), rtol=0, atol=0
    )


@pytest.mark.parametrize("channels", [3, 4])
def test_networks_that_grow_start_as_the_smaller_ones(channels):
    small, large = trained(img_channels=channels), trainer(2 * RESOLUTION, img_channels=channels)
    report = large.init_from(small.state_dict())
    assert not report.missing + report.mismatched + report.unused
    assert any(name.startswith("generator.synthesis.b32") for name in report.grown)
    assert "discriminator.b16.conv0.weight" in report.matched

    ws = small.generator_ema.map(torch.randn(2, 128))
    enlarged = upsample2d(small.generator_ema.synthesis(ws, noise_mode="none"), FILTER)
    ws = ws[:, :1].expand(-1, large.generator.num_ws, -1)
    drawn = large.generator_ema.synthesis(ws, noise_mode="none")
    torch.testing.assert_close(drawn, enlarged, atol=1e-5, rtol=1e-5)

    images = torch.rand(4, channels, 2 * RESOLUTION, 2 * RESOLUTION) * 2 - 1
    reduced = downsample2d(images, FILTER)
    torch.testing.assert_close(
        large.discriminator(images), small.discriminator(reduced), atol=1e-4, rtol=1e-4
    )


def test_with_classes_the_generator_draws_for_each_what_it_drew_before():
    source, own = trained(), trainer(classes=3)
    report = own.init_from(source.state_dict())
    assert not report.missing + report.mismatched
    assert "generator.mapping.embed.weight" in report.grown
    z = torch.randn(3, 128)
    torch.testing.assert_close(own.generator(z, torch.eye(3)), source.generator_ema(z), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"mapping_layers": 4}, "4 missing (generator.mapping.fc2.weight"),
        ({"channel_max": 64}, "mismatched (generator.synthesis.b4.const"),
        ({"resolution": 64}, "missing (generator.synthesis.b32"),
        ({"d_architecture": "orig"}, "unused (discriminator.b16.skip.weight"),
    ],
)
def test_a_part_is_taken_only_where_it_is_allowed(changes, what):
    state = trained().state_dict()
    own = trainer(**changes)
    if "d_architecture" in changes:  # all that this discriminator has is there
        assert what in str(own.init_from(state))
        return
    with pytest.raises(FileFormatError, match=r"only in part: .*--allow-partial") as caught:
        own.init_from(state)
    assert what in str(caught.value)
    assert own.init_from(state, allow_partial=True).matched


def test_a_generator_alone_is_a_part(tmp_path):
    source = trained()
    source.generator_ema.save(tmp_path / "g.safetensors")
    state = read_weights(tmp_path / "g.safetensors")
    own = trainer()
    with pytest.raises(FileFormatError, match=r"1 missing \(discriminator\)"):
        own.init_from(state)
    own.init_from(state, allow_partial=True)
    torch.testing.assert_close(own.generator.state_dict(), source.generator_ema.state_dict())


def test_the_shipped_generator_by_its_name():
    state = read_weights("default")
    assert list(state) == ["generator_ema"]
    config = shoegen.load("default", device="cpu").generator.config
    weights = Generator(config).state_dict()
    assert {name: value.shape for name, value in state["generator_ema"].items()} == {
        name: value.shape for name, value in weights.items()
    }


def test_networks_that_share_nothing_are_refused():
    state = trained().state_dict()
    state["generator_ema"] = {"a": torch.zeros(1)}
    state["discriminator"] = {"b": torch.zeros(1)}
    with pytest.raises(FileFormatError, match="no tensor of it fits"):
        trainer().init_from(state, allow_partial=True)
