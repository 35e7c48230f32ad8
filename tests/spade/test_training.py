import json
import os
from dataclasses import replace

import pytest
import torch

from shoegen.data.images import read_image
from shoegen.data.synthetic import make_dataset
from shoegen.errors import ConfigError, FileFormatError, OutputError
from shoegen.spade import training
from shoegen.spade.config import TrainingConfig
from shoegen.spade.data import SpadeData
from shoegen.spade.painting import BEST_FILE, MODEL_FILE, Painter
from shoegen.torch_utils.checkpoints import latest_checkpoint, load_checkpoint
from shoegen.torch_utils.run_folder import RunFolder

from .small_runs import tiny_training


def log_of(out):
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def assert_same(one, other, path=""):
    """Of states: dicts and lists of tensors and plain values."""
    if isinstance(one, dict):
        assert one.keys() == other.keys(), path
        for key in one:
            assert_same(one[key], other[key], f"{path}.{key}")
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other), path
        for index, pair in enumerate(zip(one, other)):
            assert_same(*pair, f"{path}[{index}]")
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other), path
    else:
        assert one == other, path


def test_a_run_leaves_logs_checkpoints_samples_and_two_painters(tiny_run):
    lines = log_of(tiny_run)
    losses = {"loss_g", "loss_d", "loss_kl", "loss_features", "loss_perceptual", "learning_rate"}
    assert losses <= lines[0].keys()
    validations = [line for line in lines if "val/difference" in line]
    assert [line["images"] for line in validations] == [24, 48]
    assert {"val/perceptual", "val/mean_iou", "val/pixel_accuracy"} <= validations[0].keys()
    state = load_checkpoint(latest_checkpoint(tiny_run))
    assert state["images"] == 48
    assert state["best"]["distance"] == min(line["val/perceptual"] for line in validations)
    assert {path.name for path in (tiny_run / "samples").iterdir()} == {"000000024.png", "000000048.png"}
    assert read_image(tiny_run / "samples" / "000000048.png").shape == (2 * 34 - 2, 8 * 34 - 2, 3)
    painter = Painter.load(tiny_run)
    assert painter.labels.names[2] == "heel"
    averages = state["averages"]["generator.to_image.weight"]
    torch.testing.assert_close(painter.generator.to_image.weight, averages, rtol=1e-3, atol=1e-4)
    assert Painter.load(tiny_run / BEST_FILE).config == painter.config


def test_config_survives_json_and_keeps_what_was_settled(tiny_run, shoes):
    kept = json.loads((tiny_run / "config.json").read_bytes())
    assert kept.pop("kind") == "spade"
    assert os.path.isabs(kept["data"])
    assert kept["perceptual_net"] == "segmenter"  # of "auto", where VGG-19 is not there
    assert TrainingConfig.from_dict(kept) == replace(tiny_training(shoes), perceptual_net="segmenter")


def test_resumed_is_uninterrupted(shoes, tmp_path, monkeypatch):
    config = tiny_training(shoes, flip=True)
    training.train(config, tmp_path / "whole")
    log = RunFolder.log

    def die_at_40(self, images, figures):
        if images >= 40:
            raise KeyboardInterrupt
        log(self, images, figures)

    monkeypatch.setattr(RunFolder, "log", die_at_40)
    with pytest.raises(KeyboardInterrupt):
        training.train(config, tmp_path / "run")
    monkeypatch.undo()
    assert load_checkpoint(latest_checkpoint(tmp_path / "run"))["images"] == 32
    training.resume(tmp_path / "run")
    whole, resumed = (load_checkpoint(latest_checkpoint(tmp_path / name)) for name in ("whole", "run"))
    assert whole["images"] == 48
    assert_same(whole, resumed)
    one, other = ((tmp_path / name / MODEL_FILE).read_bytes() for name in ("whole", "run"))
    assert one == other


def test_starts_from_another_painter(tiny_run, shoes, tmp_path, capsys):
    config = tiny_training(
        shoes, init_from=str(tiny_run), images=4, learning_rate_g=1e-30, channels=2, log_every=4
    )
    training.train(config, tmp_path / "run")
    assert "the discriminator starts anew" in capsys.readouterr().err
    before, after = (Painter.load(path) for path in (tiny_run, tmp_path / "run"))
    assert after.config == before.config  # its own model, whatever was asked for
    for name, value in before.encoder.named_parameters():
        moved = (after.encoder.get_parameter(name) - value).norm()
        assert moved <= 0.03 * value.norm(), name  # what spectral norm does not know exactly


def test_what_a_run_cannot_start_from_is_refused(tiny_run, shoes, tmp_path):
    with pytest.raises(FileFormatError, match="no painter at"):
        training.train(tiny_training(shoes, init_from=str(tmp_path)), tmp_path / "run")
    with pytest.raises(OutputError, match="holds a run already"):
        training.train(tiny_training(shoes), tiny_run)
    assert not (tmp_path / "run").exists()


def test_a_run_goes_on_with_its_own_data_only(tiny_run, tmp_path):
    make_dataset(tmp_path / "other.zip", count=16, resolution=32, seed=1, workers=1)
    with pytest.raises(ConfigError, match="is not the data set that the run began with"):
        training.resume(tiny_run, data=str(tmp_path / "other.zip"))


def test_each_epoch_shows_every_picture_once(shoes):
    data = SpadeData(tiny_training(shoes))
    with data.batches(range(4), 0) as batches:
        shown = [next(batches) for _ in range(3)]
    found = {each.tobytes() for batch in shown for each in batch.images}
    assert found == {data.dataset[int(i)].tobytes() for i in data.train}
