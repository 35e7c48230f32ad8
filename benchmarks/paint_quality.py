"""Paintings of part maps that no training has seen: are the parts where the map has them, is a heel as high as drawn,
does a style keep its colour?

    python benchmarks/paint_quality.py --model runs/spade --count 500 --json paint.json --sheet paint.png

Parts: synthetic shoes' part maps, each painted in a random style and segmented by the segmenter that ships with
shoegen; IoU, Dice and pixel accuracy are over all pixels of all maps, against the maps asked for. SWD, and FID and KID
where their weights are, are between the paintings and the renders of the same shoes. The same figures of the renders
are what can be had: segmented against their own maps, and other renders against these.
Heel: a shoe's map and that of the same shoe with its heel 20 mm higher, painted in one style and segmented at 256 px
or more; by how much more shoegen.measure finds, in millimetres by the shoe's true length. Of the renders, and of the
maps themselves, too.
Style: a render of another shoe gives the style of ten maps. ΔE00 is between the mean CIELAB colours of the upper (less
its edge, where there is one): between each two of the ten paintings; of each to the style photo; and, for what styles
differ at all, between paintings of one map in each two styles. The same of renders, of the ten shoes in the colours,
material and light of the style's.
Aims: painted_mean_iou ≥ 0.85, painted_heel_mean 20 ± 4 mm, both painted_style ΔE00 ≤ 6.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from itertools import count, islice
from pathlib import Path

import cv2
import numpy as np
import torch
from report import Report
from torch import Tensor

from shoegen.data.colors import ciede2000, to_lab
from shoegen.data.images import image_grid, write_image
from shoegen.data.labels import SHOE_PARTS
from shoegen.data.synthetic import RenderedShoe, ShoeParameters, render, render_shoe, sample_parameters
from shoegen.data.synthetic.parameters import RANGES
from shoegen.errors import ShoegenError
from shoegen.measure import measure, to_millimetres
from shoegen.metrics import Evaluator
from shoegen.segmentation.metrics import ConfusionMatrix
from shoegen.segmentation.parts import PartSegmenter
from shoegen.spade.painting import Painter
from shoegen.torch_utils.devices import pick_device
from shoegen.torch_utils.tensors import tensors_hash

RAISED, TOLERANCE = 20.0, 4.0  # mm
MAPS = 10  # of each style
FINE = 256  # side of the part maps that are measured: finer than the pictures
COLUMNS = 12  # of the sheet
LOOK = (
    "material", "stripe", "counter_panel", "mudguard", "stitching", "heel_layers", "two_tone",
    "upper_color", "accent_color", "sole_color", "heel_color", "lining_color", "lace_color", "hardware_color",
    "background", "background_gradient", "light_angle", "shadow", "texture_seed",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model", default="default", help="a spade.safetensors or a run folder (default: the shipped one)"
    )
    parser.add_argument("--count", type=int, default=500, help="maps to paint (default: 500)")
    parser.add_argument("--heels", type=int, default=200, help="shoes with two heels each (default: 200)")
    parser.add_argument("--styles", type=int, default=20, help=f"on {MAPS} maps each (default: 20)")
    parser.add_argument("--resolution", type=int, help="of maps and pictures (default: the model's)")
    parser.add_argument(
        "--seed", type=int, default=987_654, help="of shoes and styles; training uses small ones"
    )
    parser.add_argument("--weights", help="folder of Inception's weights (default: SHOEGEN_ASSETS)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--json", help="also write the figures to this file")
    parser.add_argument("--sheet", type=Path, help="also write a picture of maps and paintings")
    options = parser.parse_args()
    if options.count < 1:
        parser.error("--count: expected at least 1")

    try:
        device = pick_device(options.device)
        studio = Studio(Painter.load(options.model, device), options.resolution, options.seed)
        report = Report()
        studio.describe(report)
        tiles = parts(report, studio, options.count, options.weights)
        if options.heels:
            tiles += heels(report, studio, options.heels)
        if options.styles and studio.painter.encoder is not None:
            tiles += styles(report, studio, options.styles)
    except ShoegenError as error:
        parser.exit(1, f"{error}\n")
    report.write(options.json)
    if options.sheet:
        write_image(options.sheet, image_grid(tiles, columns=COLUMNS))
        print(
            f"{options.sheet}: map, render, painting, parts found in it; map, painting, higher heel, painting; below "
            "ten maps, style photos and the paintings in their style"
        )


class Studio:
    """The painter and the segmenter, with pictures of one side between them."""

    def __init__(self, painter: Painter, resolution: int | None, seed: int) -> None:
        self.painter = painter
        self.segmenter = PartSegmenter.load(device=painter.device)
        self.resolution = resolution or painter.config.size[0]
        self.seed = seed

    def describe(self, report: Report) -> None:
        """How the figures are made, without which they cannot be compared."""
        generator, net = (
            tensors_hash(each.state_dict()) for each in (self.painter.generator, self.segmenter.net)
        )
        report.note("painter", f"sha256 of its generator {generator}")
        report.note("segmenter", f"the shipped one, sha256 {net}")
        side = (self.resolution, self.resolution)
        own, seen = self.painter.config.size, self.segmenter.config.size
        resized = f", resized from {own[1]}x{own[0]} (box by whole factors, else Lanczos)"
        report.note("pictures", f"{self.resolution} px{'' if own == side else resized}")
        resized = f"to {seen[1]}x{seen[0]} (bilinear, antialiased)"
        report.note("resize before the segmenter", "none" if seen == side else resized)
        report.note("crop before the segmenter", "none")

    def paint(self, part_map: np.ndarray, style: Tensor | None) -> np.ndarray:
        """(H, W) of SHOE_PARTS → (resolution, resolution, 3) uint8."""
        prepared = self.painter.prepare(part_map, SHOE_PARTS)
        return self.painter.paint(prepared, style, size=self.resolution)

    def random_style(self, index: int) -> Tensor | None:
        styled = self.painter.config.z_dim is not None
        return self.painter.random_style(self.seed + index) if styled else None

    def heel(self, picture: np.ndarray, shoe: RenderedShoe) -> float:
        """Millimetres."""
        part_map = self.segmenter.segment(picture, size=max(FINE, self.resolution))
        return heel_of(part_map, shoe)


# ---- parts ----


def parts(report: Report, studio: Studio, number: int, weights: str | None) -> list[np.ndarray]:
    confusions = {name: ConfusionMatrix(len(SHOE_PARTS)) for name in ("painted", "rendered")}
    pictures: dict[str, list[np.ndarray]] = {name: [] for name in confusions}
    tiles: list[np.ndarray] = []
    for index in range(number):
        shoe = render(studio.seed, index, studio.resolution)
        made = {"painted": studio.paint(shoe.part_map, studio.random_style(index)), "rendered": shoe.image}
        for name, picture in made.items():
            found = studio.segmenter.segment(picture)
            confusions[name].update(found, shoe.part_map)
            pictures[name].append(picture)
            if name == "painted" and len(tiles) < 4 * COLUMNS:
                tiles += [colorize(shoe.part_map), shoe.image, picture, colorize(found)]
    report.add("maps", number, "maps")
    for name, confusion in confusions.items():
        for figure, value in confusion.figures(SHOE_PARTS).items():
            aim = "≥ 0.85" if (name, figure) == ("painted", "mean_iou") else None
            report.add(f"{name}_{figure}", value, "share", aim)
    others = [render(studio.seed, number + index, studio.resolution).image for index in range(number)]
    distances(report, pictures["rendered"], {"painted": pictures["painted"], "rendered": others}, weights)
    return padded(tiles)


def distances(
    report: Report, renders: list[np.ndarray], sets: dict[str, list[np.ndarray]], weights: str | None
) -> None:
    """SWD, KID and FID of sets of pictures to the renders, as far as there are weights."""
    if len(renders) < 2:
        return
    notes: list[str] = []
    evaluator = Evaluator(Pictures(renders), ["swd", "kid", "fid"], weights=weights, say=notes.append)
    for note in notes:
        metric, _, reason = note.partition(" skipped: ")
        report.note(metric if reason else "weights", f"skipped: {reason}" if reason else note)
    for name, pictures in sets.items():
        for figure in evaluator.evaluate(Pictures(pictures).sampler()):
            report.add(f"{name}_{figure.name}", figure.value, figure.unit or "distance")
            if figure.name not in report.notes:
                counts = f"N_ref {figure.n_ref}, N_gen {figure.n_gen}"
                report.note(figure.name, f"{counts}, resize {figure.resize}, crop none")


class Pictures:
    """(H, W, 3) uint8 pictures as the metrics take them."""

    def __init__(self, pictures: list[np.ndarray]) -> None:
        self._pictures = np.stack(pictures).transpose(0, 3, 1, 2)
        self.image_shape = self._pictures.shape[1:]

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: int) -> np.ndarray:
        return self._pictures[index]

    def sampler(self) -> Callable[[int], Tensor]:
        rest = iter(self._pictures)
        return lambda wanted: torch.from_numpy(np.stack(list(islice(rest, wanted))))


# ---- heels ----


def heels(report: Report, studio: Studio, number: int) -> list[np.ndarray]:
    raised: dict[str, list[float]] = {name: [] for name in ("painted", "rendered", "drawn")}
    tiles: list[np.ndarray] = []
    for index, parameters in islice(low_shoes(studio.seed), number):
        higher = replace(parameters, heel_height=parameters.heel_height + RAISED)
        shoes = [render_shoe(each, studio.resolution) for each in (parameters, higher)]
        paintings = [studio.paint(shoe.part_map, studio.random_style(index)) for shoe in shoes]
        measured = {
            "painted": [studio.heel(each, shoe) for each, shoe in zip(paintings, shoes, strict=True)],
            "rendered": [studio.heel(shoe.image, shoe) for shoe in shoes],
            "drawn": [heel_of(shoe.part_map, shoe) for shoe in shoes],
        }
        for name, (low, high) in measured.items():
            raised[name].append(high - low)
        if len(tiles) < 2 * COLUMNS:
            for shoe, painting in zip(shoes, paintings, strict=True):
                tiles += [colorize(shoe.part_map), painting]
    for name, values in raised.items():
        off = np.array(values) - RAISED
        known = off[np.isfinite(off)]
        mean, spread = (known.mean(), known.std()) if len(known) else (np.nan, np.nan)
        aim = f"{RAISED:g} ± {TOLERANCE:g}" if name == "painted" else None
        report.add(f"{name}_heel_mean", RAISED + mean, "mm", aim)
        report.add(f"{name}_heel_error_mean", mean, "mm")
        report.add(f"{name}_heel_error_spread", spread, "mm")
        report.add(
            f"{name}_heel_within_{TOLERANCE:g}_mm", np.sum(np.abs(known) <= TOLERANCE) / len(off), "share"
        )
        report.add(f"{name}_heel_not_measured", 1 - len(known) / len(off), "share")
    return padded(tiles)


def low_shoes(seed: int) -> Iterator[tuple[int, ShoeParameters]]:
    """Shoes of a seed whose heel can be higher."""
    for index in count():
        parameters = sample_parameters(seed, index)
        if parameters.heel_height + RAISED <= RANGES["heel_height"][1]:
            yield index, parameters


def heel_of(part_map: np.ndarray, shoe: RenderedShoe) -> float:
    return to_millimetres(measure(part_map)["heel_height"], shoe.attributes["shoe_length"])


# ---- styles ----


def styles(report: Report, studio: Studio, number: int) -> list[np.ndarray]:
    looks = [sample_parameters(studio.seed, index) for index in range(MAPS, MAPS + number)]
    forms = [sample_parameters(studio.seed, index) for index in range(MAPS)]
    shoes = [render_shoe(each, studio.resolution) for each in forms]
    colors: dict[str, list[list[np.ndarray]]] = {"painted": [], "rendered": []}  # of each style on each map
    photos: list[np.ndarray] = []
    blank = np.full_like(shoes[0].image, 255)
    tiles = [blank, *(colorize(shoe.part_map) for shoe in shoes), blank]
    for look in looks:
        photo = render_shoe(look, studio.resolution)
        photos.append(color_of_upper(photo.image, photo.part_map))
        style = studio.painter.encode(photo.image)
        dressed = [dress(each, look) for each in forms]
        made = {
            "painted": [studio.paint(shoe.part_map, style) for shoe in shoes],
            "rendered": [render_shoe(each, studio.resolution).image for each in dressed],
        }
        for name, pictures in made.items():
            colors[name].append(
                [color_of_upper(each, shoe.part_map) for each, shoe in zip(pictures, shoes, strict=True)]
            )
        if len(tiles) < 9 * COLUMNS:
            tiles += [photo.image, *made["painted"], blank]
    report.add("styles", number, f"on {MAPS} maps each")
    for name, each in colors.items():
        lab = np.array(each)  # styles, maps, 3
        aim = "≤ 6" if name == "painted" else None
        report.add(f"{name}_style_between_maps", mean_of_pairs(lab.swapaxes(0, 1)), "dE00", aim)
        to_photo = ciede2000(lab, np.array(photos)[:, None])
        report.add(f"{name}_style_to_photo", to_photo.mean(), "dE00", aim)
        report.add(f"{name}_style_to_photo_p95", np.percentile(to_photo, 95), "dE00")
        if number > 1:
            report.add(f"{name}_between_styles", mean_of_pairs(lab), "dE00")
    return tiles


def dress(form: ShoeParameters, look: ShoeParameters) -> ShoeParameters:
    """A shoe with all of another one's make and light that its part map does not show."""
    values = {name: asdict(look)[name] for name in LOOK}
    toe_cap = form.toe_cap if form.style == "sandal" else look.toe_cap  # a sandal's is a strap
    return replace(form, **values, toe_cap=toe_cap)


def color_of_upper(picture: np.ndarray, part_map: np.ndarray) -> np.ndarray:
    """(3,): the mean CIELAB colour of the upper, less its edge, which blends into what is beside it."""
    upper = (part_map == SHOE_PARTS.index("upper")).astype(np.uint8)
    inner = cv2.erode(upper, np.ones((3, 3), np.uint8))
    color: np.ndarray = to_lab(picture[(inner if inner.any() else upper) > 0]).mean(0)
    return color


def mean_of_pairs(colors: np.ndarray) -> float:
    """ΔE00 of each two along the first axis, averaged: (n, …, 3) CIELAB."""
    first, second = np.triu_indices(len(colors), k=1)
    return float(ciede2000(colors[first], colors[second]).mean())


# ---- the sheet ----


def colorize(part_map: np.ndarray) -> np.ndarray:
    return SHOE_PARTS.colorize(part_map)


def padded(tiles: list[np.ndarray]) -> list[np.ndarray]:
    """With blank ones up to the end of the row."""
    return tiles + [np.full_like(tiles[0], 255)] * (-len(tiles) % COLUMNS)


if __name__ == "__main__":
    main()
