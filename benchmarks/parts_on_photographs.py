"""The part segmenter, which learned from synthetic shoes alone, on real product photographs: a sheet, good and bad.

    python benchmarks/parts_on_photographs.py --data ../shared/data/sneakers256.zip --out parts.jpg

Certainty is the mean probability of the class that the network chose, over what it takes for the shoe. The sheet shows
the pictures that it is most certain of, those in the middle, and those that it is least certain of, each beside its
part map. one_shoe: the share of pictures whose part map is one connected shoe with sole and upper.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
import torch.nn.functional as F
from report import Report

from shoegen.data.datasets import ImageDataset
from shoegen.data.images import image_grid, write_image
from shoegen.measure import is_one_shoe
from shoegen.segmentation.overlay import tint
from shoegen.segmentation.parts import PartSegmenter
from shoegen.torch_utils.pixels import from_pixels

TILE = 144
EACH = 8  # pictures of each kind


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="folder or zip of photographs")
    parser.add_argument(
        "--model", default="default", help="a segmenter.safetensors (default: the shipped one)"
    )
    parser.add_argument("--count", type=int, default=200, help="pictures, drawn by chance (default: 200)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", help="where the sheet goes, .png or .jpg")
    parser.add_argument("--json", help="also write the figures to this file")
    options = parser.parse_args()

    segmenter = PartSegmenter.load(options.model)
    pictures = ImageDataset(
        options.data, resolution=TILE, fit="pad", subset=options.count, subset_seed=options.seed
    )
    found = []
    for image in pictures:
        part_map, certainty = segment(segmenter, image)
        found.append((certainty, image.transpose(1, 2, 0), part_map))
    found.sort(key=lambda each: -each[0])

    report = Report()
    report.add("pictures", len(found), "pictures")
    report.add("one_shoe", float(np.mean([is_one_shoe(part_map) for _, _, part_map in found])), "share")
    for share in (5, 50, 95):
        report.add(
            f"certainty_p{share}", float(np.percentile([each[0] for each in found], share)), "probability"
        )
    report.write(options.json)
    if options.out:
        middle = max(len(found) // 2 - EACH // 2, 0)
        shown = [*found[:EACH], *found[middle : middle + EACH], *found[-EACH:]]
        tiles = [tile for _, image, parts in shown for tile in (image, tint(image, parts, segmenter.labels))]
        write_image(options.out, image_grid(tiles, columns=8))


def segment(segmenter: PartSegmenter, image: np.ndarray) -> tuple[np.ndarray, float]:
    """(3, H, W) uint8 → its part map (H, W) and the certainty of it."""
    with torch.inference_mode():
        logits = segmenter.logits(from_pixels(torch.from_numpy(image[None])))
        chances = F.interpolate(logits.softmax(1), image.shape[-2:], mode="bilinear", antialias=True)
    best = chances[0].max(0)
    shoe = best.indices > 0
    certainty = float(best.values[shoe].mean()) if shoe.any() else 0.0
    return best.indices.to(torch.uint8).numpy(), certainty


if __name__ == "__main__":
    main()
