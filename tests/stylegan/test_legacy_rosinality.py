import argparse
import os
import random
import zipfile

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import shoegen
from shoegen.errors import ConfigError, FileFormatError
from shoegen.stylegan.config import DiscriminatorConfig, GeneratorConfig
from shoegen.stylegan.legacy import read_network, write_network
from shoegen.stylegan.networks import Discriminator, Generator

from ..vectors import assert_close
from . import rosinality_networks as theirs

CHANNELS = {4: 8, 8: 8, 16: 6, 32: 3}


def checkpoint(size=16, style_dim=12, mlp=8, seed=0, **more):
    torch.manual_seed(seed)
    generator = theirs.draw_generator(size, style_dim, mlp, CHANNELS)
    return {
        "g_ema": generator,
        "d": theirs.draw_discriminator(size, CHANNELS),
        "latent_avg": torch.randn(style_dim),
        **more,
    }


@pytest.fixture
def saved(tmp_path):
    def save(data, **options):
        torch.save(data, tmp_path / "network.pt", **options)
        return tmp_path / "network.pt"

    return save


@pytest.mark.parametrize(("size", "style_dim", "mlp"), [(8, 12, 8), (16, 12, 8), (32, 7, 3)])
def test_pictures_and_logits_agree(saved, size, style_dim, mlp):
    data = checkpoint(size, style_dim, mlp)
    path = saved(data)
    generator, discriminator = read_network(path).network, read_network(path, "d").network
    z = torch.randn(8, style_dim)
    with torch.no_grad():
        w = generator.mapping(z)
        assert_close(w, theirs.mapping(data["g_ema"], z).numpy())
        expected = theirs.synthesis(data["g_ema"], w)
        assert_close(generator.synthesis(generator.broadcast(w)), expected.numpy())
        assert_close(discriminator(expected), theirs.discriminator(data["d"], expected).numpy())
        # psi draws towards latent_avg
        assert torch.equal(generator.map(z, truncation_psi=0)[:, 0], data["latent_avg"].expand(8, -1))
    config = generator.config
    assert (config.resolution, config.w_dim, config.mapping_layers) == (size, style_dim, mlp)
    assert {r: config.channels(r) for r in config.resolutions} == {
        r: channels for r, channels in CHANNELS.items() if r <= size
    }


def test_a_checkpoint_of_its_training(saved):
    """With the options of the command, the state of Adam, and no latent_avg."""
    data = checkpoint(args=argparse.Namespace(size=16, path="x"), ada_aug_p=0.3)
    del data["latent_avg"]
    data["g"] = checkpoint(seed=1)["g_ema"]
    data["g_optim"] = {
        "state": {0: {"step": 5, "exp_avg": torch.ones(3)}},
        "param_groups": [{"lr": 0.1, "betas": (0, 0.99)}],
    }
    path = saved(data)
    generator = read_network(path).network
    w = theirs.mapping(data["g_ema"], torch.randn(20000, 12))
    assert (generator.mapping.w_avg - w.mean(0)).abs().max() < 5 * w.std() / 4096**0.5
    assert torch.equal(read_network(path).network.mapping.w_avg, generator.mapping.w_avg)
    assert read_network(path, "g").network.hash() != generator.hash()
    assert shoegen.load(path, device="cpu").sample(1).image.shape == (16, 16, 3)


def test_older_files(saved):
    """The format of PyTorch before 1.6; no noise pictures."""
    data = checkpoint()
    path = saved(data, _use_new_zipfile_serialization=False)
    expected = read_network(path).network
    data["g_ema"] = {name: value for name, value in data["g_ema"].items() if not name.startswith("noises")}
    path = saved(data)
    first, second = read_network(path).network, read_network(path).network
    assert first.hash() == second.hash() != expected.hash()
    ws = first.broadcast(first.mapping(torch.randn(2, 12)))
    assert torch.equal(first.synthesis(ws, noise_mode="none"), expected.synthesis(ws, noise_mode="none"))


def test_a_bare_state_dict(saved):
    path = saved(checkpoint()["d"])
    assert isinstance(read_network(path, "d").network, Discriminator)
    with pytest.raises(FileFormatError, match="no g_ema in it, only d"):
        read_network(path)


