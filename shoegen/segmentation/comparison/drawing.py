"""The pictures of a report: confusion matrices, bars, and the sheet of examples."""

from __future__ import annotations

import statistics

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from shoegen.data.annotations.overlay import COLORS
from shoegen.data.images import fit_image, fit_part_map, image_grid
from shoegen.data.labels import IGNORED, LabelMap
from shoegen.segmentation.comparison.evaluation import Comparison, Example
from shoegen.segmentation.metrics import ConfusionMatrix
from shoegen.segmentation.overlay import tint

TILE_SIDE = 256  # the longer one, of the sheet's pictures
LEAST_ZOOM = 0.3  # of a picture's side that is shown at least
BLUE = np.array([31, 78, 156])
MARK = (255, 0, 200)


def draw_confusion(confusion: ConfusionMatrix, labels: LabelMap, title: str) -> np.ndarray:
    """(H, W, 3) uint8: for each true class (rows) the share of its pixels that was taken for each class (columns)."""
    counts = confusion.counts
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    cell = max(12, min(64, 720 // len(labels)))
    font = ImageFont.load_default(max(9, min(14, cell)))
    names = [_ascii(name, 24) for name in labels.names]
    margin = round(max(font.getlength(name) for name in names)) + 14
    top = margin + 34
    side = cell * len(labels)
    heading = ImageFont.load_default(14)
    footer = "rows: true class, columns: predicted"
    width = max(margin + side, round(heading.getlength(title)), round(font.getlength(footer))) + 20
    picture = Image.new("RGB", (width, top + side + 34), "white")
    draw = ImageDraw.Draw(picture)
    draw.text((10, 8), title, "black", heading)
    for i, name in enumerate(names):
        middle = (i + 0.5) * cell
        draw.text((margin - 6, top + middle), name, "black", font, anchor="rm")
        upright = Image.new("RGB", (margin - 6, cell), "white")
        ImageDraw.Draw(upright).text((0, cell / 2), name, "black", font, anchor="lm")
        picture.paste(upright.transpose(Image.Transpose.ROTATE_90), (margin + i * cell, 34))
        for j in range(len(names)):
            share = float(shares[i, j])
            left, upper = margin + j * cell, top + i * cell
            color = tuple((255 + (BLUE - 255) * share).round().astype(int).tolist())
            draw.rectangle([left, upper, left + cell - 1, upper + cell - 1], fill=color, outline="#dddddd")
            if cell >= 36 and counts[i].any():
                ink = "white" if share > 0.5 else "black"
                place = (left + cell / 2, upper + cell / 2)
                draw.text(place, f"{share:.1%}", ink, ImageFont.load_default(11), anchor="mm")
    draw.text((10, top + side + 8), footer, "#555555", font)
    return np.asarray(picture)


def draw_bars(comparison: Comparison) -> np.ndarray:
    """(H, W, 3) uint8: the IoU of each class that occurs, a bar for each model, and the mean."""
    models = comparison.models
    font, bar, gap, length = ImageFont.load_default(13), 14, 12, 480
    rows = [("mean", [model.confusion.mean_iou for model in models])]
    for i, name in enumerate(comparison.labels.names):
        values = [float(model.confusion.iou[i]) for model in models]
        if not np.isnan(values).all():
            rows.append((_ascii(name, 28), values))
    names = [_ascii(model.name, 28) for model in models]
    left = round(max(font.getlength(name) for name, _ in rows)) + 20
    top = 20 * len(models) + 20
    width = max(left + length + 60, round(max(font.getlength(name) for name in names)) + 60)
    step = bar * len(models) + gap
    picture = Image.new("RGB", (width, top + step * len(rows) + 30), "white")
    draw = ImageDraw.Draw(picture)
    for i, name in enumerate(names):
        draw.rectangle([10, 10 + 20 * i, 22, 22 + 20 * i], fill=_model_color(i))
        draw.text((30, 16 + 20 * i), name, "black", font, anchor="lm")
    for tick in range(6):
        x = left + length * tick / 5
        draw.line([(x, top), (x, top + step * len(rows))], "#e0e0e0")
        draw.text((x, top + step * len(rows) + 6), f"{tick / 5:.1f}", "#555555", font, anchor="ma")
    for row, (name, values) in enumerate(rows):
        y = top + row * step + gap / 2
        draw.text((left - 8, y + bar * len(models) / 2), name, "black", font, anchor="rm")
        for i, value in enumerate(values):
            if np.isnan(value):
                continue
            upper = y + i * bar
            draw.rectangle([left, upper, left + length * value, upper + bar - 2], fill=_model_color(i))
            end = (left + length * value + 4, upper + bar / 2 - 1)
            draw.text(end, f"{value:.3f}", "black", ImageFont.load_default(11), anchor="lm")
    return np.asarray(picture)


def draw_sheet(comparison: Comparison) -> np.ndarray:
    """(H, W, 3) uint8: a row for each example: the picture, the true part map over it, and each model's.

    The part maps are shown where there is something in any of them; a frame in the picture says where.
    """
    aspect = statistics.median(each.true.shape[0] / each.true.shape[1] for each in comparison.examples)
    aspect = min(max(aspect, 0.4), 2.5)
    tile = round(TILE_SIDE * min(1, aspect)), round(TILE_SIDE / max(1, aspect))  # height, width
    tiles, captions = [], []
    for example in comparison.examples:
        tiles += _tiles(example, tile, comparison.labels)
        captions += [f"{example.kind}: {_ascii(example.name.rpartition('/')[2], 22)}\n", "truth\n"]
        captions += [
            f"{_ascii(model.name, 22)}\nIoU {score:.3f}"
            for model, score in zip(comparison.models, example.scores)
        ]
    grid = image_grid(tiles, columns=2 + len(comparison.models), gap=6, captions=captions)
    legend = _legend(comparison, grid.shape[1])
    return np.concatenate([legend, grid])


def _tiles(example: Example, tile: tuple[int, int], labels: LabelMap) -> list[np.ndarray]:
    region = _region([example.true, *example.predicted], tile[0] / tile[1])
    height, width = example.true.shape
    marked = Image.fromarray(example.image.copy())
    if (region[0].stop - region[0].start, region[1].stop - region[1].start) != (height, width):
        line = max(2, max(height, width) // 150)
        rows, columns = region
        frame = [columns.start, rows.start, columns.stop - 1, rows.stop - 1]
        ImageDraw.Draw(marked).rectangle(frame, outline=MARK, width=line)
    tiles = [_fit(np.asarray(marked), tile)]
    for part_map in (example.true, *example.predicted):
        image = _fit(example.image[region], tile)
        tiles.append(_outlined(image, fit_part_map(part_map[region], tile, "pad"), labels))
    return tiles


def _outlined(image: np.ndarray, part_map: np.ndarray, labels: LabelMap) -> np.ndarray:
    """The tinted picture with each class's rim in its full colour: a red shoe under red is seen too."""
    tinted = tint(image, part_map, labels)
    padded = np.pad(part_map, 1, mode="edge")
    around = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    rim = np.logical_or.reduce([each != part_map for each in around]) & (part_map > 0)
    tinted[rim] = labels.palette()[part_map[rim]]
    return tinted


def _fit(image: np.ndarray, tile: tuple[int, int]) -> np.ndarray:
    return fit_image(image, tile, "pad")


def _region(part_maps: list[np.ndarray], aspect: float) -> tuple[slice, slice]:
    """Rows and columns around all that is not background, with a margin, as near to height / width as there is room."""
    inside = np.logical_or.reduce([(part_map > 0) & (part_map != IGNORED) for part_map in part_maps])
    height, width = inside.shape
    if not inside.any():
        return slice(0, height), slice(0, width)
    rows, columns = (np.flatnonzero(inside.any(axis)) for axis in (1, 0))
    tall, wide = (1.2 * (found[-1] + 1 - found[0]) for found in (rows, columns))
    tall, wide = max(tall, LEAST_ZOOM * height), max(wide, LEAST_ZOOM * width)
    tall, wide = max(tall, wide * aspect), max(wide, tall / aspect)
    return _around(rows, tall, height), _around(columns, wide, width)


def _around(found: np.ndarray, length: float, most: int) -> slice:
    length = min(round(length), most)
    start = round((found[0] + found[-1] + 1 - length) / 2)
    start = min(max(start, 0), most - length)
    return slice(start, start + length)


def _legend(comparison: Comparison, width: int) -> np.ndarray:
    """The colours of the classes that the examples show, and of what has none."""
    labels, font, line = comparison.labels, ImageFont.load_default(13), 20
    maps = [part_map for each in comparison.examples for part_map in (each.true, *each.predicted)]
    seen = sorted({int(value) for part_map in maps for value in np.unique(part_map)} - {0})
    names = {**dict(enumerate(labels.names)), IGNORED: "(unlabelled)"}
    palette = labels.palette().tolist()
    entries = [(tuple(palette[i]), _ascii(names[i], 24)) for i in seen]
    places, x, y = [], 6, 6
    for color, name in entries:
        length = round(font.getlength(name)) + 34
        if x > 6 and x + length > width:
            x, y = 6, y + line
        places.append((x, y, color, name))
        x += length
    picture = Image.new("RGB", (width, y + line + 6), "white")
    draw = ImageDraw.Draw(picture)
    for x, y, color, name in places:
        draw.rectangle([x, y, x + 12, y + 12], fill=color, outline="black")
        draw.text((x + 18, y + 6), name, "black", font, anchor="lm")
    return np.asarray(picture)


def _model_color(index: int) -> tuple[int, int, int]:
    return COLORS[(index + 1) % len(COLORS)]


def _ascii(text: str, most: int) -> str:
    text = text.encode("ascii", "replace").decode()
    return text if len(text) <= most else f"{text[: most - 3]}..."
