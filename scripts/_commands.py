"""What the scripts that make the shipped models share: `shoegen` commands, one after the other, each of which goes on
where it was interrupted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from shoegen.torch_utils.checkpoints import latest_checkpoint, load_checkpoint
from shoegen.torch_utils.files import atomic_write

ASSETS = Path(__file__).parents[1] / "shoegen" / "assets"


def shoegen(*arguments: object) -> None:
    """Prints a command and runs it; where it fails, it has said why, and the script ends with its exit code."""
    command = [sys.executable, "-m", "shoegen", *map(str, arguments)]
    print("$ shoegen", *command[3:], flush=True)
    status = subprocess.call(command)
    if status:
        sys.exit(status)


def make_shoes(out: Path, *options: object) -> None:
    """Draws a zip of shoes, if it is not there."""
    if not out.exists():
        shoegen("make-shoes", *options, "--out", out)


def train(command: str, run: Path, images: int, *start: object) -> None:
    """Trains until `images` were shown: from the last checkpoint, or with the options `start`, or not at all."""
    if images_shown(run) < images:
        options = ["--resume"] if started(run) else start
        shoegen(command, *options, "--images", images, "--out", run)


def started(run: Path) -> bool:
    return (run / "config.json").exists()


def images_shown(run: Path) -> int:
    checkpoint = latest_checkpoint(run)
    return load_checkpoint(checkpoint)["images"] if checkpoint else 0


def copy(source: Path, target: Path) -> None:
    with atomic_write(target) as file:
        file.write(source.read_bytes())
