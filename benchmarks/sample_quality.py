"""Whether a generator's samples are shoes, and whether their measures are spread as those of the shoes it learned.

    python benchmarks/sample_quality.py --samples 500 --psi 0.7 --json samples.json

one_shoe: the share of samples that are one connected shoe with sole and upper (aim: ≥ 0.95). mean/NAME and
sigma/NAME: of each attribute over the samples; real_mean/NAME and real_sigma/NAME: over as many synthetic shoes,
measured the same way on their true part maps.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable

import numpy as np
import torch
from report import Report

from shoegen.data.synthetic import render
from shoegen.directions.calibration import standard_deviation
from shoegen.directions.sampling import BATCH, FINE, draw_w, measure_images
from shoegen.editing import load
from shoegen.measure import ATTRIBUTES, is_one_shoe, measure


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=500, help="default: 500")
    parser.add_argument("--psi", type=float, default=0.7)
    parser.add_argument("--seed", type=int, default=1_000_000)
    parser.add_argument("--model", default="default", help="a generator's file or a run folder")
    parser.add_argument("--json", help="also write the figures to this file")
    options = parser.parse_args()

    model = load(options.model)
    w = draw_w(model.generator, options.samples, psi=options.psi, seed=options.seed)
    measured = []
    for chunk in w.split(BATCH):
        with torch.no_grad():
            images = model.generator.synthesis(model.generator.broadcast(chunk)).clamp(-1, 1)
        measured += measure_images(images, model.segmenter)

    report = Report()
    report.add("samples", options.samples, "shoes")
    whole = [is_one_shoe(part_map, model.segmenter.labels) for part_map, _ in measured]
    report.add("one_shoe", float(np.mean(whole)), "share")
    add_spread(report, "", [attributes for _, attributes in measured])
    shoes = (render(options.seed, index, FINE) for index in range(options.samples))
    add_spread(report, "real_", [measure(shoe.part_map, image=shoe.image) for shoe in shoes])
    report.write(options.json)


def add_spread(report: Report, prefix: str, rows: Iterable[dict[str, float]]) -> None:
    table = list(rows)
    for name, attribute in ATTRIBUTES.items():
        values = np.array([row[name] for row in table])
        unit = attribute.unit.replace(" ", "_")
        report.add(f"{prefix}mean/{name}", float(np.nanmean(values)), unit)
        report.add(f"{prefix}sigma/{name}", standard_deviation(values), unit)
        report.add(f"{prefix}not_measured/{name}", float(np.isnan(values).mean()), "share")


if __name__ == "__main__":
    main()
