import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from shoegen.cli import main
from shoegen.data.images import read_image, write_image
from shoegen.data.synthetic import make_dataset
from shoegen.errors import FileFormatError
from shoegen.ops import downsample2d, setup_filter, upsample2d
from shoegen.stylegan.augment import AugmentControl
from shoegen.stylegan.config import AugmentConfig, TrainingConfig, cpu_config, override
from shoegen.stylegan.networks import Generator
from shoegen.stylegan.trainer import Trainer
from shoegen.torch_utils.checkpoints import latest_checkpoint, load_checkpoint

RESOLUTION = 16


@pytest.fixture(scope="module")
def shoes(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "shoes.zip"
    make_dataset(path, count=40, resolution=32, seed=0, workers=1)
    return path


def train(*arguments):
    return CliRunner().invoke(main, ["train-stylegan", *map(str, arguments)])


def start_options(shoes, out, *, kimg):
    return ["--data", shoes, "--resolution", RESOLUTION, "--batch", 8, "--kimg", kimg, "--out", out]


def trainer(resolution=RESOLUTION, **changes):
    return Trainer(override(cpu_config("", resolution, batch=8), **changes), torch.device("cpu"))


def real_images(seed=0):
    return torch.rand(8, 3, RESOLUTION, RESOLUTION, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def assert_same_state(a, b):
    assert torch.equal(torch.tensor(a["steps"]), torch.tensor(b["steps"]))
    for network in ("generator", "discriminator", "generator_ema"):
        for name, value in a[network].items():
            assert torch.equal(value, b[network][name]), f"{network}.{name} differs"


def test_a_run_leaves_what_it_promises(shoes, tmp_path):
    out = tmp_path / "run"
    result = train(*start_options(shoes, out, kimg=0.2), "--snapshot-kimg", 0.1)
    assert result.exit_code == 0, result.output
    state = load_checkpoint(latest_checkpoint(out))
    assert state["images"] == 200
    assert len(list(out.glob("*.pt"))) == 2
    assert {path.name for path in (out / "samples").iterdir()} == {"reals.png", "000000.png"}
    assert read_image(out / "samples" / "000000.png").std() > 0
    generator = Generator.load(out / "generator.safetensors")
    torch.testing.assert_close(generator.state_dict(), state["generator_ema"])
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    logged = {name for line in lines for name in line}
    assert {"loss_g", "loss_d", "r_t", "augment_p", "images_per_second", "r1_penalty"} <= logged
    assert list((out / "tensorboard").iterdir())
    assert json.loads((out / "config.json").read_text())["batch"] == 8


def test_two_halves_are_the_whole_bit_for_bit(shoes, tmp_path):
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    assert train(*start_options(shoes, whole, kimg=0.4)).exit_code == 0
    assert train(*start_options(shoes, halves, kimg=0.2)).exit_code == 0
    assert train("--resume", "--kimg", 0.4, "--out", halves).exit_code == 0
    a, b = (load_checkpoint(latest_checkpoint(path)) for path in (whole, halves))
    assert a["images"] == b["images"] == 400
    assert a["augment_control"]["p"] == b["augment_control"]["p"] > 0  # the pipeline was at work
    assert_same_state(a, b)


def test_a_killed_run_goes_on_from_its_last_checkpoint(shoes, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    options = ["--snapshot-kimg", 0.08]
    assert train(*start_options(shoes, whole, kimg=0.48), *options).exit_code == 0

    command = [
        sys.executable,
        "-m",
        "shoegen",
        "train-stylegan",
        *start_options(shoes, killed, kimg=100),
        *options,
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    process = subprocess.Popen([str(part) for part in command], env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while latest_checkpoint(killed) is None and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    reached = load_checkpoint(latest_checkpoint(killed))["images"]
    assert reached < 480
    result = train("--resume", "--kimg", 0.48, "--snapshot-kimg", 0.08, "--out", killed)
    assert result.exit_code == 0, result.output
    a, b = (load_checkpoint(latest_checkpoint(path)) for path in (whole, killed))
    assert_same_state(a, b)


def test_a_step_trains_both_networks_and_the_average():
    one = trainer()
    before = {name: value.clone() for name, value in one.state_dict()["generator"].items()}
    critic = {name: value.clone() for name, value in one.discriminator.named_parameters()}
    one.train_step(real_images())
    for name, parameter in one.generator.named_parameters():
        if name.endswith("noise_strength"):
            continue
        assert not torch.equal(parameter, before[name]), name
    for name, parameter in one.discriminator.named_parameters():
        assert not torch.equal(parameter, critic[name]), name
    assert torch.equal(one.generator_ema.mapping.w_avg, one.generator.mapping.w_avg)
    assert one.means.peek().keys() >= {"loss_g", "loss_d", "path_length", "r1_penalty"}


@pytest.mark.parametrize("noise", [True, False])
def test_noise_is_learned_only_where_it_is_wanted(noise):
    one = trainer(noise=noise)
    one.train_step(real_images())
    strengths = [value for name, value in one.generator.named_parameters() if name.endswith("noise_strength")]
    assert all(bool(strength) == noise for strength in strengths)


def test_nan_is_named_and_nothing_is_saved(shoes, tmp_path):
    out = tmp_path / "run"
    result = train(*start_options(shoes, out, kimg=0.2), "--lr", 1e30)
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert re.fullmatch(
        r"error: .*became NaN or infinite.*lower --lr.*\n", result.stderr.splitlines(True)[-1]
    )
    assert latest_checkpoint(out) is None


def test_ada_moves_p_towards_its_target():
    config = AugmentConfig(interval=4, speed_kimg=1.0)
    control = AugmentControl(config)
    for step in range(1, 9):
        control.observe(torch.tensor(8.0), 8)
        control.adjust(step, batch=8)
    assert control.p == pytest.approx(2 * 4 * 8 / 1000)
    for step in range(9, 200):
        control.observe(torch.tensor(-8.0), 8)
        control.adjust(step, batch=8)
    assert control.p == 0


def test_a_run_killed_before_its_first_checkpoint_still_starts_from_its_checkpoint(shoes, tmp_path):
    assert train(*start_options(shoes, tmp_path / "first", kimg=0.01)).exit_code == 0
    source = latest_checkpoint(tmp_path / "first")
    assert train(*start_options(shoes, tmp_path / "a", kimg=0.01), "--init-from", source).exit_code == 0
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "config.json").write_bytes((tmp_path / "a" / "config.json").read_bytes())
    assert train("--resume", "--kimg", 0.01, "--out", tmp_path / "b").exit_code == 0
    assert_same_state(*(load_checkpoint(latest_checkpoint(tmp_path / name)) for name in "ab"))


def test_the_cpu_preset_is_what_it_says():
    config = cpu_config("", 64)
    assert (config.batch, config.noise, config.r1_gamma) == (16, False, pytest.approx(1.2288))
    assert config.generator.w_dim == config.generator.z_dim == config.generator.channel_max == 128


def test_networks_that_grow_start_as_the_smaller_ones():
    small, large = trainer(), trainer(2 * RESOLUTION)
    for i in range(2):
        small.train_step(real_images(i))
    report = large.init_from(small.state_dict())
    assert any(name.startswith("generator.synthesis.b32") for name in report.grown)
    assert "discriminator.b16.conv0.weight" in report.matched

    ws = small.generator_ema.map(torch.randn(2, 128))
    enlarged = upsample2d(small.generator_ema.synthesis(ws, noise_mode="none"), setup_filter([1, 3, 3, 1]))
    ws = ws[:, :1].expand(-1, large.generator.num_ws, -1)
    torch.testing.assert_close(
        large.generator_ema.synthesis(ws, noise_mode="none"), enlarged, atol=1e-5, rtol=1e-5
    )

    images = torch.rand(4, 3, 2 * RESOLUTION, 2 * RESOLUTION) * 2 - 1
    reduced = downsample2d(images, setup_filter([1, 3, 3, 1]))
    torch.testing.assert_close(
        large.discriminator(images), small.discriminator(reduced), atol=1e-4, rtol=1e-4
    )


def test_the_state_of_another_training_is_refused():
    with pytest.raises(FileFormatError, match="expected 'stylegan'"):
        trainer().load_state_dict({"kind": "segmenter"})
    other = trainer(32).state_dict()
    with pytest.raises(FileFormatError, match="other networks"):
        trainer().load_state_dict(other)


def test_configurations_are_json():
    config = override(cpu_config("", 64), augment=AugmentConfig(mode="fixed", p=0.2))
    assert TrainingConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def folder_of(tmp_path, *images):
    for i, image in enumerate(images):
        write_image(tmp_path / "data" / f"{i}.png", image)
    return tmp_path / "data"


def grey(height, width):
    return np.full((height, width, 3), 128, np.uint8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--resolution": 100}, "resolution: got 100, expected from 8"),
        ({"--data": "nothing.zip"}, "nothing.zip does not exist"),
        ({"--kimg": 0}, "--kimg 0"),
        ({"--lr": "nan"}, "expected a learning rate above 0"),
        ({"--batch": 6}, "batch: got 6"),
        ({"--batch": 0}, "--batch: got 0"),
        ({"--seed": -1}, "--seed: got -1"),
        ({"--augment-p": 2}, "--augment-p 2"),
        ({"--resolution": 4}, "resolution: got 4"),
        ({"--pipe": "bgcx"}, "augmentation pipe: got 'bgcx'"),
        ({"--device": "tpu"}, "--device: got 'tpu'"),
        ({"--init-from": "nothing.pt"}, "cannot read the checkpoint nothing.pt"),
        ({"--out": "/proc/shoegen/run"}, "cannot make the folder"),
    ],
)
def test_bad_options_are_one_line(shoes, tmp_path, change, message):
    options = {"--data": shoes, "--resolution": 16, "--kimg": 1, "--out": tmp_path / "run", **change}
    result = train(*(part for option in options.items() for part in option))
    assert result.exit_code == 1
    last = result.stderr.splitlines()[-1]
    assert last.startswith("error: ")
    assert message in last
    assert not (tmp_path / "run").exists()


def test_bad_data_is_one_line(tmp_path):
    mixed = folder_of(tmp_path, grey(32, 32), grey(20, 40))
    for path, message in [(mixed, "--fit crop"), (tmp_path / "empty", "no pictures")]:
        path.mkdir(exist_ok=True)
        result = train(*start_options(path, tmp_path / "run", kimg=1))
        assert result.exit_code == 1
        assert message in result.stderr.splitlines()[-1]


def test_resume_needs_a_run(tmp_path):
    result = train("--resume", "--kimg", 1, "--out", tmp_path / "run")
    assert result.exit_code == 1
    assert "no run in" in result.stderr


def test_a_finished_run_says_so(shoes, tmp_path):
    assert train(*start_options(shoes, tmp_path / "run", kimg=0.01)).exit_code == 0
    result = train("--resume", "--kimg", 0.01, "--out", tmp_path / "run")
    assert result.exit_code == 1
    assert "expected more than the 0.016 kimg" in result.stderr


def test_resume_refuses_what_it_would_ignore(shoes, tmp_path):
    result = train("--resume", "--kimg", 1, "--gamma", 3, "--out", tmp_path / "run")
    assert result.exit_code == 1
    assert "--resume keeps the options of the run, got --gamma" in result.stderr
