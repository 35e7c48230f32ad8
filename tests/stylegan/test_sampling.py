import dataclasses
import io
import pickle
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shoegen.errors import ConfigError, FileFormatError
from shoegen.stylegan.networks import Generator
from shoegen.stylegan.sampling import (
    EASINGS,
    draw_z,
    interpolate,
    latents,
    load_ws,
    one_hot,
    render,
    save_ws,
    slerp,
    style_layers,
    style_mix,
    truncate,
)

from ..tiny import tiny_generator


def variant(**changes):
    """A tiny generator of another shape, whose mean of W is not zero."""
    torch.manual_seed(0)
    config = dataclasses.replace(tiny_generator().config, **changes)
    generator = Generator(config).eval().requires_grad_(False)
    generator.mapping.w_avg.copy_(torch.randn(16))
    for block in generator.synthesis.blocks:
        block.conv1.noise_strength.fill_(0.3)
    return generator


@pytest.fixture(scope="module")
def generator():
    return variant()


@pytest.fixture(scope="module")
def conditional():
    return variant(c_dim=3)


def close(a, b):
    """Pictures that differ by rounding at most."""
    return np.abs(a.astype(int) - b.astype(int)).max() <= 1


# ---- latents ----


def test_a_seed_names_a_shoe_whatever_is_drawn_with_it(generator):
    together = latents(generator, [3, 1, 2**32 - 1])
    alone = torch.cat([latents(generator, [seed]) for seed in (3, 1, 2**32 - 1)])
    torch.testing.assert_close(together, alone)
    assert together.shape == (3, 6, 16)
    z = torch.randn(1, 16, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(together[:1], generator.map(z, truncation_psi=0.7))


def test_truncation(generator):
    ws = generator.map(draw_z(generator, [1, 2]))
    expected = generator.map(draw_z(generator, [1, 2]), truncation_psi=0.3, truncation_cutoff=2)
    torch.testing.assert_close(truncate(generator, ws, 0.3, 2), expected)
    assert torch.equal(truncate(generator, ws, 1), ws)
    assert torch.equal(truncate(generator, ws, 0.5, 0), ws)
    mean = generator.mapping.w_avg.expand(1, 6, 16)
    torch.testing.assert_close(truncate(generator, ws[:1], 0), mean)
    torch.testing.assert_close(truncate(generator, ws[:1], -1) + ws[:1], 2 * mean)  # the opposite
    each = truncate(generator, ws, [0.2, 0.9])
    torch.testing.assert_close(each[0], truncate(generator, ws, 0.2)[0])
    torch.testing.assert_close(each[1], truncate(generator, ws, 0.9)[1])


def test_classes(conditional, generator):
    assert one_hot(conditional, 2, [5, 6]).tolist() == [[0, 0, 1], [0, 0, 1]]
    assert one_hot(conditional, [1, 0], [5, 6]).tolist() == [[0, 1, 0], [1, 0, 0]]
    drawn = one_hot(conditional, "random", range(300))
    assert torch.equal(drawn[7:9], one_hot(conditional, "random", [7, 8]))
    assert (drawn.sum(dim=0) > 70).all()
    assert one_hot(generator, None, [1]) is None
    assert not torch.equal(latents(conditional, [1], classes=0), latents(conditional, [1], classes=1))
    for classes in (None, 3, -1, [0], [0, 1.5], "all"):
        with pytest.raises(ConfigError, match="draws 3 classes"):
            one_hot(conditional, classes, [1, 2])
    with pytest.raises(ConfigError, match="has none"):
        one_hot(generator, 0, [1])


def test_what_is_not_a_seed_or_psi(generator):
    for seed in (-1, 2**32, 1.5, "1", None):
        with pytest.raises(ConfigError, match="seed: got"):
            latents(generator, [seed])
    for psi in (float("nan"), 3, "x", [0.5, -9]):
        with pytest.raises(ConfigError, match="psi: got"):
            latents(generator, [1, 2], psi=psi)
    for cutoff in (-1, 7):
        with pytest.raises(ConfigError, match="6 layers"):
            latents(generator, [1], cutoff=cutoff)


# ---- pictures ----


@pytest.mark.parametrize(
    "changes",
    [{}, {"img_channels": 1}, {"img_channels": 4, "resolution": (16, 24)}, {"architecture": "orig"}],
)
@pytest.mark.parametrize("noise", ["const", "random", "none"])
def test_pictures_do_not_depend_on_the_batch(changes, noise):
    generator = variant(**changes)
    ws = latents(generator, range(5))
    one_by_one = np.stack(list(render(generator, ws, noise=noise, batch=1)))
    channels, height, width = generator.config.image_shape
    assert one_by_one.shape == (5, height, width, channels)
    assert one_by_one.dtype == np.uint8
    assert close(one_by_one, np.stack(list(render(generator, ws, noise=noise, batch=3))))
    images = generator.synthesis(ws, noise_mode="const").clamp(-1, 1)
    expected = (images * 127.5 + 127.5).permute(0, 2, 3, 1).numpy()
    assert (np.abs(one_by_one - expected).max() <= 1) == (noise == "const")


def test_random_noise_follows_from_the_seed(generator):
    ws = latents(generator, [1, 1])
    same, other = (list(render(generator, ws, noise="random", seeds=seeds)) for seeds in ([4, 4], [4, 5]))
    assert close(same[0], same[1])
    assert close(same[0], other[0])
    assert not close(other[0], other[1])
    state = torch.get_rng_state()
    list(render(generator, ws, noise="random"))
    assert torch.equal(state, torch.get_rng_state())


def test_render_refuses(generator):
    ws = latents(generator, [1])
    with pytest.raises(ConfigError, match="noise: got 'loud'"):
        next(render(generator, ws, noise="loud"))
    with pytest.raises(ConfigError, match="batch: got 0"):
        next(render(generator, ws, batch=0))


def test_style_mix(generator):
    rows, columns = latents(generator, [1, 2]), latents(generator, [3, 4, 5])
    mixed = style_mix(rows, columns, [0, 3])
    assert mixed.shape == (2, 3, 6, 16)
    assert torch.equal(mixed[1, 2, [0, 3]], columns[2, [0, 3]])
    assert torch.equal(mixed[1, 2, [1, 2, 4, 5]], rows[1, [1, 2, 4, 5]])


def test_style_layers(generator):
    assert style_layers(generator, "coarse") == [0, 1, 2, 3]
    assert style_layers(generator, "middle") == [4, 5]
    assert style_layers(generator, [5, 1]) == [5, 1]
    for layers in ("fine", "rough", [], [2, 6], [-1]):
        with pytest.raises(ConfigError, match="from 0 to 5, or one of coarse, middle"):
            style_layers(generator, layers)


# ---- walks ----


def test_a_walk_passes_its_shoes(generator):
    ws = latents(generator, [1, 5, 9])
    shoes = list(render(generator, ws))
    for space in ("w", "z"):
        for easing in EASINGS:
            walk = interpolate(generator, [1, 5, 9], frames=4, space=space, easing=easing, batch=3)
            frames = list(walk)
            assert len(walk) == len(frames) == 9
            for shoe, frame in zip(shoes, frames[::4], strict=True):
                assert close(shoe, frame)
        loop = interpolate(generator, [1, 5, 9], frames=4, space=space, loop=True)
        assert len(loop) == 12
        torch.testing.assert_close(loop.ws_at(torch.tensor([3.0])), ws[:1])
    middle = interpolate(generator, [1, 5], space="w").ws_at(torch.tensor([0.5]))
    torch.testing.assert_close(middle, (ws[:1] + ws[1:2]) / 2)


def test_a_noise_loop_leaves_its_shoe_and_comes_back(generator):
    walk = interpolate(generator, [7], frames=60, space="noise-loop")
    assert len(walk) == 60
    ws = walk.ws_at(torch.linspace(0, 1, 61))
    torch.testing.assert_close(ws[:1], latents(generator, [7]))
    torch.testing.assert_close(ws[-1:], ws[:1])
    steps = (ws[1:] - ws[:-1]).norm(dim=(1, 2))
    far = (ws - ws[0]).norm(dim=(1, 2)).max()
    assert steps.max() < far / 3


def test_a_conditional_walk(conditional):
    for space, seeds in (("w", [1, 2]), ("z", [1, 2]), ("noise-loop", [1])):
        walk = interpolate(conditional, seeds, frames=3, space=space, classes=2)
        torch.testing.assert_close(walk.ws_at(torch.tensor([0.0])), latents(conditional, [1], classes=2))
    between = interpolate(conditional, [1, 1], frames=2, space="z", classes=[0, 1])
    torch.testing.assert_close(between.ws_at(torch.tensor([1.0])), latents(conditional, [1], classes=1))


def test_noise_in_a_walk(generator):
    frames = list(interpolate(generator, [1, 1], frames=2, noise="random"))
    assert not close(frames[0], frames[1])
    again = list(interpolate(generator, [1, 1], frames=2, noise="random", batch=1))
    assert all(map(close, frames, again))


def test_what_is_no_walk(generator):
    for options, message in [
        ({"seeds": [1]}, "at least two"),
        ({"seeds": [1, 2], "space": "noise-loop"}, "expected one for a noise-loop"),
        ({"seeds": [1, 2], "easing": "wild"}, "easing: got 'wild'"),
        ({"seeds": [1, 2], "space": "x"}, "space: got 'x'"),
        ({"seeds": [1, 2], "frames": 0}, "frames: got 0"),
        ({"seeds": [1, 2], "classes": 1}, "has none"),
    ]:
        with pytest.raises(ConfigError, match=message):
            interpolate(generator, **options)


@pytest.mark.parametrize("name", EASINGS)
def test_easings_go_from_0_to_1_and_never_back(name):
    values = EASINGS[name](torch.linspace(0, 1, 101, dtype=torch.float64))
    assert values[0] == 0
    assert values[-1] == 1
    assert (values.diff() > 0).all()
    speed = values.diff() * 100
    assert (speed[0] < 0.1) == (name in ("smooth", "ease-in", "ease-in-out"))
    assert (speed[-1] < 0.1) == (name in ("smooth", "ease-out", "ease-in-out"))


@given(st.integers(0, 1000), st.floats(0, 1))
def test_slerp_keeps_to_the_arc(seed, share):
    random = torch.Generator().manual_seed(seed)
    a, b = torch.randn(2, 1, 8, generator=random, dtype=torch.float64)
    there = slerp(a, b, torch.tensor([[share]], dtype=torch.float64))

    def angle(x, y):
        return float(torch.nn.functional.cosine_similarity(x, y).clamp(-1, 1).acos())

    assert angle(a, there) == pytest.approx(share * angle(a, b), abs=1e-6)
    assert angle(there, b) == pytest.approx((1 - share) * angle(a, b), abs=1e-6)
    torch.testing.assert_close(there.norm(), torch.lerp(a.norm(), b.norm(), share))
    torch.testing.assert_close(slerp(a, a, torch.tensor([[share]], dtype=torch.float64)), a)


# ---- files of latents ----


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".safetensors"])
def test_latents_come_back(suffix, generator, tmp_path):
    ws = latents(generator, range(3))
    path = tmp_path / f"w{suffix}"
    save_ws(path, ws, generator, notes={"seeds": [0, 1, 2]})
    assert torch.equal(load_ws(path, generator), ws)


