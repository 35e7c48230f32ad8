"""Trainings of a comparison, which go on after an interruption."""

from __future__ import annotations

import json
from pathlib import Path

from shoegen.errors import ConfigError, FileFormatError
from shoegen.segmentation import training
from shoegen.segmentation.config import RunConfig
from shoegen.segmentation.parts import MODEL_FILE
from shoegen.torch_utils.checkpoints import latest_checkpoint, load_checkpoint
from shoegen.torch_utils.run_folder import check_new_run


def check_run(config: RunConfig, folder: Path) -> None:
    """Refuses a folder with a run of other settings, or in which none can be started.

    Raises:
        ConfigError: names the first setting that differs.
        FileFormatError: the run's configuration is damaged.
        OutputError: see `check_new_run`.
    """
    kept = _read_config(config, folder)
    if kept is None:
        check_new_run(folder)
        return
    wanted, there = (_compared(each) for each in (config, kept))
    differs = [name for name in wanted if wanted[name] != there[name]]
    if differs:
        name = differs[0]
        raise ConfigError(
            f"{folder} holds a run of other settings: its {name} is {there[name]}, got {wanted[name]}; give the same "
            "ones, or choose another --out"
        )


def train_or_take(
    config: RunConfig, folder: Path, *, pretrained: bool | None = False, device: str = "auto"
) -> bool:
    """Trains in `folder`, goes on with the run that is there, or takes it if it is finished.

    Returns whether it is finished; otherwise it was told to stop, and has saved.

    Raises: as `check_run` and `shoegen.segmentation.training.train`.
    """
    check_run(config, folder)
    if _read_config(config, folder) is None:
        training.train(config, folder, pretrained=pretrained, device=device)
    elif not _is_finished(config, folder):
        training.resume(folder, device=device)
    return _is_finished(config, folder)


def _is_finished(config: RunConfig, folder: Path) -> bool:
    newest = latest_checkpoint(folder)
    if newest is None or not (folder / MODEL_FILE).is_file():
        return False
    state = load_checkpoint(newest)
    is_stale = config.patience is not None and state.get("stale", 0) >= config.patience
    return state.get("images", 0) >= config.images or is_stale


def _read_config(config: RunConfig, folder: Path) -> RunConfig | None:
    """What the run in the folder was asked for, as a configuration of the same kind."""
    path = folder / "config.json"
    try:
        values = json.loads(path.read_bytes())
        values.pop("kind")
        return type(config).from_dict(values)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise FileFormatError(
            f"{path} is no training's configuration ({error}); remove the folder, or choose another --out"
        ) from error


def _compared(config: RunConfig) -> dict[str, object]:
    """The settings by name, without those that a training finds out itself."""
    values = json.loads(json.dumps(training.with_absolute_paths(config).to_dict()))
    model = values.pop("model")
    found_out = {"classes", "pretrained", "norm", "cycle"}
    return {name: value for name, value in {**values, **model}.items() if name not in found_out}
