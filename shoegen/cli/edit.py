"""`shoegen edit`: a shoe, further along a direction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from shoegen.cli._options import parse_numbers
from shoegen.errors import ConfigError

if TYPE_CHECKING:
    from shoegen.editing import Shoe


@click.command()
@click.option("--direction", required=True, help="Its name, such as heel, or the path of its file.")
@click.option("--strength", help="Standard deviations of the attribute to add, such as 2 or -1.5.")
@click.option("--strengths", help="Several, such as -2,-1,0,1,2: writes a strip with captions.")
@click.option("--seed", default=7, show_default=True, help="Of the shoe.")
@click.option("--psi", default=0.7, show_default=True, help="1: as varied as trained; 0: the mean shoe.")
@click.option("--class", "class_index", type=int, help="Of the shoe, where the generator draws several.")
@click.option("--model", default="default", show_default=True, help="A generator's file, or a run folder.")
@click.option("--shoe-length", default=265.0, show_default=True, help="In millimetres.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--out", default="edit.png", show_default=True, type=click.Path(), help="The picture to write.")
def command(
    direction: str,
    strength: str | None,
    strengths: str | None,
    seed: int,
    psi: float,
    class_index: int | None,
    model: str,
    shoe_length: float,
    device: str,
    out: str,
) -> None:
    """Edit a shoe along a measured direction, and say what changed.

    \b
    shoegen edit --direction heel --strength 2
    shoegen edit --direction heel --strengths -2,-1,0,1,2 --seed 11 --out strip.png
    """
    if (strength is None) == (strengths is None):
        raise ConfigError("give either --strength for one picture or --strengths for a strip")
    if not 0 < shoe_length < 1000:
        raise ConfigError(f"--shoe-length: got {shoe_length:g}, expected millimetres between 0 and 1000")
    option, text = ("--strength", strength) if strength is not None else ("--strengths", strengths)
    assert text is not None
    numbers = parse_numbers(option, text)
    if strength is not None and len(numbers) != 1:
        raise ConfigError(f"--strength: got {text!r}, expected one number; --strengths takes several")

    from shoegen.data.images import image_format
    from shoegen.torch_utils.files import check_writable

    image_format(out)
    check_writable(out)

    from shoegen.editing import format_strength, load

    shoes = load(model, device)
    attribute = shoes.direction(direction).attribute
    shoe = shoes.sample(seed, psi, class_index=class_index)
    if strength is not None:
        edited = shoe.edit(**{direction: numbers[0]})
        edited.save(out)
        before, after = (_say(which, attribute, shoe_length) for which in (shoe, edited))
        click.echo(f"{edited.title}: {attribute} {before} → {after}")
    else:
        strip = shoe.strip(**{direction: numbers}, shoe_length=shoe_length)
        strip.save(out)
        for number, edited in zip(numbers, strip.shoes, strict=True):
            measured = _say(edited, attribute, shoe_length)
            click.echo(f"{shoe.title}, strength {format_strength(number)}: {attribute} {measured}")
    click.echo(out)


def _say(shoe: Shoe, attribute: str, shoe_length: float) -> str:
    """ "0.234 (62 mm)" """
    from shoegen.editing import format_measure
    from shoegen.measure import ATTRIBUTES

    text = format_measure(attribute, shoe.measures, shoe_length)
    is_length = ATTRIBUTES[attribute].unit == "shoe length" and text != "not measured"
    return f"{shoe.measures[attribute]:.3f} ({text})" if is_length else text
