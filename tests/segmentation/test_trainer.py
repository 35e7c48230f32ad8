"""One step of a training: what it depends on, and what it does not."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from shoegen.data.labels import IGNORED, LabelMap
from shoegen.errors import ConfigError, FileFormatError, TrainingError
from shoegen.segmentation.config import TrainingConfig
from shoegen.segmentation.trainer import Trainer
from shoegen.torch_utils.distributed import World

from .tiny import CONFIGS

CPU = torch.device("cpu")
LABELS = LabelMap.from_names(list("abcde"))
FREQUENCIES = torch.tensor([0.6, 0.2, 0.1, 0.1, 0.0])


def new_trainer(name="segnet", world=None, **changes):
    changes = {"batch": 4, "loss": "ce+focal+dice", "learning_rate": 1e-3, **changes}
    config = TrainingConfig(data="", model=CONFIGS[name], **changes)
    return Trainer(config, LABELS, FREQUENCIES, CPU, world)


def new_batch(trainer):
    """This process's rows of one batch; not all processes have as many pixels that count."""
    random = torch.Generator().manual_seed(1)
    images = torch.rand(4, 3, 32, 32, generator=random) * 2 - 1
    labels = torch.randint(0, 4, (4, 32, 32), generator=random)
    labels[0, :20] = IGNORED
    return images[trainer.rows], labels[trainer.rows]


def gradients_of_a_step(name, world=None):
    """By parameter, in float64, with the loss and the running statistics that it leaves."""
    trainer = new_trainer(name, world)
    trainer.net.double()
    trainer.loss.double()
    gradients = {}
    trainer.optimizer.register_step_pre_hook(
        lambda *_: gradients.update({n: each.grad.clone() for n, each in trainer.net.named_parameters()})
    )
    images, labels = new_batch(trainer)
    loss = trainer.train_step(images.double(), labels)
    running = {name: each for name, each in trainer.net.named_buffers() if "running" in name}
    return {"loss": loss, **gradients, **running}


def test_processes_add_up_to_one(tmp_path, free_port):
    """By torchrun and gloo: augmentation, dropout, normalisation and loss are those of the whole batch."""
    launcher = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"),
            *("--master-port", str(free_port), Path(__file__).with_name("one_rank.py"), tmp_path),
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert launcher.returncode == 0, launcher.stderr
    ranks = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    for name in CONFIGS:
        expected = gradients_of_a_step(name)
        scale = max(each.abs().max() for each in expected.values())
        differs = [
            (name, key, rank)
            for rank, found in enumerate(ranks)
            for key, value in expected.items()
            if (found[name][key] - value).abs().max() > 1e-9 * scale
        ]
        assert not differs


@pytest.mark.parametrize(("batch", "processes"), [(4, 3), (4, 4), (3, 2)])
def test_a_batch_that_cannot_be_shared_is_refused(batch, processes):
    with pytest.raises(ConfigError, match=f"--batch: got {batch}, expected a multiple of the {processes}"):
        new_trainer(world=World(size=processes), batch=batch)


def test_dropout_follows_from_seed_step_and_row():
    one, other = new_trainer("densenet"), new_trainer("densenet")
    torch.manual_seed(99)
    assert torch.equal(one.train_step(*new_batch(one)), other.train_step(*new_batch(other)))
    again = new_trainer("densenet", seed=1)
    again.net.load_state_dict(new_trainer("densenet").net.state_dict())
    assert not torch.equal(
        new_trainer("densenet").train_step(*new_batch(one)), again.train_step(*new_batch(one))
    )


def test_a_step_moves_every_parameter_at_the_schedules_rate():
    trainer = new_trainer("fcn", images=400)
    before = {name: each.clone() for name, each in trainer.net.named_parameters()}
    trainer.train_step(*new_batch(trainer))
    assert not [name for name, each in trainer.net.named_parameters() if torch.equal(each, before[name])]
    first = trainer.optimizer.param_groups[0]["lr"]
    assert first == pytest.approx(1e-3 / 25)
    trainer.train_step(*new_batch(trainer))
    assert trainer.optimizer.param_groups[0]["lr"] > first
    assert (trainer.images, trainer.steps) == (8, 2)


def test_a_bad_gradient_is_counted_named_and_left_out():
    trainer = new_trainer("segnet")
    images, labels = new_batch(trainer)
    before = {name: each.clone() for name, each in trainer.net.named_parameters()}
    trainer.train_step(torch.full_like(images, torch.nan), labels)
    assert trainer.updates[0].nonfinite["net.classifier.weight"] == 1
    assert all(torch.equal(each, before[name]) for name, each in trainer.net.named_parameters())

    def go_on():
        for _ in range(19):
            trainer.train_step(torch.full_like(images, torch.nan), labels)

    with pytest.raises(
        TrainingError, match=r"gradients of net\..* 20 times in a row; start anew with a lower --lr"
    ):
        go_on()


def test_what_counts_as_better():
    trainer = new_trainer(patience=2)
    found = []
    for images, value in enumerate([0.5, 0.4, 0.6, 0.6, float("nan"), 0.6]):
        trainer.images = images
        found.append((trainer.judge(value), trainer.stale, trainer.is_stale))
    assert found == [
        (True, 0, False),
        (False, 1, False),
        (True, 0, False),
        (True, 1, False),  # as good, and longer learned
        (False, 2, True),
        (True, 3, True),
    ]
    assert trainer.best == {"mean_iou": 0.6, "images": 5}


def test_what_cannot_be_scored_is_not_the_best_for_long():
    trainer = new_trainer()
    assert trainer.judge(float("nan"))
    assert trainer.judge(0.0)
    assert trainer.best == {"mean_iou": 0.0, "images": 0}


def test_the_state_of_another_training_is_refused():
    with pytest.raises(FileFormatError, match="expected 'segmenter'"):
        new_trainer().load_state_dict({"kind": "stylegan"})
    with pytest.raises(FileFormatError, match="of other networks"):
        new_trainer().load_state_dict(new_trainer("densenet").state_dict())


def test_weights_of_another_number_of_classes_are_refused():
    with pytest.raises(ConfigError, match="got 2 weights, the data has 5 classes"):
        new_trainer(class_weights=(1.0, 2.0))
    config = dataclasses.replace(new_trainer().config, class_weights=[1, 2, 3, 4, 5])  # as from JSON
    assert TrainingConfig.from_dict(config.to_dict()) == config
    for bad in ("fair", (-1.0, 1.0), (0.0, 0.0), (float("nan"), 1.0)):
        with pytest.raises(ConfigError, match="--class-weights"):
            dataclasses.replace(config, class_weights=bad)
