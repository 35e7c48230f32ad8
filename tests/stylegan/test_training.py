import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from shoegen.cli import main
from shoegen.data.images import read_image, write_image
from shoegen.data.synthetic import make_dataset
from shoegen.errors import FileFormatError
from shoegen.stylegan.augment import AugmentControl
from shoegen.stylegan.config import AugmentConfig, cpu_config, override
from shoegen.stylegan.networks import Generator
from shoegen.stylegan.trainer import MODEL_FILE, Trainer
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
    size = ["--resolution", RESOLUTION, "--batch", 8]
    return ["--data", shoes, *size, "--kimg", kimg, "--metric-samples", 8, "--out", out]


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
    assert {path.name for path in (out / "samples").iterdir()} == {
        "reals.png",
        "000000104.png",
        "000000200.png",
    }
    assert read_image(out / "samples" / "000000200.png").std() > 0
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


def test_the_state_of_another_training_is_refused():
    with pytest.raises(FileFormatError, match="expected 'stylegan'"):
        trainer().load_state_dict({"kind": "segmenter"})
    other = trainer(32).state_dict()
    with pytest.raises(FileFormatError, match="other networks"):
        trainer().load_state_dict(other)


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
        ({"--kimg": 0}, "--kimg: got 0"),
        ({"--lr": "nan"}, "expected a learning rate above 0"),
        ({"--batch": 6}, "batch: got 6"),
        ({"--batch": 0}, "--batch: got 0"),
        ({"--seed": -1}, "--seed: got -1"),
        ({"--augment-p": 2}, "--augment-p 2"),
        ({"--resolution": 4}, "resolution: got 4"),
        ({"--pipe": "bgcx"}, "augmentation pipe: got 'bgcx'"),
        ({"--resolution": "64x100"}, "resolution: got 64x100 (width x height)"),
        ({"--resolution": "large"}, "--resolution: got 'large'"),
        ({"--batch-gpu": 3}, "--batch-gpu: got 3, expected a divisor"),
        ({"--batch-gpu": "all"}, "--batch-gpu: got 'all'"),
        ({"--subset": 41}, "41"),
        ({"--classes": "nothing.json"}, "nothing.json"),
        ({"--freeze-d": 99}, "--freeze-d: got 99, expected at most"),
        ({"--precision": "float16"}, "--precision float16: CPUs lack it"),
        ({"--metrics": "beauty"}, "metrics: got 'beauty', expected some of swd"),
        ({"--metrics": "is"}, "--metrics: got is, expected one of kid"),
        ({"--keep": 0}, "--keep: got 0"),
        ({"--device": "tpu"}, "--device: got 'tpu'"),
        ({"--init-from": "nothing.pt"}, "cannot read nothing.pt"),
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
    model = (tmp_path / "run" / MODEL_FILE).read_bytes()
    for length in ([], ["--kimg", 0.01], ["--kimg", 0.016]):  # as what starts trainings anew may ask for
        result = train("--resume", *length, "--out", tmp_path / "run")
        assert result.exit_code == 0, result.stderr
        assert "all 0.016 kimg were shown already; --kimg with more goes on" in result.stderr
        assert (tmp_path / "run" / MODEL_FILE).read_bytes() == model
    result = train("--resume", "--kimg", 0.008, "--out", tmp_path / "run")
    assert result.exit_code == 1
    assert "--kimg 0.008: expected at least the 0.016 that the run has shown" in result.stderr


def test_resume_refuses_what_it_would_ignore(shoes, tmp_path):
    result = train("--resume", "--kimg", 1, "--gamma", 3, "--out", tmp_path / "run")
    assert result.exit_code == 1
    assert "--resume keeps the options of the run, got --gamma" in result.stderr


