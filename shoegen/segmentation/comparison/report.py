"""A comparison as a folder: report.html, which stands alone, and its figures and pictures as CSV and PNG."""

from __future__ import annotations

import base64
import csv
import io
import math
from collections.abc import Iterable, Iterator
from html import escape
from pathlib import Path

import numpy as np

from shoegen import __version__
from shoegen.data.images import encode_image
from shoegen.errors import OutputError
from shoegen.segmentation.comparison.drawing import draw_bars, draw_confusion, draw_sheet
from shoegen.segmentation.comparison.evaluation import Comparison, ModelFigures
from shoegen.torch_utils.files import atomic_folder, check_writable

PAGE = "report.html"
RUNS = "runs"  # below the report's folder, where trainings of the comparison go
_FILES = (PAGE, "figures.csv", "models.csv", "pictures.csv", "sheet.png", "iou.png")
_CONFUSION = "confusion-*.png"

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 1200px; padding: 0 1em; color: #222; }
h1 { font-size: 1.5em; } h2 { font-size: 1.15em; margin-top: 2em; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
th, td { padding: 3px 10px; border-bottom: 1px solid #ddd; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
td.best { font-weight: bold; background: #eef4e4; }
.note { color: #555; } .sheet { overflow-x: auto; } img { max-width: 100%; } .sheet img { max-width: none; }
.heat { display: flex; flex-wrap: wrap; gap: 1em; }
"""

MEANS = (
    "Every model got the same pictures, one at a time, in their own size; its part map of that size was compared with "
    "the true one there. IoU and Dice are of all pixels of all pictures but those without a label, means over the "
    "classes that are there or predicted. Time: median over the pictures after a warm-up, from the picture in memory "
    "to its part map, reading left out; network: of that, inside the network. Memory: held at most, beyond the weights "
    "and all that was held before, while the largest picture was segmented."
)


def check_new_report(out: str | Path) -> None:
    """Refuses, before long work, a folder that a report cannot be written in; leaves nothing behind.

    A folder may hold the trainings of an interrupted comparison, and nothing else.

    Raises:
        OutputError: says what is in the way.
    """
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise OutputError(f"cannot use {out} as a folder for the report: it is a file; choose another --out")
    if (out / PAGE).exists():
        raise OutputError(
            f"{out} holds a report already; remove its {PAGE} to write it anew, or choose another --out"
        )
    others = [path.name for path in out.glob("[!.]*") if not _is_ours(path)]
    if others:
        raise OutputError(
            f"{out} holds {sorted(others)[0]}, which is no part of a report; choose a new folder with --out"
        )
    check_writable(out / PAGE)


def write_report(comparison: Comparison, out: str | Path) -> Path:
    """Writes the report's folder, whole or not at all; the path of its page.

    Raises:
        OutputError: see `check_new_report`.
    """
    out = Path(out)
    check_new_report(out)
    pictures = {"sheet.png": draw_sheet(comparison), "iou.png": draw_bars(comparison)}
    for model in comparison.models:
        title = f"{model.name}: pixel accuracy {model.confusion.pixel_accuracy:.3f}"
        name = _CONFUSION.replace("*", model.name)
        pictures[name] = draw_confusion(model.confusion, comparison.labels, title)
    files = {name: encode_image(picture, "PNG") for name, picture in pictures.items()}
    files["figures.csv"] = _csv(_class_rows(comparison))
    files["models.csv"] = _csv(_model_rows(comparison))
    files["pictures.csv"] = _csv(_picture_rows(comparison))
    files[PAGE] = _page(comparison, files).encode(
        errors="backslashreplace"
    )  # last: it says that all is there
    _write_all(files, out)
    return out / PAGE


# ---- files ----


def _is_ours(path: Path) -> bool:
    return path.name in _FILES or path.match(_CONFUSION) or (path.name == RUNS and path.is_dir())


def _write_all(files: dict[str, bytes], out: Path) -> None:
    with atomic_folder(out, last=PAGE) as folder:
        for name, content in files.items():
            (folder / name).write_bytes(content)
        for old in out.glob(_CONFUSION):  # of a comparison with other models
            old.unlink()


# ---- tables ----

Cell = str | int | float


def _class_rows(comparison: Comparison) -> Iterator[list[Cell]]:
    yield ["model", "class", "iou", "dice", "true_pixels", "predicted_pixels", "pixel_accuracy"]
    for model in comparison.models:
        counts = model.confusion.counts
        rows = zip(
            comparison.labels.names, model.confusion.iou, model.confusion.dice, counts.sum(1), counts.sum(0)
        )
        for name, iou, dice, true, predicted in rows:
            yield [model.name, name, float(iou), float(dice), int(true), int(predicted), ""]
        total = int(counts.sum())
        means = [model.confusion.mean_iou, model.confusion.mean_dice, total, total]
        yield [model.name, "(mean)", *means, model.confusion.pixel_accuracy]


def _model_rows(comparison: Comparison) -> Iterator[list[Cell]]:
    yield [
        "model", "path", "architecture", "width", "height", "pixel_accuracy", "mean_iou", "mean_dice", "parameters",
        "file_bytes", "ms_per_image", "network_ms_per_image", "peak_bytes",
    ]  # fmt: skip
    for model in comparison.models:
        height, width = model.resolution
        confusion = model.confusion
        yield [
            model.name, model.path, model.architecture, width, height, confusion.pixel_accuracy, confusion.mean_iou,
            confusion.mean_dice, model.parameters, model.file_bytes, model.ms, model.network_ms, model.peak_bytes,
        ]  # fmt: skip


def _picture_rows(comparison: Comparison) -> Iterator[list[Cell]]:
    """The worst first."""
    models = comparison.models
    yield ["picture", "mean", *(model.name for model in models)]
    for index in comparison.worst_first:
        scores = [float(model.scores[index]) for model in models]
        yield [comparison.pictures[index], float(np.mean(scores)), *scores]


def _csv(rows: Iterable[list[Cell]]) -> bytes:
    """What is not known is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for row in rows:
        writer.writerow(["" if isinstance(cell, float) and math.isnan(cell) else cell for cell in row])
    return text.getvalue().encode(errors="backslashreplace")


# ---- the page ----


def summary_rows(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """The header and a row for each model of the table that a reader sees first."""
    header = [
        "model", "network", "sees", "mean IoU", "mean Dice", "pixel accuracy", "parameters", "file", "ms/image",
        "network ms", "peak memory",
    ]  # fmt: skip
    return header, [_summary(model) for model in comparison.models]


def _summary(model: ModelFigures) -> list[str]:
    return [
        model.name,
        model.architecture,
        f"{model.resolution[1]}x{model.resolution[0]}",
        _number(model.confusion.mean_iou),
        _number(model.confusion.mean_dice),
        _number(model.confusion.pixel_accuracy),
        f"{model.parameters / 1e6:.2f} M",
        f"{model.file_bytes / 1e6:.1f} MB",
        _number(model.ms, 1),
        _number(model.network_ms, 1),
        f"{model.peak_bytes / 1e6:.0f} MB",
    ]


def _page(comparison: Comparison, files: dict[str, bytes]) -> str:
    count, models = len(comparison.pictures), comparison.models
    notes = "".join(f'<p class="note">{escape(note)}</p>\n' for note in comparison.notes)
    heats = "".join(
        _image(files[_CONFUSION.replace("*", model.name)], f"confusion matrix of {model.name}")
        for model in models
    )
    title = f"{len(models)} segmenters on {count} pictures of {Path(comparison.data).name}"
    worst = sum(each.kind == "worst" for each in comparison.examples)
    return f"""<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style></head>
<body>
<h1>{escape(title)}</h1>
{_table(*summary_rows(comparison), mark={3: max, 4: max, 5: max, 8: min})}
<p class="note">{escape(MEANS)}</p>
<p class="note">Measured on {escape(comparison.machine)}. Data: {escape(comparison.data)}.</p>
{notes}<h2>Models</h2>
{_table(["model", "path"], [[model.name, model.path] for model in models])}
<h2>IoU by class</h2>
{_image(files["iou.png"], "IoU by class")}
{_class_table(comparison, "iou")}
<h2>Dice by class</h2>
{_class_table(comparison, "dice")}
<h2>Confusion</h2>
<div class="heat">{heats}</div>
<h2>The {worst} worst pictures, and {len(comparison.examples) - worst} typical ones</h2>
<p class="note">By a picture's mean IoU of all classes but {escape(comparison.labels.names[0])}, averaged over the
models. The frame shows where the part maps beside it are from.</p>
<div class="sheet">{_image(files["sheet.png"], "pictures, their true part maps, and those of the models")}</div>
<p class="note">shoegen {escape(__version__)}</p>
</body>
</html>
"""


def _class_table(comparison: Comparison, figure: str) -> str:
    models = comparison.models
    true = models[0].confusion.counts.sum(1)
    shares = true / max(true.sum(), 1)
    values = [getattr(model.confusion, figure) for model in models]
    rows = [
        [name, f"{shares[i]:.2%}", *(_number(float(value[i])) for value in values)]
        for i, name in enumerate(comparison.labels.names)
    ]
    rows.append(["mean", "", *(_number(getattr(model.confusion, f"mean_{figure}")) for model in models)])
    return _table(["class", "of all pixels", *(model.name for model in models)], rows, mark_rows_from=2)


def _table(
    header: list[str],
    rows: list[list[str]],
    *,
    mark: dict[int, object] | None = None,
    mark_rows_from: int | None = None,
) -> str:
    """HTML; the best of a column (max or min) is marked, or of each row from a column on."""
    best: set[tuple[int, int]] = set()
    for column, choose in (mark or {}).items():
        values = {i: float(row[column]) for i, row in enumerate(rows) if row[column] != "–"}
        if values and len(rows) > 1:
            top = choose(values.values())  # type: ignore[operator]
            best |= {(i, column) for i, value in values.items() if value == top}
    for i, row in enumerate(rows):
        if mark_rows_from is not None and len(row) > mark_rows_from + 1:
            found = {j: float(row[j]) for j in range(mark_rows_from, len(row)) if row[j] != "–"}
            best |= {(i, j) for j, value in found.items() if value == max(found.values())}
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    body = "".join(
        "<tr>"
        + "".join(f"<td{' class=best' * ((i, j) in best)}>{escape(cell)}</td>" for j, cell in enumerate(row))
        + "</tr>\n"
        for i, row in enumerate(rows)
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table>"


def _image(png: bytes, words: str) -> str:
    return f'<img alt="{escape(words)}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'


def _number(value: float, digits: int = 3) -> str:
    return "–" if math.isnan(value) else f"{value:.{digits}f}"
