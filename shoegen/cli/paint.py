"""`shoegen paint`: pictures of part maps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from shoegen.cli._completion import complete_model
from shoegen.cli._options import refuse_overwriting
from shoegen.cli._pictures import find_maps, name_outputs
from shoegen.cli._progress import show_progress
from shoegen.errors import ConfigError, DataError

if TYPE_CHECKING:
    import numpy as np

    from shoegen.data.labels import LabelMap
    from shoegen.spade.painting import Painter


@click.command()
@click.argument(
    "sources", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="MAP.png|FOLDER…"
)
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="The picture to write; of several maps a folder.",
)
@click.option(
    "--style", type=click.Path(path_type=Path), help="A picture whose colours and material the shoes take."
)
@click.option("--style-seed", type=int, help="Of a random style.  [default: 0]")
@click.option(
    "--model",
    default="default",
    show_default=True,
    shell_complete=complete_model,
    help="A spade.safetensors, or a run folder; `default`, which ships with shoegen, paints single shoes from the "
    "side.",
)
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    help="Labels file of the maps, if they are not the model's.  [default: a labels.json beside them]",
)
@click.option(
    "--instances",
    type=click.Path(path_type=Path),
    help="For a model with edges: a PNG with a value for each thing in the map, or a folder of such, named like "
    "the maps.",
)
@click.option(
    "--fit",
    type=click.Choice(["strict", "crop", "pad"]),
    default="strict",
    show_default=True,
    help="Maps of another aspect than the model's: refuse them, cut them, or add a margin of the first class.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--skip-bad", is_flag=True, help="Leave out maps that cannot be painted.")
def command(
    sources: tuple[Path, ...],
    out: Path,
    style: Path | None,
    style_seed: int | None,
    model: str,
    labels: Path | None,
    instances: Path | None,
    fit: str,
    device: str,
    skip_bad: bool,
) -> None:
    """Paint part maps: PNGs of class indices, or drawn in the classes' colours.

    \b
    shoegen paint drawn.png --out shoe.png
    shoegen paint drawn.png --style photo.jpg --out shoe.png
    shoegen paint maps/ --style-seed 3 --out shoes/

    All maps are painted in one style. Maps of another size are scaled to the model's; classes are found by the names
    in the labels file.
    """
    from shoegen.data.images import image_format, read_image, write_image
    from shoegen.spade.painting import Painter, check_style
    from shoegen.torch_utils.devices import pick_device
    from shoegen.torch_utils.files import check_writable

    if style is not None and style_seed is not None:
        raise ConfigError("got --style and --style-seed; give one of them")
    outputs = _plan(sources, out)
    given = [*outputs, *(each for each in (style, labels, instances) if each)]
    if instances is not None:
        given += [instances / f"{source.stem}.png" for source in outputs]
    for path in outputs.values():
        image_format(path)
        check_writable(path)
        refuse_overwriting("--out", path, given)
    painter = Painter.load(model, pick_device(device))
    z = None
    if style is not None:
        picture = read_image(style)
        z = painter.encode(picture)
        check_style(painter, picture, f"--style {style}")
    elif style_seed is not None or painter.config.z_dim is not None:
        z = painter.random_style(style_seed or 0)

    # All maps are looked at before the first is painted.
    prepare = _Preparation(painter, labels, instances, fit)
    kept = _usable(prepare, list(outputs), skip_bad=skip_bad)
    with show_progress("painting", "maps") as report:
        for done, source in enumerate(kept, 1):
            part_map, numbers = prepare(source)
            write_image(outputs[source], painter.paint(part_map, z, instances=numbers, fit=fit))
            report(done, len(kept))
    click.echo(f"{out}: {len(kept)} pictures" if len(outputs) > 1 else f"{out}")


class _Preparation:
    """Reads part maps, in the model's labels and size, and their instances.

    Args:
        labels: the labels file of all; None: the labels.json beside a map, else the model's labels.
        instances: a file, or a folder of files named like the maps; None for a model without edges.
        fit: how maps of another aspect come to the model's.
    """

    def __init__(self, painter: Painter, labels: Path | None, instances: Path | None, fit: str) -> None:
        from shoegen.data.labels import LabelMap

        painter.check_instances(instances is not None)
        self._painter, self._instances, self._fit = painter, instances, fit
        self._labels = None if labels is None else LabelMap.read(labels)
        self._beside: dict[Path, LabelMap] = {}

    def __call__(self, source: Path) -> tuple[np.ndarray, np.ndarray | None]:
        from shoegen.spade.maps import read_instances, read_map

        labels = self._labels or self._labels_beside(source)
        part_map = read_map(source, labels)
        numbers = None
        if self._instances is not None:
            folder = self._instances
            numbers = read_instances(folder / f"{source.stem}.png" if folder.is_dir() else folder)
            if numbers.shape != part_map.shape:
                raise DataError(f"{source}: its instances are of another size; expected one size")
        try:
            return self._painter.prepare(part_map, labels, fit=self._fit), numbers
        except DataError as error:
            raise DataError(f"{source}: {error}") from error

    def _labels_beside(self, source: Path) -> LabelMap:
        from shoegen.data.labels import LabelMap

        folder = source.parent
        if folder.name == "masks" and not (folder / "labels.json").exists():  # of a data set
            folder = folder.parent
        if folder not in self._beside:
            path = folder / "labels.json"
            self._beside[folder] = LabelMap.read(path) if path.exists() else self._painter.labels
        return self._beside[folder]


def _usable(prepare: _Preparation, sources: list[Path], *, skip_bad: bool) -> list[Path]:
    from shoegen.torch_utils.text import some

    bad: dict[Path, str] = {}
    for source in sources:
        try:
            prepare(source)
        except DataError as error:
            bad[source] = str(error)
    if not bad:
        return sources
    if len(sources) == 1:
        raise DataError(*bad.values())
    listed = some(bad.values(), separator="; ")
    if not skip_bad or len(bad) == len(sources):
        raise DataError(
            f"{len(bad)} of {len(sources)} part maps cannot be painted: {listed}; mend them, or leave them out with "
            "--skip-bad"
        )
    click.echo(f"note: {len(bad)} of {len(sources)} part maps left out: {listed}", err=True)
    return [source for source in sources if source not in bad]


def _plan(sources: tuple[Path, ...], out: Path) -> dict[Path, Path]:
    """The file to write for each part map: `out` itself for a single one, else one of its name in that folder."""
    # Of a data set the maps alone.
    places = tuple(
        each / "masks" if (each / "masks").is_dir() and (each / "images").is_dir() else each
        for each in sources
    )
    maps = find_maps(places)
    if len(sources) == 1 and sources[0].is_file() and out.suffix and not out.is_dir():
        return {maps[0]: out}
    if out.is_file() or out.suffix:
        raise ConfigError(f"--out {out}: several part maps need a folder, got the name of a file")
    return {source: out / f"{name}.png" for source, name in name_outputs(maps).items()}
