import collections
import io
import os
import pickle
import random
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import shoegen
from shoegen.errors import FileFormatError
from shoegen.stylegan.config import DiscriminatorConfig, GeneratorConfig
from shoegen.stylegan.legacy import read_network, write_network
from shoegen.stylegan.networks import Discriminator, Generator

from ..tiny import tiny_generator
from ..vectors import assert_close, load
from .official_pickles import EasyDict, Module, dumps, module_of

VECTORS = ["net_uncond_skip_resnet", "net_cond_skip_resnet", "net_orig_skip", "net_resnet_orig"]


def part(arrays, prefix):
    return {
        name.removeprefix(prefix): torch.from_numpy(value)
        for name, value in arrays.items()
        if name.startswith(prefix)
    }


def official_networks(meta, arrays, *, nested=True):
    """Networks of a vector file, made with options in the nested style or in the flat one."""
    shared = {"img_resolution": meta["img_resolution"], "img_channels": 3, "c_dim": meta["c_dim"]}
    width = {"channel_base": meta["channel_base"], "channel_max": np.int64(meta["channel_max"])}
    synthesis = EasyDict(**width, architecture=meta["g_architecture"], num_fp16_res=4, conv_clamp=256)
    mapping = {"mapping_kwargs": EasyDict(num_layers=meta["mapping_layers"])}
    dims = {"z_dim": meta["z_dim"], "w_dim": meta["w_dim"]}
    g_kwargs = {**shared, **dims, **mapping} | ({"synthesis_kwargs": synthesis} if nested else synthesis)
    d_kwargs = {
        **shared,
        **width,
        "architecture": meta["d_architecture"],
        "num_fp16_res": 4,
        "conv_clamp": 256,
        "block_kwargs": EasyDict(),
        "mapping_kwargs": EasyDict(num_layers=meta["d_cmap_layers"] or 8),
        "epilogue_kwargs": EasyDict(mbstd_group_size=meta["mbstd_group_size"]),
    }
    generator = module_of("Generator", part(arrays, "G."), g_kwargs)
    discriminator = module_of("Discriminator", part(arrays, "D."), d_kwargs)
    return {
        "G": generator,
        "D": discriminator,
        "G_ema": generator,
        "augment_pipe": None,
        "training_set_kwargs": EasyDict(path="x.zip", use_labels=False, max_size=np.float64(3.5), xflip=True),
    }


@pytest.fixture(scope="module", params=VECTORS)
def published(request):
    return load(request.param)


@pytest.mark.parametrize(("nested", "protocol"), [(True, 4), (False, 2), (True, 3), (True, 5)])
def test_numbers_of_the_published_networks(published, tmp_path, nested, protocol, monkeypatch):
    monkeypatch.chdir(tmp_path)
    meta, arrays = published
    path = tmp_path / "network.pkl"
    path.write_bytes(dumps(official_networks(meta, arrays, nested=nested), protocol))
    found = read_network(path)
    generator, discriminator = found.network, read_network(path, "d").network
    z, c = (torch.from_numpy(arrays[name]) if name in arrays else None for name in ("z", "c"))
    with torch.no_grad():
        assert_close(generator.map(z, c), arrays["ws"])
        ws = generator.map(z, c, truncation_psi=0.7, truncation_cutoff=4)
        assert_close(generator.synthesis(ws, noise_mode="none"), arrays["img_psi07_none"])
        images = generator.synthesis(generator.map(z, c), noise_mode="const")
        assert_close(images, arrays["img_const"])
        assert_close(discriminator(torch.from_numpy(arrays["img_const"]), c), arrays["logits"])
    assert found.kind == "official pickle, G_ema"
    assert generator.config.architecture == meta["g_architecture"]
    assert generator.config.conv_clamp == discriminator.config.conv_clamp == 256
    assert generator.config.num_fp16_res == len(generator.config.resolutions) - 1  # 4 px never is
    assert discriminator.config.mbstd_group == meta["mbstd_group_size"]
    assert not list(tmp_path.glob("*was_run*"))


