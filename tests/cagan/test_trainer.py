import copy
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from shoegen.cagan.data import CaganData, Triples
from shoegen.cagan.loss import generator_loss, identity_loss
from shoegen.cagan.swapping import Swapper
from shoegen.cagan.trainer import CaganLearner
from shoegen.errors import ConfigError, FileFormatError
from shoegen.torch_utils.distributed import World

from .tiny import tiny_config

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[2]


def pictures(count=4, size=(32, 32)):
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(count, 3, *size, generator=generator) * 2 - 1 for _ in range(4)]


def test_a_step_moves_both_networks_and_counts():
    learner = CaganLearner(tiny_config("x", preset="paper"), CPU)
    before = [
        {k: v.clone() for k, v in net.state_dict().items()}
        for net in (learner.generator, learner.discriminator)
    ]
    photo, worn, other, _ = pictures()
    learner.train_step(photo, worn, other)
    assert (learner.images, learner.steps) == (4, 1)
    for net, old in zip((learner.generator, learner.discriminator), before):
        moved = [name for name, value in net.named_parameters() if not torch.equal(value, old[name])]
        assert len(moved) == len(list(net.parameters()))
    figures = learner.means.take()
    assert figures["loss_g"] == pytest.approx(
        figures["loss_gan"] + 0.1 * figures["loss_identity"] + figures["loss_cycle"], rel=1e-5
    )
    assert "loss_truth" not in figures
    for name, value in learner.average.state_dict().items():  # no ema: the generator itself
        assert torch.equal(value, learner.generator.state_dict()[name])


def test_weights_have_their_effect():
    """The gradient is that of the losses, each with its weight: without a cycle, of these two."""
    config = replace(tiny_config("x", preset="paper"), cycle=0.0, identity=3.0, learning_rate_d=1e-12)
    learner = CaganLearner(config, CPU)
    photo, worn, other, _ = pictures()
    expected = CaganLearner(config, CPU)
    swapped = expected.generator(photo, worn, other)
    expected.discriminator(photo, worn)
    loss = generator_loss(expected.discriminator(swapped.result, other), "log") + 3 * identity_loss(
        swapped.alpha
    )
    loss.backward()
    learner.train_step(photo, worn, other)
    for one, two in zip(learner.generator.parameters(), expected.generator.parameters(), strict=True):
        assert torch.allclose(one.grad, two.grad, atol=1e-5)


@pytest.mark.parametrize("weight", [0.0, 5.0])
def test_the_truth_is_learned_only_where_it_has_a_weight(weight):
    config = replace(tiny_config("x"), truth=weight)
    photo, worn, other, truth = pictures()

    def gradients(truth, known):
        learner = CaganLearner(config, CPU)
        learner.train_step(photo, worn, other, truth, known)
        assert ("loss_truth" in learner.means.peek()) == bool(weight)
        return torch.cat([each.grad.flatten() for each in learner.generator.parameters()])

    known = torch.ones(4)
    one, two = gradients(truth, known), gradients(-truth, known)
    assert torch.equal(one, two) == (not weight)
    assert torch.equal(gradients(truth, known * 0), gradients(-truth, known * 0))


def test_the_rates_fall_at_the_end():
    learner = CaganLearner(tiny_config("x", decay=0.5, images=16), CPU)
    photo, worn, other, _ = pictures()
    rates = []
    for _ in range(4):
        learner.train_step(photo, worn, other)
        rates.append(learner.adam_g.param_groups[0]["lr"] / learner.config.learning_rate_g)
    assert rates == [1, 1, 1, 0.5]


def test_mirrors_are_of_all_pictures_alike(monkeypatch):
    learner = CaganLearner(tiny_config("x", flip=1.0, truth=1.0), CPU)
    pixels = [np.random.default_rng(i).integers(0, 256, (4, 3, 32, 32), np.uint8) for i in range(4)]
    seen = []
    monkeypatch.setattr(learner, "train_step", lambda *batch: seen.extend(batch))
    learner.learn(Triples(*pixels, np.ones(4, np.float32)))
    for given, found in zip(pixels, seen):
        assert torch.equal(found, torch.from_numpy(given).float().flip(3) / 127.5 - 1)
    assert seen[4].tolist() == [1] * 4


