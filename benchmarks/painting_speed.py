"""How fast part maps are painted and articles swapped, and how fast both are learned, with how much memory.

    python benchmarks/painting_speed.py --json painting.json
    python benchmarks/painting_speed.py --painters small@128,small@256 --swappers "" --threads 1 --cpu-time
    python benchmarks/painting_speed.py --device cuda --batch 32 --train-painters small@128,paper256@256

A model is one that ships with shoegen (`default`), a file, a run folder, or a preset with random weights as
PRESET@SIDE, which takes as long as a trained one. Painted is from part map and style to picture, swapped from the three
pictures to one; milliseconds are the median of one picture at a time, images/s of batches. Learned is by steps on
pictures in memory, each preset with its own batch unless --train-batch says otherwise, in a process of its own whose
peak memory is told: of the GPU's, or all that the process holds. Aim: the shipped painter at 128 px ≤ 150 ms on two
cores.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from report import Report

from shoegen.data.labels import SHOE_PARTS
from shoegen.data.synthetic import render, render_worn, sample_parameters, sample_wearer
from shoegen.errors import ShoegenError
from shoegen.spade.config import PRESETS
from shoegen.spade.data import Batch
from shoegen.spade.networks import Generator, StyleEncoder
from shoegen.spade.painting import Painter
from shoegen.torch_utils.devices import pick_device
from shoegen.torch_utils.memory import keep_freed_memory, peak_memory_gb
from shoegen.torch_utils.pixels import to_pixels

PICTURES = 16  # that differ; more repeat them


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--painters", default="default,small@256", help="default: default,small@256")
    parser.add_argument("--swappers", default="default,modern@128", help="default: default,modern@128")
    parser.add_argument("--train-painters", default="small@128", help="presets (default: small@128)")
    parser.add_argument("--train-swappers", default="small@64", help="presets (default: small@64)")
    parser.add_argument("--pictures", type=int, default=20, help="of each, timed (default: 20)")
    parser.add_argument("--batch", type=int, default=8, help="of pictures in use (default: 8)")
    parser.add_argument("--steps", type=int, default=5, help="of training, timed (default: 5)")
    parser.add_argument("--train-batch", type=int, help="default: the preset's")
    parser.add_argument("--threads", default="1,2", help="on a CPU, one after the other (default: 1,2)")
    parser.add_argument(
        "--cpu-time", action="store_true", help="on a busy machine: one thread, by its processor time"
    )
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--learn", help=argparse.SUPPRESS)
    parser.add_argument("--json", help="also write the figures to this file")
    options = parser.parse_args()

    try:
        device = pick_device(options.device)
        clock = Clock(device, time.process_time if options.cpu_time else time.perf_counter)
        if options.learn:
            torch.set_num_threads(int(options.threads))
            learn(options.learn, options.steps, options.train_batch, clock)
            return
        report = Report()
        if device.type == "cuda":
            report.note("device", torch.cuda.get_device_name(device))
        report.add("freed_memory_is_kept", keep_freed_memory(), "yes")
        threads = [1] if options.cpu_time else [int(number) for number in options.threads.split(",")]
        for number in threads if device.type == "cpu" else [torch.get_num_threads()]:
            torch.set_num_threads(number)
            suffix = f"_{number}_thread{'s' * (number > 1)}" if device.type == "cpu" else ""
            in_use(report, options, clock, suffix)
            in_training(report, options, number, suffix)
    except ShoegenError as error:
        parser.exit(1, f"{error}\n")
    report.write(options.json)


class Clock:
    """Seconds of a job, of the device's work too."""

    def __init__(self, device: torch.device, now: Callable[[], float]) -> None:
        self.device, self._now = device, now

    def seconds(self, job: Callable[[], object], runs: int, warm_up: int = 2) -> float:
        """The median."""
        taken = []
        for _ in range(warm_up + runs):
            start = self._now()
            job()
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
            taken.append(self._now() - start)
        return statistics.median(taken[warm_up:])


def names_in(listed: str) -> list[str]:
    return [name for name in listed.split(",") if name]


# ---- in use ----


