import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from shoegen.data.images import read_image
from shoegen.data.synthetic import make_dataset
from shoegen.errors import ConfigError, DataError, FileFormatError, OutputError, TrainingError
from shoegen.segmentation import training
from shoegen.segmentation.config import TrainingConfig
from shoegen.segmentation.data import SegmentationData
from shoegen.segmentation.losses import SegmentationLoss
from shoegen.segmentation.metrics import ConfusionMatrix
from shoegen.segmentation.parts import PartSegmenter
from shoegen.segmentation.trainer import Trainer
from shoegen.torch_utils.checkpoints import latest_checkpoint, load_checkpoint
from shoegen.torch_utils.run_folder import RunFolder

from ..tiny import tiny_segmenter_training
from .tiny import CONFIGS


def log_of(out):
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def new_trainer(config):
    data = SegmentationData(config)
    return Trainer(config, data.labels, data.frequencies(), torch.device("cpu")), data


def test_a_run_leaves_logs_checkpoints_samples_and_the_best_model(tiny_run):
    lines = log_of(tiny_run)
    assert [line["images"] for line in lines if "loss" in line] == [16, 32, 48, 64]
    validations = [line for line in lines if "val/mean_iou" in line]
    assert [line["images"] for line in validations] == [32, 64]
    assert 0 < validations[-1]["val/iou_background"] <= 1
    assert {"learning_rate", "images_per_second", "data_wait", "peak_memory_gb"} <= lines[0].keys()
    state = load_checkpoint(latest_checkpoint(tiny_run))
    assert state["images"] == 64
    assert PartSegmenter.load(tiny_run).labels.names[2] == "heel"
    assert list((tiny_run / "tensorboard").iterdir())
    assert {path.name for path in (tiny_run / "samples").iterdir()} == {"000000032.png", "000000064.png"}
    assert read_image(tiny_run / "samples" / "000000064.png").shape == (3 * 34 - 2, 6 * 34 - 2, 3)
    confusion = ConfusionMatrix(7)
    confusion.counts = np.array(json.loads((tiny_run / "confusion.json").read_text())["counts"])
    assert confusion.mean_iou == pytest.approx(validations[-1]["val/mean_iou"])
    assert state["best"]["mean_iou"] == max(line["val/mean_iou"] for line in validations)


def test_config_survives_json(tiny_run, shoes):
    kept = json.loads((tiny_run / "config.json").read_bytes())
    assert os.path.isabs(kept["data"])
    assert kept.pop("kind") == "segmenter"
    assert TrainingConfig.from_dict(kept) == tiny_segmenter_training(str(shoes))


@pytest.mark.parametrize("changes", [{}, {"model": CONFIGS["densenet"], "schedule": "cyclical"}])
def test_resumed_is_uninterrupted(changes, shoes, tmp_path, monkeypatch):
    config = replace(tiny_segmenter_training(str(shoes)), **changes)
    training.train(config, tmp_path / "whole")
    log = RunFolder.log

    def die_at_44(self, images, figures):
        if images > 44:
            raise KeyboardInterrupt
        log(self, images, figures)

    monkeypatch.setattr(RunFolder, "log", die_at_44)
    with pytest.raises(KeyboardInterrupt):
        training.train(config, tmp_path / "run")
    monkeypatch.undo()
    assert load_checkpoint(latest_checkpoint(tmp_path / "run"))["images"] == 32

    training.resume(tmp_path / "run")
    whole, resumed = (load_checkpoint(latest_checkpoint(tmp_path / name)) for name in ("whole", "run"))
    assert whole["images"] == resumed["images"] == 64
    assert whole["net"].keys() == resumed["net"].keys()
    for name, tensor in whole["net"].items():
        assert torch.equal(tensor, resumed["net"][name]), name
    assert whole["best"] == resumed["best"]