GENERATOR = GeneratorConfig(resolution=8, z_dim=8, w_dim=8, mapping_layers=1, channel_base=32, channel_max=6)


def small(config=GENERATOR, seed=0):
    torch.manual_seed(seed)
    return Generator(config)


def small_pickle(kwargs=None, state=None, **more):
    return dumps({"G_ema": module_of("Generator", state or small().state_dict(), kwargs or {}), **more})


def read(tmp_path, content):
    path = tmp_path / "network.pkl"
    path.write_bytes(content)
    return read_network(path)


def test_shapes_tell_what_the_options_do_not(tmp_path):
    network = read(tmp_path, small_pickle()).network
    assert network.config == GeneratorConfig(**{**GENERATOR.to_dict(), "channel_base": 32})
    assert network.hash() == small().hash()
    # The parts tell too: here as attributes, which the constructor left there.
    module = module_of("Generator", small().state_dict(), {})
    block = module.state["_modules"]["synthesis"].state["_modules"]["b8"]
    block.state["use_fp16"] = True
    block.state["_modules"]["conv1"].state["conv_clamp"] = 128
    network = read(tmp_path, dumps({"G_ema": module})).network
    assert (network.config.num_fp16_res, network.config.conv_clamp) == (1, 128.0)


def test_a_part_without_tensors_tells_the_group(tmp_path):
    state = Discriminator(DiscriminatorConfig(resolution=8, channel_base=32, channel_max=6)).state_dict()
    module = module_of("Discriminator", state, {})
    mbstd = Module("MinibatchStdLayer", {}, group_size=2)
    module.state["_modules"]["b4"].state["_modules"]["mbstd"] = mbstd
    (tmp_path / "d.pkl").write_bytes(dumps({"D": module}))
    assert read_network(tmp_path / "d.pkl", "d").network.config.mbstd_group == 2


def test_tensors_in_channels_last_and_half(tmp_path):
    state = small().state_dict()
    name = "synthesis.b8.conv0.weight"
    state[name] = state[name].to(memory_format=torch.channels_last)
    state["mapping.w_avg"] = state["mapping.w_avg"].half()
    assert read(tmp_path, small_pickle(state=state)).network.hash() == small().hash()


def test_only_the_network_that_is_wanted_must_be_there(tmp_path):
    path = tmp_path / "network.pkl"
    path.write_bytes(small_pickle())
    with pytest.raises(FileFormatError, match=r"network.pkl: no D in it, only 'G_ema'"):
        read_network(path, "d")


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"synthesis_kwargs": {"activation": "relu"}}, "activation is 'relu', only 'lrelu' is supported"),
        ({"resample_filter": [1, 4, 6, 4, 1]}, "resample_filter is .*, only .1, 3, 3, 1. is supported"),
        ({"use_noise": False}, "use_noise is False, only True"),
        ({"mapping_kwargs": {"lr_multiplier": 0.1}}, "lr_multiplier is 0.1"),
        ({"img_resolution": 16}, "img_resolution is 16, but its tensors are for 8"),
        ({"w_dim": 9}, "w_dim is 9, but its tensors are for 8"),
        ({"mapping_kwargs": {"num_layers": 2}}, "num_layers is 2, but"),
        ({"architecture": "resnet"}, "architecture is 'resnet', but its tensors are for skip"),
        ({"channel_max": 5}, "channel_max 5 disagree with its tensors"),
        ({"channel_base": 2**40}, "channel_base is .*, which no network has"),
        ({"conv_clamp": float("nan")}, "conv_clamp is nan"),
        ({"num_fp16_res": "4"}, "num_fp16_res is '4'"),
        ({"epilogue_kwargs": {"mbstd_group_size": None}}, "mbstd_group_size is None, the whole batch"),
    ],
)
def test_unsupported_options_are_named(tmp_path, kwargs, message):
    with pytest.raises(FileFormatError, match=message):
        read(tmp_path, small_pickle(kwargs))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("synthesis.b8.conv0.bias"), "lacks 'synthesis.b8.conv0.bias'"),
        (lambda s: s.pop("mapping.fc0.weight"), "no tensor mapping.fc0.weight"),
        (lambda s: s.update({"synthesis.b8.extra": torch.ones(2)}), "has also 'synthesis.b8.extra'"),
        (lambda s: s.update({"mapping.w_avg": torch.ones(9)}), r"mapping.w_avg has the shape \(9,\)"),
        (lambda s: s.update({"mapping.fc0.weight": torch.ones(8, 8, 1, 1)}), "expected 2 dimensions"),
        (lambda s: s["synthesis.b8.resample_filter"].mul_(2), "another resample_filter"),
        (lambda s: s.update({"synthesis.b64.const": torch.ones(1)}), r"blocks of \[4, 8, 64\]"),
    ],
)
def test_tensors_that_make_no_network(tmp_path, change, message):
    state = small().state_dict()
    change(state)
    with pytest.raises(FileFormatError, match=message):
        read(tmp_path, small_pickle(state=state))