def log_of(out):
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def test_the_best_evaluation_is_kept(shoes, tmp_path):
    out = tmp_path / "run"
    options = ["--snapshot-kimg", 0.08, "--metric-kimg", 0.08, "--metric-samples", 16, "--keep", 1]
    result = train(*start_options(shoes, out, kimg=0.4), *options)
    assert result.exit_code == 0, result.output
    evaluated = {line["images"]: line["swd"] for line in log_of(out) if "swd" in line}
    assert sorted(evaluated) == [80, 160, 240, 320, 400]
    best = min(evaluated, key=evaluated.get)
    state = load_checkpoint(latest_checkpoint(out))
    assert state["best"] == {"metric": "swd", "value": evaluated[best], "images": best}
    kept = {int(path.stem.split("-")[1]) for path in out.glob("checkpoint-*.pt")}
    assert kept == {best, 400}
    assert Generator.load(out / "best.safetensors")
    assert all(line["diversity"] > 0 for line in log_of(out) if "swd" in line)


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(shoes, tmp_path):
    result = train(*start_options(shoes, tmp_path / "run", kimg=1), "--dry-run", "--preset", "paper256")
    assert result.exit_code == 0, result.output
    assert '"r1_gamma": 1.0' in result.stdout
    assert re.search(r"generator of [0-9.]+ million parameters", result.stdout)
    assert "1 kimg would be 125 steps; nothing was written" in result.stdout
    assert not (tmp_path / "run").exists()


def test_pictures_of_classes_train_a_conditional_generator(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(16):
        path = tmp_path / "data" / ("boots" if i % 4 else "pumps") / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, rng.integers(0, 255, (16, 24, 3), dtype=np.uint8))
    out = tmp_path / "run"
    options = ["--classes", "folders", "--resolution", "24x16", "--batch-gpu", 4]
    result = train(*start_options(tmp_path / "data", out, kimg=0.032), *options)
    assert result.exit_code == 0, result.output
    assert "16 pictures of 2 classes at 24x16 px in passes of 4, batch 8" in result.stderr
    generator = Generator.load(out / "generator.safetensors")
    assert generator.config.c_dim == 2
    assert generator(torch.randn(2, 128), torch.eye(2)).shape == (2, 3, 16, 24)
    write_image(tmp_path / "data" / "sandals" / "1.png", grey(16, 24))
    result = train("--resume", "--kimg", 0.064, "--out", out)
    assert result.exit_code == 1
    assert "the run began with (17 pictures of 3 classes now)" in result.stderr


def test_a_data_set_that_changed_is_noticed(tmp_path):
    data = folder_of(tmp_path, *[grey(16, 16)] * 9)
    out = tmp_path / "run"
    assert train(*start_options(data, out, kimg=0.016), "--metrics", "none").exit_code == 0
    write_image(data / "0.png", grey(16, 16) + 1)
    result = train("--resume", "--kimg", 0.032, "--out", out)
    assert result.exit_code == 1
    assert "is not the data set that the run began with (9 pictures now)" in result.stderr


LIMITED = """
import resource, sys
from shoegen.cli import main
import torch, shoegen.stylegan.training, torch.utils.tensorboard, shoegen.metrics.monitor
kind, amount = getattr(resource, sys.argv[1]), int(sys.argv[2])
if kind == resource.RLIMIT_AS:
    amount += int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(kind, (amount, amount))
main(sys.argv[3:])
"""


def run_limited(kind, amount, *arguments):
    command = [sys.executable, "-c", LIMITED, kind, amount, "train-stylegan", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [str(part) for part in command], env=environment, capture_output=True, text=True, timeout=300
    )


def test_where_memory_runs_out_a_batch_that_fits_is_named(shoes, tmp_path):
    size = [
        "--data",
        shoes,
        "--resolution",
        64,
        "--fit",
        "crop",
        "--batch",
        256,
        "--metrics",
        "none",
        "--kimg",
        1,
    ]
    result = run_limited("RLIMIT_AS", 1_200_000_000, *size, "--out", tmp_path / "run")
    assert result.returncode == 1
    last = result.stderr.splitlines()[-1]
    named = re.search(
        r"out of memory with 256 images in one pass on cpu; use --batch-gpu (\d+), which fits", last
    )
    assert named, result.stderr
    options = ["--batch-gpu", named[1], "--kimg", 0.256, "--no-mirror"]
    result = run_limited("RLIMIT_AS", 1_200_000_000, *size, *options, "--out", tmp_path / "again")
    assert result.returncode == 0, result.stderr


def test_as_much_of_the_batch_as_fits_is_found(shoes, tmp_path):
    options = ["--batch-gpu", "auto", "--metrics", "none"]
    result = train(*start_options(shoes, tmp_path / "run", kimg=0.016), *options)
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "run" / "config.json").read_text())["batch_gpu"] == 8


