"""How well photographs are found in the generator, and whether what was found can be edited.

    python benchmarks/inversion_quality.py --count 50 --quality balanced --json inversion.json
    python benchmarks/inversion_quality.py --data sneakers256.zip --count 20 --model runs/sneakers \\
        --direction collar_height --by 10 --sheet sneakers.png

Synthetic shoes at 256 px that no training has seen stand for photographs: their parameters are known. With --data it is
photographs, drawn by chance from a folder or zip; of those nothing is known. Each is projected and then edited by --by
along the direction. Printed are

- seconds_mean, seconds_most: of a projection, alignment included, on --threads threads (aim: ≤ 30);
- part_iou_mean, part_iou_least: of the part map that the segmenter sees in the aligned picture and that of the
  reconstruction, a mean over classes (aim of the mean: ≥ 0.90); part_iou_all: of all pixels of all pictures counted
  together; part_iou_truth: of the reconstruction with the renderer's own part map, moved as the picture was;
- shoe_iou_mean, delta_e_mean, mse_mean, from_mean_mean, layers_apart_mean: as `shoegen.inversion.invert` tells;
- heel_error_mean: of the heel that is measured on the reconstruction, against the renderer's, in millimetres;
- edit_mean, edit_deviation, edit_within: what the edit measures, in millimetres, and the share of shoes in which it is
  within --tolerance of what was asked for (aim: ≥ 0.9); edit_refused: share in which it is said to be out of reach;
- not_inverted: share of the photographs in which no shoe was found, or several.

The sheet has a row for each two: the picture, as it is aligned, as it is drawn, put back, put back with the edit.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from report import Report

from shoegen.data.files import PictureFiles
from shoegen.data.images import fit_image, image_grid, read_image, write_image
from shoegen.data.synthetic.dataset import render
from shoegen.data.synthetic.render import RenderedShoe
from shoegen.editing import load
from shoegen.editing.model import inverted
from shoegen.errors import ConfigError, DataError
from shoegen.inversion.align import Photo
from shoegen.inversion.projecting import Inverter, part_iou, part_maps
from shoegen.segmentation.metrics import ConfusionMatrix
from shoegen.torch_utils.pixels import as_rgb, from_pixels

RESOLUTION = 256


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=50, help="renders, or photographs")
    parser.add_argument("--data", type=Path, help="a folder or zip of photographs, in place of renders")
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
    refused = lost = 0
    tiles: list[np.ndarray] = []
    attribute = shoes.direction(options.direction).attribute if options.direction else ""
    for index, image, true in pictures(options):
        began = time.perf_counter()
        try:
            inversion = inverter.invert(image, quality=options.quality)
        except DataError as error:
            lost += 1
            print(f"{index}: not inverted: {error}", flush=True)
            continue
        seconds = time.perf_counter() - began
        shoe = inverted(inversion, shoes, name=f"picture {index}")
        photo = inversion.photo
        seen, drawn = (part_maps(_tensor(each), shoes.segmenter) for each in (photo.aligned, shoe.image))
        everything.update(drawn[0], seen[0])
        row = {**inversion.figures, "seconds": seconds}
        if true is not None:
            heel = shoe.measures["heel_height"] * true.attributes["shoe_length"]
            row["truth"] = part_iou(drawn[0], _moved(true.part_map, photo, drawn.shape[1:]), len(labels))
            row["heel"] = abs(heel - true.attributes["heel_height"])
        rows.append(row)
        line = f"{index}: part IoU {row['part_iou']:.3f}, {row['delta_e']:.1f} dE, {seconds:.1f} s"
        picture = shoe.in_photo
        if options.direction:
            try:
                edited = shoe.edit(
                    **{options.direction: f"{options.by:+g}mm"}, shoe_length=options.shoe_length
                )  # type: ignore[arg-type]
                moved = edited.measures[attribute] - shoe.measures[attribute]
                edits.append(moved * options.shoe_length)
                line += f", edited by {edits[-1]:+.1f} mm"
                picture = edited.in_photo
            except ConfigError as error:
                refused += 1
                line += f", not edited: {error}"
        print(line, flush=True)
        if options.sheet:
            shown = [image, photo.aligned, _rgb(shoe.image), shoe.in_photo, picture]
            tiles += [np.array(fit_image(each, (128, 128), "pad")) for each in shown]

    if not rows:
        raise SystemExit("nothing was inverted")
    report = Report()
    report.note("start", "an encoder" if inverter.encoder else "the mean of W")
    report.note("perceptual", inverter.distance.name)
    table = {name: np.array([row.get(name, np.nan) for row in rows]) for name in rows[0]}
    report.add("seconds_mean", float(table["seconds"].mean()), "s", aim="≤ 30")
    report.add("seconds_most", float(table["seconds"].max()), "s", aim="≤ 30")
    report.add("part_iou_mean", float(table["part_iou"].mean()), "share", aim="≥ 0.90")
    report.add("part_iou_least", float(table["part_iou"].min()), "share")
    report.add("part_iou_all", everything.mean_iou, "share")
    if "truth" in table:
        report.add("part_iou_truth", float(table["truth"].mean()), "share")
        report.add("heel_error_mean", float(np.nanmean(table["heel"])), "mm")
    for name, unit in (
        ("shoe_iou", "share"),
        ("delta_e", "ΔE00"),
        ("mse", "of [0, 1]"),
        ("from_mean", "sigmas"),
        ("layers_apart", "sigmas"),
        ("probe_iou", "share"),
    ):
        report.add(f"{name}_mean", float(np.nanmean(table[name])) if name in table else np.nan, unit)
    report.add("not_inverted", lost / (lost + len(rows)), "share")
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


def pictures(options: argparse.Namespace) -> Iterator[tuple[int, np.ndarray, RenderedShoe | None]]:
    """Numbers, pictures (H, W, 3) uint8, and what is known of them."""
    if options.data is None:
        for index in range(options.first, options.first + options.count):
            true = render(options.seed, index, RESOLUTION)
            yield index, true.image, true
        return
    files = PictureFiles(options.data)
    chosen = np.random.default_rng(options.seed).permutation(len(files.pictures))
    for index in chosen[options.first : options.first + options.count].tolist():
        yield index, read_image(files.read(files.pictures[index])), None


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
