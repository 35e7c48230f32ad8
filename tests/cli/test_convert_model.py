import json

import pytest
import torch
from click.testing import CliRunner
from safetensors import safe_open

import shoegen
from shoegen.cli import main
from shoegen.stylegan import legacy, trainer
from shoegen.stylegan.config import DiscriminatorConfig, TrainingConfig
from shoegen.stylegan.legacy import read_network
from shoegen.stylegan.networks import Discriminator
from shoegen.torch_utils.checkpoints import save_checkpoint

from ..stylegan.official_pickles import dumps, module_of
from ..tiny import tiny_generator


@pytest.fixture
def official(tmp_path):
    generator = tiny_generator()
    kwargs = {"synthesis_kwargs": {"num_fp16_res": 2, "conv_clamp": 256}}
    path = tmp_path / "official.pkl"
    path.write_bytes(dumps({"G_ema": module_of("Generator", generator.state_dict(), kwargs)}))
    return path


def run(*arguments):
    return CliRunner().invoke(main, ["convert-model", *map(str, arguments)])


def test_official_to_shoegen(official, tmp_path):
    out = tmp_path / "new" / "model.safetensors"
    result = run(official, "--out", out)
    assert result.exit_code == 0, result.output
    for text in (
        "official.pkl: official pickle, G_ema",
        "generator 16x16 RGB, architecture skip, no classes",
        "z 16, w 16, 1 mapping layer",
        "16 bit in the 2 highest resolutions, activations within ±256",
        "licence: the weights keep the licence of who trained them",
        "model.safetensors: for shoegen",
    ):
        assert text in result.output
    model = shoegen.load(out, device="cpu")
    assert model.hash == tiny_generator().hash()
    assert model.generator.config.conv_clamp == 256
    with safe_open(out, framework="pt") as file:
        notes = json.loads(file.metadata()["shoegen"])["notes"]
    assert notes["origin"]["file"] == "official.pkl"
    assert len(notes["origin"]["sha256"]) == 64
    assert "who trained them" in notes["licence"]


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_there_and_back(official, tmp_path, suffix):
    first, second = tmp_path / f"state{suffix}", tmp_path / "theirs.pt"
    assert run(official, "--to", "official", "--out", first).exit_code == 0
    result = run(first, "--to", "rosinality", "--out", second)
    assert result.exit_code == 0, result.output
    assert "note: style_dim 16, n_mlp 1" in result.output
    result = run(second, "--out", tmp_path / "back.safetensors")
    assert "theirs.pt: rosinality's checkpoint, g_ema" in result.output
    assert shoegen.load(tmp_path / "back.safetensors", device="cpu").hash == tiny_generator().hash()


@pytest.fixture
def checkpoint(tmp_path):
    generator, averaged = tiny_generator(1), tiny_generator(2)
    torch.manual_seed(0)
    discriminator = Discriminator(DiscriminatorConfig(resolution=16, channel_base=256, channel_max=16))
    config = TrainingConfig(data="x", generator=generator.config, discriminator=discriminator.config)
    state = {
        "kind": "stylegan",
        "config": config.to_dict(),
        "generator": generator.state_dict(),
        "generator_ema": averaged.state_dict(),
        "discriminator": discriminator.state_dict(),
    }
    return save_checkpoint(tmp_path, 1000, state, keep=1), generator, averaged, discriminator


def test_our_own_checkpoint(checkpoint, tmp_path):
    path, generator, averaged, discriminator = checkpoint
    assert legacy.KIND == trainer.KIND
    assert shoegen.load(path, device="cpu").hash == averaged.hash()
    assert read_network(path, "g").network.hash() == generator.hash()
    result = run(path, "--network", "d", "--out", tmp_path / "d.safetensors")
    assert result.exit_code == 0, result.output
    assert "discriminator 16x16 RGB, architecture resnet" in result.output
    again = read_network(tmp_path / "d.safetensors", "d").network
    assert again.config == discriminator.config
    assert all(
        torch.equal(again.state_dict()[name], value) for name, value in discriminator.state_dict().items()
    )
    content = bytearray(path.read_bytes())
    content[-200] ^= 1
    path.write_bytes(content)
    result = run(path, "--out", tmp_path / "x.safetensors")
    assert result.exit_code == 1
    assert "error: " in result.output


def fails(result, text):
    assert result.exit_code in (1, 2)
    assert text in " ".join(result.output.split())
    assert "Traceback" not in result.output


def test_errors_are_one_line(official, tmp_path):
    out = tmp_path / "out.safetensors"
    fails(
        run(tmp_path / "none.pkl", "--out", out),
        "none.pkl: No such file or directory; expected a file with a network",
    )
    fails(run(official, "--out", tmp_path / "out.pkl"), "got '.pkl', expected .safetensors for --to shoegen")
    fails(
        run(official, "--to", "official", "--out", tmp_path / "out.pkl"),
        "expected .pt or .safetensors for --to official",
    )
    fails(run(official, "--network", "d", "--out", out), "no D in it, only 'G_ema'")
    (tmp_path / "evil.pkl").write_bytes(b"cos\nsystem\n(S'touch was_run'\ntR.")
    fails(
        run(tmp_path / "evil.pkl", "--out", out), "refused: it asks for 'os.system', which no network needs"
    )
    fails(run(official, "--out", tmp_path), "expected .safetensors")
    fails(run(official, "--out", official / "x.safetensors"), "choose another path")
    fails(run(official, "--to", "stylegan3", "--out", out), "Invalid value for '--to'")
    assert not out.exists()


def test_a_file_may_replace_itself(official):
    path = official.with_suffix(".safetensors")
    tiny_generator(5).save(path, notes={"trained": "here"})
    assert run(path, "--out", path).exit_code == 0
    found = read_network(path)
    assert found.network.hash() == tiny_generator(5).hash()
    assert found.notes["trained"] == "here"


def test_help_says_what_is_not_written():
    assert "only their own code can write one" in " ".join(run("--help").output.split())