@pytest.mark.parametrize("last", [32, 64])
def test_a_stop_where_an_evaluation_is_due_only_delays_it(last, shoes, tmp_path, monkeypatch):
    config = tiny_segmenter_training(str(shoes))
    training.train(config, tmp_path / "whole")

    class StopAt:
        steps = 0

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        @property
        def asked(self):
            self.steps += 1
            return self.steps == last // config.batch

    monkeypatch.setattr("shoegen.torch_utils.training.StopRequest", StopAt)
    training.train(config, tmp_path / "run")
    monkeypatch.undo()
    assert not [
        line for line in log_of(tmp_path / "run") if line["images"] == last and "val/mean_iou" in line
    ]
    training.resume(tmp_path / "run")
    evaluations = [
        [line for line in log_of(tmp_path / name) if "val/mean_iou" in line] for name in ("whole", "run")
    ]
    assert [line["images"] for line in evaluations[0]] == [32, 64]
    assert evaluations[1] == evaluations[0]
    whole, resumed = (load_checkpoint(latest_checkpoint(tmp_path / name)) for name in ("whole", "run"))
    assert whole["best"] == resumed["best"]
    training.resume(tmp_path / "run")  # nothing is left to do


def test_where_memory_runs_out_in_an_evaluation_it_is_said_too(shoes, tmp_path, monkeypatch):
    def fail(*_):
        raise torch.OutOfMemoryError("no")

    monkeypatch.setattr(Trainer, "predict", fail)
    with pytest.raises(TrainingError, match="out of memory with 4 pictures"):
        training.train(tiny_segmenter_training(str(shoes)), tmp_path / "run")


def test_each_epoch_shows_every_picture_once_and_resumes_in_its_middle(shoes, monkeypatch):
    config = replace(tiny_segmenter_training(str(shoes)), batch=5)
    data = SegmentationData(config)
    assert sorted([*data.train, *data.val]) == list(range(24))
    monkeypatch.setattr(data, "read", lambda indices: indices)

    def stream(shown, batches, rows=range(5)):
        with data.batches(rows, shown) as found:
            return np.concatenate([next(found) for _ in range(batches)])

    whole = stream(0, 8)
    assert sorted(whole[: len(data.train)]) == sorted(data.train)
    np.testing.assert_array_equal(stream(15, 1), whole[15:20])
    np.testing.assert_array_equal(stream(0, 2, rows=[3, 4]), whole[[3, 4, 8, 9]])


def test_learns(shoes):
    config = replace(tiny_segmenter_training(str(shoes)), images=400, learning_rate=1e-2)
    trainer, data = new_trainer(config)
    before = trainer.confusion(data.validation(4)).mean_iou
    with data.batches(trainer.rows, 0) as batches:
        while trainer.images < config.images:
            trainer.learn(next(batches))
    assert trainer.confusion(data.validation(4)).mean_iou > before + 0.1


@pytest.mark.parametrize("name", CONFIGS)
def test_every_architecture_trains_and_is_used(name, shoes, tmp_path, picture):
    config = replace(tiny_segmenter_training(str(shoes)), model=CONFIGS[name], images=8, loss="focal+dice")
    path = training.train(config, tmp_path / "run")
    segmenter = PartSegmenter.load(path)
    assert segmenter.config == replace(CONFIGS[name], classes=7)
    assert segmenter.segment(picture).shape == (40, 30)


def test_starts_from_another_segmenter(tiny_run, shoes, tmp_path):
    config = replace(
        tiny_segmenter_training(str(shoes)), init_from=str(tiny_run), images=4, learning_rate=1e-30
    )
    training.train(config, tmp_path / "run")
    before, after = (PartSegmenter.load(path).net for path in (tiny_run, tmp_path / "run"))
    torch.testing.assert_close(
        dict(after.named_parameters()), dict(before.named_parameters()), rtol=1e-3, atol=1e-3
    )
    other = replace(config, model=replace(config.model, decoder_channels=(16, 8, 4)))
    with pytest.raises(
        ConfigError, match=r"its decoder_channels is \[16, 8, 8\], got|its decoder_channels is"
    ):
        training.train(other, tmp_path / "other")
    with pytest.raises(ConfigError, match="its architecture is unet, got fcn"):
        training.train(replace(config, model=CONFIGS["fcn"]), tmp_path / "other")


