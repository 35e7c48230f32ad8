import json
import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from shoegen.cagan import training
from shoegen.cagan.config import TrainingConfig
from shoegen.cagan.swapping import MODEL_FILE, Swapper
from shoegen.data.images import read_image
from shoegen.errors import ConfigError, FileFormatError
from shoegen.torch_utils.checkpoints import latest_checkpoint, load_checkpoint
from shoegen.torch_utils.run_folder import RunFolder

from .tiny import article, run, tiny_config, worn, write_pairs


def log_of(out):
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def test_a_run_leaves_logs_checkpoints_sheets_and_the_model(tiny_run):
    lines = log_of(tiny_run)
    assert [line["images"] for line in lines if "loss_g" in line] == [4, 8, 12, 16]
    validations = [line for line in lines if "val/mask" in line]
    assert [line["images"] for line in validations] == [4, 8, 16]  # after the first iteration, and every 8
    assert {"val/cycle", "val/truth", "val/photo", "val/kept"} <= validations[0].keys()
    assert {"loss_d", "loss_gan", "loss_cycle", "loss_identity", "learning_rate"} <= lines[0].keys()
    names = {path.name for path in (tiny_run / "samples").iterdir()}
    assert names == {"000000004.png", "000000008.png", "000000016.png"}
    assert read_image(tiny_run / "samples" / "000000016.png").shape == (2 * 34 - 2, 7 * 34 - 2, 3)
    state = load_checkpoint(latest_checkpoint(tiny_run))
    assert (state["images"], state["steps"]) == (16, 4)
    model = Swapper.load(tiny_run)
    for name, value in model.net.state_dict().items():  # the average, in half precision
        assert torch.allclose(value, state["average"][name], atol=1e-3)
    made = model.swap(worn(0, 0), article(0), article(1))
    assert made.image.shape == (32, 32, 3)


def test_config_survives_json(tiny_run, pairs):
    kept = json.loads((tiny_run / "config.json").read_bytes())
    assert os.path.isabs(kept["data"])
    assert kept.pop("kind") == "cagan"
    assert TrainingConfig.from_dict(kept) == tiny_config(pairs)


@pytest.mark.parametrize("preset", ["paper", "small"])
def test_resumed_is_uninterrupted(preset, pairs, tmp_path, monkeypatch):
    config = tiny_config(pairs, preset=preset, truth=2.0, flip=0.5)
    training.train(config, tmp_path / "whole")
    log = RunFolder.log

    def die_at_12(self, images, figures):
        if images >= 12:
            raise KeyboardInterrupt
        log(self, images, figures)

    monkeypatch.setattr(RunFolder, "log", die_at_12)
    with pytest.raises(KeyboardInterrupt):
        training.train(config, tmp_path / "run")
    monkeypatch.undo()
    assert load_checkpoint(latest_checkpoint(tmp_path / "run"))["images"] == 8

    training.resume(tmp_path / "run")
    whole, resumed = (load_checkpoint(latest_checkpoint(tmp_path / name)) for name in ("whole", "run"))
    assert whole["images"] == resumed["images"] == 16
    for part in ("generator", "discriminator", "average"):
        for name, tensor in whole[part].items():
            assert torch.equal(tensor, resumed[part][name]), name
    sheets = [(tmp_path / name / "samples" / "000000016.png").read_bytes() for name in ("whole", "run")]
    assert sheets[0] == sheets[1]
    assert (tmp_path / "whole" / MODEL_FILE).read_bytes() == (tmp_path / "run" / MODEL_FILE).read_bytes()


def test_a_run_goes_on_for_longer_and_only_with_its_data(pairs, tmp_path):
    config = tiny_config(pairs, images=8, sheets_at=())
    training.train(config, tmp_path / "run")
    training.resume(tmp_path / "run", images=12)
    assert load_checkpoint(latest_checkpoint(tmp_path / "run"))["images"] == 12
    with pytest.raises(ConfigError, match="--images 4: expected at least the 12"):
        training.resume(tmp_path / "run", images=4)
    other = write_pairs(tmp_path / "other", 9)
    with pytest.raises(
        ConfigError, match=r"is not the data set that the run began with .9 pairs of 9 articles now"
    ):
        training.resume(tmp_path / "run", data=str(other))


def test_starting_from_another_model(pairs, tiny_run, tmp_path):
    config = replace(tiny_config(pairs, images=4), init_from=str(tiny_run), learning_rate_g=1e-12)
    training.train(config, tmp_path / "run")
    start, found = Swapper.load(tiny_run), Swapper.load(tmp_path / "run")
    for name, value in found.net.state_dict().items():
        assert torch.allclose(value, start.net.state_dict()[name], atol=1e-4)
    with pytest.raises(FileFormatError, match="no model to swap with"):
        training.train(replace(config, init_from=str(tmp_path / "none")), tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_learning_shows(tmp_path):
    """With the truth to learn from, the other colour soon comes into its place."""
    data = write_pairs(tmp_path / "pairs", 16)
    config = tiny_config(
        data, truth=20.0, images=192, batch=8, evaluate_every=192, ema=0.0, learning_rate_g=4e-3, decay=0.0
    )
    training.train(config, tmp_path / "run")
    last = [line for line in log_of(tmp_path / "run") if "val/truth" in line][-1]
    assert last["val/truth"] < 0.8 * last["val/photo"]
    made = Swapper.load(tmp_path / "run").swap(worn(3, 3), article(3), article(5))
    assert np.abs(made.image[:8].astype(int) - worn(3, 3)[:8]).mean() < 8


def test_a_dry_run_says_what_would_be_done(pairs, tmp_path):
    text = run(
        "train-cagan", "--data", pairs, "--preset", "modern", "--resolution", 32, "--channels", "8,8,8,8", "--out",
        tmp_path / "run", "--dry-run",
    )  # fmt: skip
    assert '"norm": "spectral"' in text
    assert "9 photos to learn from and 1 to validate on at 32 px, batch 16" in text
    assert "144000 images would be 9000 steps; nothing was written" in text
    assert not (tmp_path / "run").exists()