def test_shapes_of_latents(generator, tmp_path):
    ws = latents(generator, range(2)).numpy()
    for values, expected in [
        (ws[0], ws[:1]),
        (ws.astype(np.float64), ws),
        (ws[:, 0], ws[:, :1].repeat(6, axis=1)),
        (ws[:, :1], ws[:, :1].repeat(6, axis=1)),
    ]:
        np.save(tmp_path / "w.npy", values)
        assert np.array_equal(load_ws(tmp_path / "w.npy", generator).numpy(), expected)


def test_files_that_hold_no_latents(generator, tmp_path):
    def refused(name, content, message):
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif name.endswith(".npz"):
            np.savez(path, **content)
        else:
            np.save(path, content, allow_pickle=True)
        with pytest.raises(FileFormatError, match=message) as caught:
            load_ws(path, generator)
        assert "\n" not in str(caught.value)

    good = latents(generator, [1]).numpy()
    for shape in [(16,), (6, 17), (2, 5, 16), (1, 2, 6, 16), (0, 16), ()]:
        refused("a.npy", np.zeros(shape, np.float32), "of shape")
    for bad in (np.nan, np.inf, 1e300):
        refused("a.npy", np.full((1, 6, 16), bad), "NaN, infinite or too large")
    refused("a.npy", np.zeros((1, 6, 16), int), "array of int64")
    refused("a.npy", np.array([{"w": 1}], object), "not a readable array")
    refused("a.npy", pickle.dumps(good), "not a readable array")
    refused("a.npy", b"", "not a readable array")
    refused("a.npy", b"\x93NUMPY\x01\x00\x10\x00{'shape': (\xff\xff    ", "not a readable array")
    refused("a.npz", {"z": good}, "got z, expected latents under the name w")
    refused("a.npz", {"w": np.array([None], object)}, "not a readable array")
    whole = io.BytesIO()
    np.savez(whole, w=good)
    refused("a.npz", whole.getvalue()[:200], "not a readable array")
    damaged = bytearray(whole.getvalue())
    damaged[200] ^= 255
    refused("a.npz", bytes(damaged), "not a readable array")
    refused("a.safetensors", b"x" * 40, "damaged or of another format")
    generator.save(tmp_path / "g.safetensors")
    with pytest.raises(FileFormatError, match="expected 'latents'"):
        load_ws(tmp_path / "g.safetensors", generator)
    with pytest.raises(FileFormatError, match="no such file"):
        load_ws(tmp_path / "none.npy", generator)
    with pytest.raises(ConfigError, match=r"suffix '\.pt' for latents"):
        load_ws(tmp_path / "w.pt", generator)


def test_a_packed_file_of_huge_latents_is_not_unpacked(generator, tmp_path, monkeypatch):
    monkeypatch.setattr("shoegen.stylegan.sampling.MAX_W_BYTES", 100_000)
    np.savez_compressed(tmp_path / "w.npz", w=np.zeros((1000, 6, 16), np.float32))
    with zipfile.ZipFile(tmp_path / "w.npz") as packed:
        assert packed.getinfo("w.npy").compress_size < 10_000
    with pytest.raises(FileFormatError, match="more than 2 GiB"):
        load_ws(tmp_path / "w.npz", generator)


def test_latents_of_another_generator_are_named(generator, tmp_path):
    other = variant(channel_max=8)
    said = []
    save_ws(tmp_path / "w.safetensors", latents(generator, [1]), generator)
    load_ws(tmp_path / "w.safetensors", generator, say=said.append)
    assert not said
    load_ws(tmp_path / "w.safetensors", other, say=said.append)
    assert "another generator" in said[0]
