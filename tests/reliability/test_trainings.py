"""What can befall a training, for every command: whatever it is, the run goes on from a whole checkpoint, and what
comes of it is what an undisturbed run leaves, bit for bit."""

import json
import os
import random
import re
import shutil
import signal
import stat
import time

import pytest
import torch
from safetensors import safe_open

from shoegen.torch_utils.checkpoints import latest_checkpoint, load_checkpoint

from .trainings import TRAININGS, length

BEGUN = 3  # steps, where the disturbance comes

each_training = pytest.mark.parametrize("name", TRAININGS)


def reached(out):
    """Images of the newest checkpoint, which is whole, as is every model in the folder; 0 where there is none yet."""
    for path in out.glob("*.safetensors"):
        with safe_open(path, framework="pt") as file:
            assert [file.get_tensor(key) for key in file.keys()]  # noqa: SIM118
    newest = latest_checkpoint(out)
    return load_checkpoint(newest)["images"] if newest else 0


def assert_same(one, other, path=""):
    """Of states: dicts and lists of tensors and plain values."""
    assert type(one) is type(other), path
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


@pytest.fixture(scope="session")
def begun(commands, sets, tmp_path_factory):
    """By name, the folder of a run that was killed after some steps: not to be changed, but copied."""
    folder, made = tmp_path_factory.mktemp("begun"), {}

    def find(name):
        if name not in made:
            out = folder / name
            command = commands.start(*TRAININGS[name].start(sets, out, length(name)))
            wait_until(lambda: images_in(out) >= BEGUN * TRAININGS[name].batch, command)
            command.send(signal.SIGKILL)
            command.wait()
            made[name] = out
        return made[name]

    return find


@pytest.fixture
def run(name, begun, tmp_path):
    """A copy of a run that was begun, and the images that it has shown."""
    shutil.copytree(begun(name), tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def finish(name, commands, whole):
    """Goes on with a run to its end, which is that of the undisturbed one."""

    def to_the_end(out):
        commands.run(*TRAININGS[name].resume(out, length(name)))
        assert_as_undisturbed(out, whole(name), TRAININGS[name].model)

    return to_the_end


def assert_as_undisturbed(out, undisturbed, model):
    one, other = (load_checkpoint(latest_checkpoint(each)) for each in (out, undisturbed))
    assert_same(one, other)
    assert (out / model).read_bytes() == (undisturbed / model).read_bytes()
    logged, expected = (
        [json.loads(line)["images"] for line in (each / "log.jsonl").read_text().splitlines()]
        for each in (out, undisturbed)
    )
    assert logged == sorted(logged)  # and lines of where it was asked to end
    assert set(logged) >= set(expected)
    left = [path.name for path in out.rglob(".*.part")]
    assert not left, f"{left} are left of what was killed"


def images_in(out):
    try:
        return json.loads((out / "checkpoints.json").read_bytes())[-1]["images"]
    except (OSError, IndexError):
        return 0


def wait_until(happened, command, seconds=120):
    end = time.monotonic() + seconds
    while not happened() and command.runs:
        assert time.monotonic() < end, command.text
        time.sleep(0.001)


def is_writing(out):
    try:
        return any(name.endswith(".part") for name in os.listdir(out))
    except OSError:
        return False


def contents(out):
    return {path.name: path.read_bytes() for path in out.glob("*.pt")}


soak = pytest.mark.soak


@each_training
@pytest.mark.parametrize("kills", [4, pytest.param(200, marks=soak)])
def test_killed_at_any_moment(name, kills, commands, sets, whole, tmp_path, tally):
    """Three times of four while a file is written, else anywhere between the start and the end."""
    training, out, rng = TRAININGS[name], tmp_path / "run", random.Random(name)
    undisturbed, (started, ended) = (
        whole(name),
        ((whole(name) / each).stat().st_mtime for each in ("config.json", training.model)),
    )
    seconds, killed, lives, in_writing = 1 + ended - started, 0, 0, 0
    while killed < kills or out.exists():
        before = reached(out)
        is_new = not (out / "config.json").exists()
        command = commands.start(
            *(training.start(sets, out, length(name)) if is_new else training.resume(out, length(name)))
        )
        if killed < kills:
            if killed % 4 < 3:
                wait_until(lambda now=before: images_in(out) > now, command)
                wait_until(lambda: is_writing(out), command)
                time.sleep(rng.uniform(0, 0.02))
            else:
                time.sleep(rng.uniform(0, seconds))
        else:
            command.wait()
        command.send(signal.SIGKILL)
        code = command.wait()
        assert code in (0, -signal.SIGKILL), command.text
        after = reached(out)
        assert after >= before, "a checkpoint was lost"
        if code == 0:
            assert_as_undisturbed(out, undisturbed, training.model)
            shutil.rmtree(out)
            lives += 1
        else:
            killed += 1
            in_writing += any(True for _ in out.rglob(".*.part")) if out.exists() else 0
    tally(
        f"{name}: SIGKILL", killed, f"{in_writing} within a file; {lives} runs ended as the undisturbed one"
    )


@each_training
@pytest.mark.parametrize("times", [2, pytest.param(40, marks=soak)])
def test_asked_to_end_at_any_moment(name, times, commands, run, finish, begun, tmp_path, tally):
    """SIGTERM: before the first step it just ends, from then on it saves."""
    training, rng, saved = TRAININGS[name], random.Random(name), 0
    for number in range(times):
        if images_in(run) >= length(name) - training.batch:
            finish(run)
            shutil.rmtree(run)
            shutil.copytree(begun(name), run)
        before = reached(run)
        command = commands.start(*training.resume(run, length(name)))
        if number % 2 == 0:
            wait_until(lambda now=before: images_in(run) > now, command)
        time.sleep(rng.uniform(0, 0.5 if number % 2 else 0.02))
        command.send(signal.SIGTERM)
        code = command.wait()
        text = command.text
        assert "Traceback" not in text, text
        assert code in (0, 128 + signal.SIGTERM, -signal.SIGTERM), text
        if code == 0 and images_in(run) < length(name):
            assert "saved; go on with --resume" in text
            saved += 1
        assert not list(run.rglob(".*.part"))
        assert reached(run) >= before
    finish(run)
    tally(f"{name}: SIGTERM", times, f"{saved} saved at once")


@each_training
def test_a_full_disk(name, commands, run, finish, whole, tally):
    """At the size of each kind of file: nothing is lost, and nothing is left half-written."""
    training, before, times = TRAININGS[name], contents(run), 0
    model = (whole(name) / training.model).stat().st_size
    for file_bytes in (max(map(len, before.values())) - 1, model - 1, 1000):
        command = commands.run(*training.resume(run, length(name)), file_bytes=file_bytes, expect=1)
        assert re.match(r"error: cannot write .*; free space or choose another", command.error)
        assert contents(run).items() >= before.items()
        assert not list(run.rglob(".*.part"))
        times += 1
    finish(run)
    tally(f"{name}: full disk", times)


@each_training
def test_a_folder_that_cannot_be_written(name, commands, sets, run, finish, tmp_path, tally):
    training, before = TRAININGS[name], contents(run)
    closed = [run, run / "tensorboard"]
    for path in closed:
        mode = stat.S_IMODE(path.stat().st_mode)
        path.chmod(0o555)
        try:
            command = commands.run(*training.resume(run, length(name)), bound=True, expect=1)
        finally:
            path.chmod(mode)
        assert re.match("error: cannot (write|make|use)", command.error)
        assert contents(run) == before
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "run"):
        assert commands.run(*training.start(sets, out, length(name)), expect=1).error
    (tmp_path / "closed").mkdir(mode=0o555)
    new = training.start(sets, tmp_path / "closed" / "run", length(name))
    assert "Permission denied" in commands.run(*new, bound=True, expect=1).error
    assert (tmp_path / "file").read_text() == "mine"
    finish(run)
    tally(f"{name}: folders and files that cannot be written", len(closed) + 3)