def test_the_layer_of_other_classes_starts_anew(tiny_run, shoes):
    config = tiny_segmenter_training(str(shoes))
    trainer, _ = new_trainer(config)
    start = PartSegmenter.load(tiny_run)
    start.net.net.segmentation_head[0] = torch.nn.Conv2d(8, 3, 3)
    said = trainer.init_from(start)
    assert said.endswith("net.segmentation_head.0.weight, net.segmentation_head.0.bias start anew")
    encoder = trainer.net.encoder.state_dict()
    assert all(torch.equal(each, encoder[name]) for name, each in start.net.encoder.state_dict().items())


def test_weights_of_imagenet(shoes, tmp_path, monkeypatch, capsys):
    config = replace(tiny_segmenter_training(str(shoes)), images=4)
    monkeypatch.setattr(training, "find_weights", lambda _: "no network")
    with pytest.raises(ConfigError, match="--pretrained: no ImageNet weights for the encoder: no network"):
        training.train(config, tmp_path / "run", pretrained=True)
    training.train(config, tmp_path / "scratch", pretrained=None)
    assert "no network; training starts from scratch" in capsys.readouterr().err
    assert PartSegmenter.load(tmp_path / "scratch").config.pretrained is False

    def found(model):
        from shoegen.segmentation.models import build_segmenter

        return build_segmenter(model).encoder.state_dict(), "a file"

    monkeypatch.setattr(training, "find_weights", found)
    training.train(config, tmp_path / "pretrained", pretrained=None)
    assert "the encoder starts from a file" in capsys.readouterr().err
    assert PartSegmenter.load(tmp_path / "pretrained").net.normalise
    training.resume(tmp_path / "pretrained", images=8)
    assert load_checkpoint(latest_checkpoint(tmp_path / "pretrained"))["images"] == 8


def test_bad_losses_are_left_out_and_end_the_run_at_last(shoes, tmp_path, monkeypatch):
    monkeypatch.setattr(SegmentationLoss, "forward", lambda self, logits, _: logits.mean() * float("nan"))
    config = replace(tiny_segmenter_training(str(shoes)), images=400, save_every=1000, evaluate_every=1000)
    with pytest.raises(TrainingError, match=r"became NaN or infinite 20 times in a row; .*--lr"):
        training.train(config, tmp_path / "run")
    assert latest_checkpoint(tmp_path / "run") is None
    assert log_of(tmp_path / "run")[0]["nonfinite_updates"] > 0


def test_early_stop(shoes, tmp_path, monkeypatch, capsys):
    first = []

    def worse_after_the_first(self):
        if not first:
            first.append(self)
        return 0.5 if self is first[0] else 0.4

    monkeypatch.setattr(ConfusionMatrix, "mean_iou", property(worse_after_the_first))
    config = replace(tiny_segmenter_training(str(shoes)), images=400, evaluate_every=8, patience=2)
    training.train(config, tmp_path / "run")
    assert "stopped: 2 evaluations in a row were no better" in capsys.readouterr().err
    state = load_checkpoint(latest_checkpoint(tmp_path / "run"))
    assert (state["images"], state["best"]["images"]) == (24, 8)
    assert (tmp_path / "run" / "checkpoint-000000008.pt").exists()
    with pytest.raises(ConfigError, match="go on with a higher --patience"):
        training.resume(tmp_path / "run")
    training.resume(tmp_path / "run", patience=3)
    assert load_checkpoint(latest_checkpoint(tmp_path / "run"))["images"] == 32


def test_a_done_run_is_left_as_it_is(tiny_run):
    before = {path.name: path.stat().st_mtime_ns for path in tiny_run.glob("*.pt")}
    assert training.resume(tiny_run) == tiny_run / "segmenter.safetensors"
    assert {path.name: path.stat().st_mtime_ns for path in tiny_run.glob("*.pt")} == before


def test_a_data_set_that_changed_is_noticed(tiny_run, tmp_path):
    make_dataset(tmp_path / "other.zip", count=24, resolution=32, seed=1)
    with pytest.raises(ConfigError, match="is not the data set that the run began with"):
        training.resume(tiny_run, images=100, data=str(tmp_path / "other.zip"))


