"""The part segmenter on synthetic shoes that it has not seen.

    python benchmarks/segmenter_quality.py --count 1000 --json segmenter.json

Prints pixel accuracy, IoU and Dice per class, and how far the measures taken on the segmented parts are from
the renderer's truth. Aims: mean_iou ≥ 0.90, heel_height_error_median ≤ 2 % of the shoe's length.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from report import Report

from shoegen.data.labels import SHOE_PARTS
from shoegen.data.synthetic import render
from shoegen.measure import measure
from shoegen.segmentation.metrics import ConfusionMatrix
from shoegen.segmentation.parts import PartSegmenter

TRUE_ATTRIBUTES = (
    "heel_height",
    "heel_width",
    "sole_thickness",
    "platform_height",
    "toe_height",
    "shaft_height",
)

FINE = 256  # side of the part maps that are measured: finer than the pictures


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model", default="default", help="a segmenter.safetensors (default: the shipped one)"
    )
    parser.add_argument("--count", type=int, default=1000, help="shoes (default: 1000)")
    parser.add_argument("--resolution", type=int, default=128, help="of the pictures (default: 128)")
    parser.add_argument("--seed", type=int, default=987_654, help="of the shoes; training uses small ones")
    parser.add_argument("--json", help="also write the figures to this file")
    options = parser.parse_args()

    report = Report()
    segmenter = PartSegmenter.load(options.model)
    confusion = ConfusionMatrix(len(SHOE_PARTS))
    errors: dict[str, list[float]] = {name: [] for name in TRUE_ATTRIBUTES}
    seconds = 0.0
    for index in range(options.count):
        shoe = render(options.seed, index, options.resolution)
        start = time.perf_counter()
        part_map = segmenter.segment(shoe.image)
        seconds += time.perf_counter() - start
        confusion.update(part_map, shoe.part_map)
        measured = measure(segmenter.segment(shoe.image, size=max(FINE, options.resolution)))
        for name in TRUE_ATTRIBUTES:
            true = shoe.attributes[name] / shoe.attributes["shoe_length"]
            errors[name].append(abs(measured[name] - true))

    for name, value in confusion.figures(SHOE_PARTS).items():
        report.add(name, value, "share")
    for name, values in errors.items():
        report.add(f"{name}_error_median", 100 * float(np.nanmedian(values)), "percent_of_shoe_length")
        report.add(f"{name}_error_p95", 100 * float(np.nanpercentile(values, 95)), "percent_of_shoe_length")
    report.add("heel_not_measured", float(np.isnan(errors["heel_height"]).mean()), "share")
    report.add("time_per_picture", 1000 * seconds / options.count, "ms")
    report.write(options.json)


if __name__ == "__main__":
    main()
