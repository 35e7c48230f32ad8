import json
from dataclasses import replace

import pytest
import torch

from shoegen.data.images import read_image
from shoegen.errors import ConfigError, FileFormatError
from shoegen.inversion import training
from shoegen.inversion.config import EncoderConfig, TrainingConfig
from shoegen.inversion.data import draw_ws
from shoegen.inversion.encoder import DEFAULT_PATH, Encoder
from shoegen.inversion.networks import EncoderNetwork
from shoegen.inversion.trainer import shifted
from shoegen.stylegan.networks import Generator
from shoegen.torch_utils.checkpoints import latest_checkpoint, load_checkpoint
from shoegen.torch_utils.draws import BatchDraws


@pytest.fixture
def model(generator, tmp_path):
    generator.save(tmp_path / "generator.safetensors")
    return tmp_path / "generator.safetensors"


def tiny(model, **changes):
    settings = {
        "images": 32, "batch": 8, "channels": (8, 8, 8), "hidden": 16, "log_every": 8, "evaluate_every": 16,
        "save_every": 16,
    }  # fmt: skip
    return TrainingConfig(data=str(model), **{**settings, **changes})


def log_of(run):
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def test_a_run_leaves_an_encoder_of_its_generator(model, tmp_path):
    training.train(tiny(model, perceptual=0.5), tmp_path / "run")
    lines = log_of(tmp_path / "run")
    assert [line["images"] for line in lines if "loss" in line] == [8, 16, 24, 32]
    assert {"loss_latent", "loss_image", "loss_perceptual", "learning_rate"} <= lines[0].keys()
    assert [line["images"] for line in lines if "val/latent" in line] == [16, 32]
    assert read_image(tmp_path / "run" / "samples" / "000000032.png").shape == (4 * 34 - 2, 8 * 34 - 2, 3)
    encoder = Encoder.load(tmp_path / "run")
    generator = Generator.load(model)
    encoder.check_generator(generator.hash())
    state = load_checkpoint(latest_checkpoint(tmp_path / "run"))
    for name, value in encoder.net.state_dict().items():
        assert torch.allclose(value, state["average"][name], atol=1e-2)
    ws = encoder(torch.zeros(2, 3, 50, 40))
    assert ws.shape == (2, generator.num_ws, 8)


def test_learning_shows(model, tmp_path):
    config = tiny(
        model, channels=(16, 32, 32), images=480, batch=16, evaluate_every=16, learning_rate=5e-3, ema=60.0
    )
    training.train(replace(config, images=16), tmp_path / "first")
    training.train(replace(config, evaluate_every=480, save_every=480, log_every=480), tmp_path / "run")
    first, last = (
        next(line for line in log_of(tmp_path / name) if "val/latent" in line) for name in ("first", "run")
    )
    assert last["val/mse"] < 0.8 * first["val/mse"]
    assert last["val/latent"] < 0.95 * first["val/latent"]


def test_samples_follow_from_step_and_seed(generator):
    config = TrainingConfig(batch=4, mixed=1.0, psi=(1.0, 1.0))
    draws = [BatchDraws((0, 3, "samples"), [0, 1, 2, 3], 4, torch.device("cpu")) for _ in range(2)]
    one, other = (draw_ws(generator, each, 4, config) for each in draws)
    assert torch.equal(one, other)
    assert one.shape == (4, generator.num_ws, 8)
    assert all(len(each.unique(dim=0)) == 2 for each in one)  # one w first, another later
    plain = draw_ws(
        generator, BatchDraws((0, 3, "s"), [1], 4, torch.device("cpu")), 1, replace(config, mixed=0.0)
    )
    assert len(plain[0].unique(dim=0)) == 1


def test_shifted():
    image = torch.arange(12.0).view(1, 3, 4)
    assert torch.equal(shifted(image, 1, 0)[0, 0], torch.tensor([0.0, 0.0, 1.0, 2.0]))
    assert torch.equal(shifted(image, 0, -1)[0, :, 0], torch.tensor([4.0, 8.0, 8.0]))
    assert shifted(image, 0, 0) is image


def test_files(generator, tmp_path):
    config = EncoderConfig(
        resolution=(32, 32), num_ws=generator.num_ws, w_dim=8, img_channels=1, channels=(8, 8)
    )
    encoder = Encoder(EncoderNetwork(config), generator.hash())
    encoder.save(tmp_path / "encoder.safetensors")
    read = Encoder.load(tmp_path / "encoder.safetensors")
    assert read.config == config
    assert read(torch.zeros(1, 3, 32, 32)).shape == (1, generator.num_ws, 8)
    generator.save(tmp_path / "generator.safetensors")
    with pytest.raises(FileFormatError, match="expected 'encoder'"):
        Encoder.load(tmp_path / "generator.safetensors")
    with pytest.raises(FileFormatError, match="no encoder at"):
        Encoder.load(tmp_path / "nothing")


@pytest.mark.skipif(
    not DEFAULT_PATH.exists(), reason="no encoder ships yet: scripts/train_encoder.py makes it"
)
def test_the_shipped_one_is_of_the_shipped_generator():
    generator = Generator.load(DEFAULT_PATH.parent / "generator.safetensors")
    Encoder.load().check_generator(generator.hash())
    assert DEFAULT_PATH.stat().st_size < 4e6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rate": 0.0}, "--lr"),
        ({"channels": (8,)}, "channels is"),
        ({"psi": (1.0, 0.5)}, "psi: got"),
        ({"mixed": 1.5}, "mixed: got"),
        ({"latent": 0.0, "image": 0.0}, "are all 0"),
    ],
)
def test_bad_settings(model, tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        training.train(tiny(model, **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()
