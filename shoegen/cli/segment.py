"""`shoegen segment`: part maps and measures of pictures."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shoegen.cli._completion import complete_model
from shoegen.cli._options import refuse_overwriting
from shoegen.cli._pictures import check_outputs, find_pictures, name_outputs, readable
from shoegen.cli._progress import show_progress

if TYPE_CHECKING:
    from shoegen.measure import Measures


@click.command()
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE|FOLDER…")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder for the part maps, palette PNGs, and labels.json."
)
@click.option("--overlay", is_flag=True, help="Also write each picture tinted, over a legend.")
@click.option(
    "--model",
    default="default",
    show_default=True,
    shell_complete=complete_model,
    help="A segmenter.safetensors, or a run folder; `default`, which ships with shoegen, knows single shoes from the "
    "side before plain backgrounds.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--skip-bad", is_flag=True, help="Leave out pictures that cannot be read.")
@click.option("--measure", "show_measures", is_flag=True, help="Print a table of the measured attributes.")
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path), help="Write the measured attributes to a file."
)
@click.option(
    "--instances",
    type=click.Path(path_type=Path),
    help="Of Mask R-CNN: write the objects, with their scores, to a file as COCO's JSON.",
)
@click.option(
    "--score",
    type=float,
    help="Of Mask R-CNN: leave out objects below it.  [default: 0.5; for --instances 0]",
)
def command(
    sources: tuple[Path, ...],
    out: Path | None,
    overlay: bool,
    model: str,
    device: str,
    skip_bad: bool,
    show_measures: bool,
    json_path: Path | None,
    instances: Path | None,
    score: float | None,
) -> None:
    """Segment pictures: into the parts of shoes, and measure them, or into what any trained model knows.

    \b
    shoegen segment photo.jpg --out parts/ --overlay --measure
    shoegen segment street/ --model runs/street --out parts/
    shoegen segment street/ --model runs/maskrcnn --instances shoes.json

    Shoes are measured with their toe to the left. Lengths are fractions of the shoe's length.
    """
    from shoegen.data.images import read_image, write_image, write_part_map
    from shoegen.data.labels import SHOE_PARTS, LabelMap
    from shoegen.errors import ConfigError
    from shoegen.measure import measure
    from shoegen.segmentation.cascade import check_stage
    from shoegen.segmentation.instances.parts import SCORE, CocoInstances, InstanceSegmenter, draw
    from shoegen.segmentation.loading import load_segmenter
    from shoegen.segmentation.overlay import Overlay
    from shoegen.torch_utils.devices import pick_device
    from shoegen.torch_utils.files import check_writable, write_json

    if out is None and not show_measures and json_path is None and instances is None:
        raise ConfigError("nothing to do: got no --out, --measure, --json or --instances; give at least one")
    if overlay and out is None:
        raise ConfigError("--overlay has nowhere to go; give a folder with --out")
    names = name_outputs(readable(find_pictures(sources), skip_bad=skip_bad))
    if score is not None and not 0 <= score <= 1:
        raise ConfigError(f"--score: got {score:g}, expected 0 to 1")
    for option, path in (("--json", json_path), ("--instances", instances)):
        if path is not None:
            refuse_overwriting(option, path, names)
            check_writable(path)
    if out is not None:
        check_writable(out / "part_map.png")
        check_outputs(out, names, [".png", ".overlay.png"] if overlay else [".png"])
    segmenter = load_segmenter(model, pick_device(device))
    check_stage(segmenter, model, second=False)
    if not isinstance(segmenter, InstanceSegmenter) and (instances is not None or score is not None):
        raise ConfigError(
            f"{model} knows no instances, only Mask R-CNN does; leave out --instances and --score"
        )
    found = CocoInstances(segmenter.labels, score=score or 0.0)
    folder = os.path.commonpath([source.resolve().parent for source in names])  # names in COCO are relative
    measuring = show_measures or json_path is not None
    if measuring and set(SHOE_PARTS.names) - set(segmenter.labels.names):
        raise ConfigError(
            f"{model} does not know a shoe's parts, so nothing can be measured; leave out --measure and --json"
        )

    if out is not None:
        labels = out / "labels.json"
        if labels.exists() and LabelMap.read(labels) != segmenter.labels:
            raise ConfigError(f"--out {out} has a labels.json of other classes; choose another folder")
        write_json(labels, segmenter.labels.to_json())
    measures: dict[str, Measures] = {}
    with show_progress("segmenting", "pictures") as report:
        for done, (source, name) in enumerate(names.items(), 1):
            image = read_image(source)
            if isinstance(segmenter, InstanceSegmenter):
                least = SCORE if score is None else score
                objects = segmenter.detect(image, score=least if instances is None else score or 0.0)
                part_map = draw(objects, image.shape[:2], least)
                if instances is not None:
                    found.add(source.resolve().relative_to(folder).as_posix(), image.shape[:2], objects)
            else:
                part_map = segmenter.segment(image)
            if out is not None:
                write_part_map(out / f"{name}.png", part_map, segmenter.labels)
            if out is not None and overlay:
                shown = Overlay(image, part_map, segmenter.labels)
                write_image(out / f"{name}.overlay.png", shown.pixels)
            if measuring:
                measures[str(source)] = measure(part_map, segmenter.labels, image=image)
            report(done, len(names))
    if show_measures:
        for each, values in measures.items():
            _print_table(each, values)
    if json_path is not None:
        write_json(json_path, {k: {n: _or_none(v) for n, v in m.items()} for k, m in measures.items()})
    if out is not None:
        click.echo(f"{out}: {len(names)} part maps")
    if instances is not None:
        write_json(instances, found.to_json())
        click.echo(f"{instances}: {len(found)} objects in {len(names)} pictures")


def _print_table(name: str, measures: Measures) -> None:
    from rich.console import Console
    from rich.table import Table

    from shoegen.measure import ATTRIBUTES

    table = Table("attribute", "value", "unit", title=name)
    for attribute, value in measures.items():
        if math.isnan(value):
            table.add_row(attribute, "–", f"not measured: {measures.reasons[attribute]}")
        else:
            table.add_row(attribute, f"{value:.3f}", ATTRIBUTES[attribute].unit)
    Console().print(table)


def _or_none(value: float) -> float | None:
    """JSON has no NaN."""
    return None if math.isnan(value) else value
