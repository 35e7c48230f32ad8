"""`shoegen cutout`: shoes without their backgrounds."""

from __future__ import annotations

import re
from pathlib import Path

import click

from shoegen.cli._completion import complete_model
from shoegen.cli._options import parse_numbers, refuse_without_effect
from shoegen.cli._pictures import check_outputs, find_pictures, name_outputs, read_mask, readable
from shoegen.cli._progress import show_progress


@click.command()
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE|FOLDER…")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="Folder for the cut-outs, PNGs with alpha."
)
@click.option(
    "--method",
    default="segmenter",
    show_default=True,
    help="segmenter: a network's mask; grabcut: by colour, from a start; cascade: two networks in a row.",
)
@click.option(
    "--model",
    default="default",
    show_default=True,
    shell_complete=complete_model,
    help="A segmenter.safetensors, or a run folder; `default`, which ships with shoegen, knows single shoes from the "
    "side before plain backgrounds.",
)
@click.option(
    "--second",
    shell_complete=complete_model,
    help="The second network of a cascade, trained with --after the first.",
)
@click.option("--box", help="GrabCut's start: x,y,width,height in pixels around the shoe, from the top left.")
@click.option(
    "--mask",
    type=click.Path(path_type=Path),
    help="GrabCut's start: a picture of the same size, white at the shoe and black elsewhere.",
)
@click.option("--feather", default=0.0, show_default=True, help="Pixels over which the edge fades besides.")
@click.option("--crop", is_flag=True, help="Leave out what is empty around the shoe.")
@click.option(
    "--background", default="none", show_default=True, help="none: transparent; white, or #rrggbb behind it."
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--skip-bad", is_flag=True, help="Leave out pictures that cannot be read, or without a shoe.")
@click.pass_context
def command(
    ctx: click.Context,
    sources: tuple[Path, ...],
    out: Path,
    method: str,
    model: str,
    second: str | None,
    box: str | None,
    mask: Path | None,
    feather: float,
    crop: bool,
    background: str,
    device: str,
    skip_bad: bool,
) -> None:
    """Cut shoes out of their pictures, with soft edges free of the old background's colour.

    \b
    shoegen cutout photo.jpg --out cut/ --crop
    shoegen cutout photo.jpg --method grabcut --box 40,90,300,200 --background white --out cut/
    shoegen cutout photos/ --method cascade --model runs/first --second runs/second --out cut/

    GrabCut without --box and --mask starts from the network's mask.
    """
    from shoegen.data.images import read_image, write_image
    from shoegen.errors import ConfigError, DataError
    from shoegen.segmentation.cascade import check_stage
    from shoegen.segmentation.cutout import check_method, cutout
    from shoegen.segmentation.grabcut import check_box, check_mask
    from shoegen.segmentation.loading import load_segmenter
    from shoegen.torch_utils.devices import pick_device
    from shoegen.torch_utils.files import check_writable
    from shoegen.torch_utils.text import some

    check_method(method, second=second is not None, box=box is not None, mask=mask is not None)
    if box is not None or mask is not None:
        refuse_without_effect(ctx, ["model"], "--mask" if box is None else "--box")
    behind = _parse_color(background)
    start = None if box is None else _parse_box(box)
    inside = None if mask is None else read_mask(mask)
    if not 0 <= feather < 1000:
        raise ConfigError(f"--feather: got {feather}, expected 0 to 1000 pixels")
    names = name_outputs(readable(find_pictures(sources), skip_bad=skip_bad))
    check_writable(out / "cutout.png")
    check_outputs(out, names)
    if start is not None or inside is not None:
        for source in names:
            size = read_image(source).shape[:2]
            try:
                if start is not None:
                    check_box(start, size)
                if inside is not None:
                    check_mask(inside, size)
            except ConfigError as error:
                raise ConfigError(f"{source}: {error}") from error
    place = pick_device(device)
    networks = {}
    if start is None and inside is None:
        networks["model"] = load_segmenter(model, place)
        check_stage(networks["model"], f"--model {model}", second=False)
    if second is not None:
        networks["second"] = load_segmenter(second, place)
        check_stage(networks["second"], f"--second {second}", second=True)

    empty: dict[Path, str] = {}
    with show_progress("cutting out", "pictures") as report:
        for done, (source, name) in enumerate(names.items(), 1):
            image = read_image(source)
            try:
                made = cutout(
                    image, method=method, box=start, mask=inside, feather=feather, crop=crop, **networks
                )
            except DataError as error:
                if not skip_bad:
                    raise DataError(f"{source}: {error}; or leave it out with --skip-bad") from error
                empty[source] = str(error)
            else:
                write_image(out / f"{name}.png", made.rgba if behind is None else made.over(behind))
            report(done, len(names))
    if empty:
        listed = some(empty)
        if len(empty) == len(names):
            raise DataError(f"no shoe was found in any of the {len(names)} pictures: {listed}")
        click.echo(f"note: no shoe was found in {len(empty)} of {len(names)} pictures: {listed}", err=True)
    click.echo(f"{out}: {len(names) - len(empty)} cut-outs")


def _parse_color(text: str) -> tuple[int, int, int] | None:
    from shoegen.errors import ConfigError

    if text == "none":
        return None
    code = "#ffffff" if text == "white" else text
    if not re.fullmatch("#[0-9a-fA-F]{6}", code):
        raise ConfigError(f"--background: got {text!r}, expected none, white or a colour such as #f0f0f0")
    red, green, blue = bytes.fromhex(code[1:])
    return red, green, blue


def _parse_box(text: str) -> tuple[int, int, int, int]:
    from shoegen.errors import ConfigError

    numbers = parse_numbers("--box", text)
    if len(numbers) != 4 or any(number != round(number) for number in numbers):
        raise ConfigError(
            f"--box: got {text!r}, expected whole numbers x,y,width,height such as 40,90,300,200"
        )
    x, y, width, height = (round(number) for number in numbers)
    return x, y, width, height
