"""Commands on damaged files, many in one process, each as a user would run it. pytest collects nothing here."""

from __future__ import annotations

import contextlib
import faulthandler
import itertools
import json
import os
import random
import resource
import shlex
import shutil
import signal
import sys
import time
import traceback
import zlib
from pathlib import Path

from .mutations import CANARY

SECONDS = 30  # for one file; more is a hang
MEMORY = 4 << 30  # bytes more than the process has at its start
RUNS_CODE = ("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork", "pty.spawn")
LEAVES = ("socket.connect", "socket.getaddrinfo", "urllib.Request")


class _Hang(BaseException):
    pass


def fuzz(name: str, count: int, made: str, work: str) -> None:
    """Damages the files of a kind `count` times; leaves a line of JSON for each in WORK/results.jsonl.

    Files and commands follow from the name and the number, so that each can be looked at again.
    """
    from .files import KINDS

    kind, folder = KINDS[name], Path(work)
    folder.mkdir(parents=True)
    copy = folder / "made"
    copy.mkdir()
    for path in Path(made).iterdir():  # what is not damaged is not copied
        if not kind.place or path.name != kind.place.split("/")[0]:
            (copy / path.name).symlink_to(path)
    content, watched = kind.make(Path(made)), _Watched(folder)
    os.chdir(folder)
    memory = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (memory + MEMORY,) * 2)
    signal.signal(signal.SIGALRM, _hang)
    with open(folder / "results.jsonl", "w", buffering=1) as results:
        for number in range(count):
            rng = random.Random(zlib.crc32(f"{name} {number}".encode()))
            mutation = rng.choice(kind.mutations)
            damaged = mutation(rng, content)
            if kind.place:
                top = kind.place.split("/")[0]
                shutil.rmtree(copy / top, ignore_errors=True)
                shutil.copytree(Path(made) / top, copy / top)
                file = copy / kind.place
                if file.suffix == ".pt":
                    (file.parent / "checkpoints.json").unlink()
            else:
                file = folder / kind.name
            file.write_bytes(damaged)
            shutil.rmtree(folder / "out", ignore_errors=True)
            (folder / "out").mkdir()
            reader = rng.choice(kind.readers)
            arguments = reader.format(file=file, made=copy, out=folder / "out", run=copy / "run")
            say = {"number": number, "mutation": mutation.__qualname__.split(".")[0], "command": arguments}
            results.write(json.dumps({**say, "problem": "the process ended"}) + "\n")
            problem, code, seconds = _run(shlex.split(arguments), folder, watched, listed=kind.listed)
            results.write(json.dumps({**say, "problem": problem, "code": code, "seconds": seconds}) + "\n")


def _hang(*_: object) -> None:
    raise _Hang


class _Watched:
    """What the interpreter is asked to do that no reader of a file may: run programs, connect, write elsewhere."""

    def __init__(self, folder: Path) -> None:
        self.allowed, self.seen, self.on = (str(folder), "/dev/null"), [], False
        sys.addaudithook(self._look)

    def _look(self, event: str, arguments: tuple) -> None:
        if not self.on:
            return
        if event in RUNS_CODE or event in LEAVES:
            self.seen.append(f"{event} {arguments!r:.200}")
        if (
            event == "open"
            and isinstance(arguments[0], str)
            and (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR)
        ):
            path = os.path.abspath(arguments[0])
            if not path.startswith(self.allowed):
                self.seen.append(f"writes {path}")


def _run(
    arguments: list[str], folder: Path, watched: _Watched, *, listed: bool
) -> tuple[str | None, int, float]:
    """What was wrong, if anything; the exit code; seconds."""
    from shoegen.cli import main

    output, started = folder / "stderr.txt", time.monotonic()
    before = _files(folder)
    code, raised = 0, ""
    watched.seen, watched.on = [], True
    faulthandler.dump_traceback_later(3 * SECONDS, exit=True)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    with _captured(output, folder / "stdout.txt"):
        try:
            main(arguments, prog_name="shoegen")
        except SystemExit as exit_:
            code = exit_.code if isinstance(exit_.code, int) else int(bool(exit_.code))
        except _Hang:
            raised = f"hangs: more than {SECONDS} s at {traceback.format_exc(limit=-3)}"
        except BaseException:
            raised = traceback.format_exc(limit=-4)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    faulthandler.cancel_dump_traceback_later()
    watched.on = False
    seconds = time.monotonic() - started
    said = output.read_text(errors="replace")
    lines = said.splitlines()
    left = sorted(_files(folder) - before)
    errors = [line for line in lines if line.startswith("error: ")]
    checks = (
        (raised, raised),
        (watched.seen, f"it {watched.seen}"),
        (Path(folder, CANARY).exists(), "code was run"),
        (code not in (0, 1), f"exit code {code}: {said[-500:]}"),
        ("Traceback" in said, said[-3000:]),
        (
            code == 1 and not listed and arguments[0] != "inspect" and len(lines) != 1,
            f"more or less than one line: {said[-1500:]!r}",
        ),
        (
            code == 1 and lines[-1:] != errors and arguments[0] != "inspect",
            f"no one error line: {said[-1500:]!r}",
        ),
        (any(not line.isprintable() for line in errors), f"unprintable: {said[-500:]!r}"),
        (any(len(line) > 2000 for line in errors), f"endless: {said[:500]!r}"),
        (code == 1 and left and "--resume" not in arguments, f"half-written: {left}"),
        (any(name.endswith(".part") for name in left), f"half-written: {left}"),
    )
    return next((str(problem) for wrong, problem in checks if wrong), None), code, round(seconds, 2)


def _files(folder: Path) -> set[str]:
    return {
        str(path.relative_to(folder))
        for path in itertools.chain(folder.glob("*"), (folder / "out").rglob("*"))
    } - {"stderr.txt", "stdout.txt"}


@contextlib.contextmanager
def _captured(errors: Path, output: Path):
    """What is written to the descriptors, by Python or by a library of it."""
    kept = [os.dup(number) for number in (1, 2)]
    for number, path in ((1, output), (2, errors)):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, number)
        os.close(descriptor)
    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        sys.stdout, sys.stderr = streams
        for number, descriptor in zip((1, 2), kept):
            os.dup2(descriptor, number)
            os.close(descriptor)
