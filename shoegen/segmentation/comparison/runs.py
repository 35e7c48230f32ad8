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


def check_run(config: RunConfig, folder: Path, *, pretrained: bool | None = False) -> None:
    """Refuses a folder with a run of other settings, or in which none can be started.

    What is left to the training, such as a norm of "auto" or `pretrained` of None, agrees with any.

    Raises:
        ConfigError: names the first setting that differs.
        FileFormatError: the run's configuration is damaged.
        OutputError: see `check_new_run`.
    """
    kept = _read_config(config, folder)
    if kept is None:
        check_new_run(folder)
        return
    wanted, there = (_settings(each) for each in (config, kept))
    wanted = {name: value for name, value in wanted.items() if name not in _left_open(config)}
    if pretrained is not None and config.init_from is None:
        wanted["pretrained"] = pretrained
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
    check_run(config, folder, pretrained=pretrained)
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


def _settings(config: RunConfig) -> dict[str, object]:
    """By name, those of the network among them."""
    values = json.loads(json.dumps(training.with_absolute_paths(config).to_dict()))
    model = values.pop("model")
    return {**values, **model}


def _left_open(config: RunConfig) -> set[str]:
    """The settings that a training finds out itself."""
    found_out = {"classes", "pretrained"}
    if getattr(config.model, "norm", "auto") == "auto":
        found_out.add("norm")
    if config.cycle is None:
        found_out.add("cycle")
    return found_out
