"""What every direction moves besides its own attribute, as a table and a picture. Loads no scikit-learn."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from shoegen.data.images import image_format, write_image
from shoegen.directions.direction import Direction
from shoegen.errors import ConfigError, DataError
from shoegen.torch_utils.files import atomic_write

CELL = 46  # pixels
INK, PAPER = (20, 20, 20), (255, 255, 255)
RISES, FALLS, UNKNOWN = (214, 69, 65), (66, 133, 200), (225, 225, 225)


def leak_matrix(directions: Sequence[Direction]) -> tuple[list[str], list[str], np.ndarray]:
    """Rows (the directions' names), columns (attributes), and the standard deviations that each attribute moves per
    standard deviation of the direction's own: 1 for that one, NaN for what was not measured.

    Raises:
        DataError: no directions.
    """
    if not directions:
        raise DataError("leak matrix: got no directions; fit some first")
    own = list(dict.fromkeys(direction.attribute for direction in directions))
    others = sorted({name for direction in directions for name in direction.leaks_here} - set(own))
    columns = own + others
    table = np.full((len(directions), len(columns)), math.nan)
    for row, direction in zip(table, directions, strict=True):
        for name, leak in direction.leaks_here.items():
            row[columns.index(name)] = leak
        row[columns.index(direction.attribute)] = 1.0
    return [direction.name for direction in directions], columns, table


def check_matrix(path: str | Path) -> None:
    """Raises ConfigError unless a matrix can be written in a file of this name: .csv or a picture."""
    if Path(path).suffix.lower() == ".csv":
        return
    try:
        image_format(path)
    except ConfigError as error:
        raise ConfigError(f"--matrix: got {path}, expected a name that ends in .csv or .png") from error


def write_matrix(path: str | Path, directions: Sequence[Direction]) -> None:
    """Writes the leak matrix: a CSV where the name says so, else a picture.

    Raises:
        DataError: no directions.
        OutputError: it cannot be written.
    """
    rows, columns, table = leak_matrix(directions)
    if Path(path).suffix.lower() != ".csv":
        write_image(path, draw_matrix(rows, columns, table))
        return
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["direction", *columns])
    for name, values in zip(rows, table, strict=True):
        writer.writerow([name, *("" if math.isnan(value) else f"{value:.4f}" for value in values)])
    with atomic_write(path) as file:
        file.write(text.getvalue().encode())


def draw_matrix(rows: Sequence[str], columns: Sequence[str], table: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8: red where an attribute grows along, blue where it falls, grey where it was not measured."""
    font = ImageFont.load_default(13)
    ruler = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    left, top = (int(max(ruler.textlength(name, font) for name in names)) + 16 for names in (rows, columns))
    sheet = Image.new("RGB", (left + CELL * len(columns) + 1, top + CELL * len(rows) + 1), PAPER)
    draw = ImageDraw.Draw(sheet)
    for x, name in enumerate(columns):
        label = Image.new("RGB", (top, CELL), PAPER)
        ImageDraw.Draw(label).text((6, CELL / 2), name, INK, font, anchor="lm")
        sheet.paste(label.transpose(Image.Transpose.ROTATE_90), (left + x * CELL, 0))
    for y, name in enumerate(rows):
        draw.text((left - 8, top + (y + 0.5) * CELL), name, INK, font, anchor="rm")
        for x, value in enumerate(table[y]):
            place = (left + x * CELL, top + y * CELL)
            draw.rectangle([*place, place[0] + CELL, place[1] + CELL], fill=_shade(value), outline=PAPER)
            if not math.isnan(value):
                text = f"{value:+.2f}".replace("+1.00", "1") if abs(value) < 9.995 else f"{value:+.0f}"
                draw.text((place[0] + CELL / 2, place[1] + CELL / 2), text, INK, font, anchor="mm")
    return np.asarray(sheet)


def _shade(value: float) -> tuple[int, ...]:
    if math.isnan(value):
        return UNKNOWN
    share = min(1.0, abs(value))
    color = np.array(RISES if value > 0 else FALLS)
    return tuple(int(v) for v in np.round(255 + (color - 255) * share))
