"""Processes that draw for a command, and one of them, or the command itself, is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest


def workers_of(process):
    """Process ids; empty once they are gone."""
    found = []
    for child in Path("/proc").glob("[0-9]*/stat"):
        try:
            number, parent = int(child.parent.name), int(child.read_text().rsplit(")", 1)[1].split()[1])
            if parent == process.pid and b"spawn_main" in (child.parent / "cmdline").read_bytes():
                found.append(number)
        except (OSError, ValueError):
            continue
    return found


@pytest.fixture
def drawing(tmp_path):
    """A command that draws for long, with two workers, and where it writes."""
    out = tmp_path / "shoes.zip"
    options = ["--count", "100000", "--resolution", "32", "--workers", "2", "--out", str(out)]
    process = subprocess.Popen(
        [sys.executable, "-m", "shoegen", "make-shoes", *options], stderr=subprocess.PIPE, text=True
    )
    end = time.monotonic() + 60
    while len(workers_of(process)) < 2 and time.monotonic() < end:
        time.sleep(0.05)
    time.sleep(0.5)
    yield process, out
    process.kill()
    process.wait()
    process.stderr.close()


def test_a_worker_that_is_killed_is_said(drawing, tally):
    process, out = drawing
    os.kill(workers_of(process)[0], signal.SIGKILL)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said.splitlines()[-1].startswith("error: a drawing process ended unexpectedly")
    assert "Traceback" not in said
    assert not list(out.parent.iterdir())
    tally("make-shoes: a worker that is killed", 1)


def test_workers_end_with_the_command(drawing, tally):
    process, out = drawing
    workers = workers_of(process)
    process.kill()
    process.wait()
    end = time.monotonic() + 30
    while any(Path(f"/proc/{each}/exe").exists() for each in workers):
        assert time.monotonic() < end, "workers draw on for nobody"
        time.sleep(0.05)
    assert not out.exists()
    tally("make-shoes: the command that is killed", 1)
