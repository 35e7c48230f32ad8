"""`shoegen inpaint`: the shoes of a photograph, replaced by others."""

from __future__ import annotations

from pathlib import Path

import click

from shoegen.cli._completion import complete_model
from shoegen.cli._options import refuse_without_effect
from shoegen.cli._pictures import find_pictures, name_outputs, read_mask, readable
from shoegen.cli._progress import show_progress
from shoegen.errors import ConfigError


@click.command()
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE|FOLDER…")
@click.option("--prompt", required=True, help="What is to be there, such as 'red suede loafer'.")
@click.option(
    "--model",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder of a Stable Diffusion in-painting pipeline in the format of diffusers; none is downloaded.",
)
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="A .png for one picture; else a folder.",
)
@click.option(
    "--segmenter",
    default="default",
    show_default=True,
    shell_complete=complete_model,
    help="Finds the shoes: a run folder, a file, or `default`, which ships with shoegen.",
)
@click.option("--classes", help="Those that make the mask: shoe,sole. Default: all but the background.")
@click.option("--instance", type=int, help="One shoe only, counted from 1, left to right.  [default: all]")
@click.option(
    "--mask",
    "mask_path",
    type=click.Path(path_type=Path),
    help="Instead of --segmenter: a picture of the same size, white where to replace.",
)
@click.option("--grow", type=int, help="Pixels added around a shoe.  [default: 1/50 of its longer side]")
@click.option("--feather", type=int, help="Pixels inside that over which it fades.  [default: as --grow]")
@click.option("--negative-prompt", default="", help="What is not to be there.")
@click.option("--steps", default=30, show_default=True, help="Of denoising.")
@click.option("--guidance", default=7.5, show_default=True, help="Weight of the prompt.")
@click.option(
    "--strength", default=1.0, show_default=True, help="1: from noise alone; less: from what is there."
)
@click.option("--seed", default=7, show_default=True, help="Of the noise.")
@click.option(
    "--size", type=int, help="Side that the pipeline works at, a multiple of 8.  [default: its own]"
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--skip-bad", is_flag=True, help="Leave out pictures that cannot be read or show no shoe.")
@click.pass_context
def command(
    ctx: click.Context,
    sources: tuple[Path, ...],
    prompt: str,
    model: Path,
    out: Path,
    segmenter: str,
    classes: str | None,
    instance: int | None,
    mask_path: Path | None,
    grow: int | None,
    feather: int | None,
    negative_prompt: str,
    steps: int,
    guidance: float,
    strength: float,
    seed: int,
    size: int | None,
    device: str,
    skip_bad: bool,
) -> None:
    """Replace the shoes that are found in photographs by what a text describes.

    \b
    shoegen inpaint photo.jpg --prompt "red suede loafer" --model path/to/pipeline --out new.png
    shoegen inpaint photos/ --prompt "white sneaker" --model path/to/pipeline --out new/ --instance 1

    Each shoe is drawn on a square crop around it and faded in; outside the mask the photograph stays as it is, to
    the bit. The same seed gives the same picture. The .png keeps as text how it was made. Needs: pip install
    'shoegen[diffusion]'.
    """
    import numpy as np

    from shoegen.data.images import read_image
    from shoegen.diffusion import check_pipeline
    from shoegen.errors import DataError
    from shoegen.inpainting import Inpainter, InpaintingConfig, check_out
    from shoegen.segmentation.cascade import check_stage
    from shoegen.segmentation.loading import load_segmenter
    from shoegen.segmentation.shoes import check_classes, find_masks
    from shoegen.torch_utils.devices import pick_device
    from shoegen.torch_utils.files import check_writable
    from shoegen.torch_utils.text import some

    config = InpaintingConfig(
        prompt=prompt,
        negative_prompt=negative_prompt,
        steps=steps,
        guidance=guidance,
        strength=strength,
        seed=seed,
        size=size,
        grow=grow,
        feather=feather,
    )
    if instance is not None and instance < 1:
        raise ConfigError(f"--instance: got {instance}, expected a number from 1 on, left to right")
    if mask_path is not None:
        refuse_without_effect(ctx, ["segmenter", "classes"], "--mask")
    outputs = _plan(sources, out, skip_bad=skip_bad)
    for path in outputs.values():
        check_out(path)
        check_writable(path)
    check_pipeline(model)

    mask = None
    if mask_path is not None:
        if len(outputs) != 1:
            raise ConfigError(f"--mask is of one picture, got {len(outputs)}; give one")
        mask = read_mask(mask_path)

    def find(source: Path) -> tuple[np.ndarray, list[np.ndarray]]:
        image = read_image(source)
        try:
            masks = find_masks(image, mask=mask, segmenter=finder, classes=wanted, instance=instance)
        except DataError as error:
            raise DataError(f"{source}: {error}") from error
        return image, masks

    # All shoes are looked for before the first is drawn, which takes far longer; the masks would fill the memory.
    where = pick_device(device)
    finder = None if mask is not None else load_segmenter(segmenter, where)
    wanted = None if classes is None else [name.strip() for name in classes.split(",")]
    if finder is not None:
        check_stage(finder, f"--segmenter {segmenter}", second=False)
        if wanted is not None:
            check_classes(wanted, finder.labels)
    counts: dict[Path, int] = {}
    without: list[str] = []
    with show_progress("looking for shoes", "pictures") as report:
        for done, source in enumerate(outputs, 1):
            try:
                counts[source] = len(find(source)[1])
            except DataError as error:
                without.append(str(error))
            report(done, len(outputs))
    if without and (not skip_bad or not counts):
        hint = "; or leave such pictures out with --skip-bad" if len(outputs) > 1 else ""
        raise DataError(some(without, 1, "; ") + hint)
    if without:
        click.echo(f"note: {len(without)} of {len(outputs)} pictures left out: {some(without)}", err=True)

    inpainter = Inpainter.load(model, where)
    if instance is None and any(count > 1 for count in counts.values()):
        several = max(counts.values())
        click.echo(
            f"note: up to {several} shoes in a picture, all are replaced; --instance picks one", err=True
        )
    total, before = sum(counts.values()) * config.steps_taken, 0
    with show_progress("in-painting", "steps") as report:
        for source, count in counts.items():
            image, masks = find(source)

            def show(done: int, _: int, before: int = before) -> None:
                report(before + done, total)

            try:
                inpainter.paint(image, masks, config, report=show).save(outputs[source])
            except DataError as error:
                if not skip_bad or len(counts) == 1:
                    raise DataError(f"{source}: {error}") from error
                click.echo(f"note: {source} left out: {error}", err=True)
                counts[source] = 0
            before += count * config.steps_taken
    shoes, pictures = sum(counts.values()), sum(map(bool, counts.values()))
    click.echo(
        f"{out}: " + (f"{pictures} pictures, " if len(outputs) > 1 else "") + f"shoes replaced: {shoes}"
    )


def _plan(sources: tuple[Path, ...], out: Path, *, skip_bad: bool) -> dict[Path, Path]:
    """The file to write for each picture: `out` itself for a single one, else one of its name in that folder."""
    pictures = readable(find_pictures(sources), skip_bad=skip_bad)
    is_single = len(sources) == 1 and sources[0].is_file() and not out.is_dir()
    if is_single:
        outputs = {pictures[0]: out}
    else:
        if out.is_file() or out.suffix:
            raise ConfigError(f"--out {out}: several pictures need a folder, got the name of a file")
        outputs = {picture: out / f"{name}.png" for picture, name in name_outputs(pictures).items()}
    originals = {picture.resolve() for picture in pictures}
    for path in outputs.values():
        if path.resolve() in originals:
            raise ConfigError(f"--out {out} would overwrite the picture {path}; choose another")
    return outputs