@each_training
def test_losses_that_are_not_finite(name, commands, sets, tmp_path, tally):
    """By a rate with which nothing can learn."""
    training, out = TRAININGS[name], tmp_path / "run"
    arguments = (*training.start(sets, out, 200 * training.batch), *training.absurd)
    command = commands.run(*arguments, expect=1)
    assert re.match(r"error: .*became NaN or infinite.*--lr", command.error)
    if newest := latest_checkpoint(out):
        assert_finite(load_checkpoint(newest))
    tally(f"{name}: NaN", 1)


def assert_finite(state):
    if isinstance(state, torch.Tensor):
        assert state.isfinite().all()
    elif isinstance(state, (dict, list, tuple)):
        for value in state.values() if isinstance(state, dict) else state:
            assert_finite(value)


@each_training
def test_a_clock_that_jumps(name, commands, sets, whole, tmp_path, tally):
    """By days and decades, at every look."""
    training, out = TRAININGS[name], tmp_path / "run"
    command = commands.run(*training.start(sets, out, length(name)), jumps=True)
    assert_as_undisturbed(out, whole(name), training.model)
    figures = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    rates = [line["images_per_second"] for line in figures if "images_per_second" in line]
    assert rates
    assert all(0 < rate < 1e6 for rate in rates)
    assert "ETA -" not in command.text
    tally(f"{name}: clock jumps", 1)


@each_training
def test_a_rank_that_is_killed(name, commands, sets, tmp_path, free_port, tally):
    """Of two processes one is killed: the other says so, and one alone goes on."""
    training, out = TRAININGS[name], tmp_path / "run"
    long = 10_000 * training.batch
    world = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port)}
    first, second = (
        commands.start(*training.start(sets, out, long), environment={**world, "RANK": str(rank)})
        for rank in (0, 1)
    )
    wait_until(lambda: images_in(out) >= 2 * training.batch, first)
    second.send(signal.SIGKILL)
    assert first.wait() == 1, first.text
    assert "rank 0 of 2 lost another process of the training" in first.error
    images = reached(out)
    assert images >= 2 * training.batch
    commands.run(*training.resume(out, images + 2 * training.batch))
    assert reached(out) == images + 2 * training.batch
    tally(f"{name}: a rank that is killed", 1)
