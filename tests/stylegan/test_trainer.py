"""One step of a training: what it depends on, and what it does not."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from shoegen.errors import ConfigError, TrainingError
from shoegen.stylegan.config import AugmentConfig, cpu_config, override
from shoegen.stylegan.trainer import Trainer, divide_batch
from shoegen.torch_utils.distributed import World
from shoegen.torch_utils.draws import BatchDraws

CPU = torch.device("cpu")


def small_config(**changes):
    """Two groups of the minibatch deviation; augmentation, noise, style mixing and classes all at work."""
    changes = {
        "channel_base": 128,
        "channel_max": 8,
        "noise": True,
        "augment": AugmentConfig(mode="fixed", pipe="color", p=0.6),
        **changes,
    }
    config = override(cpu_config("", 16, batch=8), **changes)
    return config.with_classes(3)


def gradients_of_a_step(config, world=None):
    """By phase and parameter, in float64, of the second step, when noise strengths are no longer zero."""
    trainer = Trainer(config, CPU, world)
    for network in (trainer.generator, trainer.discriminator, trainer.generator_ema):
        network.double()
    trainer.path_length_mean = torch.tensor(0.3, dtype=torch.float64)
    torch.manual_seed(5)
    for name, value in trainer.generator.named_parameters():
        if name.endswith("noise_strength"):
            value.data.fill_(0.1)
    real = torch.rand(config.batch, 3, 16, 16, dtype=torch.float64) * 2 - 1
    c = torch.nn.functional.one_hot(torch.arange(config.batch) % 3, 3).double()
    rows = [row for each in trainer.passes for row in each.rows]
    phases = []

    def keep(adam, *_):
        group = adam.param_groups[0]["params"]
        phases.append([None if each.grad is None else each.grad.clone() for each in group])

    for adam in (trainer.generator_adam, trainer.discriminator_adam):
        adam.register_step_pre_hook(keep)
    trainer.train_step(real[rows], c[rows])
    return phases, trainer


def assert_same_gradients(a, b, tolerance=1e-10):
    assert len(a) == len(b) == 4  # generator, path length, discriminator, R1
    for phase_a, phase_b in zip(a, b, strict=True):
        scale = max(each.abs().max() for each in phase_a if each is not None)
        for x, y in zip(phase_a, phase_b, strict=True):
            assert (x is None) == (y is None)  # Adam passes over what has no gradient, but not over zeros
            if x is None:
                continue
            assert (x - y).abs().max() <= tolerance * scale


def test_uneven_shares_of_the_path_length_add_up():
    whole, passes = (gradients_of_a_step(small_config(mbstd_group=1, batch_gpu=n))[0] for n in (8, 1))
    assert_same_gradients(whole, passes)


def test_the_mean_of_w_is_tracked():
    trainer = Trainer(small_config(), CPU)
    for _ in range(3):
        trainer.train_step(real_images(trainer.config), torch.eye(3)[torch.arange(8) % 3])
    z, c = torch.randn(2000, 128), torch.eye(3)[torch.arange(2000) % 3]
    with torch.no_grad():
        mean = trainer.generator.mapping(z, c).mean(dim=0)
    tracked = trainer.generator_ema.mapping.w_avg
    assert tracked.std() > 0
    share = 1 - 0.995**3  # of the mean, after three steps from zero
    assert torch.corrcoef(torch.stack([tracked / share, mean]))[0, 1] > 0.5


# The geometric part pads pictures as far as one of a pass needs: other roundings, which the deviation of nearly equal
# features enlarges by far.
@pytest.mark.parametrize(("pipe", "tolerance"), [("color", 1e-10), ("bgcfnc", 1e-6)])
def test_passes_add_up_to_the_whole_batch(pipe, tolerance):
    options = {"augment": AugmentConfig(mode="fixed", pipe=pipe, p=0.6)}
    whole, passes = (gradients_of_a_step(small_config(batch_gpu=n, **options))[0] for n in (8, 4))
    assert_same_gradients(whole, passes, tolerance)


@pytest.mark.parametrize(("nodes", "per_node"), [(1, 2), (2, 2)])
def test_processes_add_up_to_one(tmp_path, free_port, nodes, per_node):
    """By torchrun and gloo; two nodes are two launchers that meet on the loopback device."""
    config = {"mbstd_group": 2}
    expected = gradients_of_a_step(small_config(**config))[0]
    launchers = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "torch.distributed.run", "--nnodes", str(nodes)),
                *("--nproc-per-node", str(per_node), "--node-rank", str(node)),
                *("--master-addr", "127.0.0.1", "--master-port", str(free_port)),
                *(Path(__file__).with_name("one_rank.py"), tmp_path),
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        for node in range(nodes)
    ]
    for launcher in launchers:
        _, messages = launcher.communicate(timeout=300)
        assert launcher.returncode == 0, messages
    files = sorted(tmp_path.glob("*.pt"))
    assert len(files) == nodes * per_node
    for file in files:
        assert_same_gradients(expected, torch.load(file, weights_only=True))


def test_each_image_goes_through_once():
    config = small_config(mbstd_group=2, batch_gpu=2)
    rows = [row for rank in range(2) for each in divide_batch(config, World(rank, 2)) for row in each.rows]
    assert sorted(rows) == list(range(8))


def test_rows_draw_the_same_numbers_in_any_company():
    for shape in ((), (3,), (1, 80, 80)):
        whole = BatchDraws((1, 2, "z"), range(6), 6, CPU).normal("z", (6, *shape), 1.0)
        some = BatchDraws((1, 2, "z"), [4, 1], 6, CPU).normal("z", (2, *shape), 1.0)
        assert torch.equal(some, whole[[4, 1]])
        other = BatchDraws((1, 3, "z"), range(6), 6, CPU).normal("z", (6, *shape), 1.0)
        assert not torch.equal(other, whole)


@pytest.mark.parametrize(
    ("changes", "processes", "message"),
    [
        ({"batch": 8}, 3, "--batch: got 8, expected a multiple of the minibatch-deviation group 4 times 3"),
        ({"batch_gpu": 3}, 1, "--batch-gpu: got 3, expected a divisor of the 8 images"),
        ({"batch_gpu": 2}, 1, "--batch-gpu: got 2"),
    ],
)
def test_a_batch_that_cannot_be_divided_is_refused(changes, processes, message):
    with pytest.raises(ConfigError, match=message):
        small_config(**changes).check_batch(processes)


def real_images(config):
    return torch.rand(config.batch, *config.generator.image_shape) * 2 - 1


@pytest.mark.parametrize(
    "changes",
    [
        {"resolution": (32, 48)},
        {"img_channels": 4},
        {"img_channels": 1},
        {"g_architecture": "orig", "d_architecture": "skip"},
        {"g_architecture": "resnet", "d_architecture": "orig"},
        {"precision": "bfloat16", "num_fp16_res": 2, "conv_clamp": 256.0},
        {"style_mixing": 0.0, "path_length_weight": 0.0},
        {"channels_last": False, "mapping_layers": 4, "mbstd_group": 8},
    ],
)
def test_every_kind_of_training_moves_both_networks(changes):
    config = override(small_config(), **changes).with_classes(0)
    trainer = Trainer(config, CPU)
    networks = (trainer.generator, trainer.discriminator)
    before = [[each.clone() for each in network.parameters()] for network in networks]
    trainer.train_step(real_images(config))
    assert not trainer.nonfinite
    for network, old in zip(networks, before, strict=True):
        for (name, each), was in zip(network.named_parameters(), old, strict=True):
            assert not torch.equal(each, was), name


def test_frozen_layers_of_the_discriminator_stay():
    config = small_config(freeze_d=3)
    trainer = Trainer(config, CPU)
    before = {name: each.clone() for name, each in trainer.discriminator.named_parameters()}
    trainer.train_step(real_images(config), torch.eye(3)[torch.arange(8) % 3])
    stayed = {
        name for name, each in trainer.discriminator.named_parameters() if torch.equal(each, before[name])
    }
    frozen = ("b16.fromrgb.", "b16.conv0.", "b16.conv1.")
    assert stayed == {name for name in before if name.startswith(frozen)}
    with pytest.raises(ConfigError, match="--freeze-d: got 99"):
        Trainer(small_config(freeze_d=99), CPU)


def test_a_bad_gradient_is_counted_named_and_left_out():
    config = small_config(augment=AugmentConfig(mode="none"))
    trainer = Trainer(config, CPU)
    c = torch.eye(3)[torch.arange(8) % 3]
    before = {name: each.clone() for name, each in trainer.discriminator.named_parameters()}
    real = real_images(config)
    real[0, 0, 0, 0] = torch.nan
    trainer.train_step(real, c)
    assert "discriminator.b16.conv0.weight" in trainer.nonfinite
    assert all(torch.equal(each, before[name]) for name, each in trainer.discriminator.named_parameters())
    assert not any(name.startswith("generator.") for name in trainer.nonfinite)
    trainer.train_step(real_images(config), c)  # goes on
    assert not torch.equal(trainer.discriminator.b16.conv0.weight, before["b16.conv0.weight"])

    def go_on():
        for _ in range(20):
            trainer.train_step(real, c)

    with pytest.raises(TrainingError, match=r"gradients of discriminator\..* 20 times in a row.*lower --lr"):
        go_on()
