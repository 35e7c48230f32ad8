"""Processes that train together, one per device, started by torchrun or by Slurm's srun.

Gradients are averaged by one all-reduce per update instead of by DistributedDataParallel, which passes over
parameters that a regulariser does not reach.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from shoegen.errors import ConfigError, TrainingError
from shoegen.torch_utils.text import some

START_SECONDS = 120.0
STEP_SECONDS = 1800.0  # the longest that one process may let the others wait, for a snapshot say


@dataclass(frozen=True)
class World:
    """The processes of a training, as one of them sees it; alone, everything is its own."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    restarts: int = 0  # of the launcher, so far
    notes: dist.Store | None = None  # that outlive a restart

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes files and reports."""
        return self.rank == 0

    def add(self, tensor: Tensor) -> Tensor:
        """The sum of the processes' tensors, in place."""
        if self.size > 1:
            with self._talking():
                dist.all_reduce(tensor)
        return tensor

    def any(self, *flags: bool) -> list[bool]:
        """For each flag whether any process raised it."""
        return [bool(total) for total in self.add(torch.tensor([float(flag) for flag in flags]))]

    def average_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Replaces each gradient by its mean over the processes.

        One that some processes lack counts as zero there. One that all lack stays None: an optimiser passes over
        that, but would take a step for zeros.
        """
        if self.size == 1:
            return
        parameters = list(parameters)
        gradients = [torch.zeros_like(each) if each.grad is None else each.grad for each in parameters]
        given = [float(each.grad is not None) for each in parameters]
        flat = torch.cat([*(each.reshape(-1) for each in gradients), gradients[0].new_tensor(given)])
        self.add(flat).div_(self.size)
        *means, given_by = flat.split([*(each.numel() for each in parameters), len(parameters)])
        for each, mean, share in zip(parameters, means, given_by.tolist(), strict=True):
            each.grad = mean.view(each.shape).clone() if share > 0 else None

    def share(self, value: Any) -> Any:
        """What the first process gives here, in every process."""
        if self.size == 1:
            return value
        values = [value]
        with self._talking():
            dist.broadcast_object_list(values, src=0, device=torch.device("cpu"))
        return values[0]

    def gather(self, value: Any) -> list[Any]:
        """What each process gives here, in every process, in the order of ranks."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        with self._talking():
            dist.all_gather_object(values, value)
        return values

    def remember(self, name: str) -> None:
        """Leaves a note that the processes find after their launcher has started them anew."""
        if self.notes is not None:
            self.notes.set(name, "yes")

    def remembers(self, name: str) -> bool:
        """Whether the note was left before this start, or since."""
        return self.notes is not None and self.notes.check([name])

    @contextlib.contextmanager
    def _talking(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            # The launcher is about to end this process too: what happened is said first.
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
            reason = _first_line(error)
            raise TrainingError(
                f"rank {self.rank} of {self.size} lost another process of the training ({reason}); look for the "
                "first error among their messages; the run goes on with --resume"
            ) from error


@contextlib.contextmanager
def join_world(device: str = "auto", *, start_seconds: float = START_SECONDS) -> Iterator[World]:
    """Meets the other processes of the training, if there are any, and checks that all can talk to one another.

    Args:
        device: the training's: with "cpu" they talk by gloo, else by NCCL.
        start_seconds: how long to wait for the others.

    Raises:
        ConfigError: the environment of the launcher is not complete.
        TrainingError: some did not come, or cannot be talked to; says which, and what to look at.
    """
    world, address = _launched()
    if world.size == 1:
        yield world
        return
    if not 0 < start_seconds < 1e6:
        raise ConfigError(f"--start-seconds: got {start_seconds:g}, expected seconds above 0")
    on_gpu = device != "cpu" and torch.cuda.is_available()
    if on_gpu and torch.cuda.device_count() == 1 and "SLURM_PROCID" in os.environ:
        world = dataclasses.replace(world, local_rank=0)  # Slurm shows each task its own GPU alone
    if on_gpu and world.local_rank >= torch.cuda.device_count():
        raise ConfigError(
            f"rank {world.rank}: got local rank {world.local_rank} on a machine with {torch.cuda.device_count()} GPUs; "
            "start one process per GPU (--nproc-per-node), or use --device cpu"
        )
    if on_gpu:
        torch.cuda.set_device(world.local_rank)
    me = f"rank {world.rank} of {world.size}"
    try:
        notes = _open_store(world, start_seconds)
        world = dataclasses.replace(world, notes=dist.PrefixStore("notes", notes))
        # The store outlives a restart: what the processes before said must not be found.
        store = dist.PrefixStore(f"start/{world.restarts}", notes)
        _meet(store, world, start_seconds, address)
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if on_gpu else "gloo",
            store=store,
            rank=world.rank,
            world_size=world.size,
            timeout=timedelta(seconds=max(STEP_SECONDS, start_seconds)),
        )
    except (RuntimeError, OSError) as error:
        if isinstance(error, TrainingError):
            raise
        raise TrainingError(
            f"{me} cannot join the others at {address} ({_first_line(error)}); check that this address can be reached "
            "from every node and that its port is free"
        ) from error
    try:
        _check_sum(world, torch.device("cuda" if on_gpu else "cpu"), address)
        yield world
    finally:
        with contextlib.suppress(RuntimeError):  # the others may be gone
            dist.destroy_process_group()


