"""`shoegen compare-segmenters`: several segmenters on the same pictures, in one report."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from shoegen.cli import train_segmenter
from shoegen.cli._completion import complete_model
from shoegen.cli._progress import show_progress

if TYPE_CHECKING:
    from shoegen.segmentation.comparison import Candidate, CommonClasses, Comparison, LabelledPictures
    from shoegen.segmentation.config import RunConfig

_OF_TRAINING = {
    "images", "resolution", "width", "pretrained", "batch", "loss", "class_weights", "lr", "schedule", "augment",
    "flip", "val", "val_share", "evaluate_every", "save_every", "patience",
}  # fmt: skip
_OF_BOTH = {"seed", "skip_bad", "device"}
_SHOWN = ("mean IoU", "mean Dice", "pixel accuracy", "parameters", "ms/image", "peak memory")


def _training_options(command: Callable[..., None]) -> Callable[..., None]:
    """Those of train-segmenter that are not of one network alone."""
    options = [each for each in train_segmenter.command.params if each.name in _OF_TRAINING | _OF_BOTH]
    command.__click_params__ = [*reversed(options), *getattr(command, "__click_params__", [])]  # type: ignore[attr-defined]
    return command


@click.command("compare-segmenters")
@click.argument("models", nargs=-1, metavar="[MODEL]…", shell_complete=complete_model)
@click.option(
    "--data",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder or zip with images/, masks/ and labels.json to compare on.",
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="New folder for the report.")
@click.option(
    "--classes",
    help="Compare in fewer classes, such as shoes=shoe,boots=shoe; what is not listed becomes background.",
)
@click.option("--subset", type=click.IntRange(1), help="Only so many of the pictures, chosen by --seed.")
@click.option(
    "--worst", type=click.IntRange(1, 100), default=6, show_default=True, help="Worst pictures to show."
)
@click.option(
    "--typical", type=click.IntRange(0, 100), default=4, show_default=True, help="Typical pictures to show."
)
@click.option(
    "--allow-shared", is_flag=True, help="Also with pictures that a model was trained on, which flatters it."
)
@click.option(
    "--train", "architectures", help="Train these first: unet, segnet, deeplab, fcn, densenet, maskrcnn."
)
@click.option("--train-data", help="With --train: folder or zip with images/, masks/ and labels.json.")
@_training_options
@click.pass_context
def command(
    ctx: click.Context,
    models: tuple[str, ...],
    data: Path,
    out: Path,
    classes: str | None,
    subset: int | None,
    worst: int,
    typical: int,
    allow_shared: bool,
    architectures: str | None,
    train_data: str | None,
    pretrained: bool | None,
    device: str,
    seed: int,
    skip_bad: bool,
    **settings: Any,
) -> None:
    """Compare segmenters on the same pictures: figures, speed, memory, and where they do worst.

    A MODEL is a run folder, a file, or `default`. With --train, networks are trained first, in runs/ of the report's
    folder; after an interruption the same command goes on. All other options are those of train-segmenter: what is
    given holds for every network that takes it, and of what is not, such as --images and --batch, each network has
    its own default.

    \b
    shoegen compare-segmenters runs/unet runs/fcn default --data test.zip --out report
    shoegen compare-segmenters runs/all runs/shoe --data test.zip --classes shoes=shoe,boots=shoe --out report
    shoegen compare-segmenters --train unet,segnet,fcn --train-data train.zip --data test.zip --out report
    """
    from shoegen.data.annotations.convert import parse_classes
    from shoegen.errors import ConfigError
    from shoegen.segmentation.comparison import (
        CommonClasses,
        LabelledPictures,
        check_new_report,
        compare,
        write_report,
    )
    from shoegen.torch_utils.devices import pick_device
    from shoegen.torch_utils.memory import keep_freed_memory

    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise ConfigError("compare-segmenters runs as one process; start it without torchrun")
    if not models and architectures is None:
        raise ConfigError("no models to compare; name run folders, files or `default`, or some with --train")
    if (architectures is None) != (train_data is None):
        raise ConfigError("--train needs --train-data, and the other way round; give both or none")
    ignored = [name for name in _OF_TRAINING if ctx.get_parameter_source(name) == ParameterSource.COMMANDLINE]
    if architectures is None and ignored:
        option = sorted(ignored)[0].replace("_", "-")
        raise ConfigError(f"got --{option}, which is of trainings, without --train; leave it out, or train")
    check_new_report(out)
    place = pick_device(device)
    keep_freed_memory()  # as trainings do: the figures are the same after one
    configs = _configs(
        ctx,
        architectures,
        train_data,
        {"seed": seed, "skip_bad": skip_bad, "allow_shared": allow_shared, **settings},
    )
    pictures = LabelledPictures(data, subset=subset, seed=seed, skip_bad=skip_bad)
    common = CommonClasses(pictures.labels, None if classes is None else parse_classes(classes))
    candidates = [_load(name, path, place) for name, path in _names(models).items()]
    notes = _check(pictures, common, candidates, configs, allow_shared=allow_shared)
    trained = _train(configs, out, pretrained, device)
    if trained is None:
        click.echo("stopped and saved; the same command goes on")
        return
    taken = {each.name for each in candidates}
    candidates += [_load(_free(name, taken), path, place) for name, path in trained.items()]
    with show_progress("comparing", "part maps") as report:
        comparison = compare(
            pictures, candidates, classes=common, worst=worst, typical=typical, notes=notes, progress=report
        )
    page = write_report(comparison, out)
    _print_table(comparison)
    click.echo(f"report: {page}")


def _configs(
    ctx: click.Context, architectures: str | None, train_data: str | None, settings: dict[str, Any]
) -> dict[str, RunConfig]:
    """What to train, by the architectures' names."""
    from shoegen.errors import ConfigError

    if architectures is None or train_data is None:
        return {}
    names = [name.strip() for name in architectures.split(",")]
    train_segmenter.refuse_unused(ctx, "--train", names)
    if len(set(names)) != len(names):
        raise ConfigError(f"--train: got {architectures!r}, expected each architecture once")
    options = {str(each.name): None for each in train_segmenter.command.params} | settings
    return {name: train_segmenter.make_config(train_data, name, options) for name in names}