def test_other_networks(tmp_path):
    alias_free = Module("SynthesisInput", {})
    for module, message in [
        (alias_free, "StyleGAN3's networks are not supported"),
        (Module("Evil", {}), "is a 'Evil', unknown here"),
    ]:
        with pytest.raises(FileFormatError, match=message):
            read(tmp_path, dumps({"G_ema": module}))


# ---- what is refused ----


class Calls:
    """Reduces to a call of any function."""

    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


# A dict whose key is a pair of pairs of pairs …: its hash takes 2⁶⁰ steps.
BOMB = b"\x80\x02})" + b"2\x86" * 60 + b"K\x01s."


def nested_torch_bytes(value):
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def global_(module, name, arguments=b")"):
    """Opcodes: module.name(*arguments), with protocol 4's names, dots and all."""
    text = [b"\x8c" + bytes([len(word)]) + word.encode() for word in (module, name)]
    return b"\x80\x04" + text[0] + text[1] + b"\x93" + arguments + b"R."


STORAGE = torch.storage._load_from_bytes
MALICIOUS = {
    "call": pickle.dumps({"G_ema": Calls(os.system, "touch was_run")}),
    "call, protocol 0": pickle.dumps(Calls(os.system, "touch was_run"), protocol=0),
    "INST": b"(S'touch was_run'\nios\nsystem\n.",
    "OBJ": b"(cos\nsystem\nS'touch was_run'\no.",
    "eval": pickle.dumps(Calls(eval, "open('was_run', 'w')")),
    "getattr": pickle.dumps(Calls(getattr, "x", "upper")),
    "dotted name": global_("collections", "OrderedDict.__init__.__globals__"),
    "dotted name of an allowed one": global_("torch.storage", "_load_from_bytes.__globals__"),
    "import": global_("torch.hub", "load"),
    "name is no text": b"\x80\x04K\x01K\x02\x93.",
    "extension": b"\x80\x02\x82\x01.",
    "persistent id": b"\x80\x02K\x01Q.",
    "persistent id, text": b"P1\n.",
    "buffer": b"\x80\x05\x97.",
    "nested": pickle.dumps({"G_ema": Calls(STORAGE, nested_torch_bytes(Calls(os.system, "touch was_run")))}),
    "nested in zip": pickle.dumps(Calls(STORAGE, b"PK\x03\x04" + bytes(100))),
    "nested, text": pickle.dumps(Calls(STORAGE, "x")),
    "nested, no storage": pickle.dumps(Calls(STORAGE, nested_torch_bytes([1, 2]))),
    "nested, name inside": pickle.dumps(Calls(STORAGE, nested_torch_bytes(collections.Counter))),
    "nested bomb": pickle.dumps(Calls(STORAGE, nested_torch_bytes({}).replace(b"\x80\x02}q\x00.", BOMB))),
    "state of a dict": b"\x80\x02ccollections\nOrderedDict\n)R}X\x01\x00\x00\x00aK\x01sb.",
    "state of a function": b"\x80\x02ccollections\nOrderedDict\n}X\x01\x00\x00\x00aK\x01sb.",
    "NumPy objects": pickle.dumps(np.array([{}], dtype=object)),
    "NumPy object type": pickle.dumps(np.dtype("O")),
    "NumPy record type": pickle.dumps(np.dtype([("a", "f8")])),
    "NumPy big-endian type": pickle.dumps(np.dtype(">f8")),
    "keys": BOMB,
    "odd arguments": global_("collections", "OrderedDict", b"K\x01\x85"),
    "function as arguments": b"\x80\x02ccollections\nOrderedDict\ncollections\nOrderedDict\nR.",
    "tensor without end": pickle.dumps(torch.zeros(1).expand(10**6, 10**6)),
    "tensor beyond its data": small_pickle().replace(b"K\x08K\x08\x86", b"K\x08K\x07\x86", 1),
    "memo": b"\x80\x02K\x01r\xff\xff\xff\x7f.",
    "long bytes": b"\x80\x04\x8e" + (2**62).to_bytes(8, "little") + b"x.",
    "long integer": b"\x80\x02\x8b" + (10**6).to_bytes(4, "little") + bytes(10**6 - 1) + b"\x01.",
    "module without class": b"\x80\x02ctorch_utils.persistence\n_reconstruct_persistent_obj\n}\x85R.",
}


