import pytest
import torch

from shoegen.stylegan.config import DiscriminatorConfig, GeneratorConfig
from shoegen.stylegan.loss import path_lengths, r1_penalty
from shoegen.stylegan.networks import Discriminator, Generator

from ..vectors import assert_close, load


@pytest.fixture(
    scope="module",
    params=["net_uncond_skip_resnet", "net_cond_skip_resnet", "net_orig_skip", "net_resnet_orig"],
)
def published(request):
    meta, arrays = load(request.param)
    arrays = {key: torch.from_numpy(value) for key, value in arrays.items()}
    shared = {"resolution": meta["img_resolution"], "c_dim": meta["c_dim"]}
    width = {"channel_base": meta["channel_base"], "channel_max": meta["channel_max"]}
    generator = Generator(
        GeneratorConfig(
            z_dim=meta["z_dim"],
            w_dim=meta["w_dim"],
            mapping_layers=meta["mapping_layers"],
            architecture=meta["g_architecture"],
            **shared,
            **width,
        )
    )
    discriminator = Discriminator(
        DiscriminatorConfig(
            mapping_layers=meta["d_cmap_layers"] or 8,
            architecture=meta["d_architecture"],
            mbstd_group=meta["mbstd_group_size"],
            **shared,
            **width,
        )
    )
    for network, prefix in [(generator, "G."), (discriminator, "D.")]:
        state = {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}
        network.load_state_dict(state, strict=True)
    return generator, discriminator, arrays


def test_generator_agrees_with_the_published_one(published):
    generator, _, arrays = published
    z, c = arrays["z"], arrays.get("c")
    with torch.no_grad():
        assert_close(generator.map(z, c), arrays["ws"].numpy())
        truncated = generator.map(z, c, truncation_psi=0.7, truncation_cutoff=4)
        assert_close(truncated, arrays["ws_psi07_cut4"].numpy())
        image = generator.synthesis(generator.map(z, c), noise_mode="const")
        assert_close(image, arrays["img_const"].numpy())
        image = generator.synthesis(truncated, noise_mode="none")
        assert_close(image, arrays["img_psi07_none"].numpy())


def test_discriminator_agrees_with_the_published_one(published):
    _, discriminator, arrays = published
    with torch.no_grad():
        assert_close(discriminator(arrays["img_const"], arrays.get("c")), arrays["logits"].numpy())


def test_regularisers_agree_with_the_published_ones(published):
    generator, discriminator, arrays = published
    count = len(arrays["pl_lengths"])
    ws = arrays["ws"][:count].clone().requires_grad_()
    lengths = path_lengths(generator.synthesis(ws, noise_mode="const"), ws, arrays["pl_noise"])
    # 1e-3: in one of the stored samples a float32 rounding falls on the other side of a leaky ReLU's kink;
    # in float64 the value is ours.
    assert_close(lengths.detach(), arrays["pl_lengths"].numpy(), relative=1e-3)

    count = len(arrays["r1_penalty_per_image"])
    images = arrays["img_const"][:count].clone().requires_grad_()
    c = arrays["c"][:count] if "c" in arrays else None
    penalty = r1_penalty(discriminator(images, c), images)
    assert_close(penalty.detach(), arrays["r1_penalty_per_image"].numpy())