def _launched() -> tuple[World, str]:
    """This process among those that torchrun or srun started, and where they meet."""
    environment = os.environ
    if "RANK" not in environment and "SLURM_STEP_NUM_TASKS" in environment:
        # srun; inside sbatch alone the step's variables are missing, and there is one process.
        _need("SLURM_PROCID", "SLURM_LOCALID", "SLURM_STEP_NODELIST")
        environment.update(
            RANK=environment["SLURM_PROCID"],
            WORLD_SIZE=environment["SLURM_STEP_NUM_TASKS"],
            LOCAL_RANK=environment["SLURM_LOCALID"],
            LOCAL_WORLD_SIZE=re.split(r"\D", environment.get("SLURM_STEP_TASKS_PER_NODE", "1"))[0],
        )
        environment.setdefault("MASTER_ADDR", first_host(environment["SLURM_STEP_NODELIST"]))
        environment.setdefault("MASTER_PORT", str(20000 + _number("SLURM_JOB_ID", 0) % 10000))
    if "RANK" not in environment:
        return World(), ""
    _need("WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    rank, size = _number("RANK"), _number("WORLD_SIZE")
    if not 0 <= rank < size:
        raise ConfigError(
            f"got RANK={rank} of WORLD_SIZE={size}, expected ranks from 0 to one less than the size"
        )
    if size == 1:
        return World(), ""
    world = World(
        rank=rank,
        size=size,
        local_rank=_number("LOCAL_RANK", 0),
        local_size=max(_number("LOCAL_WORLD_SIZE", 1), 1),
        restarts=_number("TORCHELASTIC_RESTART_COUNT", 0),
    )
    return world, f"{environment['MASTER_ADDR']}:{environment['MASTER_PORT']}"


def launched_size() -> int:
    """How many processes the launcher started, as the environment says."""
    return _launched()[0].size


def _need(*names: str) -> None:
    missing = [name for name in names if not os.environ.get(name)]
    if missing:
        raise ConfigError(
            f"the environment says RANK={os.environ.get('RANK', 'nothing')}, but lacks {', '.join(missing)}; start "
            "with torchrun or srun, or unset RANK and SLURM_STEP_NUM_TASKS to train alone"
        )


def _number(name: str, default: int | None = None) -> int:
    text = os.environ.get(name, "" if default is None else str(default))
    if not text.isdecimal():
        raise ConfigError(
            f"got {name}={text!r} in the environment, expected a whole number; start with torchrun or srun"
        )
    return int(text)


def first_host(nodes: str) -> str:
    """The first of Slurm's compressed names: "node[03-05,9],login" → "node03"."""
    return re.sub(r"\[(\w+)[^\]]*\]", r"\1", re.split(r",(?![^\[]*\])", nodes)[0])


def _open_store(world: World, seconds: float) -> dist.Store:
    """Where the processes leave notes for one another: torchrun's own, else one that the first process keeps."""
    launcher_keeps_it = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    store = dist.TCPStore(
        os.environ["MASTER_ADDR"],
        _number("MASTER_PORT"),
        is_master=world.is_first and not launcher_keeps_it,
        timeout=timedelta(seconds=seconds),
        wait_for_workers=False,  # `_meet` does, and can say who is missing
    )
    return dist.PrefixStore("shoegen", store)


def _meet(store: dist.Store, world: World, seconds: float, address: str) -> None:
    """Waits for every process; a barrier that can say who is missing."""
    store.set(f"here/{world.rank}", socket.gethostname())
    deadline = time.monotonic() + seconds
    missing = list(range(world.size))
    while missing and time.monotonic() < deadline:
        missing = [rank for rank in missing if not store.check([f"here/{rank}"])]
        time.sleep(0.02 if missing else 0)
    if missing:
        hosts = sorted({store.get(f"here/{rank}").decode() for rank in set(range(world.size)) - {*missing}})
        raise TrainingError(
            f"rank {world.rank} of {world.size} waited {seconds:g} s at {address} for rank {some(missing, 8)}; present "
            f"are those of {some(hosts, 8)}; check that the launcher runs on every node, with one address"
        )


def _check_sum(world: World, device: torch.device, address: str) -> None:
    """One small all-reduce, so that a broken network shows now and not in the first step."""
    try:
        total = world.add(torch.full([1], float(world.rank), device=device)).item()
    except TrainingError as error:
        raise TrainingError(
            f"rank {world.rank} of {world.size}: all processes met at {address}, but cannot exchange tensors "
            f"({_first_line(error.__cause__ or error)}); choose the network interface with GLOO_SOCKET_IFNAME or "
            "NCCL_SOCKET_IFNAME, and look with NCCL_DEBUG=INFO"
        ) from error
    if total != world.size * (world.size - 1) / 2:
        raise TrainingError(f"rank {world.rank}: the processes' ranks do not add up; is one started twice?")


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
