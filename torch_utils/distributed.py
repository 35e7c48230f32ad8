"""Processes that train together, one per device, started by torchrun or by Slurm's srun.

Gradients are averaged by one all-reduce per update instead of by DistributedDataParallel, which passes over
parameters that a regulariser does not reach.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from shoegen.errors import ConfigError, TrainingError

START_SECONDS = 120.0
STEP_SECONDS = 1800.0  # the longest that one process may let the others wait, for a snapshot say


@dataclass(frozen=True)
class World:
    """The processes of a training, as one of them sees it; alone, everything is its own."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

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
        """Replaces each gradient by its mean over the processes; one that a process lacks counts as zero."""
        if self.size == 1:
            return
        parameters = list(parameters)
        flat = torch.cat(
            [(torch.zeros_like(each) if each.grad is None else each.grad).reshape(-1) for each in parameters]
        )
        self.add(flat).div_(self.size)
        for each, mean in zip(parameters, flat.split([each.numel() for each in parameters]), strict=True):
            mean = mean.view(each.shape)
            if each.grad is None:
                each.grad = mean.clone()
            else:
                each.grad.copy_(mean)

    def share(self, value: Any) -> Any:
        """What the first process gives here, in every process."""
        if self.size == 1:
            return value
        values = [value]
        with self._talking():
            dist.broadcast_object_list(values, src=0, device=torch.device("cpu"))
        return values[0]

    @contextlib.contextmanager
    def _talking(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
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
    on_gpu = device != "cpu" and torch.cuda.is_available()
    if on_gpu and world.local_rank >= torch.cuda.device_count():
        raise ConfigError(
            f"rank {world.rank}: got local rank {world.local_rank} on a machine with {torch.cuda.device_count()} GPUs; "
            "start one process per GPU (--nproc-per-node), or use --device cpu"
        )
    if on_gpu:
        torch.cuda.set_device(world.local_rank)
    me = f"rank {world.rank} of {world.size}"
    try:
        store = _open_store(world, start_seconds)
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
    if "RANK" not in environment and int(environment.get("SLURM_STEP_NUM_TASKS", 1)) > 1:
        # srun; inside sbatch alone the step's variables are missing, and there is one process.
        environment.update(
            RANK=environment["SLURM_PROCID"],
            WORLD_SIZE=environment["SLURM_STEP_NUM_TASKS"],
            LOCAL_RANK=environment["SLURM_LOCALID"],
            LOCAL_WORLD_SIZE=re.split(r"\D", environment.get("SLURM_STEP_TASKS_PER_NODE", "1"))[0],
        )
        environment.setdefault("MASTER_ADDR", first_host(environment["SLURM_STEP_NODELIST"]))
        environment.setdefault("MASTER_PORT", str(20000 + int(environment.get("SLURM_JOB_ID", 0)) % 10000))
    if "RANK" not in environment or int(environment.get("WORLD_SIZE", 1)) == 1:
        return World(), ""
    missing = [name for name in ("WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT") if name not in environment]
    if missing:
        raise ConfigError(
            f"got RANK={environment['RANK']} without {', '.join(missing)}; start with torchrun or srun, "
            "or unset RANK to train alone"
        )
    world = World(
        rank=int(environment["RANK"]),
        size=int(environment["WORLD_SIZE"]),
        local_rank=int(environment.get("LOCAL_RANK", 0)),
        local_size=int(environment.get("LOCAL_WORLD_SIZE", 1)),
    )
    return world, f"{environment['MASTER_ADDR']}:{environment['MASTER_PORT']}"


def _open_store(world: World, seconds: float) -> dist.Store:
    """Where the processes leave notes for one another: torchrun's own, else one that the first process keeps."""
    launcher_keeps_it = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    store = dist.TCPStore(
        os.environ["MASTER_ADDR"],
        int(os.environ["MASTER_PORT"]),
        is_master=world.is_first and not launcher_keeps_it,
        timeout=timedelta(seconds=seconds),
        wait_for_workers=False,  # `_meet` does, and can say who is missing
    )
    # torchrun's outlives a restart: notes of the processes before must not be found.
    return dist.PrefixStore(f"shoegen/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", store)


def first_host(nodes: str) -> str:
    """The first of Slurm's compressed names: "node[03-05,9],login" → "node03"."""
    return re.sub(r"\[(\w+)[^\]]*\]", r"\1", re.split(r",(?![^\[]*\])", nodes)[0])


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
            f"rank {world.rank} of {world.size} waited {seconds:g} s at {address} for rank {_some(missing)}; present "
            f"are those of {_some(hosts)}; check that the launcher runs on each node with the same --nnodes and address"
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


def _some(items: list[Any]) -> str:
    return ", ".join(map(str, items[:8])) + (f" and {len(items) - 8} more" if len(items) > 8 else "")