def _names(models: tuple[str, ...]) -> dict[str, str]:
    """A name in the report for each model: its folder's or file's, numbered where two are alike."""
    from shoegen.segmentation.parts import MODEL_FILE

    names: dict[str, str] = {}
    for model in models:
        path = Path(model)
        name = path.resolve().parent.name if path.name == MODEL_FILE else path.resolve().name
        names[_free(name.removesuffix(".safetensors"), set(names))] = model
    return names


def _free(name: str, taken: set[str]) -> str:
    number = 2
    free = name
    while free in taken:
        free, number = f"{name}-{number}", number + 1
    taken.add(free)
    return free


def _load(name: str, path: str, device: Any) -> Candidate:
    from shoegen.segmentation.comparison import Candidate
    from shoegen.segmentation.loading import load_segmenter

    return Candidate(name, path, load_segmenter(path, device))


def _check(
    pictures: LabelledPictures,
    common: CommonClasses,
    candidates: list[Candidate],
    configs: dict[str, RunConfig],
    *,
    allow_shared: bool,
) -> list[str]:
    """What a reader should know; refuses, before anything long, what cannot be compared or knows the pictures."""
    from shoegen.data.files import PictureFiles
    from shoegen.errors import ConfigError, ShoegenError
    from shoegen.segmentation.cascade import check_stage
    from shoegen.segmentation.comparison import Origins, Source, find_shared, trained_on
    from shoegen.segmentation.comparison.pictures import read_labels
    from shoegen.torch_utils.text import some

    for each in candidates:
        check_stage(each.segmenter, each.path, second=False)
    sources = {config.data for config in configs.values()}
    labels = {source: read_labels(PictureFiles(source)) for source in sources}
    common.check_names([*(each.segmenter.labels for each in candidates), *labels.values()])
    common.table(pictures.labels, f"the data {pictures.path}")
    for each in candidates:
        common.table(each.segmenter.labels, each.path)
    for source in sources:
        common.table(labels[source], f"--train-data {source}")

    notes = ["Freed memory was kept for the next picture, as in trainings."]
    learned = {each.path: trained_on(each.path) for each in candidates}
    for name, config in configs.items():
        val = [] if config.val is None else [("val", Source(config.val), "")]
        learned[f"--train {name}"] = Origins([("data", Source(config.data), ""), *val], [])
    for model, origins in learned.items():
        for gone in origins.unknown:
            what = model if gone == model else f"{gone}, which {model} goes back to,"
            notes.append(f"What {what} was trained on is not known; it may know these pictures.")
        for kind, origin, through in origins.sources:
            who = f"{model}, by way of {through}," if through else model
            try:
                shared = find_shared(pictures, origin)
            except ShoegenError:
                notes.append(
                    f"{who} was trained on {origin.data}, which is not there; it may know these pictures."
                )
                continue
            if shared and kind == "data" and not allow_shared:
                raise ConfigError(
                    f"{who} was trained on {len(shared)} of the {len(pictures)} pictures of {pictures.path} "
                    f"({some(shared)}); choose other --data, or allow it with --allow-shared"
                )
            if shared:
                what = "was trained on" if kind == "data" else "was chosen, among its checkpoints, by"
                notes.append(f"{who} {what} {len(shared)} of these pictures, which flatters it.")
    return notes


def _train(
    configs: dict[str, RunConfig], out: Path, pretrained: bool | None, device: str
) -> dict[str, str] | None:
    """The run folder of each architecture; None if it was told to stop."""
    from shoegen.segmentation.comparison import check_run, train_or_take
    from shoegen.segmentation.comparison.report import RUNS

    folders = {name: out / RUNS / name for name in configs}
    for name, config in configs.items():
        check_run(config, folders[name], pretrained=pretrained)
    for name, config in configs.items():
        click.echo(f"{folders[name]}: {name}", err=True)
        if not train_or_take(config, folders[name], pretrained=pretrained, device=device):
            return None
    return {name: str(folder) for name, folder in folders.items()}


def _print_table(comparison: Comparison) -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from shoegen.segmentation.comparison.report import summary_rows

    header, rows = summary_rows(comparison)
    shown = [header.index(name) for name in _SHOWN]
    table = Table(box=box.SIMPLE_HEAD, title=f"{len(comparison.pictures)} pictures of {comparison.data}")
    table.add_column("model", overflow="fold")
    for name in _SHOWN:
        table.add_column(name, justify="right", min_width=max(map(len, name.split())))
    for row in rows:
        table.add_row(escape(row[0]), *(row[column] for column in shown))
    Console().print(table)
