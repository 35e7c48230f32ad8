"""Trainings of several processes, started by torchrun on the loopback device and talking by gloo."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from shoegen.data.synthetic import make_dataset
from shoegen.torch_utils.checkpoints import latest_checkpoint, load_checkpoint

SIZE = ("--resolution", "16", "--width", "0.004", "--batch", "8", "--mbstd-group", "2", "--metrics", "none")


@pytest.fixture(scope="module")
def shoes(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "shoes.zip"
    make_dataset(path, count=24, resolution=32, seed=0, workers=1)
    return path


def launch(port, *arguments, processes=2, restarts=0):
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", processes),
        *("--master-port", port, "--max-restarts", restarts),
        *("-m", "shoegen", "train-stylegan", "--device", "cpu", *arguments),
    ]
    return subprocess.Popen(
        [str(part) for part in command],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def start(shoes, out, *, kimg, snapshot_kimg=0.08):
    lengths = ("--kimg", kimg, "--snapshot-kimg", snapshot_kimg)
    return ("--data", shoes, *SIZE, *lengths, "--out", out)


def finish(process):
    output, _ = process.communicate(timeout=240)
    return process.returncode, output


def process_of(launcher, rank):
    """The process id of one rank."""
    children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children")
    for child in children.read_text().split():
        if f"\0RANK={rank}\0" in Path(f"/proc/{child}/environ").read_text():
            return int(child)
    raise AssertionError(f"no process of rank {rank}")


def wait_for_checkpoint(launcher, out):
    deadline = time.monotonic() + 120
    while latest_checkpoint(out) is None and launcher.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert launcher.poll() is None, launcher.communicate()[0]


def assert_same_weights(a, b, **tolerance):
    a, b = (load_checkpoint(latest_checkpoint(path)) for path in (a, b))
    assert a["images"] == b["images"]
    for network in ("generator", "discriminator", "generator_ema"):
        torch.testing.assert_close(a[network], b[network], **tolerance)


@pytest.fixture(scope="module")
def undisturbed(shoes, tmp_path_factory):
    """0.24 kimg by two processes."""
    out = tmp_path_factory.mktemp("runs") / "undisturbed"
    code, output = finish(launch(29471, *start(shoes, out, kimg=0.24)))
    assert code == 0, output
    assert "batch 8 in passes of 4" not in output
    assert "2 processes" in output
    assert output.count("generator: ") == 1
    return out


def test_a_killed_process_ends_the_others_and_torchrun_goes_on_from_the_checkpoint(
    shoes, tmp_path, free_port, undisturbed
):
    out = tmp_path / "run"
    launcher = launch(free_port, *start(shoes, out, kimg=0.24), restarts=1)
    wait_for_checkpoint(launcher, out)
    os.kill(process_of(launcher, 1), signal.SIGKILL)
    code, output = finish(launcher)
    assert code == 0, output
    assert_same_weights(out, undisturbed, rtol=0, atol=0)


def test_sigterm_saves_and_another_number_of_processes_goes_on(shoes, tmp_path, free_port, undisturbed):
    out = tmp_path / "run"
    launcher = launch(free_port, *start(shoes, out, kimg=50, snapshot_kimg=0.04))
    wait_for_checkpoint(launcher, out)
    for rank in (0, 1):
        os.kill(process_of(launcher, rank), signal.SIGTERM)
    code, output = finish(launcher)
    assert code == 0, output
    assert "saved; go on with --resume" in output
    reached = load_checkpoint(latest_checkpoint(out))["images"]
    kimg = (reached + 40) / 1000
    alone = [sys.executable, "-m", "shoegen", "train-stylegan", "--resume", "--device", "cpu"]
    subprocess.run(
        [*alone, "--out", out, "--kimg", str(kimg), "--metrics", "none"], check=True, stderr=subprocess.PIPE
    )
    assert load_checkpoint(latest_checkpoint(out))["images"] == reached + 40


def test_a_batch_that_the_processes_cannot_share_is_refused_before_anything_is_made(
    shoes, tmp_path, free_port
):
    out = tmp_path / "run"
    code, output = finish(launch(free_port, *start(shoes, out, kimg=1), processes=3))
    assert code != 0
    assert "error: rank 0: --batch: got 8, expected a multiple" in output
    assert ", such as 12" in output
    assert not out.exists()


def test_a_restart_does_not_go_on_with_a_run_that_is_not_its_own(shoes, tmp_path, free_port):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text("{}")
    code, output = finish(launch(free_port, *start(shoes, tmp_path / "run", kimg=1), restarts=1))
    assert code != 0
    assert output.count("holds a run already") == 2
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["config.json"]
