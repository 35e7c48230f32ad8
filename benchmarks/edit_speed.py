"""How long edits take: the command from shell to file, in a notebook once everything is loaded, and many in a batch.

    python benchmarks/edit_speed.py --runs 5 --batch 1000 --json speed.json

Aims on two cores: command ≤ 6 s, warm_edit ≤ 0.3 s (edit, picture and measures), to_target ≤ 2 s (median; also the
slowest of targets from the direction's reach is reported, with the pictures that were measured). `straight` is with
hold=False. Run alone on a machine the seconds of wall and of CPU agree; with other work they do not, so both are
reported.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from report import Report

from shoegen.editing import ShoeModel, load
from shoegen.editing.amounts import Amount
from shoegen.editing.batch import Job, Tally, run_jobs
from shoegen.errors import ConfigError
from shoegen.measure import to_millimetres

LENGTH = 270.0  # millimetres
SPREAD = 1.5  # sigmas of the attribute, from which targets are drawn


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=5, help="of the command; default: 5")
    parser.add_argument("--targets", type=int, default=50, help="default: 50")
    parser.add_argument("--batch", type=int, default=1000, help="edits in a batch; default: 1000")
    parser.add_argument("--model", default="default", help="a generator's file or a run folder")
    parser.add_argument(
        "--direction", default="heel", help="its name or file; of an attribute in millimetres"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of PyTorch")
    parser.add_argument("--json", help="also write the figures to this file")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    report = Report()
    report.note("threads", str(options.threads))
    if options.runs:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "shoegen", "edit", "--direction", options.direction]
            command += ["--strength", "2", "--model", options.model, "--out", str(Path(folder) / "edit.png")]
            from_shell = clock(
                lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL), options.runs
            )
        torch_alone = clock(
            lambda: subprocess.run([sys.executable, "-c", "import torch"], check=True), options.runs
        )
        add(report, "command", from_shell, "≤ 6")
        add(report, "import_torch", torch_alone)

    model = load(options.model)
    shoe = model.sample()
    assert shoe.measures  # loads the segmenter
    count = max(20, 4 * options.runs)
    for name, hold in (("warm_edit", True), ("warm_edit_straight", False)):
        strengths = iter(np.linspace(-2, 2, count + 1))

        def edit(hold: bool = hold, strengths: Iterator[float] = strengths) -> None:
            edited = shoe.edit(hold=hold, **{options.direction: float(next(strengths))})
            assert edited.image.size
            assert edited.measures

        edit()
        started = time.process_time()
        add(report, name, clock(edit, count), "≤ 0.3")
        report.add(f"{name}_cpu", (time.process_time() - started) / count, "s")
    to_targets(report, model, options.direction, options.targets)
    if options.batch:
        in_batch(report, model, options.direction, options.batch)
    report.write(options.json)


def to_targets(report: Report, model: ShoeModel, name: str, count: int) -> None:
    """Seconds and pictures of targets drawn around the mean; those out of reach count too."""
    direction = model.direction(name)
    rng = np.random.default_rng(0)
    seconds, cpu, pictures, misses = [], [], [], []
    for seed in range(count):
        shoe = model.sample(seed)
        target = max(0.0, direction.mean + direction.sigma * rng.uniform(-SPREAD, SPREAD))
        text = f"{to_millimetres(target, LENGTH)}mm"
        start, cpu_start = time.perf_counter(), time.process_time()
        try:
            (edit,) = shoe.edit(shoe_length=LENGTH, **{name: text}).history
            misses.append(abs(to_millimetres(edit.miss or 0.0, LENGTH)))
            pictures.append(edit.pictures)
        except ConfigError:
            pass
        seconds.append(time.perf_counter() - start)
        cpu.append(time.process_time() - cpu_start)
    add(report, "to_target", seconds, "≤ 2")
    report.add("to_target_slowest", max(seconds), "s")
    report.add("to_target_cpu", float(np.median(cpu)), "s")
    report.add("to_target_cpu_slowest", max(cpu), "s")
    report.add("to_target_pictures", float(np.mean(pictures)), "pictures")
    report.add("to_target_reachable", len(misses) / count, "share")
    report.add(
        "to_target_within_3mm", float(np.mean(np.array(misses) <= 3)), "share of the reachable", "≥ 0.9"
    )


def in_batch(report: Report, model: ShoeModel, name: str, count: int) -> None:
    """Pictures a second from seed to file, held, straight, and straight and measured, and the memory of the process."""
    for kind, hold, measure in (
        ("", True, False),
        ("_straight", False, False),
        ("_straight_measured", False, True),
    ):
        with tempfile.TemporaryDirectory() as folder:
            edits = {name: Amount("strength", 1.5)}
            jobs = [Job("seed", str(seed), edits, Path(folder) / f"{seed}.png") for seed in range(count)]
            tally = Tally()
            for _ in run_jobs(model, jobs, hold=hold, measure=measure, tally=tally):
                pass
        report.add(f"batch{kind}", tally.pace, "images/s")
    report.add("memory", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "MiB at most")


def add(report: Report, name: str, seconds: list[float], aim: str | None = None) -> None:
    report.add(name, float(np.median(seconds)), "s", aim)
    report.add(f"{name}_fastest", min(seconds), "s")


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
