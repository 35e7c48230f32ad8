"""`shoegen edit`: a shoe, or many, further along one or several directions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shoegen.cli._completion import complete_attributes, complete_direction, complete_model
from shoegen.cli._options import parse_integers, parse_numbers
from shoegen.cli._progress import show_progress
from shoegen.errors import ConfigError

if TYPE_CHECKING:
    from shoegen.editing import Amount, Edit, Shoe, ShoeModel
    from shoegen.editing.batch import Job

WAYS = ("strength", "strengths", "by", "to")
ONE_SHOE = ("strengths", "sweep", "save_latent", "name", "instance", "mask")


@click.command()
@click.option(
    "--direction", shell_complete=complete_direction, help="Its name, such as heel, or the path of its file."
)
@click.option("--strength", help="Standard deviations of the attribute to add, such as 2 or -1.5.")
@click.option("--strengths", help="Several, such as -2,-1,0,1,2: writes a strip with captions.")
@click.option("--by", help="How much to add, measured, such as +20mm.")
@click.option("--to", help="What to make it, measured, such as 80mm.")
@click.option(
    "--edit", "edits", multiple=True, help="Several directions: --edit heel=+20mm --edit upper_a=1."
)
@click.option(
    "--keep",
    default="",
    shell_complete=complete_attributes,
    help="Attributes that shall stay, such as shaft,toe.",
)
@click.option(
    "--hold/--no-hold",
    default=True,
    show_default=True,
    help="Keep the look of what an edit of heel, sole or the upper's colour is not about; --no-hold is faster.",
)
@click.option("--shoe-length", default="265mm", show_default=True, help="Which lengths are reckoned with.")
@click.option("--seed", default=7, show_default=True, help="Of the shoe.")
@click.option("--seeds", help="Of many, such as 0-99; --out is a folder.")
@click.option("--psi", default=0.7, show_default=True, help="1: as varied as trained; 0: the mean shoe.")
@click.option("--class", "class_index", type=int, help="Of the shoe, where the generator draws several.")
@click.option("--latent", type=click.Path(), help="A shoe that was saved before, in place of a seed.")
@click.option("--image", type=click.Path(path_type=Path), help="A photograph, or a folder of them.")
@click.option(
    "--quality",
    type=click.Choice(["fast", "balanced", "best"]),
    default="balanced",
    show_default=True,
    help="Of finding the photograph's shoe.",
)
@click.option("--instance", type=int, help="Which of a photograph's shoes, from 1, left to right.")
@click.option(
    "--mask", type=click.Path(path_type=Path), help="Where the photograph's shoe is: white on black."
)
@click.option(
    "--flip", type=click.Choice(["auto", "yes", "no"]), default="auto", help="Is the photograph's toe right?"
)
@click.option("--jobs", type=click.Path(), help="A CSV file: seed, latent or image; edits; keep; out.")
@click.option("--skip-bad", is_flag=True, help="Of many: go on after one that cannot be done.")
@click.option(
    "--model",
    default="default",
    show_default=True,
    shell_complete=complete_model,
    help="A generator's file, or a run folder.",
)
@click.option(
    "--attributes", type=click.Path(), help="A Python file that registers your own; it is run as code."
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--sweep", type=click.Path(), help="Also write a film there and back: .gif, .mp4 or .webp.")
@click.option("--frames", default=48, show_default=True, help="Of the film.")
@click.option("--fps", default=24, show_default=True, help="Of the film.")
@click.option("--report", type=click.Path(), help="Also write what changed: .json, and a picture beside it.")
@click.option("--save-latent", type=click.Path(), help="Also write the edited shoe itself: .safetensors.")
@click.option("--name", help="What the saved shoe is called.")
@click.option(
    "--out", type=click.Path(), help="The picture to write, or the folder.  [default: edit.png, edits]"
)
@click.pass_context
def command(ctx: click.Context, **given: Any) -> None:
    """Edit a shoe along measured directions, and say what changed.

    \b
    shoegen edit --direction heel --strength 2
    shoegen edit --direction heel --by +20mm --keep shaft,toe --shoe-length 265mm
    shoegen edit --direction heel --to 80mm --report report.json
    shoegen edit --edit heel=+20mm --edit upper_a=1 --save-latent mine.safetensors
    shoegen edit --latent mine.safetensors --direction heel --by -10mm
    shoegen edit --direction heel --strengths -2,-1,0,1,2 --seed 11 --out strip.png
    shoegen edit --image photo.jpg --direction heel --by +20mm --out edited.jpg
    shoegen edit --seeds 0-99 --direction heel --to 60mm --skip-bad --out edits/
    shoegen edit --jobs edits.csv --out edits/
    """
    from shoegen.measure import parse_shoe_length

    amounts, strengths = _parse_edits(given)
    shoe_length = parse_shoe_length(given["shoe_length"], "--shoe-length")
    sources = [name for name in ("seeds", "latent", "image", "jobs") if given[name] is not None]
    if len(sources) > 1:
        raise ConfigError(f"got {' and '.join(f'--{name}' for name in sources)}; give one source of shoes")
    many = given["seeds"] or given["jobs"] or (given["image"] and given["image"].is_dir())
    if many:
        wrong = [f"--{name.replace('_', '-')}" for name in ONE_SHOE if given[name] is not None]
        if wrong:
            raise ConfigError(f"{' and '.join(wrong)} {'is' if len(wrong) == 1 else 'are'} for a single shoe")
        _edit_many(given, amounts, shoe_length)
    else:
        _edit_one(ctx, given, amounts, strengths, shoe_length)


def _parse_edits(given: dict[str, Any]) -> tuple[dict[str, Amount], list[float]]:
    """What to do by direction, and the strengths of a strip."""
    from shoegen.editing.amounts import Amount, parse_edits

    ways = [way for way in WAYS if given[way] is not None]
    if given["jobs"] is not None:
        if ways or given["direction"] or given["edits"]:
            raise ConfigError("--jobs has its own edits; leave out --direction, --edit and their amounts")
        return {}, []
    if given["edits"]:
        if ways or given["direction"]:
            raise ConfigError("give either --direction with one amount, or --edit for each direction")
        return parse_edits(list(given["edits"])), []
    if not given["direction"]:
        raise ConfigError("no --direction; give one such as heel, or --edit heel=+20mm")
    if len(ways) != 1:
        raise ConfigError("give either --strength, --by or --to for one picture, or --strengths for a strip")
    (way,) = ways
    text = given[way]
    if way == "strengths":
        numbers = parse_numbers("--strengths", text)
        for number in numbers:
            Amount.parse(number, "--strengths")
        return {}, numbers
    if way == "strength":
        numbers = parse_numbers("--strength", text)
        if len(numbers) != 1:
            raise ConfigError(f"--strength: got {text!r}, expected one number; --strengths takes several")
        return {given["direction"]: Amount.parse(numbers[0], "--strength")}, []
    amount = Amount.parse(text, f"--{way}", way="by" if way == "by" else "to")
    if way == "by" and amount.way == "strength":
        raise ConfigError(f"--by: got {text!r}, expected an amount such as +20mm; --strength takes {text}")
    return {given["direction"]: amount}, []


# ---- one shoe ----


def _edit_one(
    ctx: click.Context,
    given: dict[str, Any],
    amounts: dict[str, Amount],
    strengths: list[float],
    shoe_length: float,
) -> None:
    from shoegen.data.images import image_format
    from shoegen.torch_utils.files import check_writable

    out = given["out"] or "edit.png"
    writes_picture = given["sweep"] is None or given["out"] is not None
    if writes_picture:
        image_format(out)
        check_writable(out)
    _check_report(given["report"])
    if strengths and (given["report"] or given["save_latent"]):
        raise ConfigError(
            "--strengths makes several shoes; --report and --save-latent are for one: give --strength"
        )
    _refuse_overwriting(given, out, writes_picture)

    from shoegen.editing import format_strength
    from shoegen.editing.films import check_sweep, film
    from shoegen.editing.store import check_latent

    if given["save_latent"]:
        check_latent(given["save_latent"])
    model = _open_model(given)
    if given["sweep"]:
        size = model.generator.config.image_size
        check_sweep(given["sweep"], size, frames=given["frames"], fps=given["fps"], scale=None)
    for direction in amounts or [given["direction"]]:
        model.direction(direction)  # before a photograph's shoe is searched for
    _note_reach(model, [*amounts.items(), *((given["direction"], number) for number in strengths)])
    shoe = _open_shoe(given, model)
    options: dict[str, Any] = {"keep": given["keep"], "hold": given["hold"], "shoe_length": shoe_length}
    if strengths:
        strip = shoe.strip(**options | {given["direction"]: strengths})
        attribute = shoe.model.direction(given["direction"]).attribute
        for number, each in zip(strengths, strip.shoes, strict=True):
            measured = _say(each, attribute, shoe_length)
            click.echo(f"{shoe.title}, strength {format_strength(number)}: {attribute} {measured}")
        shoes, picture = strip.shoes, strip.image
    else:
        edited = shoe.edit(**options | amounts)
        edits = edited.history[len(shoe.history) :]
        for attribute in dict.fromkeys(edit.attribute for edit in edits):
            before, after = (_say(each, attribute, shoe_length) for each in (shoe, edited))
            click.echo(f"{edited.title}: {attribute} {before} → {after}")
        _say_targets(edits, shoe.model)
        shoes = [shoe, edited]
        picture = edited.in_photo if edited.photo is not None else edited.image
        if given["report"]:
            report = edited.report(shoe, shoe_length=shoe_length)
            beside = report.save(given["report"])
            _say_unwanted(report)
            click.echo(f"{given['report']}, {beside}")
        if given["save_latent"]:
            edited.save_latent(given["save_latent"], name=given["name"])
            click.echo(given["save_latent"])
    if given["sweep"]:
        film(given["sweep"], shoes, frames=given["frames"], fps=given["fps"])
        click.echo(given["sweep"])
    if writes_picture:
        from shoegen.data.images import write_image

        write_image(out, picture)
        click.echo(out)


def _open_model(given: dict[str, Any]) -> ShoeModel:
    from shoegen.editing import load

    if given["attributes"]:
        from shoegen.measure import load_attributes

        load_attributes(given["attributes"])
    return load(given["model"], given["device"])


def _note_reach(model: ShoeModel, edits: Sequence[tuple[str, Amount | float]]) -> None:
    """Says which strengths lie where a direction was seen not to hold."""
    directions = {name: model.direction(name) for name in dict.fromkeys(name for name, _ in edits)}
    beyond: dict[str, list[float]] = {}
    for name, amount in edits:
        direction = directions[name]
        strength = (
            amount if isinstance(amount, int | float) else amount.value if amount.way == "strength" else 0
        )
        if direction.curve and not direction.reach[0] <= strength <= direction.reach[1]:
            beyond.setdefault(name, []).append(strength)
    for name, strengths in beyond.items():
        direction = directions[name]
        low, high = direction.reach
        said = ", ".join(f"{each:g}" for each in sorted(set(strengths))[:5])
        click.echo(
            f"note: {Path(name).stem}: got strength {said}, but it holds from {low:g} to {high:g} only; beyond, "
            f"{direction.attribute} may even go back, or the shoe fall apart",
            err=True,
        )


def _open_shoe(given: dict[str, Any], model: ShoeModel) -> Shoe:
    if given["latent"] is not None:
        from shoegen.editing import load_shoe

        return load_shoe(given["latent"], model)
    if given["image"] is None:
        return model.sample(given["seed"], given["psi"], class_index=given["class_index"])

    from shoegen.cli._pictures import read_mask
    from shoegen.editing import invert

    mask = None if given["mask"] is None else read_mask(given["mask"])
    with show_progress("finding the shoe", "steps") as report:
        shoe = invert(
            given["image"],
            model=model,
            quality=given["quality"],
            mask=mask,
            instance=given["instance"],
            flip=given["flip"],
            progress=report,
        )
    for note in shoe.source.get("notes", []):
        click.echo(f"note: {note}", err=True)
    return shoe


def _refuse_overwriting(given: dict[str, Any], out: str, writes_picture: bool) -> None:
    """Refuses outputs that would take the place of what was given, or of one another."""
    inputs = [given[name] for name in ("latent", "image", "mask", "direction") if given[name] is not None]
    outputs = {
        "--out": out if writes_picture else None,
        "--report": given["report"],
        "--report's picture": Path(given["report"]).with_suffix(".png") if given["report"] else None,
        "--save-latent": given["save_latent"],
        "--sweep": given["sweep"],
    }
    taken = {Path(each).resolve(): "what was given" for each in inputs}
    for option, path in outputs.items():
        if path is None:
            continue
        if Path(path).resolve() in taken:
            raise ConfigError(
                f"{option} {path} would overwrite {taken[Path(path).resolve()]}; choose another name"
            )
        taken[Path(path).resolve()] = f"{option} {path}"


def _check_report(path: str | None) -> None:
    from shoegen.torch_utils.files import check_writable

    if path is not None:
        if Path(path).suffix.lower() != ".json":
            raise ConfigError(f"--report {path}: expected the suffix .json")
        check_writable(path)


def _say(shoe: Shoe, attribute: str, shoe_length: float) -> str:
    """ "0.234 (62 mm)"; "not measured (no heel)"."""
    from shoegen.measure import ATTRIBUTES

    text = shoe.say(attribute, shoe_length)
    is_length = attribute in ATTRIBUTES and ATTRIBUTES[attribute].unit == "shoe length"
    if text == "not measured":
        reason = getattr(shoe.measures, "reasons", {}).get(attribute)
        return f"{text} ({reason})" if reason else text
    return f"{shoe.measures[attribute]:.3f} ({text})" if is_length else text


def _say_targets(edits: Sequence[Edit], model: ShoeModel) -> None:
    """How close targets were come, and which were not."""
    from shoegen.editing.aiming import say_miss

    pictures = sum(edit.pictures for edit in edits)
    for edit in edits:
        if edit.miss is not None:
            click.echo(f"{edit.say()} ({pictures} pictures measured)")
            if missed := say_miss(edit, model.sigmas):
                click.echo(f"note: {missed}", err=True)


def _say_unwanted(report: Any) -> None:
    moved = ", ".join(f"{each.name} {each.sigmas:+.2f} sd" for each in report.unwanted)
    click.echo(f"moved without being asked to: {moved or 'nothing by more than 0.5 sd'}")


# ---- many ----


def _edit_many(given: dict[str, Any], amounts: dict[str, Amount], shoe_length: float) -> None:
    from shoegen.editing.batch import Tally, check_jobs, read_jobs, run_jobs
    from shoegen.torch_utils.files import write_json
    from shoegen.torch_utils.text import some

    out = Path(given["out"] or "edits")
    if out.is_file():
        raise ConfigError(f"--out {out}: it is a file; many pictures need a folder")
    _check_report(given["report"])
    jobs = (
        read_jobs(given["jobs"], out, skip_bad=given["skip_bad"])
        if given["jobs"]
        else _jobs(given, amounts, out)
    )
    check_jobs(jobs)
    model = _open_model(given)
    for name in dict.fromkeys(name for job in jobs for name in job.edits):
        model.direction(name)
    _note_reach(model, [edit for job in jobs for edit in job.edits.items()])
    tally, figures = Tally(), []
    with show_progress("editing", "pictures") as progress:
        for done in run_jobs(
            model,
            jobs,
            psi=given["psi"],
            class_index=given["class_index"],
            quality=given["quality"],
            keep=[name for name in given["keep"].split(",") if name],
            hold=given["hold"],
            shoe_length=shoe_length,
            measure=given["report"] is not None,
            skip_bad=given["skip_bad"],
            tally=tally,
            progress=progress,
        ):
            if given["report"]:
                figures.append(done.figures(measured=True))
    if tally.failed:
        reasons = some((f"{done.job.name}: {done.error}" for done in tally.failed), separator="; ")
        click.echo(f"note: {len(tally.failed)} of {len(jobs)} could not be done: {reasons}", err=True)
    if not tally.done:
        raise ConfigError(f"none of {len(jobs)} could be done")
    if given["report"]:
        write_json(given["report"], {"model": model.hash, "shoe_length_mm": shoe_length, "jobs": figures})
        click.echo(given["report"])
    click.echo(f"{out}: {tally.done} pictures in {tally.seconds:.1f} s, {tally.pace:.1f} a second")


def _jobs(given: dict[str, Any], amounts: dict[str, Amount], out: Path) -> list[Job]:
    from shoegen.editing.batch import Job

    if given["seeds"]:
        seeds = parse_integers("--seeds", given["seeds"])
        return [Job("seed", str(seed), amounts, out / f"seed{seed:04d}.png") for seed in seeds]

    from shoegen.cli._pictures import check_outputs, find_pictures, name_outputs

    names = name_outputs(find_pictures((given["image"],)))
    check_outputs(out, names)
    return [Job("image", str(picture), amounts, out / f"{name}.png") for picture, name in names.items()]
