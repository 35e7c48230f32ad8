"""Cut-outs against exact masks: one network, GrabCut started from its mask, and the cascade.

    shoegen make-shoes --count 200 --resolution 256 --seed 90001 --backgrounds photos/ --out scenes.zip
    python benchmarks/cutout_quality.py --data scenes.zip --model runs/first --second runs/second --json cutout.json

Without --data, shoes are drawn before plain paper. For each method, Dice and IoU of the mask (alpha of a half and
more), their means over the pictures, the worst, and the share of pictures at the aim or above; network is the network's
part map as it is, without the refinement at the picture's resolution. Where no shoe was found, both are 0.
Aim: Dice ≥ 0.9832.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from report import Report

from shoegen.data.files import PictureFiles
from shoegen.data.images import decode_image, image_grid, write_image
from shoegen.data.synthetic import render
from shoegen.errors import ConfigError, DataError
from shoegen.segmentation.cutout import cutout
from shoegen.segmentation.parts import PartSegmenter

AIM = 0.9832
WORST = 8  # pictures on a sheet
SHEET_SIDE = 256


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="default", help="a segmenter (default: the shipped one)")
    parser.add_argument("--second", help="the second network of the cascade; without it, no cascade")
    parser.add_argument("--data", help="folder or zip with part maps (default: shoes before paper)")
    parser.add_argument("--count", type=int, default=200, help="pictures at most (default: 200)")
    parser.add_argument("--resolution", type=int, default=256, help="of the shoes drawn (default: 256)")
    parser.add_argument("--seed", type=int, default=987_654, help="of the shoes drawn")
    parser.add_argument("--worst", type=Path, help="folder for a sheet of each method's worst pictures")
    parser.add_argument("--json", help="also write the figures to this file")
    options = parser.parse_args()

    first = PartSegmenter.load(options.model)
    methods = ["network", "segmenter", "grabcut"]
    others = {}
    if options.second:
        methods.append("cascade")
        others["cascade"] = {"second": PartSegmenter.load(options.second)}
    scores: dict[str, list[tuple[float, float]]] = {method: [] for method in methods}
    seconds = dict.fromkeys(methods, 0.0)
    shown: dict[str, list[np.ndarray]] = {method: [] for method in methods}
    for image, truth in _pictures(options):
        for method in methods:
            start = time.perf_counter()
            if method == "network":
                mask = first.segment(image) > 0
            else:
                try:
                    mask = cutout(image, method=method, model=first, **others.get(method, {})).mask
                except DataError:  # no shoe
                    mask = np.zeros_like(truth)
            seconds[method] += time.perf_counter() - start
            scores[method].append(_dice_and_iou(mask, truth))
            if options.worst:
                shown[method].append(_errors(image, mask, truth))

    report = Report()
    for method in methods:
        dice, iou = np.array(scores[method]).T
        # One follows from the other; whoever changes a formula is told.
        assert np.allclose(iou, dice / (2 - dice))
        report.add(f"{method}_dice", float(dice.mean()), "share")
        report.add(f"{method}_iou", float(iou.mean()), "share")
        report.add(f"{method}_dice_worst", float(dice.min()), "share")
        report.add(f"{method}_at_aim", float((dice >= AIM).mean()), "share")
        report.add(f"{method}_time", 1000 * seconds[method] / len(dice), "ms")
        if options.worst:
            sheet = image_grid([shown[method][i] for i in np.argsort(dice)[:WORST]], columns=WORST // 2)
            write_image(options.worst / f"{method}.png", sheet)
    report.add("pictures", len(dice), "pictures")
    report.write(options.json)


def _pictures(options: argparse.Namespace) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pictures (H, W, 3) uint8 and their true masks (H, W) bool."""
    if options.data is None:
        for index in range(options.count):
            shoe = render(options.seed, index, options.resolution)
            yield shoe.image, shoe.part_map > 0
        return
    files = PictureFiles(options.data)
    labels = files.read_labels()
    if labels is None:
        raise ConfigError(f"--data {options.data} has no labels.json; give a data set with part maps")
    for name in files.pictures[: options.count]:
        image = decode_image(files.read(name))[0]
        yield image, files.read_part_map(name, labels, image.shape[:2]) > 0


def _dice_and_iou(mask: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    both, sizes = np.count_nonzero(mask & truth), np.count_nonzero(mask) + np.count_nonzero(truth)
    return 2 * both / sizes, both / (sizes - both)


def _errors(image: np.ndarray, mask: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(256, 256, 3): the picture greyed, what is missing in red, what is too much in blue."""
    from shoegen.data.images import fit_image

    marked = image // 2 + 127
    marked[truth & ~mask] = (220, 30, 30)
    marked[mask & ~truth] = (30, 60, 220)
    return fit_image(marked, (SHEET_SIDE, SHEET_SIDE), "pad")


if __name__ == "__main__":
    main()
