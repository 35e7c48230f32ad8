"""How long an edit takes: the command from shell to file, and in a notebook once everything is loaded.

    python benchmarks/edit_speed.py --runs 5 --json speed.json

Aims on two cores: command ≤ 6 s (median), warm_edit ≤ 0.3 s (median; edit, picture and measures).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from report import Report

from shoegen.editing import load


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=5, help="default: 5")
    parser.add_argument("--model", default="default", help="a generator's file or a run folder")
    parser.add_argument("--direction", default="heel", help="its name or file")
    parser.add_argument("--json", help="also write the figures to this file")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "shoegen",
            "edit",
            "--direction",
            options.direction,
            "--strength",
            "2",
        ]
        command += ["--model", options.model, "--out", str(Path(folder) / "edit.png")]
        from_shell = clock(
            lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL), options.runs
        )
    torch_alone = clock(
        lambda: subprocess.run([sys.executable, "-c", "import torch"], check=True), options.runs
    )

    model = load(options.model)
    shoe = model.sample()
    direction = model.direction(options.direction)
    assert shoe.measures  # loads the segmenter
    strengths = iter(np.linspace(-2, 2, 4 * options.runs + 1))

    def edit() -> None:
        edited = shoe.move(direction, float(next(strengths)))
        assert edited.image.size
        assert edited.measures

    edit()
    warm = clock(edit, 4 * options.runs)

    report = Report()
    for name, seconds in [("command", from_shell), ("import_torch", torch_alone), ("warm_edit", warm)]:
        report.add(name, float(np.median(seconds)), "s")
        report.add(f"{name}_fastest", min(seconds), "s")
    report.write(options.json)


def clock(job: Callable[[], object], runs: int) -> list[float]:
    """Seconds of each run."""
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        job()
        seconds.append(time.perf_counter() - start)
    return seconds


if __name__ == "__main__":
    main()
