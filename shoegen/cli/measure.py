"""`shoegen measure`: attributes of shoes in pictures, part maps or silhouettes."""

from __future__ import annotations

import io
import math
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shoegen.cli._completion import complete_model
from shoegen.cli._options import refuse_overwriting, refuse_without_effect
from shoegen.cli._pictures import check_outputs, find_maps, find_pictures, name_outputs, read_mask, readable
from shoegen.cli._progress import show_progress

if TYPE_CHECKING:
    import numpy as np

    from shoegen.data.labels import LabelMap
    from shoegen.measure import Measures

    Read = Callable[[Path], tuple[np.ndarray, LabelMap, np.ndarray | None]]

FINE = 256  # longer side of the part map of a smaller picture: a heel would grow in steps of its pixels
TABLES = 5  # of more pictures only what they have in common is printed


@click.command()
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE|FOLDER…")
@click.option(
    "--maps", is_flag=True, help="They are part maps: PNGs of class indices, or in the classes' colours."
)
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    help="Labels file of --maps.  [default: a labels.json beside them, else a shoe's parts]",
)
@click.option("--mask", is_flag=True, help="They are silhouettes, white at the shoe and black elsewhere.")
@click.option(
    "--model",
    default="default",
    show_default=True,
    shell_complete=complete_model,
    help="Segmenter of photographs: a segmenter.safetensors, or a run folder; `default`, which ships with shoegen, "
    "knows single shoes from the side before plain backgrounds.",
)
@click.option("--flip", is_flag=True, help="The toes are at the right.")
@click.option(
    "--attributes",
    "own",
    type=click.Path(path_type=Path),
    help="A Python file that registers attributes of your own. It is run as code: give only files that you trust.",
)
@click.option("--shoe-length", default="265mm", show_default=True, help="That millimetres are reckoned with.")
@click.option(
    "--csv", "csv_path", type=click.Path(path_type=Path), help="Write all values and reasons to a file."
)
@click.option(
    "--overlay",
    type=click.Path(path_type=Path),
    help="Folder for the pictures tinted by their parts, over a legend.",
)
@click.option("--skip-bad", is_flag=True, help="Leave out pictures that cannot be read.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.pass_context
def command(
    ctx: click.Context,
    sources: tuple[Path, ...],
    maps: bool,
    labels: Path | None,
    mask: bool,
    model: str,
    flip: bool,
    own: Path | None,
    shoe_length: str,
    csv_path: Path | None,
    overlay: Path | None,
    skip_bad: bool,
    device: str,
) -> None:
    """Measure shoes, seen from the side with their toes at the left; say what could not be measured, and why.

    \b
    shoegen measure photo.jpg
    shoegen measure photos/ --shoe-length 270mm --csv measures.csv
    shoegen measure parts/ --maps --attributes mine.py

    docs/attributes.md shows each attribute in a drawing.
    """
    from shoegen.data.images import write_image
    from shoegen.errors import ConfigError
    from shoegen.measure import is_one_shoe, load_attributes, measure, parse_shoe_length
    from shoegen.segmentation.overlay import Overlay
    from shoegen.torch_utils.files import atomic_write, check_writable
    from shoegen.torch_utils.text import some

    if maps and mask:
        raise ConfigError("--maps and --mask: the pictures are either; leave one out")
    if maps or mask:
        refuse_without_effect(ctx, ["model", "device"], "--maps" if maps else "--mask")
    if labels is not None and not maps:
        raise ConfigError("--labels has no effect without --maps; leave it out")
    length = parse_shoe_length(shoe_length, "--shoe-length")
    pictures = find_maps(sources) if maps else find_pictures(sources)
    names = name_outputs(readable(pictures, skip_bad=skip_bad))
    given = [*names, *(each for each in (own, labels) if each is not None)]
    refuse_overwriting("--csv", csv_path, given)
    if csv_path is not None:
        check_writable(csv_path)
    if overlay is not None:
        check_writable(overlay / "overlay.png")
        check_outputs(overlay, names, [".overlay.png"])
    if own is not None:
        load_attributes(own)
    read = _silhouettes() if mask else _maps(labels) if maps else _photographs(model, device)

    found: dict[Path, Measures] = {}
    several = []
    with show_progress("measuring", "pictures") as report:
        for done, (source, name) in enumerate(names.items(), 1):
            part_map, known, image = read(source)
            if flip:
                part_map, image = part_map[:, ::-1], None if image is None else image[:, ::-1]
            with warnings.catch_warnings(action="ignore"):  # the tables give the reasons
                found[source] = measure(part_map, known, image=image)
            if not is_one_shoe(part_map, known):
                several.append(source.name)
            if overlay is not None:
                indices, seen = _as_map(part_map, known)
                behind = seen.colorize(indices) if image is None else image
                write_image(overlay / f"{name}.overlay.png", Overlay(behind, indices, seen).pixels)
            report(done, len(names))
    if len(found) <= TABLES:
        for source, measures in found.items():
            _print_one(source, measures, length)
    if len(found) > 1:
        _print_all(found, length)
    if several:
        click.echo(
            f"note: {len(several)} of {len(found)} pictures do not show one whole shoe, of which the largest piece "
            f"was measured: {some(several)}",
            err=True,
        )
    if csv_path is not None:
        with atomic_write(csv_path) as file:
            file.write(_as_csv(found, length).encode())
        click.echo(f"{csv_path}: {len(found)} pictures")
    if overlay is not None:
        click.echo(f"{overlay}: {len(found)} overlays")


def _photographs(model: str, device: str) -> Read:
    from shoegen.data.images import read_image, resize
    from shoegen.segmentation.cascade import check_stage
    from shoegen.segmentation.loading import load_segmenter
    from shoegen.torch_utils.devices import pick_device

    segmenter = load_segmenter(model, pick_device(device))
    check_stage(segmenter, model, second=False)

    def read(source: Path) -> tuple[np.ndarray, LabelMap, np.ndarray | None]:
        image = read_image(source)
        height, width = image.shape[:2]
        finer = max(1.0, FINE / max(height, width))
        size = round(finer * height), round(finer * width)
        part_map = segmenter.segment(image, size=size)
        return part_map, segmenter.labels, image if finer == 1 else resize(image, size)

    return read


def _maps(labels: Path | None) -> Read:
    from shoegen.data.labels import SHOE_PARTS, LabelMap
    from shoegen.spade.maps import read_map

    of_all = None if labels is None else LabelMap.read(labels)

    def read(source: Path) -> tuple[np.ndarray, LabelMap, np.ndarray | None]:
        known = of_all or SHOE_PARTS
        if of_all is None:
            above = [source.parent.parent] if source.parent.name == "masks" else []  # of a data set
            beside = [folder / "labels.json" for folder in (source.parent, *above)]
            known = next((LabelMap.read(path) for path in beside if path.is_file()), SHOE_PARTS)
        return read_map(source, known), known, None

    return read


def _silhouettes() -> Read:
    from shoegen.data.labels import SHOE_PARTS

    def read(source: Path) -> tuple[np.ndarray, LabelMap, np.ndarray | None]:
        return read_mask(source), SHOE_PARTS, None

    return read


def _as_map(part_map: np.ndarray, labels: LabelMap) -> tuple[np.ndarray, LabelMap]:
    """A silhouette as a map of two classes."""
    from shoegen.data.synthetic.dataset import SILHOUETTE

    return (part_map.astype("uint8"), SILHOUETTE) if part_map.dtype == bool else (part_map, labels)


def _print_one(source: Path, measures: Measures, length: float) -> None:
    from rich.console import Console
    from rich.table import Table

    from shoegen.measure import ATTRIBUTES, to_millimetres

    table = Table("attribute", "value", "unit", "mm", "not measured: why", title=source.name)
    for name, value in measures.items():
        unit = ATTRIBUTES[name].unit
        millimetres = f"{to_millimetres(value, length):.1f}" if unit == "shoe length" else ""
        if math.isnan(value):
            table.add_row(name, "–", "", "", measures.reasons[name])
        else:
            table.add_row(name, f"{value:.4g}", unit, millimetres, "")
    Console().print(table)


def _print_all(found: dict[Path, Measures], length: float) -> None:
    """What the pictures have in common, and how often each attribute could not be measured."""
    import numpy as np
    from rich.console import Console
    from rich.table import Table

    from shoegen.measure import ATTRIBUTES, to_millimetres

    table = Table("attribute", "mean", "deviation", "unit", "not measured", title=f"{len(found)} pictures")
    for name in next(iter(found.values())):
        values = np.array([measures[name] for measures in found.values()])
        values = values[np.isfinite(values)]
        unit = ATTRIBUTES[name].unit
        if unit == "shoe length":
            values, unit = values * to_millimetres(1.0, length), "mm"
        why = Counter(measures.reasons[name] for measures in found.values() if name in measures.reasons)
        counted = "; ".join(f"{count}: {reason}" for reason, count in why.most_common(3)) or "0"
        shown = [f"{each:.4g}" for each in (values.mean(), values.std())] if len(values) else ["–", "–"]
        table.add_row(name, *shown, unit, counted)
    Console().print(table)


def _as_csv(found: dict[Path, Measures], length: float) -> str:
    """A column for each attribute in its unit, and one in millimetres for lengths; empty where not measured."""
    import csv

    from shoegen.measure import ATTRIBUTES, to_millimetres

    names = list(next(iter(found.values())))
    columns = ["picture"]
    for name in names:
        columns += [name, f"{name}_mm"] if ATTRIBUTES[name].unit == "shoe length" else [name]
    text = io.StringIO()
    writer = csv.DictWriter(text, [*columns, "not_measured"], restval="", lineterminator="\n")
    writer.writeheader()
    for source, measures in found.items():
        row = {"picture": str(source)}
        for name in names:
            if math.isfinite(measures[name]):
                row[name] = f"{measures[name]:.6g}"
                if f"{name}_mm" in columns:
                    row[f"{name}_mm"] = f"{to_millimetres(measures[name], length):.2f}"
        row["not_measured"] = "; ".join(f"{name}: {reason}" for name, reason in measures.reasons.items())
        writer.writerow(row)
    return text.getvalue()
