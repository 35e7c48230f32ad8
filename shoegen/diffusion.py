"""Pipelines of diffusers in folders of this machine: what is opened, and the libraries' manners."""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from shoegen.errors import ConfigError, FileFormatError, ShoegenError
from shoegen.torch_utils.memory import is_out_of_memory, release_freed_memory

PIPELINES = ("StableDiffusionInpaintPipeline", "StableDiffusionXLInpaintPipeline")
"""The classes of diffusers whose folders are opened."""

MAX_MODEL_INDEX = 1_000_000  # bytes

# What may be in a pipeline's folder. Other classes could be told to fetch or run something by their files.
_COMPONENTS = {
    "unet": {"UNet2DConditionModel"},
    "vae": {"AutoencoderKL", "AsymmetricAutoencoderKL", "AutoencoderTiny"},
    "text_encoder": {"CLIPTextModel"},
    "text_encoder_2": {"CLIPTextModelWithProjection"},
    "tokenizer": {"CLIPTokenizer", "CLIPTokenizerFast"},
    "tokenizer_2": {"CLIPTokenizer", "CLIPTokenizerFast"},
    "image_encoder": {"CLIPVisionModelWithProjection"},
    "feature_extractor": {"CLIPImageProcessor", "CLIPFeatureExtractor"},
    "safety_checker": {"StableDiffusionSafetyChecker"},
}
_LIBRARIES = {"diffusers", "transformers", "stable_diffusion"}
_WITH_WEIGHTS = {"unet", "vae", "text_encoder", "text_encoder_2", "image_encoder", "safety_checker"}
_CODE = {".py", ".pyc", ".pyd", ".so"}
_PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl")


def check_pipeline(folder: Path) -> tuple[str, str | None]:
    """The class of a pipeline's folder, and the variant of its weights; call it before long work.

    Raises:
        ConfigError: diffusers or transformers is not installed.
        FileFormatError: no folder, no in-painting pipeline, or not of plain numbers alone.
    """
    if not folder.is_dir():
        got = "is a file" if folder.exists() else "is not there"
        raise FileFormatError(
            f"{folder} {got}; give the folder of an in-painting pipeline in the format of diffusers, with "
            "model_index.json; none is downloaded"
        )
    index = _read_json(folder / "model_index.json")
    kind = index.get("_class_name")
    if kind not in PIPELINES:
        raise FileFormatError(
            f"{folder} holds {kind if isinstance(kind, str) else 'a pipeline of its own code'}, expected an "
            f"in-painting pipeline: {' or '.join(PIPELINES)}"
        )
    refused = [
        path
        for path in folder.rglob("*")
        if _CODE.intersection(map(str.lower, path.suffixes)) or path.name == "adapter_config.json"
    ]
    if refused:
        raise FileFormatError(
            f"{folder} holds {refused[0].relative_to(folder)}; pipelines with code or adapters of their own are "
            "refused"
        )
    variants = set()
    for name, value in index.items():
        if not isinstance(value, list) or value == [None, None]:
            continue
        known = _COMPONENTS.get(name, set())
        library, cls = value if len(value) == 2 else (None, None)
        is_scheduler = name == "scheduler" and str(cls).endswith("Scheduler") and library == "diffusers"
        is_known = (
            isinstance(library, str) and library in _LIBRARIES and isinstance(cls, str) and cls in known
        )
        if not is_known and not is_scheduler:
            raise FileFormatError(
                f"{folder}: {name} is {value}, expected {' or '.join(sorted(known)) or 'none'}"
            )
        if name in _WITH_WEIGHTS:
            variants.add(_check_weights(folder, name))
    if not isinstance(index.get("unet"), list) or index["unet"] == [None, None]:
        raise FileFormatError(f"{folder} names no unet in model_index.json; get the folder again")
    side = _read_json(folder / "unet" / "config.json").get("sample_size")
    if type(side) is not int or side < 1:  # True is an int, too
        raise FileFormatError(
            f"{folder}: sample_size of unet/config.json is {side!r}, expected a whole number such as 64"
        )
    require()
    return kind, "fp16" if "fp16" in variants else None


def _check_weights(folder: Path, name: str) -> str | None:
    """The variant of a component's weights, None for plain ones."""
    files = [path for path in (folder / name).glob("*") if path.is_file()]
    tensors = [path for path in files if path.suffix == ".safetensors"]
    if not tensors:
        pickles = [path for path in files if path.suffix in _PICKLES]
        if pickles:
            raise FileFormatError(
                f"{folder}: the weights {name}/{pickles[0].name} are a pickle, which could run code; get the "
                "pipeline as .safetensors"
            )
        raise FileFormatError(f"{folder}: {name} has no .safetensors file; get the folder again")
    for path in files:
        if path.name.endswith(".index.json"):
            parts = _read_json(path).get("weight_map")
            if not isinstance(parts, dict) or any(
                not str(part).endswith(".safetensors") for part in parts.values()
            ):
                if ".safetensors." not in path.name:
                    continue  # of the pickles beside, which are not read
                raise FileFormatError(f"{path} names weights that are no .safetensors; get the folder again")
    return "fp16" if all(".fp16" in path.name for path in tensors) else None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            value = json.loads(file.read(MAX_MODEL_INDEX))
    except OSError as error:
        raise FileFormatError(
            f"cannot read {path}: {error.strerror}; expected the folder of an in-painting pipeline of diffusers"
        ) from error
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{path} is no JSON; get the folder again") from error
    if not isinstance(value, dict):
        raise FileFormatError(f"{path} is damaged; get the folder again")
    return value


def require() -> None:
    """Raises ConfigError where diffusers or transformers is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import diffusers  # noqa: F401
            import transformers  # noqa: F401
    except ImportError as error:
        raise ConfigError(f"in-painting needs {error.name}; pip install 'shoegen[diffusion]'") from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the libraries' own bars and warnings, which are no business of the user's, and without the network."""
    from diffusers.utils import logging as ours
    from huggingface_hub import constants
    from transformers.utils import logging as theirs

    before = [
        (library, library.get_verbosity(), library.is_progress_bar_enabled()) for library in (ours, theirs)
    ]
    offline = constants.HF_HUB_OFFLINE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            constants.HF_HUB_OFFLINE = True
            for library, _, _ in before:
                library.set_verbosity(library.CRITICAL)
                library.disable_progress_bar()
            yield
        finally:
            constants.HF_HUB_OFFLINE = offline
            for library, verbosity, bars in before:
                library.set_verbosity(verbosity)
                (library.enable_progress_bar if bars else library.disable_progress_bar)()


@contextlib.contextmanager
def explain(what: str, device: torch.device, advice: str) -> Iterator[None]:
    """One line for whatever the libraries raise."""
    try:
        yield
    except ShoegenError:
        raise
    except Exception as error:  # they raise nearly any type
        if is_out_of_memory(error):
            release_freed_memory()
            raise ConfigError(f"out of memory on {device}; {advice}") from error
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise FileFormatError(f"{what}: {reason}") from error