def network_for_them(which, **changes):
    shared = {"resolution": 16, "channel_base": 64, "channel_max": 8, **changes}
    torch.manual_seed(3)
    if which == "d":
        return Discriminator(DiscriminatorConfig(**shared))
    network = Generator(GeneratorConfig(**{"z_dim": 6, "w_dim": 6, "mapping_layers": 3, **shared}))
    network.mapping.w_avg.normal_()
    for name, parameter in network.named_parameters():
        if name.endswith(("noise_strength", "bias")):
            torch.nn.init.normal_(parameter)
    return network.requires_grad_(False)


@pytest.mark.parametrize("which", ["g_ema", "g", "d"])
def test_out_and_back_bit_for_bit(tmp_path, which):
    network = network_for_them(which)
    path = tmp_path / "network.pt"
    remarks = write_network(path, network, "rosinality", which=which)
    assert "no channel_multiplier gives these widths" in remarks[0]
    again = read_network(path, which).network
    assert again.config == network.config
    assert again.state_dict().keys() == network.state_dict().keys()
    assert all(torch.equal(again.state_dict()[name], value) for name, value in network.state_dict().items())


def test_what_is_written_is_theirs(tmp_path):
    """Names and shapes as in a checkpoint of theirs, and their networks compute the same from it."""
    generator, discriminator = network_for_them("g_ema"), network_for_them("d")
    write_network(tmp_path / "g.pt", generator, "rosinality")
    write_network(tmp_path / "d.pt", discriminator, "rosinality", which="d")
    data = torch.load(tmp_path / "g.pt", weights_only=True)
    state, d = data["g_ema"], torch.load(tmp_path / "d.pt", weights_only=True)["d"]
    channels = {r: generator.config.channels(r) for r in (4, 8, 16)}
    for written, drawn in [
        (state, theirs.draw_generator(16, 6, 3, channels)),
        (d, theirs.draw_discriminator(16, channels)),
    ]:
        assert {name: value.shape for name, value in written.items()} == {
            name: value.shape for name, value in drawn.items()
        }
    assert torch.equal(data["latent_avg"], generator.mapping.w_avg)
    z = torch.randn(4, 6)
    with torch.no_grad():
        w = theirs.mapping(state, z)
        images = theirs.synthesis(state, w)
        assert_close(generator.synthesis(generator.map(z)), images.numpy())
        assert_close(discriminator(images), theirs.discriminator(d, images).numpy())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "orig"}, "have architecture skip, got orig; use --to official"),
        ({"c_dim": 2}, "have c_dim 0, got 2"),
        ({"img_channels": 1}, "have img_channels 3, got 1"),
        ({"z_dim": 4}, "have z_dim 6, got 4"),
        ({"resolution": (16, 24)}, "square with a power of two"),
        ({"resolution": 24}, "square with a power of two"),
    ],
)
def test_what_they_cannot_hold(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        write_network(tmp_path / "network.pt", network_for_them("g_ema", **changes), "rosinality")
    assert not (tmp_path / "network.pt").exists()


def test_remarks_for_their_user(tmp_path):
    wide = network_for_them("g_ema", channel_base=16384, channel_max=512, conv_clamp=256.0)
    remarks = write_network(tmp_path / "g.pt", wide, "rosinality")
    assert remarks == [
        "style_dim 6, n_mlp 3",
        "its networks do not limit activations to ±256, as this one does",
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda g: g.pop("convs.1.activate.bias"), "lacks 'convs.1.activate.bias'"),
        (lambda g: g.update(extra=torch.ones(1)), "has also 'extra'"),
        (lambda g: g.update({"to_rgbs.9.conv.weight": torch.ones(1)}), "lacks"),
        (lambda g: g.clear(), "style.1.bias|latent_avg|0 parts"),
        (lambda g: g["convs.0.conv.blur.kernel"].add_(1), "another filter"),
        (lambda g: g.update({"to_rgb1.bias": torch.ones(1, 4, 1, 1)}), r"torgb.bias has the shape \(4,\)"),
        (lambda g: g.update({"input.input": torch.ones(2, 8, 4, 4)}), "expected 1 axes of 1 first"),
        (lambda g: g.update({"style.1.weight": torch.zeros(1).expand(9999, 9999)}), "repeats its elements"),
        (lambda g: g.update({"style.1.bias": torch.ones(12, dtype=torch.int64)}), "a tensor of floats"),
        (lambda g: g.update({"style.1.bias": torch.ones(12, device="meta")}), "of another kind"),
        (lambda g: g.update({"style.1.bias": None}), "expected a name and a tensor"),
    ],
)
def test_other_state_dicts(saved, change, message):
    data = checkpoint()
    change(data["g_ema"])
    with pytest.raises(FileFormatError, match=message):
        read_network(saved(data))


