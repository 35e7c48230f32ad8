import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from shoegen.errors import ConfigError, DataError, FileFormatError, OutputError, TrainingError
from shoegen.segmentation import training
from shoegen.segmentation.config import TrainingConfig
from shoegen.segmentation.parts import PartSegmenter
from shoegen.torch_utils.checkpoints import latest_checkpoint, load_checkpoint
from shoegen.torch_utils.run_folder import RunFolder

from ..tiny import tiny_segmenter_training


def test_a_run_leaves_logs_checkpoints_and_the_best_model(tiny_run):
    lines = [json.loads(line) for line in (tiny_run / "log.jsonl").read_text().splitlines()]
    assert [line["images"] for line in lines if "loss" in line] == [16, 32, 48, 64]
    validations = [line for line in lines if "val/mean_iou" in line]
    assert [line["images"] for line in validations] == [32, 64]
    assert 0 < validations[-1]["val/iou_background"] <= 1
    assert load_checkpoint(latest_checkpoint(tiny_run))["images"] == 64
    assert PartSegmenter.load(tiny_run / "segmenter.safetensors").labels.names[2] == "heel"
    assert list((tiny_run / "tensorboard").iterdir())


def test_config_survives_json(tiny_run, shoes):
    kept = json.loads((tiny_run / "config.json").read_bytes())
    assert kept.pop("kind") == "segmenter"
    assert TrainingConfig.from_dict(kept) == tiny_segmenter_training(str(shoes))


def test_resumed_is_uninterrupted(tiny_run, shoes, tmp_path, monkeypatch):
    log = RunFolder.log

    def die_at_44(self, images, figures):
        if images > 44:
            raise KeyboardInterrupt
        log(self, images, figures)

    monkeypatch.setattr(RunFolder, "log", die_at_44)
    with pytest.raises(KeyboardInterrupt):
        training.train(tiny_segmenter_training(str(shoes)), tmp_path / "run")
    monkeypatch.undo()
    assert load_checkpoint(latest_checkpoint(tmp_path / "run"))["images"] == 32

    training.resume(tmp_path / "run")
    whole, resumed = (load_checkpoint(latest_checkpoint(run)) for run in (tiny_run, tmp_path / "run"))
    assert whole["images"] == resumed["images"] == 64
    assert whole["net"].keys() == resumed["net"].keys()
    for name, tensor in whole["net"].items():
        assert torch.equal(tensor, resumed["net"][name]), name
    assert whole["best"] == resumed["best"]


def test_each_epoch_shows_every_picture_once_and_resumes_in_its_middle(shoes):
    config = replace(tiny_segmenter_training(str(shoes)), batch=5)
    trainer = training.Trainer(config, training.open_data(config))
    count = len(trainer.train_indices)
    assert not set(trainer.train_indices) & set(trainer.val_indices)
    batches = trainer.batches()
    stream = np.concatenate([next(batches) for _ in range(8)])
    assert sorted(stream[:count]) == sorted(trainer.train_indices)
    trainer.images = 15
    np.testing.assert_array_equal(next(trainer.batches()), stream[15:20])


def test_learns(shoes):
    config = replace(tiny_segmenter_training(str(shoes)), images=400, learning_rate=1e-2)
    trainer = training.Trainer(config, training.open_data(config))
    before = trainer.evaluate().mean_iou
    batches = trainer.batches()
    while trainer.images < config.images:
        trainer.train_step(next(batches))
    assert trainer.evaluate().mean_iou > before + 0.1


def test_starts_from_another_segmenter(tiny_run, shoes):
    path = tiny_run / "segmenter.safetensors"
    config = replace(tiny_segmenter_training(str(shoes)), init_from=str(path))
    trainer = training.Trainer(config, training.open_data(config))
    expected = PartSegmenter.load(path).net.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in trainer.net.state_dict().items())
    other = replace(config, model=replace(config.model, decoder_channels=(16, 8, 4)))
    with pytest.raises(ConfigError, match="another architecture"):
        training.Trainer(other, training.open_data(other))


def test_nan_loss_stops_before_anything_is_saved(shoes, tmp_path, monkeypatch):
    monkeypatch.setattr(
        training.SegmentationLoss, "forward", lambda self, logits, _: logits.mean() * float("nan")
    )
    with pytest.raises(TrainingError, match=r"the loss became nan after 4 images.*--lr"):
        training.train(tiny_segmenter_training(str(shoes)), tmp_path / "run")
    assert latest_checkpoint(tmp_path / "run") is None


def test_checkpoint_of_another_network(tiny_run, shoes):
    config = tiny_segmenter_training(str(shoes))
    config = replace(config, model=replace(config.model, decoder_channels=(16, 8, 4)))
    trainer = training.Trainer(config, training.open_data(config))
    with pytest.raises(FileFormatError, match="another network"):
        trainer.load_state_dict(load_checkpoint(latest_checkpoint(tiny_run)))


def test_bad_input(tiny_run, shoes, tmp_path):
    with pytest.raises(DataError):
        training.train(tiny_segmenter_training(str(tmp_path / "nothing.zip")), tmp_path / "run")
    with pytest.raises(OutputError, match="holds a run already"):
        training.train(tiny_segmenter_training(str(shoes)), tiny_run)
    with pytest.raises(ConfigError, match="--resume"):
        training.resume(tmp_path / "run")
    with pytest.raises(DataError, match="expected more than --batch 64"):
        training.train(replace(tiny_segmenter_training(str(shoes)), batch=64), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    for change, message in (
        ({"images": 0}, "--images"), ({"batch": 1}, "--batch"), ({"val_share": 1.0}, "--val-share"),
        ({"learning_rate": 0.0}, "--lr"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=message):
            replace(tiny_segmenter_training(str(shoes)), **change)