def test_a_resumed_run_keeps_what_it_was_started_with(shoes, tmp_path):
    out = tmp_path / "run"
    options = ["--keep", 3, "--snapshot-kimg", 0.008, "--metrics", "none"]
    assert train(*start_options(shoes, out, kimg=0.04), *options).exit_code == 0
    assert train("--resume", "--kimg", 0.064, "--out", out).exit_code == 0
    assert sorted(path.name for path in out.glob("*.pt")) == [
        f"checkpoint-{images:09d}.pt" for images in (48, 56, 64)
    ]
    assert not any("swd" in line for line in log_of(out))
    assert train("--resume", "--kimg", 0.072, "--keep", 1, "--out", out).exit_code == 0
    assert len(list(out.glob("*.pt"))) == 1


def test_a_moved_data_set_can_be_pointed_to(tmp_path):
    data = folder_of(tmp_path, *[grey(16, 16)] * 9)
    out = tmp_path / "run"
    assert train(*start_options(data, out, kimg=0.016), "--metrics", "none").exit_code == 0
    data.rename(tmp_path / "elsewhere")
    assert "does not exist" in train("--resume", "--kimg", 0.032, "--out", out).stderr
    assert train("--resume", "--data", tmp_path / "elsewhere", "--kimg", 0.032, "--out", out).exit_code == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda config: [1, 2],
        lambda config: None,
        lambda config: {**config, "generator": None},
        lambda config: {**config, "generator": "x"},
        lambda config: {**config, "batch": 8.0},
        lambda config: {**config, "data": None},
        lambda config: {**config, "r1_interval": 0},
        lambda config: {**config, "path_length_interval": 0},
        lambda config: {**config, "augment": {**config["augment"], "interval": 0}},
        lambda config: {**config, "generator": {**config["generator"], "resolution": "16"}},
        lambda config: {**config, "generator": {**config["generator"], "resolution": [16]}},
    ],
)
def test_a_configuration_that_was_spoilt_is_one_line(shoes, tmp_path_factory, request, change):
    cache = request.config.stash.setdefault(SPOILT, {})
    if "run" not in cache:
        cache["run"] = tmp_path_factory.mktemp("spoilt") / "run"
        assert train(*start_options(shoes, cache["run"], kimg=0.008), "--metrics", "none").exit_code == 0
        cache["config"] = json.loads((cache["run"] / "config.json").read_text())
    (cache["run"] / "config.json").write_text(json.dumps(change(cache["config"])))
    result = train("--resume", "--kimg", 0.016, "--out", cache["run"])
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert result.stderr.splitlines()[-1].startswith("error: ")


SPOILT = pytest.StashKey()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--augment", "none", "--pipe", "bgc"], "--pipe: without effect with --augment none"),
        (["--augment", "fixed", "--target", 0.5], "--target: without effect with --augment fixed"),
        (["--allow-partial"], "--allow-partial: without effect"),
        (["--tf32"], "--tf32: CPUs lack it"),
        (["--width", "nan"], "--width: got nan"),
        (["--mbstd-group", 0], "--mbstd-group: got 0"),
        (["--ema-kimg", "nan"], "--ema-kimg: got nan"),
        (["--start-seconds", "nan"], "--start-seconds: got nan"),
        (["--init-from", ""], "--init-from"),
    ],
)
def test_options_without_effect_or_sense_are_refused(shoes, tmp_path, options, message, monkeypatch):
    if "--start-seconds" in options:
        for name, value in [("RANK", "0"), ("WORLD_SIZE", "2"), ("MASTER_ADDR", "x"), ("MASTER_PORT", "1")]:
            monkeypatch.setenv(name, value)
    result = train(*start_options(shoes, tmp_path / "run", kimg=1), *options)
    assert result.exit_code == 1
    assert message in result.stderr.splitlines()[-1]
    assert not (tmp_path / "run").exists()


def test_bfloat16_computes_in_bfloat16(shoes, tmp_path):
    for precision in ("float32", "bfloat16"):
        options = ["--precision", precision, "--metrics", "none"]
        assert train(*start_options(shoes, tmp_path / precision, kimg=0.008), *options).exit_code == 0
    a, b = (Generator.load(tmp_path / each / "generator.safetensors") for each in ("float32", "bfloat16"))
    assert any(not torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))
