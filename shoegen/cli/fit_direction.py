"""`shoegen fit-direction`: which way in W an attribute grows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from shoegen.cli._completion import complete_attributes, complete_model
from shoegen.cli._options import parse_integers
from shoegen.cli._samples import CACHE_HELP, sample
from shoegen.errors import ConfigError, DataError

if TYPE_CHECKING:
    from shoegen.directions.direction import Direction
    from shoegen.directions.sampling import Samples
    from shoegen.editing import ShoeModel


SHEET_SHOES, SHEET_STRENGTHS, SHEET_SIDE = 8, (-2, -1, 0, 1, 2), 128


@click.command()
@click.argument(
    "attributes", nargs=-1, required=True, metavar="ATTRIBUTE…", shell_complete=complete_attributes
)
@click.option(
    "--model",
    default="default",
    show_default=True,
    shell_complete=complete_model,
    help="A generator's file, or a run folder.",
)
@click.option("--samples", default=4000, show_default=True, help="Latents to draw and measure.")
@click.option("--psi", default=0.7, show_default=True, help="Truncation of the samples.")
@click.option("--quantile", default=0.25, show_default=True, help="Share at each end to learn from.")
@click.option("--layers", default="auto", show_default=True, help="auto (least leak), all, or such as 0-5.")
@click.option(
    "--per-layer",
    is_flag=True,
    help="Learn in W+: coarse, middle and fine layers are drawn with a w of their own, and get a vector of their own.",
)
@click.option(
    "--orthogonal-to",
    default="",
    shell_complete=complete_attributes,
    help="Attributes to leave alone: such as shaft,sole, or all.",
)
@click.option(
    "--bootstraps", default=8, show_default=True, help="Refits that say how stable it is; 0 for none."
)
@click.option(
    "--scores",
    type=click.Path(path_type=Path),
    help="Learn what people judge: a CSV with the columns seed and score, of shoes of `shoegen generate` at this "
    "--psi. ATTRIBUTE is then a name for it.",
)
@click.option(
    "--attributes",
    "own_attributes",
    type=click.Path(path_type=Path),
    help="A Python file of yours that registers attributes. It is run as code, with all your rights.",
)
@click.option("--matrix", type=click.Path(path_type=Path), help="Write what else each moves: a .csv or .png.")
@click.option(
    "--sheet",
    type=click.Path(path_type=Path),
    help="Draw eight shoes along each direction, measured, two a row: .png or .jpg.",
)
@click.option("--cache", type=click.Path(path_type=Path), help=CACHE_HELP)
@click.option("--seed", default=0, show_default=True, help="Of the latents, the split and the SVM.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="A file; of several attributes a folder. Default: directions/ATTRIBUTE.safetensors beside the model, where "
    "`edit` finds it by name; for the shipped model ATTRIBUTE.safetensors in this folder.",
)
def command(
    attributes: tuple[str, ...],
    model: str,
    samples: int,
    psi: float,
    quantile: float,
    layers: str,
    per_layer: bool,
    orthogonal_to: str,
    bootstraps: int,
    scores: Path | None,
    own_attributes: Path | None,
    matrix: Path | None,
    sheet: Path | None,
    cache: Path | None,
    seed: int,
    device: str,
    out: Path | None,
) -> None:
    """Learn the direction of each ATTRIBUTE, such as heel, from what is measured on a generator's samples.

    \b
    shoegen fit-direction heel --orthogonal-to all --samples 10000
    shoegen fit-direction all --orthogonal-to all --out directions/ --matrix leaks.png
    shoegen fit-direction elegance --scores elegance.csv

    `all` is every attribute that can be learned. Samples are measured once, and known from then on.
    """
    indices = layers if layers in ("auto", "all") else parse_integers("--layers", layers)

    from functools import partial

    from shoegen.data.images import image_format
    from shoegen.directions.fitting import FitConfig, fit_direction, shared_models
    from shoegen.directions.matrix import check_matrix, write_matrix
    from shoegen.directions.sampling import layer_ranges, measure_ws
    from shoegen.directions.stopwatch import Stopwatch
    from shoegen.editing import load
    from shoegen.measure import ATTRIBUTES, attribute_name, format_measure, load_attributes
    from shoegen.torch_utils.files import check_writable

    if own_attributes is not None:
        load_attributes(own_attributes)
    others = [name for name in orthogonal_to.split(",") if name]
    everything = "all" in attributes
    if everything and (len(attributes) > 1 or scores is not None):
        raise ConfigError("all: it takes no other attribute and no --scores beside it; leave them out")
    configs = {
        name: FitConfig(
            attribute=name,
            quantile=quantile,
            layers=indices,
            orthogonal_to="all"
            if orthogonal_to == "all"
            else [other for other in others if not (everything and attribute_name(other) == name)],
            bootstraps=bootstraps,
            method="svm" if scores is None else "scores",
            seed=seed,
        )
        for name in (ATTRIBUTES if everything else attributes)
    }
    if len({config.attribute for config in configs.values()}) < (
        len(configs) if everything else len(attributes)
    ):
        raise ConfigError(f"got {' '.join(attributes)}: an attribute is named twice; leave one out")
    shoes = load(model, device)
    first = next(iter(configs.values()))
    if per_layer and scores is not None:
        raise ConfigError("--per-layer: what people judged has one w for all layers; leave it out")
    ranges = layer_ranges(shoes.generator.num_ws) if per_layer else ()
    first.candidate_layers(shoes.generator.num_ws)  # refuses what there is not before the work starts
    paths = _paths(list(configs), out, Path() if model == "default" else shoes.directions_folder)
    for path in paths.values():
        check_writable(path)
    if matrix is not None:
        check_matrix(matrix)
        check_writable(matrix)
    if sheet is not None:
        image_format(sheet)
        check_writable(sheet)
    scored = None if scores is None else _scored(scores, list(configs), shoes, psi, seed)

    watch = Stopwatch()
    drawn = sample(shoes, model, samples, psi=psi, seed=seed, cache=cache, ranges=ranges, watch=watch)
    measure = partial(measure_ws, shoes.generator, shoes.segmenter)
    models, fitted = shared_models(drawn, first), []
    for name, config in configs.items():
        try:
            direction = fit_direction(
                drawn,
                measure,
                config,
                num_ws=shoes.generator.num_ws,
                generator_hash=shoes.hash,
                scored=scored,
                models=models,
                say=click.echo,
                watch=watch,
            )
        except DataError as error:
            if not everything:
                raise
            click.echo(f"left out: {error}")
            continue
        direction.save(paths[name])
        fitted.append(direction)
        if not direction.scores["auc"] >= 0.75:
            click.echo(
                f"warning: with an AUC of {direction.scores['auc']:.2f} this direction hardly follows the attribute; "
                f"{'draw more --samples, or train the generator longer' if scores is None else 'give more scores'}",
                err=True,
            )
        unit = (
            format_measure(direction.attribute, direction.sigma)
            if direction.attribute in ATTRIBUTES
            else f"{direction.sigma:.3g} of the scores"
        )
        click.echo(f"{paths[name]}: strength 1 is {unit}")
    if not fitted:
        raise DataError(
            "none of the attributes could be learned; draw more --samples, or train the generator longer"
        )
    if matrix is not None:
        write_matrix(matrix, fitted)
        click.echo(f"{matrix}: what else each direction moves")
    if sheet is not None:
        _draw_sheet(sheet, shoes, fitted, psi)
        click.echo(f"{sheet}: eight shoes along each direction")
    click.echo(f"time: {watch}")


def _draw_sheet(path: Path, shoes: ShoeModel, directions: list[Direction], psi: float) -> None:
    from shoegen.data.images import image_grid, write_image
    from shoegen.editing.shoe import enlarge, prepare

    tiles, captions = [], []
    for direction in directions:
        for shoe in shoes.samples(range(SHEET_SHOES), psi):
            moved = [shoe.move(direction, strength) for strength in SHEET_STRENGTHS]
            prepare(moved, measure=True)
            tiles += [enlarge(each.rgb, SHEET_SIDE) for each in moved]
            said = [each.say(direction.attribute) for each in moved]
            captions += [
                f"{direction.name} {strength:+g}\n{value}"
                for strength, value in zip(SHEET_STRENGTHS, said, strict=True)
            ]
    write_image(path, image_grid(tiles, 2 * len(SHEET_STRENGTHS), captions=captions))


def _paths(names: list[str], out: Path | None, folder: Path) -> dict[str, Path]:
    """Where each direction goes."""
    if out is not None and (len(names) > 1 or out.suffix != ".safetensors"):
        if out.suffix:
            what = "a folder for several directions" if len(names) > 1 else "a name that ends in .safetensors"
            raise ConfigError(f"--out: got {out}, expected {what}")
        folder = out
    elif out is not None:
        return {names[0]: out}
    return {name: folder / f"{name}.safetensors" for name in names}


def _scored(path: Path, names: list[str], shoes: ShoeModel, psi: float, seed: int) -> Samples:
    """The latents of seeds that people judged."""
    import numpy as np

    from shoegen.directions.sampling import Samples
    from shoegen.measure import ALIASES, ATTRIBUTES, read_scores
    from shoegen.stylegan.sampling import latents

    if len(names) != 1 or not names[0].isidentifier() or names[0] in {*ATTRIBUTES, *ALIASES}:
        raise ConfigError(
            f"--scores: got {', '.join(names)}, expected one new name for what was judged, such as elegance"
        )
    found = read_scores(path)
    if len(found) < 20:
        raise DataError(f"{path}: got {len(found)} scores, expected at least 20, better some hundred")
    seeds = sorted(found)
    w = latents(shoes.generator, seeds, psi=psi)[:, 0].cpu()
    values = np.array([found[each] for each in seeds])
    return Samples(w=w, attributes={names[0]: values}, psi=psi, seed=seed)