def test_sheets_are_due_at_their_iterations():
    learner = CaganLearner(tiny_config("x", sheets_at=(1, 3), evaluate_every=8), CPU)
    due = []
    for _ in range(6):
        learner.count_step()
        due.append(learner.is_due(8))
    assert due == [True, True, True, True, False, True]


def test_figures_of_a_generator_that_changes_nothing(pairs):
    config = tiny_config(pairs, preset="paper")
    learner, data = CaganLearner(config, CPU), CaganData(config)
    learner.average.decoder[-1].conv.weight.data[0] = 0
    learner.average.decoder[-1].conv.bias.data[0] = -1e4
    figures = learner.validate(data)
    assert figures["mask"] == figures["cycle"] == 0
    assert figures["truth"] == figures["photo"] > 0.1
    assert figures["kept"] == pytest.approx(100)
    sheet = learner.draw_samples(data)
    assert sheet.shape == (2 * 34 - 2, 7 * 34 - 2, 3)
    assert np.array_equal(sheet[:, :32], sheet[:, 4 * 34 : 4 * 34 + 32])  # the result is the photo
    assert not sheet[:32, 3 * 34 : 3 * 34 + 32].any()  # the mask is black


def test_states(pairs):
    learner = CaganLearner(tiny_config("x"), CPU)
    photo, worn, other, _ = pictures()
    learner.train_step(photo, worn, other)
    again = CaganLearner(tiny_config("x"), CPU)
    again.load_state_dict(copy.deepcopy(learner.state_dict()))  # Adam would share the tensors
    learner.train_step(photo, worn, other)
    again.train_step(photo, worn, other)
    for name, value in learner.generator.state_dict().items():
        assert torch.equal(value, again.generator.state_dict()[name])
    with pytest.raises(FileFormatError, match="of other networks"):
        CaganLearner(tiny_config("x", head=0), CPU).load_state_dict(learner.state_dict())


def test_another_generator_to_start_from():
    start = CaganLearner(tiny_config("x"), CPU).swapper()
    learner = CaganLearner(tiny_config("x", seed=1, init_from="start"), CPU)
    learner.init_from(start)
    for net in (learner.generator, learner.average):
        for name, value in net.state_dict().items():
            assert torch.equal(value, start.net.state_dict()[name])
    assert isinstance(learner.swapper(), Swapper)
    with pytest.raises(ConfigError, match="--init-from start is of another generator: got attention"):
        CaganLearner(tiny_config("x", attention=(), init_from="start"), CPU).init_from(start)


def learned_in_steps(norm, world):
    """The weights after two steps on a batch that the processes share."""
    config = tiny_config("x", d_norm=norm, truth=1.0, flip=0.5)
    learner = CaganLearner(config, CPU, world)
    for net in (learner.generator, learner.discriminator, learner.average):
        net.double()
    batch = [each.double()[learner.rows] for each in pictures()]
    known = torch.tensor([1.0, 0, 1, 1]).double()[learner.rows]
    for _ in range(2):
        learner.train_step(*batch, known)
    return {**learner.generator.state_dict(), **learner.discriminator.state_dict()}


def test_processes_add_up_to_one(tmp_path, free_port):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--master-port", str(free_port), str(Path(__file__).parent / "one_rank.py"), str(tmp_path)]
    result = subprocess.run(
        command, env={**os.environ, "OMP_NUM_THREADS": "1"}, cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    found = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    for norm in ("batch", "spectral"):
        alone = learned_in_steps(norm, World())
        for each in found:
            assert each[norm].keys() == alone.keys()
            for name, value in alone.items():
                assert torch.allclose(value, each[norm][name], atol=1e-7), name
