import pickle

import pytest
import torch

from shoegen.data.labels import LabelMap
from shoegen.errors import ConfigError, FileFormatError
from shoegen.spade import official
from shoegen.spade.config import DiscriminatorConfig, SpadeConfig
from shoegen.spade.networks import Discriminator, Generator, StyleEncoder, semantics

CONFIG = SpadeConfig(classes=3, edges=True, resolution=64, channels=2, hidden=4, z_dim=5, encoder_channels=2)
LABELS = LabelMap.from_names(["nothing", "sole", "upper"])
BLOCKS = ("head_0", "G_middle_0", "G_middle_1", "up_0", "up_1", "up_2", "up_3", "up_4")


def official_layer(state, new, old):
    """Our state of one convolution under its published names."""
    names = {
        "parametrizations.weight.original": "weight_orig",
        "parametrizations.weight.0._u": "weight_u",
        "parametrizations.weight.0._v": "weight_v",
        "weight": "weight",
        "bias": "bias",
    }
    return {f"{old}.{name}": state[f"{new}.{own}"] for own, name in names.items() if f"{new}.{own}" in state}


def official_generator(network):
    ours = network.state_dict()
    state = official_layer(ours, "start", "fc") | official_layer(ours, "to_image", "conv_img")
    for i, old in enumerate(BLOCKS[: len(network.blocks)]):
        new = f"blocks.{i}"
        for conv, name in (("conv_0", "conv_0"), ("conv_1", "conv_1"), ("conv_skip", "conv_s")):
            state |= official_layer(ours, f"{new}.{conv}", f"{old}.{name}")
        norms = ("norm_0", "norm_1", "norm_s")[: len(network.blocks[i].modulations)]
        for j, norm in enumerate(norms):
            modulation = f"{new}.modulations.{j}"
            state |= official_layer(ours, f"{modulation}.hidden", f"{old}.{norm}.mlp_shared.0")
            for each in ("weight", "bias"):
                scale, shift = ours[f"{modulation}.out.{each}"].chunk(2)
                state[f"{old}.{norm}.mlp_gamma.{each}"] = scale - float(each == "bias")
                state[f"{old}.{norm}.mlp_beta.{each}"] = shift
            for each in ("running_mean", "running_var", "num_batches_tracked"):
                own = f"{new}.norm_{1 if norm == 'norm_1' else 0}.{each}"
                if own in ours:
                    state[f"{old}.{norm}.param_free_norm.{each}"] = ours[own]
    return state


def official_encoder(network):
    ours, state = network.state_dict(), {}
    for i in range(len(network.layers) // 3):
        state |= official_layer(ours, f"layers.{3 * i}", f"layer{i + 1}.0")
    for each in ("weight", "bias"):
        state[f"fc_mu.{each}"], state[f"fc_var.{each}"] = ours[f"to_style.{each}"].chunk(2)
    return state


def official_discriminator(network, layers):
    ours, state = network.state_dict(), {}
    for scale in range(len(network.scales)):
        for i in range(layers + 1):
            new, old = f"scales.{scale}.layers.{i}", f"discriminator_{scale}.model{i}.0"
            inner = new if i == layers else f"{new}.0"
            state |= official_layer(ours, inner, f"{old}.0" if 0 < i < layers else old)
    return state


def trained(network, *inputs):
    torch.manual_seed(1)
    with torch.no_grad():
        network(*inputs)
        for each in network.parameters():
            each.add_(0.05 * torch.randn_like(each))
    return network.eval()


@pytest.fixture(scope="module")
def inputs():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 3, (2, 64, 64), generator=generator)
    edges = torch.randint(0, 2, (2, 1, 64, 64), generator=generator).float()
    return labels, torch.randn(2, 5, generator=generator), edges


@pytest.fixture
def saved(tmp_path):
    def save(state, name="latest_net_G.pth"):
        torch.save(state, tmp_path / name)
        return tmp_path / name

    return save


