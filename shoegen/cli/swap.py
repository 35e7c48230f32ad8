"""`shoegen swap`: photographs with another article on them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import click

from shoegen.cli._completion import complete_model
from shoegen.cli._options import refuse_overwriting, refuse_without_effect
from shoegen.cli._progress import show_progress


class _Job(NamedTuple):
    """One swap: three pictures, and where the result and, if wanted, the mask go."""

    photo: Path
    wearing: Path
    other: Path
    out: Path
    alpha_out: Path | None

    @property
    def inputs(self) -> tuple[Path, Path, Path]:
        return self.photo, self.wearing, self.other


_PATH = click.Path(path_type=Path)


@click.command()
@click.option("--photo", type=_PATH, help="The photograph.")
@click.option("--wearing", type=_PATH, help="Product picture of the article on it.")
@click.option("--with", type=_PATH, help="Product picture of the article to put there.")
@click.option("--out", type=_PATH, help="The picture to write, as large as the photograph.")
@click.option("--alpha-out", type=_PATH, help="Write the mask too: white where the photograph was changed.")
@click.option(
    "--jobs",
    type=_PATH,
    help="Many swaps: a CSV with the columns photo, wearing, with, out, if wanted alpha_out; paths relative to it.",
)
@click.option(
    "--model",
    default="default",
    show_default=True,
    shell_complete=complete_model,
    help="A cagan.safetensors, or a run folder; `default` ships with shoegen.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.pass_context
def command(
    ctx: click.Context,
    photo: Path | None,
    wearing: Path | None,
    out: Path | None,
    alpha_out: Path | None,
    jobs: Path | None,
    model: str,
    device: str,
    **options: Path | None,
) -> None:
    """Put another article on a photograph.

    \b
    shoegen swap --photo street.jpg --wearing sneaker.png --with pump.png --out pump_on_street.png
    shoegen swap --jobs jobs.csv --model runs/swap

    Photo and articles may have any size, and need the aspect of the model's pictures. Outside the mask the photograph
    stays as it is, bit for bit.
    """
    from shoegen.cagan.swapping import Swapper
    from shoegen.data.images import image_format, read_image, write_image
    from shoegen.errors import ConfigError, DataError
    from shoegen.torch_utils.devices import pick_device
    from shoegen.torch_utils.files import check_writable

    other = options["with"]  # no name that Python takes
    if jobs is not None:
        refuse_without_effect(ctx, ["photo", "wearing", "with", "out", "alpha_out"], "--jobs")
        todo = _read_jobs(jobs)
    else:
        given = {"--photo": photo, "--wearing": wearing, "--with": other, "--out": out}
        missing = [option for option, path in given.items() if path is None]
        if photo is None or wearing is None or other is None or out is None:
            raise ConfigError(
                f"got no {', '.join(missing)}; give {', '.join(given)}, or many swaps with --jobs"
            )
        todo = [_Job(photo, wearing, other, out, alpha_out)]
    inputs = dict.fromkeys(path for job in todo for path in job.inputs)
    taken: set[Path] = set()
    for job in todo:
        for option, path in (("--out", job.out), ("--alpha-out", job.alpha_out)):
            if path is None:
                continue
            image_format(path)
            refuse_overwriting(option, path, inputs)
            check_writable(path)
            if path.resolve() in taken:
                raise ConfigError(f"{option} {path} is written twice; choose another name")
            taken.add(path.resolve())
    swapper = Swapper.load(model, pick_device(device))
    for number, job in enumerate(todo, 1):
        try:
            swapper.check(*map(read_image, job.inputs))
        except DataError as error:
            where = f"{jobs}, swap {number}: " if jobs is not None else ""
            raise DataError(f"{where}{error}") from error
    with show_progress("swapping", "photos") as report:
        for done, job in enumerate(todo, 1):
            made = swapper.swap(*map(read_image, job.inputs))
            made.save(job.out)
            if job.alpha_out is not None:
                write_image(job.alpha_out, made.mask)
            report(done, len(todo))
    click.echo(f"{todo[0].out}: swapped" if jobs is None else f"{jobs}: {len(todo)} photos swapped")


def _read_jobs(path: Path) -> list[_Job]:
    """The rows of a CSV file.

    Raises:
        DataError: it is none, lacks a column or a cell, or has no rows.
    """
    from shoegen.data.tables import read_table
    from shoegen.errors import DataError

    needed = ("photo", "wearing", "with", "out")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"--jobs: cannot read {path}: {error.strerror}; check the path") from error
    jobs = []
    for row in read_table(content, f"--jobs {path}", needed, ["alpha_out"]):
        cells = row.cells
        if empty := [name for name in needed if not cells[name]]:
            raise DataError(
                f"--jobs {path}: line {row.line} has no {empty[0]}; fill it in, or take the line out"
            )
        photo, wearing, other, out = (path.parent / cells[name] for name in needed)
        alpha_out = path.parent / cells["alpha_out"] if cells["alpha_out"] else None
        jobs.append(_Job(photo, wearing, other, out, alpha_out))
    if not jobs:
        raise DataError(f"--jobs {path} has no rows; expected one for each swap")
    return jobs
