"""How long fitting a direction takes, stage by stage, and how much memory.

    python benchmarks/fitting_speed.py --samples 10000 --json fitting.json

The samples are drawn, segmented and measured anew, whatever is cached; then `--attribute` is fitted to them as
`shoegen fit-direction heel --orthogonal-to all` does. Seconds by stage; `samples_per_second` is of the first three.
"""

from __future__ import annotations

import argparse
from functools import partial

import torch
from report import Report

from shoegen.cli._progress import show_progress
from shoegen.directions.fitting import FitConfig, fit_direction
from shoegen.directions.sampling import draw_samples, measure_ws
from shoegen.directions.stopwatch import Stopwatch
from shoegen.editing import load
from shoegen.torch_utils.memory import peak_memory_gb


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=10_000, help="default: 10000")
    parser.add_argument("--attribute", default="heel")
    parser.add_argument("--model", default="default", help="a generator's file or a run folder")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", help="also write the figures to this file")
    options = parser.parse_args()

    model, watch = load(options.model, options.device), Stopwatch()
    assert model.segmenter  # loaded before the clock starts
    with show_progress("measuring samples", "samples") as tell:
        samples = draw_samples(
            model.generator,
            partial(measure_ws, model.generator, model.segmenter, whole=False, watch=watch),
            options.samples,
            progress=lambda done: tell(done, options.samples),
        )
    sampling = sum(watch.seconds.values())
    direction = fit_direction(
        samples,
        partial(measure_ws, model.generator, model.segmenter),
        FitConfig(attribute=options.attribute, orthogonal_to="all"),
        num_ws=model.generator.num_ws,
        generator_hash=model.hash,
        say=print,
        watch=watch,
    )

    report = Report()
    report.note("threads", str(torch.get_num_threads()))
    report.add("samples", options.samples, "shoes")
    for stage, seconds in watch.seconds.items():
        report.add(stage.replace(" ", "_"), seconds, "s")
    report.add("total", sum(watch.seconds.values()), "s")
    report.add("samples_per_second", options.samples / sampling, "1/s")
    report.add("peak_memory", peak_memory_gb(), "GB")
    if direction.stability is not None:
        report.add("stability", direction.stability, "cosine", aim="≥ 0.95 at 10,000 samples")
    report.add("auc", direction.scores["auc"], "")
    report.write(options.json)


if __name__ == "__main__":
    main()