def test_checkpoint_of_another_network(tiny_run, shoes):
    config = tiny_segmenter_training(str(shoes))
    trainer, _ = new_trainer(replace(config, model=replace(config.model, decoder_channels=(16, 8, 4))))
    with pytest.raises(FileFormatError, match="other networks"):
        trainer.load_state_dict(load_checkpoint(latest_checkpoint(tiny_run)))


def test_a_learning_rate_range_test_leaves_its_plot_and_no_run(shoes, tmp_path):
    result = training.find_learning_rate(tiny_segmenter_training(str(shoes)), tmp_path / "rates")
    assert json.loads((tmp_path / "rates" / "lr_find.json").read_text()) == result.to_dict()
    assert read_image(tmp_path / "rates" / "lr_find.png").shape == (560, 900, 3)
    assert 1e-5 < result.suggestion < 1
    assert np.all(np.diff(result.rates) > 0)
    assert not (tmp_path / "rates" / "config.json").exists()


def test_where_memory_runs_out_it_is_said(shoes, tmp_path, monkeypatch):
    def fail(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Trainer, "train_step", fail)
    with pytest.raises(
        TrainingError, match="out of memory with 4 pictures of 32 px on cpu; use a smaller --batch"
    ):
        training.train(tiny_segmenter_training(str(shoes)), tmp_path / "run")


def test_bad_input(tiny_run, shoes, tmp_path):
    with pytest.raises(DataError):
        training.train(tiny_segmenter_training(str(tmp_path / "nothing.zip")), tmp_path / "run")
    with pytest.raises(OutputError, match="holds a run already"):
        training.train(tiny_segmenter_training(str(shoes)), tiny_run)
    with pytest.raises(ConfigError, match="--resume"):
        training.resume(tmp_path / "run")
    assert not (tmp_path / "run").exists()
    for change, message in (
        ({"images": 0}, "--images"), ({"batch": 1}, "--batch"), ({"val_share": 1.0}, "--val-share"),
        ({"learning_rate": 0.0}, "--lr"), ({"seed": -1}, "--seed"), ({"patience": 0}, "--patience"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=message):
            replace(tiny_segmenter_training(str(shoes)), **change)


def command(shoes, out, *more):
    options = ["--resolution", 32, "--batch", 4, "--no-pretrained", "--device", "cpu", *more]
    return [
        str(each)
        for each in (
            sys.executable,
            "-m",
            "shoegen",
            "train-segmenter",
            "--data",
            shoes,
            *options,
            "--out",
            out,
        )
    ]


def wait_for(path, process):
    deadline = time.monotonic() + 120
    while not path() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert process.poll() is None, process.communicate()


def reached_by(out):
    newest = latest_checkpoint(out)
    return int(newest.stem.split("-")[1]) if newest else 0


def process_of(launcher, rank):
    """The process id of one rank."""
    children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children")
    for child in children.read_text().split():
        if f"\0RANK={rank}\0" in Path(f"/proc/{child}/environ").read_text():
            return int(child)
    raise AssertionError(f"no process of rank {rank}")


def test_crashes_signals_and_another_number_of_processes(shoes, tmp_path, free_port):
    """Two processes by torchrun and gloo: one is killed, all go on, are asked to stop; then one goes on alone."""
    out = tmp_path / "run"
    _, *arguments = command(shoes, out, "--images", 100_000, "--save-every", 8)
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--max-restarts", "1"]
    process = subprocess.Popen(
        [*launch, "--master-port", str(free_port), *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    wait_for(lambda: reached_by(out), process)
    os.kill(process_of(process, 1), signal.SIGKILL)
    time.sleep(1)  # until the other has noticed
    killed_at = reached_by(out)
    wait_for(lambda: reached_by(out) > killed_at, process)
    process.send_signal(signal.SIGTERM)  # torchrun hands it on
    output, _ = process.communicate(timeout=120)
    assert output.count(", 2 processes") == 2
    assert "saved; go on with --resume" in output
    reached = load_checkpoint(latest_checkpoint(out))["images"]
    assert reached > killed_at
    training.resume(out, images=reached + 4, device="cpu")
    assert load_checkpoint(latest_checkpoint(out))["images"] == reached + 4