def in_use(report: Report, options: argparse.Namespace, clock: Clock, suffix: str) -> None:
    batches = -(-options.pictures // options.batch)
    for name in names_in(options.painters):
        painter = open_painter(name, clock.device)
        label = label_of("paint", name, painter.config.size)
        single, many = painting_jobs(painter, options.batch)
        aim = "≤ 150" if label == "paint_default_128px" and suffix == "_2_threads" else None
        report.add(f"{label}{suffix}", 1000 * clock.seconds(single, options.pictures), "ms/picture", aim)
        if painter.encoder is not None:
            photo = render(1, 0, painter.config.size[0]).image
            encode = clock.seconds(partial(painter.encode, photo), options.pictures)
            report.add(f"{label}_style{suffix}", 1000 * encode, "ms/picture")
        seconds = clock.seconds(many, batches, warm_up=1)
        report.add(f"{label}_batch{options.batch}{suffix}", options.batch / seconds, "images/s")
    for name in names_in(options.swappers):
        swapper = open_swapper(name, clock.device)
        label = label_of("swap", name, swapper.config.size)
        worn = worn_pictures(swapper.config.size, options.batch)
        one = clock.seconds(lambda s=swapper, w=worn: s.swap(*(each[0] for each in w)), options.pictures)
        report.add(f"{label}{suffix}", 1000 * one, "ms/picture")
        job = partial(swapper.swap_all, *worn, batch=options.batch)
        report.add(
            f"{label}_batch{options.batch}{suffix}",
            options.batch / clock.seconds(job, batches, warm_up=1),
            "images/s",
        )


def label_of(use: str, name: str, size: tuple[int, int]) -> str:
    side = f"{size[0]}px" if size[0] == size[1] else f"{size[1]}x{size[0]}px"
    preset, untrained, _ = name.partition("@")
    return f"{use}_{'untrained_' if untrained else ''}{Path(preset).name}_{side}"


def open_painter(name: str, device: torch.device) -> Painter:
    if "@" not in name:
        return Painter.load(name, device)
    config = preset(PRESETS, name, classes=len(SHOE_PARTS)).model
    torch.manual_seed(0)
    encoder = None if config.z_dim is None else StyleEncoder(config, spectral=False).to(device)
    return Painter(Generator(config, spectral=False).to(device), encoder, config, SHOE_PARTS)


def open_swapper(name: str, device: torch.device) -> Any:
    from shoegen.cagan.config import PRESETS
    from shoegen.cagan.networks import Generator
    from shoegen.cagan.swapping import Swapper

    if "@" not in name:
        return Swapper.load(name, device)
    torch.manual_seed(0)
    return Swapper(Generator(preset(PRESETS, name).model).to(device))


def preset(presets: dict[str, Any], name: str, **settings: Any) -> Any:
    """The training configuration of PRESET@SIDE."""
    which, _, side = name.partition("@")
    if which not in presets or not side.isdigit():
        raise SystemExit(f"got {name!r}, expected {' or '.join(presets)} as PRESET@SIDE, such as small@128")
    return presets[which](data="", resolution=int(side), **settings)


def painting_jobs(painter: Painter, batch: int) -> tuple[Callable[[], object], Callable[[], object]]:
    """One picture as `Painter.paint` makes it; and a batch through its generator, from part maps to pixels."""
    height, width = painter.config.size
    maps = np.stack([fitted(render(1, i % PICTURES, 128).part_map, height, width) for i in range(batch)])
    style = None if painter.config.z_dim is None else painter.random_style(0)
    labels = torch.from_numpy(np.stack([painter.prepare(each, SHOE_PARTS) for each in maps]))

    @torch.inference_mode()
    def many() -> np.ndarray:
        z = None if style is None else style.expand(batch, -1)
        return to_pixels(painter.generator(labels.to(painter.device).long(), z))

    return partial(painter.paint, labels[0].numpy(), style), many


def fitted(part_map: np.ndarray, height: int, width: int) -> np.ndarray:
    """Of any aspect, by repeating and leaving out rows and columns: a shoe of another shape takes as long."""
    rows, columns = (np.arange(side) * len(part_map) // side for side in (height, width))
    return np.ascontiguousarray(part_map[np.ix_(rows, columns)])


def worn_pictures(size: tuple[int, int], number: int) -> tuple[list[np.ndarray], ...]:
    """Photos, articles worn and others."""
    made = []
    for index in range(min(number, PICTURES)):
        worn = render_worn(sample_parameters(1, index), sample_wearer(1, index), max(32, max(size)))
        made.append([fitted(each, *size) for each in (worn.photo, worn.article)])
    photos, articles = ([made[i % len(made)][which] for i in range(number + 1)] for which in (0, 1))
    return photos[:-1], articles[:-1], articles[1:]


# ---- in training ----


def in_training(report: Report, options: argparse.Namespace, threads: int, suffix: str) -> None:
    for kind, listed in (("paint", options.train_painters), ("swap", options.train_swappers)):
        for name in names_in(listed):
            command = [sys.executable, *sys.argv, "--learn", f"{kind}:{name}", "--threads", str(threads)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
            if done.returncode:
                raise SystemExit(done.returncode)
            batch, rate, peak = (float(word) for word in done.stdout.split()[-3:])
            label = f"learn_to_{kind}_{name.replace('@', '_')}px_batch{batch:.0f}{suffix}"
            report.add(label, rate, "images/s")
            report.add(f"{label}_memory", peak, "GB")


def learn(name: str, steps: int, batch: int | None, clock: Clock) -> None:
    """Prints the batch, images/s and the peak of memory in GB, of this process."""
    kind, _, name = name.partition(":")
    keep_freed_memory()
    learner, shown = (painter_learner if kind == "paint" else swapper_learner)(name, batch, clock.device)
    with learner.explain_memory():
        seconds = clock.seconds(lambda: learner.learn(shown), steps)
    print(len(learner.rows), len(learner.rows) / seconds, peak_memory_gb(clock.device))


def painter_learner(name: str, batch: int | None, device: torch.device) -> tuple[Any, Batch]:
    from shoegen.spade.config import override
    from shoegen.spade.trainer import Trainer

    config = override(preset(PRESETS, name, classes=len(SHOE_PARTS)), batch=batch)
    shoes = [render(1, index % PICTURES, config.model.size[0]) for index in range(config.batch)]
    images = np.stack([shoe.image.transpose(2, 0, 1) for shoe in shoes])
    shown = Batch(images, np.stack([shoe.part_map for shoe in shoes]))
    return Trainer(config, SHOE_PARTS, device, examples=shown), shown


def swapper_learner(name: str, batch: int | None, device: torch.device) -> tuple[Any, Any]:
    from shoegen.cagan.config import PRESETS, override
    from shoegen.cagan.data import Triples
    from shoegen.cagan.trainer import CaganLearner

    config = override(preset(PRESETS, name), batch=batch)
    worn = worn_pictures(config.model.size, config.batch)
    shown = Triples(*(np.stack(each).transpose(0, 3, 1, 2).copy() for each in worn))
    return CaganLearner(config, device), shown


if __name__ == "__main__":
    main()
