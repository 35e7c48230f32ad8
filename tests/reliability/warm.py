"""Commands as processes of their own, forked from one that has imported everything: a start takes no seconds.

pytest collects nothing here.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import resource
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
# What the commands import, and no thread may run in the process that is forked: nothing of it computes.
IMPORTED = (
    "numpy", "PIL.Image", "cv2", "torch", "torchvision", "torch.utils.tensorboard", "torch.distributed", "timm",
    "segmentation_models_pytorch", "scipy.ndimage", "safetensors.torch", "shoegen.cli", "shoegen.stylegan.training",
    "shoegen.segmentation.training", "shoegen.segmentation.instances.trainer", "shoegen.spade.training",
    "shoegen.cagan.training", "shoegen.inversion.training", "shoegen.inversion.projecting", "shoegen.editing",
    "shoegen.stylegan.legacy", "shoegen.directions", "shoegen.metrics.monitor",
    "shoegen.data.annotations", "shoegen.data.inspect", "shoegen.cli.inspect", "pytest", "click.testing",
)  # fmt: skip


def server():
    """The context of the forks."""
    if str(ROOT) not in sys.path:  # where the children find this module too
        sys.path.insert(0, str(ROOT))
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", CUDA_VISIBLE_DEVICES="")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*IMPORTED, __name__])
    return context


@dataclass
class Command:
    """A `shoegen` command that runs.

    output: the file that gets stdout and stderr.
    """

    process: multiprocessing.Process
    output: Path
    arguments: list[str] = field(default_factory=list)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def runs(self) -> bool:
        return self.process.exitcode is None

    def send(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def wait(self, seconds: float = 120) -> int:
        """Its exit code; a process that hangs is killed and fails the test."""
        self.process.join(seconds)
        if self.runs:
            self.process.kill()
            self.process.join()
            raise AssertionError(f"hangs after {seconds:g} s: {self.arguments}\n{self.text}")
        return self.process.exitcode

    @property
    def text(self) -> str:
        return self.output.read_text(errors="replace") if self.output.exists() else ""

    @property
    def error(self) -> str:
        """The one line that says what went wrong; asserts that there is just one, at the end, and no traceback."""
        text = self.text
        assert "Traceback" not in text, text
        lines = text.splitlines()
        assert [line for line in lines if line.startswith("error: ")] == lines[-1:], text
        return lines[-1]


class Commands:
    """Starts commands; ends those that still run when closed."""

    def __init__(self, folder: Path) -> None:
        self._context, self._folder, self._started = server(), folder, []

    def start(self, *arguments: object, **settings: object) -> Command:
        """Starts `shoegen ARGUMENTS`; settings: see `_run`."""
        texts = [str(each) for each in arguments]
        output = self._folder / f"output-{len(self._started):04d}.txt"
        process = self._context.Process(target=_run, args=(texts, str(output), settings))
        process.start()
        command = Command(process, output, texts)
        self._started.append(command)
        return command

    def run(self, *arguments: object, expect: int = 0, **settings: object) -> Command:
        """Runs a command to its end."""
        command = self.start(*arguments, **settings)
        code = command.wait()
        assert code == expect, f"exit code {code}, expected {expect}: {command.arguments}\n{command.text}"
        return command

    def call(self, function: object, *arguments: object) -> multiprocessing.Process:
        """Starts a function of a module in such a process."""
        process = self._context.Process(target=function, args=arguments)
        process.start()
        self._started.append(Command(process, self._folder / "none"))
        return process

    def close(self) -> None:
        for command in self._started:
            if command.runs:
                command.process.kill()
            command.process.join()


def _run(
    arguments: list[str],
    output: str,
    settings: dict,
) -> None:
    """In the fork: one command with what is against it.

    Settings:
        environment: variables.
        file_bytes: the largest file that can be written, which is a disk that is full.
        bound: file modes bind, even root.
        jumps: the wall clock goes some days back and forth at every look.
    """
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    sys.stdout, sys.stderr = (os.fdopen(stream, "w", buffering=1, closefd=False) for stream in (1, 2))
    for number in (signal.SIGINT, signal.SIGTERM):  # as in a process that a shell starts
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    os.environ.update(settings.get("environment", {}))
    if "file_bytes" in settings:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (settings["file_bytes"],) * 2)
    if settings.get("bound"):
        obey_modes()
    if settings.get("jumps"):
        jump_clock()
    import torch

    from shoegen.cli import main

    torch.set_num_threads(1)
    main(arguments, prog_name="shoegen")


def obey_modes() -> None:
    """Gives up every capability, for this process alone: root without them obeys the modes of files."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # version 3, this thread
    if libc.capset(header, (ctypes.c_uint32 * 6)()) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def jump_clock() -> None:
    """From here on, each look at the wall clock finds another day, in the past or in the future."""
    import itertools

    real, days = time.time, itertools.cycle((0, 40, -40, 3650, -3650, 1))
    time.time = lambda: real() + 86400 * next(days)
    time.time_ns = lambda: int(time.time() * 1e9)