@pytest.mark.parametrize("name", MALICIOUS)
def test_nothing_runs(tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    started = time.process_time()
    with pytest.raises(FileFormatError) as raised:
        read(tmp_path, MALICIOUS[name])
    assert time.process_time() - started < 1
    assert not list(tmp_path.glob("*was_run*"))
    assert len(str(raised.value).removeprefix(str(tmp_path))) < 200


def test_the_refusal_names_what_was_asked_for(tmp_path):
    with pytest.raises(FileFormatError, match=r"refused: it asks for '(posix|nt).system'"):
        read(tmp_path, MALICIOUS["call"])


def test_a_malicious_part_that_is_not_needed_is_refused_too(tmp_path):
    with pytest.raises(FileFormatError, match=r"asks for 'builtins\.eval'"):
        read(tmp_path, small_pickle(augment_pipe=Calls(eval, "1")))


def test_modules_without_end(tmp_path):
    module = Module("Generator", {})
    wide = {f"b{i}": module for i in range(500)}
    module.state["_modules"] = {}
    for _ in range(6):
        module = Module("SynthesisBlock", {})
        module.state["_modules"] = dict(wide)
        wide = {f"b{i}": module for i in range(500)}
    started = time.process_time()
    with pytest.raises(FileFormatError, match="or are more, than any network's"):
        read(tmp_path, dumps({"G_ema": module}))
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1], "a pickle of a list|a pickle of .1."),
        ({"a": 1}, "expected a dict with G, D and G_ema"),
        ({"mapping.w_avg": torch.ones(3)}, "expected a dict with G, D and G_ema"),
        ({"G_ema": None}, "expected a dict with G, D and G_ema"),
    ],
)
def test_other_pickles(tmp_path, value, message):
    with pytest.raises(FileFormatError, match=message):
        read(tmp_path, pickle.dumps(value))


def test_tensorflow_pickles_are_told_apart(tmp_path):
    with pytest.raises(FileFormatError, match="TensorFlow versions of StyleGAN; convert it"):
        read(tmp_path, b"\x80\x03cdnnlib.tflib.network\nNetwork\nq\x00)\x81q\x01.")