class Evil:
    def __reduce__(self):
        return os.system, ("touch was_run",)


@pytest.mark.parametrize("new", [True, False])
def test_nothing_runs(saved, tmp_path, monkeypatch, new):
    monkeypatch.chdir(tmp_path)
    path = saved(checkpoint(args=Evil()), _use_new_zipfile_serialization=new)
    with pytest.raises(FileFormatError, match=r"refused: it asks for '(posix|nt).system'"):
        read_network(path)
    assert not (tmp_path / "was_run").exists()


# A dict whose key is a pair of pairs of pairs …: its hash takes 2⁶⁰ steps.
BOMB = b"\x80\x02})" + b"2\x86" * 60 + b"K\x01s."


def test_keys_that_take_forever(saved, tmp_path):
    with zipfile.ZipFile(saved({})) as old, zipfile.ZipFile(tmp_path / "bomb.pt", "w") as new:
        for entry in old.infolist():
            new.writestr(entry.filename, BOMB if entry.filename.endswith("data.pkl") else old.read(entry))
    with pytest.raises(FileFormatError, match="refused: a mapping with a tuple as key"):
        read_network(tmp_path / "bomb.pt")
    path = saved({}, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes().replace(b"\x80\x02}q\x00.", BOMB))
    with pytest.raises(FileFormatError, match="refused: a mapping with a tuple as key"):
        read_network(path)


def test_inflated_archives_are_refused(saved, tmp_path):
    with zipfile.ZipFile(saved(checkpoint())) as old, zipfile.ZipFile(tmp_path / "bomb.pt", "w") as new:
        for entry in old.infolist():
            new.writestr(entry.filename, old.read(entry), compress_type=zipfile.ZIP_DEFLATED)
    with pytest.raises(FileFormatError, match="refused: compressed"):
        read_network(tmp_path / "bomb.pt")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([1, 2], "a PyTorch file of a list|expected a dict"),
        ({"model": 1}, "a PyTorch file with 'model'; expected G_ema, g_ema, or a run's checkpoint"),
        ({}, "with nothing"),
        ({"g_ema": 3}, "no g_ema in it"),
        ({"G_ema": 3}, "G_ema is 3, expected a state dict"),
        ({"kind": "stylegan", "config": 3}, "its configuration is 3"),
        ({"kind": "stylegan", "config": {"generator": {}}}, "generator_ema is None"),
    ],
)
def test_other_pytorch_files(saved, data, message):
    with pytest.raises(FileFormatError, match=message):
        read_network(saved(data))


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32), new=st.booleans())
def test_damaged_files_are_refused_or_read(tmp_path_factory, seed, new):
    folder = tmp_path_factory.getbasetemp()
    whole = folder / f"whole{new}.pt"
    if not whole.exists():
        torch.save({"g_ema": checkpoint(8)["g_ema"]}, whole, _use_new_zipfile_serialization=new)
    draw, content = random.Random(seed), bytearray(whole.read_bytes())
    for _ in range(draw.randint(1, 8)):
        content[draw.randrange(len(content))] = draw.randrange(256)
    path = folder / "damaged.pt"
    path.write_bytes(content[: draw.randrange(len(content))] if draw.random() < 0.3 else content)
    try:
        network = read_network(path).network
    except FileFormatError:
        return
    assert isinstance(network, Generator)
