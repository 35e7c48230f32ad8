"""The loop that trainings share: run folder, steps, reports, evaluations, checkpoints, resume, many processes.

A kind of training gives it three things: a configuration, the data, and a learner, which is all that changes.
Progress is counted in images shown. A resumed run is the uninterrupted one, bit for bit on CPU.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from statistics import fmean
from typing import Any, ClassVar, Protocol

import torch

from shoegen.errors import ConfigError, FileFormatError, TrainingError
from shoegen.torch_utils.config import JsonConfig
from shoegen.torch_utils.devices import pick_device
from shoegen.torch_utils.distributed import START_SECONDS, World, join_world
from shoegen.torch_utils.draws import BatchDraws
from shoegen.torch_utils.memory import explain_out_of_memory, keep_freed_memory, peak_memory_gb
from shoegen.torch_utils.progress import LiveProgress
from shoegen.torch_utils.run_folder import RunFolder, check_new_run
from shoegen.torch_utils.signals import StopRequest
from shoegen.torch_utils.statistics import RunningMeans
from shoegen.torch_utils.text import some
from shoegen.torch_utils.updates import SafeUpdates, load_optimizer

SHOW_SECONDS = 10.0


class Data(Protocol):
    """What a training learns from.

    fingerprint: tells whether it is the data that a run began with. contents: what it holds, such as "9 pictures".
    notes: what a user should know, one line each.
    """

    fingerprint: str
    notes: list[str]

    @property
    def contents(self) -> str: ...

    def batches(self, rows: Sequence[int], shown: int) -> contextlib.AbstractContextManager[Iterator[Any]]:
        """Some rows of endless batches, from where a run stands that has shown so many images."""
        ...


class Learner(ABC):
    """All that changes in a training: networks, optimisers, counters.

    Every random number follows from (seed, step, what for, row of the batch), so that it is the same after any
    interruption, and however many processes share the batch.

    Args:
        config: the run's configuration.
        device: where to train.
        world: the processes that share the batch.

    Attributes:
        rows: of the batch, which this process gets.
        keep: checkpoints that stay.
        images, steps: shown and taken so far.
        means: of the losses since the last report.
        updates: of each network that learns; the first one's rate is reported.

    Raises:
        ConfigError: a batch that the processes cannot share.
    """

    KIND: ClassVar[str]  # of run folders and checkpoints
    MODEL_FILE: ClassVar[str]  # what a run is for, in its folder
    UNIT: ClassVar[tuple[str, int]] = ("images", 1)  # of progress, and how many images it is
    STATEFUL: ClassVar[tuple[str, ...]]  # attributes with a state of their own
    PLAIN: ClassVar[tuple[str, ...]] = ("images", "steps")  # attributes that are a part of it as they are

    config: Any
    updates: Sequence[SafeUpdates]
    keep = 2

    def __init__(self, config: Any, device: torch.device, world: World | None = None) -> None:
        self.config, self.device, self.world = config, device, world or World()
        self.rows = self.divide_batch()
        self.means = RunningMeans()
        self.images = self.steps = 0
        torch.manual_seed(config.seed)

    # ---- what a kind of training says of itself ----

    @abstractmethod
    def learn(self, batch: Any) -> Any:
        """One step on this process's rows of a batch, as the data give it; ends with `count_step`."""

    @abstractmethod
    def evaluate(self, data: Any, run: RunFolder | None) -> Iterator[str]:
        """The networks as they stand: figures, samples and files go to the first process's run; lines to show.

        Every process calls it.
        """

    @abstractmethod
    def describe(self, figures: dict[str, float]) -> str:
        """The losses among the figures since the last report, to show."""

    @abstractmethod
    def explain_size(self) -> str:
        """What needs memory, such as "with 8 pictures of 128 px"."""

    def explain_memory(self) -> contextlib.AbstractContextManager[None]:
        """Within, memory that does not suffice is one clear line."""
        return explain_out_of_memory(
            f"{self.explain_size()} on {self.device}; use a smaller --batch or --resolution, or more processes"
        )

    def divide_batch(self) -> list[int]:
        """The rows of the batch that this process gets."""
        share = self.config.check_batch(self.world.size)
        return list(range(self.world.rank * share, (self.world.rank + 1) * share))

    def advise(self, figures: dict[str, float]) -> Iterable[str]:
        """Lines to show when figures tell that something goes wrong."""
        return ()

    def begin(self, data: Any, run: RunFolder) -> None:  # noqa: B027
        """Writes the files that a new run begins with; none unless overridden."""

    def save(self, run: RunFolder) -> None:  # noqa: B027
        """Writes the files that every checkpoint comes with; none unless overridden."""

    def kept(self) -> Collection[int]:
        """Image counts of checkpoints that stay, however old."""
        return ()

    def end(self) -> str | None:
        """Why the run should end now, if it should."""
        return None

    def check_resumable(self) -> None:
        """Checks that the run can go on, or was whole already.

        Raises:
            ConfigError: says what to change.
        """
        unit, size = self.UNIT
        if self.images >= self.config.images + self.config.batch:  # the last step may have shown some more
            raise ConfigError(
                f"--{unit} {self.config.images / size:g}: expected at least the {self.images / size:g} that the run "
                "has shown"
            )

    # ---- what all do alike ----

    def draws(
        self,
        what_for: str,
        dtype: torch.dtype = torch.float32,
        rows: list[int] | None = None,
        total: int | None = None,
    ) -> BatchDraws:
        """Random numbers of this step, for this process's rows or some, of the whole batch or of `total` rows."""
        key = (self.config.seed, self.steps, what_for)
        rows = self.rows if rows is None else rows
        return BatchDraws(key, rows, total or self.config.batch, self.device, dtype)

    def count_step(self) -> None:
        self.images += self.config.batch
        self.steps += 1

    def is_due(self, every: int) -> bool:
        """Whether the last step passed a multiple of `every` images."""
        return self.images // every > (self.images - self.config.batch) // every

    def figures(self) -> dict[str, float]:
        """What happened since the last report, over all processes that saw it."""
        seen = self.world.gather(self.means.take())
        names = dict.fromkeys(name for own in seen for name in own)
        means = {name: fmean(own[name] for own in seen if name in own) for name in names}
        figures = {name: value for name, value in means.items() if math.isfinite(value)}
        figures["learning_rate"] = self.updates[0].optimizer.param_groups[0]["lr"]
        figures["nonfinite_updates"] = float(sum(self.nonfinite.values()))
        figures["peak_memory_gb"] = peak_memory_gb(self.device)
        return figures

    @property
    def nonfinite(self) -> dict[str, int]:
        """By parameter, how often its gradient was NaN or infinite, so that the step was left out."""
        return {name: count for each in self.updates for name, count in each.nonfinite.items()}

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on, save the data."""
        return {
            "kind": self.KIND,
            **{name: getattr(self, name).state_dict() for name in self.STATEFUL},
            **{name: getattr(self, name) for name in self.PLAIN},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`.

        Raises:
            FileFormatError: the state of another kind of training or of another network.
        """
        if state.get("kind") != self.KIND:
            raise FileFormatError(
                f"got the state of a {state.get('kind')!r} training, expected {self.KIND!r}"
            )
        try:
            for name in self.STATEFUL:
                part = getattr(self, name)
                if isinstance(part, torch.optim.Optimizer):
                    load_optimizer(part, state[name])
                else:
                    part.load_state_dict(state[name])
            for name in self.PLAIN:
                if getattr(self, name) is not None and type(state[name]) is not type(getattr(self, name)):
                    raise TypeError(f"{name} is {state[name]!r:.60}")
                setattr(self, name, state[name])
        except (KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
            raise FileFormatError(
                "the checkpoint is of other networks than config.json's; restore the one that belongs to it, or start "
                "anew with another --out and --init-from"
            ) from error


class Kind(ABC):
    """A kind of training, as its commands know it."""

    CONFIG: ClassVar[type[JsonConfig]]
    LEARNER: ClassVar[type[Learner]]

    @abstractmethod
    def open(self, config: Any, world: World) -> Data:
        """The data that a configuration names."""

    @abstractmethod
    def begin(self, config: Any, data: Any, device: torch.device, world: World) -> tuple[Learner, list[str]]:
        """The learner of a new run, and what is to be said about its start.

        What the configuration leaves open is decided here; the learner's own configuration is what the run keeps.
        """

    @abstractmethod
    def learner(self, config: Any, data: Any, device: torch.device, world: World) -> Learner:
        """The learner of a run's configuration, before its state is loaded."""

    def change(self, config: Any, changes: dict[str, Any]) -> Any:
        """The configuration of a run that goes on differently.

        Raises:
            ConfigError: there is nothing of a name.
        """
        unknown = set(changes) - {each.name for each in fields(self.CONFIG)}  # type: ignore[arg-type]
        if unknown:
            raise ConfigError(
                f"--resume: this run has no {', '.join(f'--{each}' for each in sorted(unknown))}"
            )
        return replace(config, **changes)

    @abstractmethod
    def summary(self, learner: Any, data: Any) -> str:
        """One line: networks, pictures, batch."""

    def notes(self, learner: Learner, data: Data) -> list[str]:
        """What a user should know at the start."""
        size, world = f"batch {learner.config.batch}, on {learner.device}", learner.world
        processes = f", {world.size} processes" if world.size > 1 else ""
        return [
            *(f"note: {note}" for note in data.notes),
            f"{self.summary(learner, data)}, {size}{processes}",
        ]


# ---- the commands ----


def train(
    kind: Kind,
    config: Any,
    out: str | Path,
    *,
    device: str = "auto",
    start_seconds: float = START_SECONDS,
    dry_run: bool = False,
) -> Path | None:
    """Trains in a new run folder until `config.images` were shown.

    The first process returns the path of what was learned, once there is one; the others None. SIGTERM or Ctrl-C saves
    and returns. Processes that torchrun starts again after a crash go on with the run that it began.

    Args:
        kind: of training.
        config: what to train on what, a `LoopConfig` or what has all of it; its paths hold anywhere.
        out: the run folder.
        device: auto, cpu or cuda.
        start_seconds: how long the processes of a training wait for one another at its start.
        dry_run: check everything and say what would be done.

    Raises:
        ConfigError, DataError, FileFormatError, OutputError: before the training starts.
        TrainingError: gradients stay NaN or infinite, memory does not suffice, or a process is lost.
    """
    with join_world(device, start_seconds=start_seconds) as world:
        if world.share(world.is_first and world.restarts > 0 and world.remembers("run begun")):
            return _resume([kind], world, out, {}, device)
        if world.is_first:
            check_new_run(out)
        config.check_batch(world.size)
        place = _place(device, world)
        data = kind.open(config, world)
        learner, notes = kind.begin(config, data, place, world)
        notes = [*kind.notes(learner, data), *notes]
        if dry_run:
            if world.is_first:
                print(_describe_run(learner, notes))
            return None
        with contextlib.ExitStack() as stack:
            run = None
            if world.is_first:
                values = learner.config.to_dict()
                run = stack.enter_context(RunFolder.create(out, values, kind=learner.KIND))
                world.remember("run begun")
            return _run(learner, data, run, notes)


def resume(
    kinds: Sequence[Kind],
    out: str | Path,
    *,
    device: str = "auto",
    start_seconds: float = START_SECONDS,
    **changes: Any,
) -> Path | None:
    """Goes on with the run in `out` from its newest checkpoint; what its config.json says, holds.

    The number of processes may be another one than before.

    Args:
        kinds: of training, one of which the run is.
        changes: fields of the configuration that differ from now on, such as `images`.
        out, device, start_seconds: as for `train`.

    Raises: as `train`, and FileFormatError where the checkpoint is damaged or of another network.
    """
    with join_world(device, start_seconds=start_seconds) as world:
        return _resume(kinds, world, out, changes, device)


def _resume(
    kinds: Sequence[Kind], world: World, out: str | Path, changes: dict[str, Any], device: str
) -> Path | None:
    with contextlib.ExitStack() as stack:
        names = [kind.LEARNER.KIND for kind in kinds]
        name = _kind_of_run(out, names)
        run = stack.enter_context(RunFolder.resume(out, kind=name)) if world.is_first else None
        # The first process alone reads the checkpoint: the others may not see the folder.
        name, values, state = world.share((name, run.config, run.state) if run else None)
        kind = kinds[names.index(name)]
        config = kind.change(kind.CONFIG.from_dict(values), changes)
        config.check_batch(world.size)
        place = _place(device, world)
        data = kind.open(config, world)
        if state is None:
            learner, notes = kind.begin(config, data, place, world)
        else:
            if state.get("data") != data.fingerprint:
                raise ConfigError(
                    f"{config.data} is not the data set that the run began with ({data.contents} now); restore it, "
                    "or start anew with another --out, perhaps with --init-from"
                )
            learner, notes = kind.learner(config, data, place, world), []
            learner.load_state_dict(state)
        learner.check_resumable()
        if run and changes:
            run.keep_config(learner.config.to_dict())
        owed = bool(state and state.get("owed"))
        return _run(learner, data, run, [*kind.notes(learner, data), *notes], owed=owed)


def _place(device: str, world: World) -> torch.device:
    """Where this process trains: of several processes on one machine each on a GPU of its own."""
    place = pick_device(device)
    if world.size > 1 and place.type == "cuda":
        return torch.device("cuda", world.local_rank)
    return place


def _kind_of_run(out: str | Path, names: list[str]) -> str:
    """Of the run in a folder; where it cannot be told, the first: `RunFolder.resume` says what is wrong."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        kind = json.loads((Path(out) / "config.json").read_bytes())["kind"]
        if kind in names:
            return kind
    return names[0]


def _describe_run(learner: Learner, notes: list[str]) -> str:
    """What `--dry-run` prints."""
    unit, size = learner.UNIT
    steps = math.ceil(learner.config.images / learner.config.batch)
    last = f"{learner.config.images / size:g} {unit} would be {steps} steps; nothing was written"
    return "\n".join([json.dumps(learner.config.to_dict(), indent=2), *notes, last])


# ---- the run ----


def _run(
    learner: Learner,
    data: Data,
    run: RunFolder | None,  # of the first process
    notes: list[str],
    *,
    owed: bool = False,  # the run was stopped where an evaluation was due
) -> Path | None:
    config, world = learner.config, learner.world
    unit, size = learner.UNIT
    keep_freed_memory()
    with (
        LiveProgress(
            "training", config.images / size, unit=unit, done=learner.images / size, on=world.is_first
        ) as progress,
        data.batches(learner.rows, learner.images) as batches,
        StopRequest() as stop,
    ):
        for note in notes:
            progress.message(note)
        if run and learner.images == 0:
            learner.begin(data, run)
        if owed:  # a stop came before it
            _evaluate(learner, data, run, progress)
            _save(learner, data, run)
        done = learner.images >= config.images or learner.end() is not None
        if learner.images >= config.images:
            progress.message(
                f"all {learner.images / size:g} {unit} were shown already; --{unit} with more goes on"
            )
        shown = reported = time.monotonic()
        reported_images, waited = learner.images, 0.0
        while not done:
            # Learn.
            asked = time.monotonic()
            batch = next(batches)
            waited += time.monotonic() - asked
            with learner.explain_memory():
                learner.learn(batch)
            (stopping,) = world.any(stop.asked)
            done = learner.images >= config.images or stopping

            # Report.
            if done or learner.is_due(config.log_every):
                elapsed = time.monotonic() - reported
                figures = learner.figures()
                figures["images_per_second"] = (learner.images - reported_images) / elapsed
                figures["data_wait"] = waited / elapsed
                if run:
                    run.log(learner.images, figures)
                progress.update(learner.images / size, _describe(figures, learner))
                for line in learner.advise(figures):
                    progress.message(line)
                shown = reported = time.monotonic()
                reported_images, waited = learner.images, 0.0
            elif time.monotonic() - shown >= SHOW_SECONDS:
                shown = time.monotonic()
                progress.update(learner.images / size, learner.describe(learner.means.peek()))

            # Evaluate.
            evaluating = learner.images >= config.images or learner.is_due(config.evaluate_every)
            saving = done or evaluating or learner.is_due(config.save_every)
            if saving:
                _check_finite(learner)
            if evaluating and not stopping:
                _evaluate(learner, data, run, progress)
                if (reason := learner.end()) is not None:
                    done = True
                    progress.message(f"stopped: {reason}")

            # Save.
            if saving:
                _save(learner, data, run, owed=evaluating and stopping)
            if stopping:
                progress.message(f"stopped at {learner.images / size:g} {unit}, saved; go on with --resume")
    result = run.path / learner.MODEL_FILE if run else None
    return result if result and result.exists() else None


def _evaluate(learner: Learner, data: Data, run: RunFolder | None, progress: LiveProgress) -> None:
    with learner.explain_memory():
        for line in learner.evaluate(data, run):
            progress.message(line)


def _check_finite(learner: Learner) -> None:
    """Raises TrainingError where the state is spoilt, so that it takes no good checkpoint's place."""
    bad = [name for name, each in _tensors(learner.state_dict()) if not each.isfinite().all()]
    if bad:
        raise TrainingError(
            f"{some(bad)} became NaN or infinite, and was not saved; the checkpoints before stay; "
            f"{learner.updates[0].advice}"
        )


def _tensors(state: Any, name: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """All of a state, with their names."""
    if isinstance(state, torch.Tensor):
        yield name, state
    elif isinstance(state, (dict, list, tuple)):
        for key, value in state.items() if isinstance(state, dict) else enumerate(state):
            yield from _tensors(value, f"{name}.{key}" if name else str(key))


def _save(learner: Learner, data: Data, run: RunFolder | None, *, owed: bool = False) -> None:
    if run:
        learner.save(run)
        state = {"data": data.fingerprint, "owed": owed, **learner.state_dict()}
        # Last: once it is there, so is the rest.
        run.save_checkpoint(learner.images, state, keep=learner.keep, protect=learner.kept())


def _describe(figures: dict[str, float], learner: Learner) -> str:
    bad = f"  {figures['nonfinite_updates']:.0f} gradients not finite" if figures["nonfinite_updates"] else ""
    speed = figures["images_per_second"]
    return (
        f"{speed:.{0 if speed >= 10 else 2}f} images/s  data {figures['data_wait']:.0%}  "
        f"{figures['peak_memory_gb']:.1f} GB  {learner.describe(figures)}  rate {figures['learning_rate']:.2g}{bad}"
    )


def moving_average(
    average: torch.nn.Module,
    network: torch.nn.Module,
    images: int,
    half_life: float,
    *,
    batch: int,
    ramp: float | None = 0.05,
) -> None:
    """Moves the average of a network's weights over the images that were shown; buffers are copied.

    Args:
        average: a copy of the network.
        images, half_life, batch, ramp: see `newest_share`.
    """
    share = newest_share(images, half_life, batch=batch, ramp=ramp)
    with torch.no_grad():
        for mean, parameter in zip(average.parameters(), network.parameters(), strict=True):
            mean.lerp_(parameter, share)
        for kept, buffer in zip(average.buffers(), network.buffers(), strict=True):
            kept.copy_(buffer)


def newest_share(images: int, half_life: float, *, batch: int, ramp: float | None = 0.05) -> float:
    """What the newest weights have in a moving average over the images that were shown.

    Args:
        images: shown so far.
        half_life: in images.
        batch: images of the step that was just taken.
        ramp: the half-life is at most this share of `images`, so that the start is soon forgotten; None: it is the full
            one from the start on.
    """
    if ramp is not None:
        half_life = min(half_life, images * ramp)
    return 1 - 0.5 ** (batch / max(half_life, 1e-8))


def linear_decay(shown: int, images: int, *, after: float = 0.5) -> float:
    """1 up to a share of the images, then in a straight line to 0 at the last one."""
    return min(1.0, max(0.0, (1 - shown / images) / (1 - after)))


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate
