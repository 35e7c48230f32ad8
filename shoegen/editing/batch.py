"""Many edits at a time: of seeds, latents and photographs, from options or a CSV file."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from shoegen.data.images import image_format, write_image
from shoegen.directions.sampling import BATCH
from shoegen.editing.amounts import Amount, parse_edits
from shoegen.editing.model import ShoeModel, invert
from shoegen.editing.shoe import Shoe, prepare
from shoegen.editing.store import load_shoe
from shoegen.errors import ConfigError, DataError, ShoegenError
from shoegen.inversion import Quality
from shoegen.measure import SHOE_LENGTH
from shoegen.torch_utils.files import check_writable

SourceKind = Literal["seed", "latent", "image"]
KINDS: tuple[SourceKind, ...] = ("seed", "latent", "image")
COLUMNS = (*KINDS, "edits", "keep", "out")


@dataclass(frozen=True)
class Job:
    """One shoe, what is to become of it, and the picture's file.

    kind, source: a seed, or the path of a latent or a photograph. edits: by direction. keep: attributes that stay.
    """

    kind: SourceKind
    source: str
    edits: Mapping[str, Amount]
    out: Path
    keep: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """ "seed 7" or "photos/a.jpg"."""
        return f"seed {self.source}" if self.kind == "seed" else self.source


@dataclass(frozen=True, eq=False)
class Done:
    """A job that is done, or why it is not. before, after: the shoes; None where it failed."""

    job: Job
    before: Shoe | None = None
    after: Shoe | None = None
    error: str = ""

    def figures(self, *, measured: bool) -> dict[str, Any]:
        """For a report in JSON. measured: with the attributes that were asked for, before and after."""
        if self.before is None or self.after is None:
            return {"source": self.job.name, "error": self.error}
        edits = [edit.to_dict() for edit in self.after.history[len(self.before.history) :]]
        figures: dict[str, Any] = {"source": self.job.name, "out": str(self.job.out), "edits": edits}
        if measured:
            for which, shoe in (("before", self.before), ("after", self.after)):
                values = {name: round(value, 5) for name, value in shoe.measures.items() if value == value}
                figures[which] = dict.fromkeys(shoe.measures) | values
        return figures


@dataclass
class Tally:
    """How a batch went. seconds: of wall time. failed: what could not be done, and why."""

    done: int = 0
    seconds: float = 0.0
    failed: list[Done] = field(default_factory=list)

    @property
    def pace(self) -> float:
        """Pictures per second."""
        return self.done / self.seconds if self.seconds else 0.0


def read_jobs(path: str | Path, out: str | Path, *, skip_bad: bool = False) -> list[Job]:
    """Jobs from a CSV file: one of the columns seed, latent and image; edits; and maybe keep and out.

        image,edits,keep,out
        photos/a.jpg,heel=+20mm upper_a=1,toe,a.png

    Edits are parted by blanks or semicolons; what is kept by blanks, semicolons or commas. Paths of latents and images
    are relative to the CSV file, `out` to the folder `out`; without one it is numbered.

    Args:
        skip_bad: a latent or an image that is not there is its job's own error, when it is run.

    Raises:
        DataError: cannot be read, or a line is wrong; says which.
        ConfigError: a suffix that no picture has, or two lines write one file.
    """
    path, out = Path(path), Path(out)
    jobs: list[Job] = []
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restkey="", restval="")
            _check_columns(path, reader.fieldnames or ())
            for row in reader:
                try:
                    jobs.append(_read_job(row, path.parent, out, len(jobs), skip_bad))
                except ConfigError as error:
                    raise DataError(f"{path}, line {reader.line_num}: {error}") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"cannot read the jobs {path}: {reason}; give a CSV file with seed,edits") from error
    if not jobs:
        raise DataError(f"{path} has no jobs; expected lines below its first")
    check_jobs(jobs)
    return jobs


def check_jobs(jobs: Sequence[Job]) -> None:
    """Refuses, before any work, what cannot be written.

    Raises:
        ConfigError: a suffix that no picture has, two jobs for one file, or a file that is a source.
        OutputError: a path that cannot be written.
    """
    writers: dict[Path, Job] = {}
    sources = {Path(job.source).resolve() for job in jobs if job.kind != "seed"}
    for job in jobs:
        image_format(job.out)
        target = job.out.resolve()
        if target in sources:
            raise ConfigError(f"{job.out} is what is to be edited; give another name or folder (--out)")
        if target in writers:
            raise ConfigError(f"{job.out} would be written for {writers[target].name} and for {job.name}")
        writers[target] = job
    for folder in {target.parent for target in writers}:
        check_writable(folder / "picture.png")


def run_jobs(
    model: ShoeModel,
    jobs: Sequence[Job],
    *,
    psi: float = 0.7,
    class_index: int | None = None,
    quality: Quality = "balanced",
    keep: Sequence[str] = (),
    hold: bool = True,
    shoe_length: float = SHOE_LENGTH,
    measure: bool = False,
    skip_bad: bool = False,
    tally: Tally | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Done]:
    """Edits, draws and writes; pictures are drawn many at a time.

    Args:
        model: of the shoes.
        jobs: what to do.
        psi, class_index: of seeds.
        quality: of inversions.
        keep: attributes that stay in all jobs.
        hold: as in `Shoe.edit`; without it many times as fast.
        shoe_length: millimetres.
        measure: measures each shoe before and after, many at a time.
        skip_bad: goes on after a job that fails, which then is `Done` with its error.
        tally: is kept up to date.
        progress: is told how many are done, of how many.

    Raises:
        ShoegenError: what a job fails with, with its name before it.
    """
    tally = tally or Tally()
    started = time.perf_counter()
    for first in range(0, len(jobs), BATCH):
        part = jobs[first : first + BATCH]
        seeds = [int(job.source) for job in part if job.kind == "seed"]
        drawn = iter(model.samples(seeds, psi, class_index=class_index) if seeds else [])
        results = []
        for job in part:
            shoe = next(drawn) if job.kind == "seed" else None
            try:
                before = _open(job, model, quality) if shoe is None else shoe
                after = before.edit(keep=(*keep, *job.keep), hold=hold, shoe_length=shoe_length, **job.edits)
                results.append(Done(job, before, after))
            except ShoegenError as error:
                if not skip_bad:
                    raise type(error)(f"{job.name}: {error}") from error
                results.append(Done(job, error=str(error)))
        shoes = [done.after for done in results if done.after]
        prepare(shoes, measure=measure or any(shoe.photo for shoe in shoes))
        if measure:
            prepare([done.before for done in results if done.before], measure=True)
        for done in results:
            if done.after is None:
                tally.failed.append(done)
            else:
                write_image(done.job.out, done.after.in_photo if done.after.photo else done.after.image)
                tally.done += 1
            tally.seconds = time.perf_counter() - started
            progress(tally.done + len(tally.failed), len(jobs))
            yield done


def _open(job: Job, model: ShoeModel, quality: Quality) -> Shoe:
    if job.kind == "latent":
        return load_shoe(job.source, model)
    return invert(job.source, model=model, quality=quality)


def _check_columns(path: Path, names: Sequence[str]) -> None:
    unknown = [name for name in names if name not in COLUMNS]
    if unknown or "edits" not in names or not set(KINDS) & set(names):
        raise DataError(
            f"{path}: got the columns {', '.join(names) or 'none'}, expected edits, one of {', '.join(KINDS)}, and "
            "maybe keep and out"
        )


def _read_job(row: Mapping[str, str], folder: Path, out: Path, index: int, skip_bad: bool) -> Job:
    if "" in row:
        raise ConfigError("more cells than columns; put quotes around what has commas")
    given = [kind for kind in KINDS if row.get(kind, "").strip()]
    if len(given) != 1:
        raise ConfigError(f"got {' and '.join(given) or 'no source'}, expected one of {', '.join(KINDS)}")
    (kind,) = given
    source = row[kind].strip()
    if kind == "seed" and not (source.isdecimal() and int(source) < 2**32):
        raise ConfigError(f"seed: got {source!r}, expected a whole number from 0 to 2³² − 1")
    if kind != "seed":
        source = str(folder / source)
        if not skip_bad and not Path(source).is_file():
            raise ConfigError(f"nothing at {source}; paths are relative to the CSV file")
    edits = split_edits(row["edits"])
    if not edits:
        raise ConfigError("no edits; expected such as heel=+20mm")
    keep = row.get("keep", "").replace(";", " ").replace(",", " ").split()
    name = row.get("out", "").strip() or f"{index:05d}.png"
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise ConfigError(f"out: got {name}, expected a name inside the folder that --out names")
    return Job(kind, source, parse_edits(edits, "edits"), out / name, tuple(keep))


def split_edits(text: str) -> list[str]:
    """ "heel=+20 mm; upper_a=1" → ["heel=+20 mm", "upper_a=1"]; blanks part edits too where a name and = follow."""
    parts: list[str] = []
    for piece in text.split(";"):
        for word in piece.split():
            if "=" in word.lstrip("=") or not parts:
                parts.append(word)
            else:
                parts[-1] += f" {word}"
    return parts