def test_generator_and_encoder(inputs, saved):
    generator = trained(Generator(CONFIG), *inputs)
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    encoder = trained(StyleEncoder(CONFIG), images)
    config, read, read_encoder = official.read_official(
        saved(official_generator(generator)),
        saved(official_encoder(encoder), "latest_net_E.pth"),
        LABELS,
        resolution=64,
    )
    assert config == CONFIG
    assert not read.training
    assert not any("parametrizations" in name for name in read.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(read(*inputs), generator(*inputs))
        torch.testing.assert_close(read_encoder(images), encoder(images))


@pytest.mark.parametrize(
    ("upsampling", "resolution", "norm"),
    [("more", 128, "instance"), ("most", (128, 256), "batch"), ("normal", (32, 96), "batch")],
)
@pytest.mark.parametrize("z_dim", [5, None])
def test_other_sizes(upsampling, resolution, norm, z_dim, saved):
    config = SpadeConfig(
        classes=2, resolution=resolution, channels=2, hidden=3, upsampling=upsampling, norm=norm, z_dim=z_dim
    )
    path = saved(official_generator(Generator(config)))
    known = upsampling if z_dim is None else None  # a style's first layer tells it
    found, _, encoder = official.read_official(path, resolution=resolution, upsampling=known)
    assert found == config
    assert encoder is None


def test_networks_without_spectral_norm(inputs, saved):
    generator = trained(Generator(CONFIG, spectral=False), *inputs)
    _, read, _ = official.read_official(saved(official_generator(generator)), labels=LABELS, resolution=64)
    with torch.no_grad():
        painted = read(*inputs)
    assert painted.isfinite().all()


def test_discriminator(inputs, saved):
    labels, _, edges = inputs
    maps, images = semantics(labels, edges, CONFIG), torch.rand(2, 3, 64, 64) * 2 - 1
    discriminator = trained(Discriminator(DiscriminatorConfig(channels=2, layers=3), CONFIG), maps, images)
    path = saved(official_discriminator(discriminator, 3))
    read = official.read_official_discriminator(path, CONFIG)
    assert read.config == discriminator.config
    with torch.no_grad():
        for ours, theirs in zip(read(maps, images), discriminator(maps, images)):
            torch.testing.assert_close(ours, theirs)
    with pytest.raises(FileFormatError, match="do not fit"):
        official.read_official_discriminator(path, SpadeConfig(classes=5))


def test_wrong_options(saved):
    path = saved(official_generator(Generator(CONFIG)))
    with pytest.raises(FileFormatError, match="give the resolution"):
        official.read_official(path, resolution=(96, 64))
    with pytest.raises(ConfigError, match="labels: got 7 classes, expected 4, or 3"):
        official.read_official(path, labels=LabelMap.from_names("abcdefg"), resolution=64)
    with pytest.raises(ConfigError, match="--upsampling: got most, expected normal or more"):
        official.read_official(path, resolution=64, upsampling="most")


def test_wrong_files(saved, tmp_path):
    state = official_generator(Generator(CONFIG))
    with pytest.raises(FileFormatError, match="check the path"):
        official.read_official(tmp_path / "absent.pth")
    with pytest.raises(FileFormatError, match="tensors by name"):
        official.read_official(saved([1, 2]))
    with pytest.raises(FileFormatError, match="no official SPADE generator"):
        official.read_official(saved({"weight": torch.zeros(1)}))
    less = {name: each for name, each in state.items() if name != "up_1.norm_0.mlp_beta.weight"}
    with pytest.raises(FileFormatError, match=r"lacks .*mlp_beta"):
        official.read_official(saved(less), resolution=64)
    with pytest.raises(FileFormatError, match="do not fit the sizes"):
        official.read_official(saved(state | {"up_1.conv_0.bias": torch.zeros(99)}), resolution=64)
    with pytest.raises(FileFormatError, match="no official SPADE style encoder"):
        official.read_official(saved(state), saved({"weight": torch.zeros(1)}, "E.pth"), resolution=64)
    with pytest.raises(FileFormatError, match="no official SPADE discriminator"):
        official.read_official_discriminator(saved(state), CONFIG)


def test_nothing_in_a_file_is_executed(tmp_path):
    class Trap:
        def __reduce__(self):
            return (tmp_path.joinpath("sprung").mkdir, ())

    path = tmp_path / "trap.pth"
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(FileFormatError, match="no PyTorch file of tensors"):
        official.read_official(path)
    torch.save({"fc.weight": Trap()}, path)
    with pytest.raises(FileFormatError, match="no PyTorch file of tensors"):
        official.read_official(path)
    assert not (tmp_path / "sprung").exists()