def test_files_that_are_no_networks(tmp_path):
    with pytest.raises(FileFormatError, match=r"cannot read .*; expected a file with a network"):
        read_network(tmp_path / "none.pkl")
    with pytest.raises(FileFormatError, match="cannot read"):
        read_network(tmp_path)
    with pytest.raises(FileFormatError, match="cannot read /dev/zero: not a file"):
        read_network("/dev/zero")
    for content in (b"", b"\x89PNG\r\n\x1a\n" + bytes(100), b"hello, world\n", b"PK\x03\x04", b"\x80"):
        with pytest.raises(
            FileFormatError, match=r"not a whole|no network; expected a \.safetensors, \.pkl or \.pt"
        ):
            read(tmp_path, content)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return small_pickle(training_set_kwargs=EasyDict(a=np.float64(1))), tmp_path_factory.mktemp("damaged")


@settings(deadline=None, max_examples=150)
@given(seed=st.integers(0, 2**32), cut=st.booleans())
def test_damaged_files_are_refused_or_read(whole, seed, cut):
    content, folder = whole
    draw = random.Random(seed)
    damaged = bytearray(content[: draw.randrange(len(content))] if cut else content)
    for _ in range(0 if cut else draw.randint(1, 8)):
        damaged[draw.randrange(len(damaged))] = draw.randrange(256)
    try:
        network = read(folder, damaged).network
    except FileFormatError:
        return
    assert not cut
    assert isinstance(network, Generator)


# ---- out ----

CONFIGS = [
    GENERATOR,
    GeneratorConfig(
        resolution=(8, 12), c_dim=2, z_dim=4, w_dim=6, mapping_layers=2, channel_base=32, channel_max=6,
        architecture="resnet", img_channels=4, conv_clamp=256.0, num_fp16_res=1,
    ),
    DiscriminatorConfig(resolution=16, channel_base=64, channel_max=8, mbstd_group=2, conv_clamp=256.0),
    DiscriminatorConfig(
        resolution=(16, 24), channel_base=64, channel_max=8, c_dim=3, mapping_layers=2, architecture="skip",
        img_channels=1,
    ),
]  # fmt: skip


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("config", CONFIGS)
def test_state_dicts_come_back_bit_for_bit(tmp_path, config, suffix):
    torch.manual_seed(0)
    network = (Generator if isinstance(config, GeneratorConfig) else Discriminator)(config)
    which = "g_ema" if isinstance(network, Generator) else "d"
    path = tmp_path / f"state{suffix}"
    write_network(path, network, "official", which=which, notes={"by": "me"})
    found = read_network(path, which)
    assert found.network.config == config
    assert found.notes == ({"by": "me"} if suffix == ".safetensors" else {})
    for name, tensor in network.state_dict().items():
        assert torch.equal(found.network.state_dict()[name], tensor), name
    if suffix == ".pt":
        data = torch.load(path, weights_only=True)
        network.load_state_dict(data["G_ema" if which == "g_ema" else "D"])


def test_a_bare_state_dict_is_read(tmp_path):
    torch.save(small().state_dict(), tmp_path / "bare.pt")
    assert read_network(tmp_path / "bare.pt").network.hash() == small().hash()
    with pytest.raises(FileFormatError, match="a discriminator was asked for"):
        read_network(tmp_path / "bare.pt", "d")


# ---- the one door ----


def test_load_tells_files_apart_by_their_content(tmp_path, monkeypatch):
    generator = tiny_generator()
    pickled = dumps({"G_ema": module_of("Generator", generator.state_dict(), {})})
    for name in ("official.pkl", "renamed.pt", "renamed.safetensors"):
        (tmp_path / name).write_bytes(pickled)
        assert shoegen.load(tmp_path / name, device="cpu").hash == generator.hash()
    generator.save(tmp_path / "own.pkl")
    model = shoegen.load(tmp_path / "own.pkl", device="cpu")
    assert model.sample(3).image.shape == (16, 16, 3)
    (tmp_path / "evil.pkl").write_bytes(MALICIOUS["call"])
    with pytest.raises(FileFormatError, match=r"evil.pkl: refused"):
        shoegen.load(tmp_path / "evil.pkl")
