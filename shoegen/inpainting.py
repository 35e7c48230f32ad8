"""Shoes of a photograph replaced by others that a text describes: `inpaint(photo, "red suede loafer", model=folder)`.

A Stable Diffusion in-painting pipeline (Rombach et al., arXiv 2112.10752), read from a folder on this machine, draws
what a mask covers. Needs diffusers and transformers: pip install 'shoegen[diffusion]'.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image, PngImagePlugin

import shoegen
from shoegen.data.images import encode_png, image_grid, read_image, resize
from shoegen.data.squares import Square, box_of
from shoegen.diffusion import check_pipeline, explain, quiet
from shoegen.errors import ConfigError, DataError
from shoegen.segmentation.loading import AnySegmenter, load_segmenter
from shoegen.segmentation.shoes import find_masks, grow
from shoegen.torch_utils.config import JsonConfig
from shoegen.torch_utils.devices import pick_device
from shoegen.torch_utils.files import atomic_write

METADATA_KEY = "shoegen"  # of a PNG's text that says how it was made
CONTEXT = 0.25  # what is seen around a shoe, on each side, as a share of its longer side
GROWTH = 0.02  # what the mask is grown by unless told, as a share of the shoe's longer side
MAX_SIDE = 4096  # pixels, that a pipeline works at, and that a mask is grown by

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class InpaintingConfig(JsonConfig):
    """What to draw, and how.

    prompt: what is to be there. negative_prompt: what is not; read where guidance is above 1. steps: of denoising.
    guidance: weight of the prompt (Ho and Salimans, arXiv 2207.12598). strength: in (0, 1]; 1 draws from noise alone,
    less starts from what is there. seed: of the noise. size: the side in pixels that the pipeline works at, a multiple
    of 8; None for the one that it was trained at. grow: pixels that the mask is grown by; None for a fiftieth of the
    shoe's longer side. feather: pixels inside the grown mask over which the new fades into the old; None for as many
    as it was grown by, so that what the mask covered is new.
    """

    prompt: str
    negative_prompt: str = ""
    steps: int = 30
    guidance: float = 7.5
    strength: float = 1.0
    seed: int = 7
    size: int | None = None
    grow: int | None = None
    feather: int | None = None

    def __post_init__(self) -> None:
        if not self.prompt.strip():
            raise ConfigError("--prompt: it is empty; say what is to be drawn, such as 'red suede loafer'")
        _check_whole("--steps", self.steps, 1, 1000)
        _check_whole("--seed", self.seed, 0, 2**32 - 1)
        if not isinstance(self.guidance, Real) or not 0 <= self.guidance <= 100:
            raise ConfigError(f"--guidance: got {self.guidance!r}, expected 0 to 100, such as 7.5")
        if not isinstance(self.strength, Real) or not 0 < self.strength <= 1:
            raise ConfigError(f"--strength: got {self.strength!r}, expected above 0, up to 1")
        if self.steps_taken < 1:
            raise ConfigError(
                f"--strength {self.strength:g} of --steps {self.steps} leaves no step; raise either"
            )
        if self.negative_prompt and self.guidance <= 1:
            raise ConfigError(
                f"--negative-prompt is not read at --guidance {self.guidance:g}; raise it above 1"
            )
        if self.size is not None:
            _check_whole("--size", self.size, 8, MAX_SIDE)
            if self.size % 8:
                raise ConfigError(f"--size: got {self.size}, expected a multiple of 8, such as 512")
        for option, pixels in ("--grow", self.grow), ("--feather", self.feather):
            if pixels is not None:
                _check_whole(option, pixels, 0, MAX_SIDE)

    @property
    def steps_taken(self) -> int:
        """How many of the steps the strength leaves."""
        return min(int(self.steps * self.strength), self.steps)


def inpaint(
    image: np.ndarray | str | Path,
    prompt: str,
    *,
    model: Inpainter | str | Path,
    mask: np.ndarray | None = None,
    segmenter: AnySegmenter | str | Path = "default",
    classes: Sequence[str] | None = None,
    instance: int | None = None,
    device: str = "auto",
    **settings: Any,
) -> Inpainted:
    """Replaces the shoes of a photograph; a notebook shows what was there, the mask, and what is there now.

        shoegen.inpaint("photo.jpg", "red suede loafer", model="path/to/pipeline", seed=3)

    Args:
        image: (H, W, 3) uint8, or a file.
        prompt: what is to be there.
        model: the folder of a Stable Diffusion in-painting pipeline, or what `Inpainter.load` made of it.
        mask: (H, W), bool, or uint8 of which 128 and more counts, or 1 where there is only 0 and 1: what to replace;
            by default `segmenter` finds it.
        segmenter: "default", a run folder, a file, or a segmenter that was loaded.
        classes: those of the segmenter that make the mask; by default all but its first, the background.
        instance: replaces one shoe only, counted from 1, left to right; by default all.
        device: "auto" takes a GPU where there is one; or "cpu", "cuda"; for what is not loaded yet.
        settings: those of `InpaintingConfig`.

    Raises:
        ConfigError: a setting that cannot be followed, diffusers is not installed, or memory ran out.
        DataError: no shoe is found, the mask has another size, or the pipeline's safety checker refuses the result.
        FileFormatError: no pipeline, or one that is refused.
    """
    config = InpaintingConfig(prompt=prompt, **settings)
    pixels = image if isinstance(image, np.ndarray) else read_image(image)
    finder = None
    if mask is None:
        if isinstance(segmenter, str | Path):
            segmenter = load_segmenter(segmenter, pick_device(device))
        finder = segmenter
    masks = find_masks(pixels, mask=mask, segmenter=finder, classes=classes, instance=instance)
    inpainter = model if isinstance(model, Inpainter) else Inpainter.load(model, device)
    return inpainter.paint(pixels, masks, config)


@dataclass(frozen=True, eq=False, repr=False)
class Inpainted:
    """A photograph of which something was replaced; shows itself in a notebook.

    before, image: (H, W, 3) uint8, the same to the bit where `mask`, (H, W) bool, is False. shoes: how many were
    replaced. config: what was drawn, and how. model: the name of the pipeline's folder.
    """

    before: np.ndarray
    image: np.ndarray
    mask: np.ndarray
    shoes: int
    config: InpaintingConfig
    model: str

    @property
    def provenance(self) -> dict[str, Any]:
        """How the picture was made, as its file keeps it."""
        return {
            "version": shoegen.__version__,
            "command": "inpaint",
            "model": self.model,
            "shoes": self.shoes,
            **self.config.to_dict(),
        }

    def save(self, path: str | Path) -> None:
        """Writes the picture as PNG with its provenance, JSON, as the text "shoegen".

        Raises:
            ConfigError: `path` does not end in .png.
            OutputError: the path cannot be written.
        """
        check_out(path)
        text = PngImagePlugin.PngInfo()
        text.add_text(METADATA_KEY, json.dumps(self.provenance))
        with atomic_write(path) as file:
            Image.fromarray(self.image).save(file, "PNG", pnginfo=text)

    @cached_property
    def sheet(self) -> np.ndarray:
        """(H', W', 3) uint8: before, the mask in red, after."""
        tinted = self.before.copy()
        tinted[self.mask] = tinted[self.mask] // 2 + np.array([127, 0, 0], np.uint8)
        return image_grid([self.before, tinted, self.image], 3)

    def _repr_png_(self) -> bytes:
        return encode_png(self.sheet)

    def __repr__(self) -> str:
        return f"Inpainted({self.config.prompt!r}, seed {self.config.seed}, {self.shoes} replaced)"


def check_out(path: str | Path) -> None:
    """Raises ConfigError for a file that would not keep the rest of the photograph as it is."""
    if Path(path).suffix.lower() != ".png":
        raise ConfigError(
            f"cannot write {path}: expected the suffix .png, which keeps the photograph to the bit"
        )


class Inpainter:
    """An in-painting pipeline, ready for many pictures.

        inpainter = Inpainter.load("path/to/pipeline")
        inpainter.paint(image, find_masks(image, segmenter=segmenter), InpaintingConfig(prompt="red suede loafer"))

    Attributes: pipeline, of diffusers; name; device; size, the side in pixels that it was trained at.
    """

    def __init__(self, pipeline: Any, name: str, device: torch.device) -> None:
        self.pipeline, self.name, self.device = pipeline, name, device

    @property
    def size(self) -> int:
        return int(self.pipeline.unet.config.sample_size * self.pipeline.vae_scale_factor)

    @classmethod
    def load(cls, folder: str | Path, device: str | torch.device = "auto") -> Inpainter:
        """Reads the folder of a pipeline, in half precision for a GPU. Nothing is downloaded, no code of it is run.

        Raises:
            ConfigError: diffusers or transformers is not installed, no such device, or it does not fit its memory.
            FileFormatError: no folder, no in-painting pipeline, damaged, or with weights that are pickles.
        """
        device = pick_device(device) if isinstance(device, str) else device
        folder = Path(folder)
        kind, variant = check_pipeline(folder)
        with (
            quiet(),
            explain(f"{folder} cannot be opened", device, "choose --device cpu, or a smaller model"),
        ):
            import diffusers

            pipeline = getattr(diffusers, kind).from_pretrained(
                str(folder.resolve()),
                torch_dtype=torch.float16 if device.type == "cuda" else torch.float32,
                variant=variant,
                use_safetensors=True,
                local_files_only=True,
            )
            pipeline.set_progress_bar_config(disable=True)
            return cls(pipeline.to(device), folder.resolve().name, device)

    def paint(
        self,
        image: np.ndarray,
        masks: Sequence[np.ndarray],
        config: InpaintingConfig,
        *,
        report: Progress = lambda done, total: None,
    ) -> Inpainted:
        """Replaces what each mask covers, one after the other, each with the same noise.

        Args:
            image: (H, W, 3) uint8.
            masks: (H, W) bool each, not empty; see `find_masks`.
            config: what to draw.
            report: called with (done, total) after each step.

        Raises:
            ConfigError: the prompt is longer than the pipeline reads, or memory ran out.
            DataError: the pipeline's safety checker refuses the result, or it is no picture.
        """
        for option, text in ("--prompt", config.prompt), ("--negative-prompt", config.negative_prompt):
            self._check_length(option, text)
        result, union = image.copy(), np.zeros(image.shape[:2], bool)
        steps = config.steps_taken
        for number, mask in enumerate(masks):

            def count(done: int, before: int = number * steps) -> None:
                report(before + done, len(masks) * steps)

            grown, alpha = _soften(mask, config)
            square = _square_around(grown)
            new = self._draw(square.cut(result, fill=None), square.cut(grown), config, count)
            _blend(result, resize(new, (square.side, square.side)), square, grown, alpha)
            union |= grown
        config = dataclasses.replace(config, size=config.size or self.size)
        return Inpainted(image, result, union, len(masks), config, self.name)

    def _draw(
        self, image: np.ndarray, mask: np.ndarray, config: InpaintingConfig, count: Callable[[int], None]
    ) -> np.ndarray:
        """A square of a picture (h, h, 3) and its mask (h, h) → (size, size, 3) uint8, drawn by the pipeline."""
        size = config.size or self.size
        covered = resize(mask.astype(np.uint8) * 255, (size, size), "box") > 0

        def report_step(pipeline: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            count(step + 1)
            return tensors

        advice = f"choose a smaller --size than {size}"
        with (
            quiet(),
            explain(f"the pipeline {self.name} failed", self.device, advice),
            torch.inference_mode(),
        ):
            drawn = self.pipeline(
                prompt=config.prompt,
                negative_prompt=config.negative_prompt or None,
                image=Image.fromarray(resize(image, (size, size))),
                mask_image=Image.fromarray(covered.astype(np.uint8) * 255),
                height=size,
                width=size,
                strength=float(config.strength),
                num_inference_steps=int(config.steps),
                guidance_scale=float(config.guidance),
                generator=torch.Generator().manual_seed(int(config.seed)),  # the same noise on every device
                output_type="np",
                callback_on_step_end=report_step,
            )
        if any(getattr(drawn, "nsfw_content_detected", None) or ()):
            raise DataError(
                f"the safety checker of {self.name} refuses the result; try another --seed or --prompt"
            )
        pixels = np.asarray(drawn.images[0])
        if not np.isfinite(pixels).all():
            raise DataError(f"{self.name} drew values that are no numbers; try --device cpu or another model")
        return (pixels * 255).round().clip(0, 255).astype(np.uint8)

    def _check_length(self, option: str, text: str) -> None:
        """What is longer than the text encoder reads would be cut off in silence."""
        tokenizer = self.pipeline.tokenizer
        with quiet():
            count = len(tokenizer(text).input_ids)
        if count > tokenizer.model_max_length:
            raise ConfigError(
                f"{option}: it has {count} tokens, {self.name} reads {tokenizer.model_max_length}; shorten it"
            )


def _soften(mask: np.ndarray, config: InpaintingConfig) -> tuple[np.ndarray, np.ndarray]:
    """The grown mask (H, W) bool, and the share of the new at each pixel, float32, above 0 inside it only."""
    top, left, bottom, right = box_of(mask)
    automatic = math.ceil(GROWTH * max(bottom - top, right - left))
    growth = automatic if config.grow is None else config.grow
    feather = growth if config.feather is None else config.feather
    grown = grow(mask, growth)
    if grown.all():
        return grown, np.ones(mask.shape, np.float32)
    inside = cv2.distanceTransform(grown.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # What the mask covers is farther inside than it was grown by.
    return grown, np.where(inside > feather, 1, inside / (feather + 1)).astype(np.float32)


def _square_around(mask: np.ndarray) -> Square:
    """What the mask covers and something around it, within the picture where it fits."""
    top, left, bottom, right = box_of(mask)
    longer = max(bottom - top, right - left)
    side = max(min(math.ceil(longer * (1 + 2 * CONTEXT)), max(mask.shape)), longer)

    def start(low: int, high: int, length: int) -> int:
        if side >= length:
            return (length - side) // 2
        return min(max((low + high - side) // 2, 0), length - side)

    return Square(start(top, bottom, mask.shape[0]), start(left, right, mask.shape[1]), side)


def _blend(image: np.ndarray, new: np.ndarray, square: Square, mask: np.ndarray, alpha: np.ndarray) -> None:
    """Puts the pixels `new` of a square into the picture where the mask is True, by shares of `alpha`."""
    inside, within = square.overlap(mask.shape)
    where = mask[inside]
    share = alpha[inside][where][:, None]
    target = image[inside]
    target[where] = (share * new[within][where] + (1 - share) * target[where]).round().astype(np.uint8)


def _check_whole(option: str, value: Any, low: int, high: int) -> None:
    if not isinstance(value, Integral) or not low <= int(value) <= high:
        raise ConfigError(f"{option}: got {value!r}, expected a whole number from {low} to {high}")
