"""Agreement with the published implementation, at tiny sizes."""

import numpy as np
import pytest
import torch

from shoegen.spade import official
from shoegen.spade.networks import Discriminator, Generator, StyleEncoder, plain, semantics
from tests.vectors import assert_close, load

NAMES = ("spade_vae", "spade_more")


@pytest.fixture(scope="module", params=NAMES)
def vector(request):
    meta, arrays = load(request.param)
    states = {
        net: {
            name.removeprefix(f"{net}."): torch.from_numpy(each)
            for name, each in arrays.items()
            if name.startswith(f"{net}.")
        }
        for net in "GDE"
    }
    config = official.find_config(
        states["G"],
        states["E"] or None,
        classes=meta["num_labels"],
        resolution=meta["crop_size"],
        upsampling=None if meta["z_dim"] else meta["num_upsampling_layers"],
    )
    return meta, arrays, states, config


def loaded(network, state):
    network.load_state_dict(state)
    return network.eval()


def test_configuration_is_found(vector):
    meta, _, states, config = vector
    assert config.channels == meta["ngf"]
    assert config.z_dim == meta["z_dim"]
    assert config.upsampling == meta["num_upsampling_layers"]
    assert config.classes == meta["num_labels"]
    assert not config.edges
    assert config.size == (meta["crop_size"],) * 2
    discriminator = official.find_discriminator_config(states["D"])
    assert (discriminator.channels, discriminator.layers) == (meta["ndf"], meta["n_layers_D"])
    assert discriminator.scales == meta["num_D"]


@pytest.mark.parametrize("form", ["training", "plain"])
def test_generator(vector, form):
    meta, arrays, states, config = vector
    network = loaded(Generator(config), official.convert_generator(states["G"]))
    if form == "plain":
        network = plain(network)
    z = torch.from_numpy(arrays["z"]) if meta["z_dim"] else None
    with torch.no_grad():
        assert_close(network(torch.from_numpy(arrays["label_map"]), z), arrays["image"])


def test_discriminator(vector):
    _, arrays, states, config = vector
    network = Discriminator(official.find_discriminator_config(states["D"]), config)
    loaded(network, official.convert_discriminator(states["D"]))
    maps = semantics(torch.from_numpy(arrays["label_map"]), None, config)
    with torch.no_grad():
        scales = network(maps, torch.from_numpy(arrays["image"]))
    for i, features in enumerate(scales):
        for j, each in enumerate(features):
            assert_close(each.abs().mean((2, 3)), arrays[f"D_scale{i}_feat{j}_absmean"])
        assert_close(features[-1], arrays[f"D_scale{i}_logits"])


@pytest.mark.parametrize("form", ["training", "plain"])
def test_style_encoder(vector, form):
    _, arrays, states, config = vector
    if not states["E"]:
        pytest.skip("a model without a style")
    network = loaded(StyleEncoder(config), official.convert_encoder(states["E"]))
    if form == "plain":
        network = plain(network)
    with torch.no_grad():
        mean, log_variance = network(torch.from_numpy(arrays["image"]))
    assert_close(mean, arrays["E_mu"])
    assert_close(log_variance, arrays["E_logvar"])


def test_skip_with_statistics_of_its_own(vector):
    """Files whose two normalisations of the same features differ are still read exactly."""
    meta, arrays, states, config = vector
    state = dict(states["G"])
    rng = np.random.default_rng(0)
    mean = torch.from_numpy(rng.normal(size=64).astype(np.float32))
    variance = torch.from_numpy(rng.uniform(0.5, 2, 64).astype(np.float32))
    # The skip alone sees x through other statistics, and a modulation that undoes it.
    old_mean, old_variance = (
        state[f"up_0.norm_s.param_free_norm.running_{each}"] for each in ("mean", "var")
    )
    old_deviation, deviation = (old_variance + 1e-5).sqrt(), (variance + 1e-5).sqrt()
    ratio, offset = deviation / old_deviation, (mean - old_mean) / old_deviation
    gamma, beta = (f"up_0.norm_s.mlp_{each}" for each in ("gamma", "beta"))
    for each, one in (("weight", 0), ("bias", 1)):
        shape = (-1, 1, 1, 1) if each == "weight" else (-1,)
        scale = state[f"{gamma}.{each}"] + one
        state[f"{beta}.{each}"] = state[f"{beta}.{each}"] + scale * offset.view(shape)
        state[f"{gamma}.{each}"] = scale * ratio.view(shape) - one
    state["up_0.norm_s.param_free_norm.running_mean"] = mean
    state["up_0.norm_s.param_free_norm.running_var"] = variance
    network = loaded(Generator(config), official.convert_generator(state))
    z = torch.from_numpy(arrays["z"]) if meta["z_dim"] else None
    with torch.no_grad():
        assert_close(network(torch.from_numpy(arrays["label_map"]), z), arrays["image"])
