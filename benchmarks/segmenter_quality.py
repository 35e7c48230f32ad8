"""The part segmenter on synthetic shoes that it has not seen.

    python benchmarks/segmenter_quality.py --count 1000 --json segmenter.json

Prints pixel accuracy, IoU and Dice per class, and how far the measures taken on the segmented parts are from the
renderer's truth; and of each attribute that follows one of the renderer's parameters the rank correlation with it, on
the segmented and on the true parts. Aims: mean_iou ≥ 0.90, heel_height_error_median ≤ 2 % of the shoe's length.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from report import Report
from scipy.stats import spearmanr

from shoegen.data.colors import to_lab
from shoegen.data.images import resize
from shoegen.data.labels import SHOE_PARTS
from shoegen.data.synthetic import ShoeParameters, render, render_shoe, sample_parameters
from shoegen.data.synthetic.geometry import Last, Upper
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

PARAMETERS: dict[str, Callable[[ShoeParameters], float]] = {
    **{name: lambda p, name=name: p.attributes[name] / p.shoe_length for name in TRUE_ATTRIBUTES},
    "sole_thickness": lambda p: (
        (p.sole_thickness + max(p.platform_height - p.heel_height, 0)) / p.shoe_length
    ),
    "toe_roundness": lambda p: p.toe_roundness,
    "toe_pointedness": lambda p: -p.toe_roundness,
    "collar_height": lambda p: (Upper(p, Last(p)).back[-1, 1] + p.sole_thickness) / p.shoe_length,
    **{
        f"{part}_{channel}": lambda p, part=part, index=index: to_lab(
            np.array(getattr(p, f"{part}_color"), np.uint8)
        )[index]
        for part in ("upper", "sole")
        for index, channel in enumerate("lab")
    },
}
"""What each attribute should rank shoes by."""

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
    ranked: dict[str, list[tuple[float, float, float]]] = {name: [] for name in PARAMETERS}
    seconds = 0.0
    for index in range(options.count):
        shoe = render(options.seed, index, options.resolution)
        start = time.perf_counter()
        part_map = segmenter.segment(shoe.image)
        seconds += time.perf_counter() - start
        confusion.update(part_map, shoe.part_map)
        fine = max(FINE, options.resolution)
        seen = segmenter.segment(shoe.image, size=fine)
        measured = measure(seen, segmenter.labels, image=resize(shoe.image, (fine, fine)))
        parameters = sample_parameters(options.seed, index)
        whole = render_shoe(parameters, fine)
        best = measure(whole.part_map, image=whole.image)
        for name, parameter in PARAMETERS.items():
            ranked[name].append((parameter(parameters), measured[name], best[name]))
        for name in TRUE_ATTRIBUTES:
            true = shoe.attributes[name] / shoe.attributes["shoe_length"]
            errors[name].append(abs(measured[name] - true))

    for name, value in confusion.figures(SHOE_PARTS).items():
        report.add(name, value, "share")
    for name, values in errors.items():
        report.add(f"{name}_error_median", 100 * float(np.nanmedian(values)), "percent_of_shoe_length")
        report.add(f"{name}_error_p95", 100 * float(np.nanpercentile(values, 95)), "percent_of_shoe_length")
    for name, rows in ranked.items():
        true, seen, best = np.array(rows).T
        for values, what in ((seen, "rank_correlation"), (best, "rank_correlation_of_true_parts")):
            there = np.isfinite(values)
            report.add(f"{name}_{what}", float(spearmanr(true[there], values[there]).statistic), "rho")
    report.add("heel_not_measured", float(np.isnan(errors["heel_height"]).mean()), "share")
    report.add("time_per_picture", 1000 * seconds / options.count, "ms")
    report.write(options.json)


if __name__ == "__main__":
    main()
