"""One step of a training: what it depends on, and what it does not."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from shoegen.data.labels import IGNORED, LabelMap
from shoegen.errors import ConfigError, FileFormatError, TrainingError
from shoegen.spade.data import Batch
from shoegen.spade.networks import plain_state
from shoegen.spade.trainer import Trainer
from shoegen.torch_utils.distributed import World

from .small_runs import tiny_training

CPU = torch.device("cpu")
LABELS = LabelMap.from_names(list("abcde"))


def batch():
    random = np.random.default_rng(0)
    part_maps = random.integers(0, 5, (4, 8, 8), np.uint8).repeat(4, 1).repeat(4, 2)
    part_maps[0, :9] = IGNORED
    images = np.stack([(part_maps * (40 + 5 * i)) for i in range(3)], 1)
    return Batch(images.astype(np.uint8), part_maps)


def new_trainer(world=None, **changes):
    config = tiny_training("", classes=5, **{"perceptual_net": "none", **changes})
    return Trainer(config, LABELS, CPU, world, examples=batch())


def own_rows(trainer):
    return batch().part(trainer.rows)


def gradients_of_a_step(world=None, dtype=torch.float64):
    """By parameter, in float64, with the running statistics that it leaves."""
    trainer = new_trainer(world, flip=True)
    for each in (trainer.networks, trainer.averages, trainer.discriminator):
        each.to(dtype)
    gradients = {}
    for network, adam in ((trainer.networks, trainer.adam_g), (trainer.discriminator, trainer.adam_d)):
        adam.register_step_pre_hook(
            lambda *_, network=network: gradients.update(
                {name: each.grad.clone() for name, each in network.named_parameters()}
            )
        )
    images, labels, _ = trainer._to_device(own_rows(trainer))
    trainer.train_step(images.to(dtype), labels)
    running = {name: each for name, each in trainer.networks.named_buffers() if "running" in name}
    return {**gradients, **running}


def test_processes_add_up_to_one(tmp_path, free_port):
    """By torchrun and gloo: styles, mirror images, normalisation and losses are those of the whole batch."""
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
    expected = gradients_of_a_step()
    assert any(name.endswith("running_var") for name in expected)
    scale = max(each.abs().max() for each in expected.values())
    differs = [
        (key, rank)
        for rank, found in enumerate(ranks)
        for key, value in expected.items()
        if (found[key] - value).abs().max() > 1e-9 * scale
    ]
    assert not differs


def test_both_sides_learn_and_only_they():
    trainer = new_trainer()
    networks = {"networks": trainer.networks, "discriminator": trainer.discriminator}
    before = {name: {k: v.clone() for k, v in each.named_parameters()} for name, each in networks.items()}
    trainer.learn(batch())
    for name, network in networks.items():
        for key, value in network.named_parameters():
            assert not torch.equal(value, before[name][key]), (name, key)
    assert (trainer.images, trainer.steps) == (4, 1)
    figures = trainer.figures()
    assert {"loss_kl", "loss_g", "loss_features", "loss_d"} <= figures.keys()
    assert "loss_perceptual" not in figures
    assert trainer.describe(figures).startswith("kl ")


def test_learns_to_paint():
    """A part map whose classes have each one grey becomes that picture."""
    trainer = new_trainer(images=2000, learning_rate_g=2e-3, learning_rate_d=1e-3, ema=40.0, channels=8)
    images, part_maps, _ = batch()

    def difference():
        painter = trainer.painter()
        shown = np.stack([painter.paint(each % 5) for each in part_maps])
        known = (part_maps != IGNORED)[:, :, :, None]
        return np.abs((shown - images.transpose(0, 2, 3, 1).astype(float)) * known).mean()

    before = difference()
    for _ in range(50):
        trainer.learn(batch())
    assert difference() < 0.5 * before


def test_rates_fall_in_the_second_half():
    trainer = new_trainer(images=40, learning_rate_g=1e-3, learning_rate_d=2e-3)
    rates = []
    for _ in range(10):
        trainer.learn(batch())
        rates.append((trainer.adam_g.param_groups[0]["lr"], trainer.adam_d.param_groups[0]["lr"]))
    assert rates[:5] == [(1e-3, 2e-3)] * 5
    assert rates[-1] == pytest.approx((2e-4, 4e-4))


@pytest.mark.parametrize("ema", [0.0, 1e9])
def test_averages_follow_the_plain_networks(ema):
    trainer = new_trainer(ema=ema, norm="group")
    start = {k: v.clone() for k, v in trainer.averages["generator"].state_dict().items()}
    trainer.learn(batch())
    state, average = plain_state(trainer.generator), trainer.averages["generator"].state_dict()
    assert state.keys() == average.keys()
    for name, value in average.items():
        if ema == 0:
            torch.testing.assert_close(value, state[name])
        else:  # at the start the half-life is a twentieth of what was shown: four batches move it by 1 − 2⁻²⁰
            torch.testing.assert_close(value, state[name], rtol=1e-4, atol=1e-5)
    assert any(not torch.equal(average[name], start[name]) for name in start)


def test_batch_normalisation_of_the_averages_is_measured_anew():
    trainer = new_trainer()
    trainer.learn(batch())
    generator = trainer.painter().generator
    own = trainer.averages["generator"].state_dict()
    found = generator.state_dict()
    changed = {name for name in own if not torch.equal(own[name], found[name])}
    assert changed
    assert all("running" in name or "num_batches" in name for name in changed)


def test_without_styles_there_is_no_encoder():
    trainer = new_trainer(styled=False)
    assert trainer.encoder is not None
    config = replace(trainer.config, model=replace(trainer.config.model, z_dim=None))
    trainer = Trainer(config, LABELS, CPU, examples=batch())
    trainer.learn(batch())
    assert trainer.encoder is None
    assert "loss_kl" not in trainer.figures()
    assert trainer.painter().paint(batch().part_maps[1]).shape == (32, 32, 3)


def test_state_of_something_else_is_refused():
    trainer = new_trainer()
    state = trainer.state_dict()
    with pytest.raises(FileFormatError, match="of other networks"):
        new_trainer(hidden=4).load_state_dict(state)
    with pytest.raises(FileFormatError, match="'segmenter' training"):
        trainer.load_state_dict({**state, "kind": "segmenter"})


def test_bad_gradients_end_the_run_and_name_the_network():
    trainer = new_trainer()
    with torch.no_grad():
        trainer.discriminator.scales[0].layers[0][0].weight.fill_(float("nan"))
    for _ in range(19):
        trainer.learn(batch())
    with pytest.raises(TrainingError, match=r"20 times in a row; start anew with lower --lr-g and --lr-d"):
        trainer.learn(batch())


@pytest.mark.parametrize(("size", "processes"), [(4, 3), (1, 1)])
def test_a_batch_that_cannot_be_shared_is_refused(size, processes):
    with pytest.raises(ConfigError, match=f"--batch: got {size}, expected"):
        new_trainer(World(size=processes), batch=size)
