"""`shoegen evaluate`: how good a generator's pictures are."""

from __future__ import annotations

from pathlib import Path

import click

from shoegen.cli._completion import complete_model


@click.command()
@click.option(
    "--model",
    default="default",
    show_default=True,
    shell_complete=complete_model,
    help="A generator's file, or a run folder.",
)
@click.option(
    "--data",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder or zip of pictures to compare with.",
)
@click.option(
    "--metrics",
    help="Of swd, kid, fid, pr, is, ppl, such as swd,kid. Default: kid, from 10,000 pictures fid; without "
    "weights swd.",
)
@click.option(
    "--samples", type=int, help="Pictures to draw. Default: as many as the data has, at most 10,000."
)
@click.option("--psi", default=1.0, show_default=True, help="Truncation; 1 is as varied as trained.")
@click.option("--seed", default=0, show_default=True, help="Of the samples and all that is drawn.")
@click.option(
    "--weights",
    type=click.Path(path_type=Path),
    help="Folder or file of the networks that the metrics see through. Default: the folder that SHOEGEN_ASSETS names.",
)
@click.option("--fit", default="strict", show_default=True, help="strict, crop or pad: to the model's shape.")
@click.option("--mirror", is_flag=True, help="Compare with the mirrored pictures too, if trained so.")
@click.option("--skip-bad", is_flag=True, help="Leave out pictures that cannot be read.")
@click.option(
    "--classes",
    default="auto",
    show_default=True,
    help="Of a conditional model: where the pictures' classes are found: auto, folders or a JSON file.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--out", type=click.Path(path_type=Path), help="Also write the figures to this JSON file.")
def command(
    model: str,
    data: Path,
    metrics: str | None,
    samples: int | None,
    psi: float,
    seed: int,
    weights: Path | None,
    fit: str,
    mirror: bool,
    skip_bad: bool,
    classes: str,
    device: str,
    out: Path | None,
) -> None:
    """Measure how close a generator's pictures come to those of a data set.

    \b
    swd  sliced Wasserstein distance, and [by level of detail]; needs no weights
    kid  kernel Inception distance; unbiased, so fit for small data sets
    fid  Fréchet Inception distance
    ppl  perceptual path length in W; less is better, of these four
    pr   precision and recall
    is   Inception score; more is better, of these two

    \b
    shoegen evaluate --model runs/shoes --data shoes.zip
    shoegen evaluate --model runs/shoes --data shoes.zip --metrics swd,kid,pr --samples 5000 --out report.json

    All but swd see through published networks, which are not downloaded: put
    weights-inception-2015-12-05-6726825d.pth (torch-fidelity) and, for ppl, vgg16-397923af.pth (torchvision) into
    a folder and name it with --weights or SHOEGEN_ASSETS. A metric without its weights is skipped.
    """
    from shoegen.cli._progress import show_progress
    from shoegen.data.datasets import ImageDataset
    from shoegen.editing import load
    from shoegen.errors import ConfigError
    from shoegen.metrics.evaluation import Evaluator, check_request
    from shoegen.torch_utils.files import check_writable, write_json

    if not 0 <= psi <= 2:
        raise ConfigError(f"--psi: got {psi:g}, expected a number from 0 to 2")
    names = None if metrics is None else [name.strip() for name in metrics.split(",")]
    check_request(names, samples=samples, seed=seed, weights=weights)
    if out is not None:
        check_writable(out)
    generator = load(model, device).generator
    config = generator.config
    pictures = ImageDataset(
        data,
        resolution=config.image_size,
        channels=config.img_channels,
        fit=fit,
        mirror=mirror,
        skip_bad=skip_bad,
        classes=classes if config.c_dim else "none",
    )
    labels = [pictures.class_of(index) for index in range(len(pictures))]
    evaluator = Evaluator(
        pictures,
        names,
        samples=samples,
        seed=seed,
        weights=weights,
        classes=[label for label in labels if label is not None],
        say=lambda note: click.echo(note, err=True),
    )
    total = evaluator.work
    with show_progress("measuring", "pictures") as progress:
        figures = evaluator.evaluate(generator, psi=psi, progress=lambda done: progress(done, total))
    for figure in figures:
        click.echo(str(figure))
    if out is not None:
        run = {"model": model, "data": str(data), "psi": psi, "seed": seed, "samples": evaluator.samples}
        listed = [figure.to_dict() for figure in figures]
        write_json(out, {**run, "figures": listed, "skipped": evaluator.skipped})
