"""`shoegen fit-direction`: which way in W an attribute grows."""

from __future__ import annotations

from pathlib import Path

import click

from shoegen.cli._options import parse_integers
from shoegen.errors import ConfigError


@click.command()
@click.argument("attribute")
@click.option("--model", default="default", show_default=True, help="A generator's file, or a run folder.")
@click.option("--samples", default=4000, show_default=True, help="Latents to draw and measure.")
@click.option("--psi", default=0.7, show_default=True, help="Truncation of the samples.")
@click.option("--quantile", default=0.25, show_default=True, help="Share at each end to learn from.")
@click.option("--layers", default="auto", show_default=True, help="auto (least leak), all, or such as 0-5.")
@click.option("--orthogonal-to", default="", help="Attributes to leave alone: such as shaft,sole, or all.")
@click.option("--seed", default=0, show_default=True, help="Of the latents, the split and the SVM.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option(
    "--out",
    type=click.Path(),
    help="Default: directions/ATTRIBUTE.safetensors beside the model, where `edit` finds it by name; "
    "for the shipped model ATTRIBUTE.safetensors in this folder.",
)
def command(
    attribute: str,
    model: str,
    samples: int,
    psi: float,
    quantile: float,
    layers: str,
    orthogonal_to: str,
    seed: int,
    device: str,
    out: str | None,
) -> None:
    """Learn the direction of an ATTRIBUTE, such as heel, from what is measured on a generator's samples."""
    indices = layers if layers in ("auto", "all") else parse_integers("--layers", layers)

    from functools import partial

    from shoegen.directions.fitting import FitConfig, fit_direction
    from shoegen.directions.sampling import BATCH, draw_samples, measure_ws
    from shoegen.editing import load
    from shoegen.torch_utils.files import check_writable
    from shoegen.torch_utils.progress import LiveProgress

    others = "all" if orthogonal_to == "all" else [name for name in orthogonal_to.split(",") if name]
    config = FitConfig(
        attribute=attribute, quantile=quantile, layers=indices, orthogonal_to=others, seed=seed
    )
    shoes = load(model, device)
    config.candidate_layers(shoes.generator.num_ws)  # refuses what there is not before the work starts
    folder = Path() if model == "default" else shoes.directions_folder
    path = Path(out) if out else folder / f"{attribute}.safetensors"
    if path.suffix != ".safetensors":
        raise ConfigError(f"--out: got {path}, expected a name that ends in .safetensors")
    check_writable(path)

    measure = partial(measure_ws, shoes.generator, shoes.segmenter)
    with LiveProgress("measuring samples", samples, unit="samples") as progress:

        def report(done: int) -> None:
            if done == samples or done // BATCH % 10 == 0:
                progress.update(done)

        drawn = draw_samples(shoes.generator, measure, samples, psi=psi, seed=seed, progress=report)
    direction = fit_direction(
        drawn,
        measure,
        config,
        num_ws=shoes.generator.num_ws,
        generator_hash=shoes.hash,
        say=click.echo,
    )
    direction.save(path)
    if direction.scores["auc"] < 0.75:
        click.echo(
            f"warning: with an AUC of {direction.scores['auc']:.2f} this direction hardly follows the attribute; "
            "draw more --samples, or train the generator longer",
            err=True,
        )
    click.echo(f"{path}: strength 1 is {direction.sigma:.3g} of {direction.attribute}")
