"""How well photographs are found in the generator, and whether what was found can be edited.

    python benchmarks/inversion_quality.py --count 50 --quality balanced --json inversion.json

Synthetic shoes at 256 px that no training has seen stand for photographs: their parameters are known. Each is projected
and then edited by --by along the direction. Printed are

- seconds_mean, seconds_most: of a projection, alignment included, on --threads threads (aim: ≤ 30);
- part_iou_mean, part_iou_least: of the part map that the segmenter sees in the aligned picture and that of the
  reconstruction, a mean over classes (aim of the mean: ≥ 0.90); part_iou_all: of all pixels of all pictures counted
  together; part_iou_truth: of the reconstruction with the renderer's own part map, moved as the picture was;
- shoe_iou_mean, delta_e_mean, mse_mean, from_mean_mean, layers_apart_mean: as `shoegen.inversion.invert` tells;
- heel_error_mean: of the heel that is measured on the reconstruction, against the renderer's, in millimetres;
- edit_mean, edit_deviation, edit_within: what the edit measures, in millimetres, and the share of shoes in which it is
  within --tolerance of what was asked for (aim: ≥ 0.9); edit_refused: share in which it is said to be out of reach.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from report import Report

from shoegen.data.images import image_grid, resize, write_image
from shoegen.data.synthetic.dataset import render
from shoegen.editing import load
from shoegen.editing.model import inverted
from shoegen.errors import ConfigError
from shoegen.inversion.align import Photo
from shoegen.inversion.projecting import Inverter, part_iou, part_maps
from shoegen.segmentation.metrics import ConfusionMatrix
from shoegen.torch_utils.pixels import as_rgb, from_pixels

RESOLUTION = 256


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=50, help="renders")
    parser.add_argument("--first", type=int, default=0, help="number of the first one")
    parser.add_argument("--seed", type=int, default=77_000, help="of the renders; trainings use small ones")
    parser.add_argument("--quality", default="balanced")
    parser.add_argument("--model", default="default", help="a generator's file or a run folder")
    parser.add_argument("--encoder", default="auto", help="a file, a run folder, auto, or none")
    parser.add_argument("--direction", default="heel", help="empty: no edits")
    parser.add_argument("--by", type=float, default=20.0, help="millimetres to add")
    parser.add_argument("--tolerance", type=float, default=5.0, help="millimetres")
    parser.add_argument("--shoe-length", type=float, default=265.0, help="millimetres")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sheet", type=Path, help="also write a picture: a row for each shoe")
    parser.add_argument("--json", help="also write the figures to this file")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    shoes = load(options.model, "cpu")
    encoder = None if options.encoder == "none" else options.encoder
    inverter = Inverter(shoes.generator, segmenter=shoes.segmenter, encoder=encoder)
    _ = inverter.placement, inverter.basis  # once for all photographs
    labels = shoes.segmenter.labels
    everything = ConfusionMatrix(len(labels))
    rows: list[dict[str, float]] = []
    edits: list[float] = []
    refused = 0
    tiles: list[np.ndarray] = []
    for index in range(options.first, options.first + options.count):
        true = render(options.seed, index, RESOLUTION)
        began = time.perf_counter()
        inversion = inverter.invert(true.image, quality=options.quality)
        seconds = time.perf_counter() - began
        shoe = inverted(inversion, shoes, name=f"render {index}")
        photo = inversion.photo
        seen, drawn = (part_maps(_tensor(each), shoes.segmenter) for each in (photo.aligned, shoe.image))
        everything.update(drawn[0], seen[0])
        length = true.attributes["shoe_length"]
        heel = shoe.measures["heel_height"] * length
        row = {
            **inversion.figures,
            "seconds": seconds,
            "truth": part_iou(drawn[0], _moved(true.part_map, photo, drawn.shape[1:]), len(labels)),
            "heel": abs(heel - true.attributes["heel_height"]),
        }
        rows.append(row)
        line = f"{index}: part IoU {row['part_iou']:.3f}, {row['delta_e']:.1f} dE, {seconds:.1f} s"
        picture = shoe.in_photo
        if options.direction:
            try:
                edited = shoe.edit(
                    **{options.direction: f"{options.by:+g}mm"}, shoe_length=options.shoe_length
                )  # type: ignore[arg-type]
                moved = edited.measures["heel_height"] - shoe.measures["heel_height"]
                edits.append(moved * options.shoe_length)
                line += f", edited by {edits[-1]:+.1f} mm"
                picture = edited.in_photo
            except ConfigError as error:
                refused += 1
                line += f", not edited: {error}"
        print(line, flush=True)
        if options.sheet:
            pictures = [true.image, photo.aligned, _rgb(shoe.image), shoe.in_photo, picture]
            tiles += [resize(each, (128, 128), "bicubic") for each in pictures]

    report = Report()
    report.note("start", "an encoder" if inverter.encoder else "the mean of W")
    report.note("perceptual", inverter.distance.name)
    table = {name: np.array([row.get(name, np.nan) for row in rows]) for name in rows[0]}
    report.add("seconds_mean", float(table["seconds"].mean()), "s", aim="≤ 30")
    report.add("seconds_most", float(table["seconds"].max()), "s", aim="≤ 30")
    report.add("part_iou_mean", float(table["part_iou"].mean()), "share", aim="≥ 0.90")
    report.add("part_iou_least", float(table["part_iou"].min()), "share")
    report.add("part_iou_all", everything.mean_iou, "share")
    report.add("part_iou_truth", float(table["truth"].mean()), "share")
    for name, unit in (
        ("shoe_iou", "share"),
        ("delta_e", "ΔE00"),
        ("mse", "of [0, 1]"),
        ("from_mean", "sigmas"),
        ("layers_apart", "sigmas"),
        ("probe_iou", "share"),
    ):
        report.add(f"{name}_mean", float(np.nanmean(table[name])) if name in table else np.nan, unit)
    report.add("heel_error_mean", float(np.nanmean(table["heel"])), "mm")
    if options.direction:
        found = np.array(edits)
        report.add("edit_mean", float(np.nanmean(found)) if found.size else np.nan, "mm")
        report.add("edit_deviation", float(np.nanstd(found)) if found.size else np.nan, "mm")
        within = np.count_nonzero(np.abs(found - options.by) <= options.tolerance) / len(rows)
        report.add("edit_within", within, "share", aim="≥ 0.9")
        report.add("edit_refused", refused / len(rows), "share")
    if options.sheet:
        write_image(options.sheet, image_grid(tiles, columns=10))
    report.write(options.json)


def _tensor(picture: np.ndarray) -> torch.Tensor:
    return as_rgb(from_pixels(torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None]))


def _rgb(picture: np.ndarray) -> np.ndarray:
    return picture.repeat(3, axis=2) if picture.shape[2] == 1 else picture[..., :3]


def _moved(part_map: np.ndarray, photo: Photo, size: tuple[int, ...]) -> np.ndarray:
    """The renderer's part map as the picture was aligned, at (height, width)."""
    factor = size[1] / photo.aligned.shape[1]
    matrix = photo.matrix * factor
    matrix[:, 2] += (factor - 1) / 2
    return cv2.warpAffine(part_map, matrix, (size[1], size[0]), flags=cv2.INTER_NEAREST)


if __name__ == "__main__":
    main()
