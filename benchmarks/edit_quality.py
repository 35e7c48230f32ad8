"""What an edit changes, by how much, and what it leaves alone.

    python benchmarks/edit_quality.py --seeds 200 --model default --direction heel --json edits.json

The shoe of each seed is edited at nine strengths from −2 to 2, and all pictures are measured. σ is an attribute's
standard deviation over the unedited shoes. Printed are

- spearman_median: of strength and measured attribute, over the seeds (aim: ≥ 0.95);
- growth: of the attribute from −2 to +2, mean over the seeds (aim: ≥ 1.5 σ);
- leak/NAME: how far another attribute moves in its σ per σ of the edited one: the mean over the seeds of its
  signed least-squares slope over strength, divided by the edited attribute's mean slope (aim: < 0.5 either way);
- wander/NAME: the same from the slopes' absolute values: what a single shoe undergoes, and what noise of
  measuring adds.
"""

from __future__ import annotations

import argparse
from functools import partial

import numpy as np
import torch
from report import Report
from scipy.stats import spearmanr

from shoegen.directions.fitting import relative_slopes, standard_deviation
from shoegen.directions.sampling import measure_ws
from shoegen.editing import load
from shoegen.measure import ATTRIBUTES

STRENGTHS = np.linspace(-2, 2, 9)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=200, help="shoes (default: 200)")
    parser.add_argument("--first-seed", type=int, default=1_000_000, help="fitting uses small ones")
    parser.add_argument("--model", default="default", help="a generator's file or a run folder")
    parser.add_argument("--direction", default="heel", help="its name or file")
    parser.add_argument("--psi", type=float, default=0.7)
    parser.add_argument("--json", help="also write the figures to this file")
    options = parser.parse_args()

    model = load(options.model)
    direction = model.direction(options.direction)
    measure = partial(measure_ws, model.generator, model.segmenter)
    values: dict[str, list[np.ndarray]] = {}  # of each attribute, (strengths,) for each seed
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        shoe = model.sample(seed, options.psi)
        edits = direction.move(shoe.ws, torch.from_numpy(STRENGTHS))  # S, num_ws, w_dim
        for name, found in measure(edits).items():
            values.setdefault(name, []).append(found)
    table = {name: np.stack(rows) for name, rows in values.items()}  # seeds, strengths

    report = Report()
    own = table[direction.attribute]
    whole = np.isfinite(own).all(1) & (np.ptp(own, axis=1) > 0)
    sigmas = {name: standard_deviation(name, rows[:, len(STRENGTHS) // 2]) for name, rows in table.items()}
    sigma = sigmas[direction.attribute]
    rank = [spearmanr(STRENGTHS, row).statistic for row in own[whole]]
    report.add("seeds", options.seeds, "shoes")
    report.add("spearman_median", float(np.median(rank)), "correlation")
    report.add("growth", float(np.nanmean(own[:, -1] - own[:, 0])) / sigma, "σ")
    unit = ATTRIBUTES[direction.attribute].unit.replace(" ", "_")
    report.add("growth_measured", float(np.nanmean(own[:, -1] - own[:, 0])), unit)
    report.add("sigma", sigma, unit)
    report.add("not_measured", float(np.isnan(own).mean()), "share")
    report.add("does_not_follow", float(1 - whole.mean()), "share")

    moves = relative_slopes(STRENGTHS, table, direction.attribute, sigmas)
    for name, move in moves.items():
        report.add(f"leak/{name}", float(np.nanmean(move)), "σ/σ")
        report.add(f"wander/{name}", float(np.nanmean(np.abs(move))), "σ/σ")
        report.add(f"not_measured/{name}", float(np.isnan(table[name]).mean()), "share")
    report.add("largest_leak", max(abs(float(np.nanmean(move))) for move in moves.values()), "σ/σ")
    report.write(options.json)


if __name__ == "__main__":
    main()
