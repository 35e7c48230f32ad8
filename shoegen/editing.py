"""Shoes drawn from a generator and edited along directions: `load("default").sample(7).edit(heel=2)`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from shoegen.data.images import encode_png, image_grid, resize, write_image
from shoegen.directions.direction import ALIASES, Direction
from shoegen.directions.sampling import measure_images
from shoegen.errors import ConfigError, FileFormatError
from shoegen.measure import ATTRIBUTES, to_millimetres
from shoegen.segmentation.parts import PartSegmenter
from shoegen.stylegan.legacy import read_network
from shoegen.stylegan.networks import Generator, NoiseMode
from shoegen.stylegan.sampling import latents
from shoegen.torch_utils.devices import pick_device
from shoegen.torch_utils.pixels import to_pixels

ASSETS = Path(__file__).parent / "assets"
MAX_STRENGTH = 10  # far beyond what any direction is calibrated for
SHOWN = 256  # least side in pixels of a picture that shows itself


def load(name_or_path: str | Path = "default", device: str = "auto") -> ShoeModel:
    """Opens a generator.

    Args:
        name_or_path: "default", the one that ships with shoegen; the run folder of a training; or a file: a generator
            (.safetensors), a checkpoint (its averaged generator), an official .pkl, or rosinality's .pt. What a file
            is, its content tells. Directions are looked for in the folder `directions` beside it.
        device: "auto" takes a GPU where there is one; or "cpu", "cuda".

    Raises:
        FileFormatError: no such model, or a file of another kind, or one that is refused because it would run code.
        ConfigError: no such device.
    """
    path = ASSETS if str(name_or_path) == "default" else Path(name_or_path)
    if path.is_dir():
        path = path / "generator.safetensors"
    if not path.is_file():
        raise FileFormatError(
            f"no model {str(name_or_path)!r}, nothing at {path}; give `default`, a generator's .safetensors "
            "file, the run folder of a training, or another project's .pkl or .pt"
        )
    generator = read_network(path).network
    assert isinstance(generator, Generator)
    return ShoeModel(
        generator.to(pick_device(device)), name=str(name_or_path), directions=path.parent / "directions"
    )


class ShoeModel(nn.Module):
    """A generator, the directions found for it, and a part segmenter to measure with.

    Args:
        generator: ready for inference.
        name: what messages call it.
        directions: the folder of its direction files; need not be there.
        segmenter: knows the parts of a shoe; by default the shipped one, loaded when first needed.
    """

    def __init__(
        self,
        generator: Generator,
        *,
        name: str = "model",
        directions: str | Path = "directions",
        segmenter: PartSegmenter | None = None,
    ) -> None:
        super().__init__()
        self.generator = generator
        self.name = name
        self.directions_folder = Path(directions)
        if segmenter is not None:
            self.segmenter = segmenter

    @cached_property
    def segmenter(self) -> PartSegmenter:
        return PartSegmenter.load(device=self.device)

    @cached_property
    def hash(self) -> str:
        """Of the weights; directions name the generator that they were fitted for by it."""
        return self.generator.hash()

    @property
    def device(self) -> torch.device:
        return self.generator.mapping.w_avg.device

    @property
    def directions(self) -> list[str]:
        """The names that `edit` takes."""
        return sorted(path.stem for path in self.directions_folder.glob("*.safetensors"))

    def direction(self, name: str | Path) -> Direction:
        """A direction by its name, by that of its attribute, or by the path of its file.

        Raises:
            ConfigError: there is no direction of this name; lists those that there are.
            FileFormatError: the file is none of a direction, or of one for another generator.
        """
        direction = Direction.load(self._find(str(name)))
        direction.check_generator(self.hash)
        return direction

    def _find(self, name: str) -> Path:
        if name.endswith(".safetensors"):
            return Path(name)
        alike = [known for known in self.directions if ALIASES.get(known, known) == ALIASES.get(name, name)]
        if alike:
            return self.directions_folder / f"{name if name in alike else alike[0]}.safetensors"
        raise ConfigError(
            f"{self.name} has no direction {name!r}; known: {', '.join(self.directions) or 'none'}; learn one "
            "with `shoegen fit-direction`, or give the path of a .safetensors file"
        )

    def forward(
        self,
        z: Tensor,
        c: Tensor | None = None,
        *,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
        noise_mode: NoiseMode = "const",
    ) -> Tensor:
        """z (N, z_dim), standard normal → float32 images (N, C, H, W) in [−1, 1]; see `Generator.forward`."""
        return self.generator(
            z, c, truncation_psi=truncation_psi, truncation_cutoff=truncation_cutoff, noise_mode=noise_mode
        )

    def sample(self, seed: int = 7, psi: float = 0.7, *, class_index: int | None = None) -> Shoe:
        """The shoe of a seed, in a class of a conditional generator.

        psi 1 is as varied as training made it, 0 is the mean shoe.
        """
        ws = latents(self.generator, [seed], classes=class_index, psi=psi)
        title = f"seed {seed}" if class_index is None else f"seed {seed}, class {class_index}"
        return Shoe(self, ws[0].cpu(), title)


@dataclass(frozen=True, eq=False, repr=False)
class Shoe:
    """A latent, and what follows from it: drawn, segmented and measured when first asked for.

    model: draws it. ws: float32 (num_ws, w_dim). title: where it comes from.
    """

    model: ShoeModel
    ws: Tensor
    title: str

    @cached_property
    def _drawn(self) -> Tensor:
        with torch.no_grad():
            return self.model.generator.synthesis(self.ws[None].to(self.model.device)).clamp(-1, 1)

    @cached_property
    def _measured(self) -> tuple[np.ndarray, dict[str, float]]:
        return measure_images(self._drawn, self.model.segmenter)[0]

    @cached_property
    def image(self) -> np.ndarray:
        """(H, W, C) uint8: grey, RGB or RGBA as the generator draws."""
        return to_pixels(self._drawn)[0]

    @property
    def part_map(self) -> np.ndarray:
        """(256, 256) uint8, finer than a small picture; as large as the picture where that is larger."""
        return self._measured[0]

    @property
    def measures(self) -> dict[str, float]:
        """The attributes in `shoegen.measure.ATTRIBUTES`; NaN where one cannot be measured."""
        return self._measured[1]

    def edit(self, **strengths: float) -> Shoe:
        """Moves along one or several directions of the model: `edit(heel=2, shaft=-1)`.

        Strength 1 adds about one standard deviation of the attribute over the model's samples.

        Raises:
            ConfigError: an unknown direction, or a strength that is not a finite number.
            FileFormatError: a direction for another generator.
        """
        shoe = self
        for name, strength in strengths.items():
            shoe = shoe.move(self.model.direction(name), strength, name=Path(name).stem)
        return shoe

    def move(self, direction: Direction, strength: float, *, name: str | None = None) -> Shoe:
        """Moves along a direction; `name` is what the title calls it."""
        if not isinstance(strength, Real) or not abs(strength) <= MAX_STRENGTH:
            raise ConfigError(
                f"strength: got {strength!r}, expected -{MAX_STRENGTH} to {MAX_STRENGTH}, such as 2 or -1.5"
            )
        strength = float(strength)
        direction.check_generator(self.model.hash)
        title = f"{self.title}, {name or direction.attribute} {format_strength(strength)}"
        return Shoe(self.model, direction.move(self.ws, strength), title)

    def strip(self, *, shoe_length: float = 265.0, **strengths: Sequence[float]) -> Strip:
        """The same shoe at several strengths of one direction, side by side: `strip(heel=[-2, -1, 0, 1, 2])`.

        Args:
            shoe_length: millimetres, which the captions reckon with.
            strengths: of one direction.

        Raises:
            ConfigError: as `edit`, or not a list of strengths of one direction.
        """
        if len(strengths) != 1 or not np.ndim(next(iter(strengths.values()))) or not len(*strengths.values()):
            raise ConfigError(f"strip: got {strengths or 'nothing'}, expected strengths of one direction")
        ((name, values),) = strengths.items()
        direction, name = self.model.direction(name), Path(name).stem
        shoes = [self.move(direction, value, name=name) if value else self for value in values]
        captions = [
            f"{name} {format_strength(value)}\n{format_measure(direction.attribute, shoe.measures, shoe_length)}"
            for value, shoe in zip(values, shoes, strict=True)
        ]
        return Strip(shoes, captions)

    def save(self, path: str | Path) -> None:
        """Writes the picture, pixel by pixel, in the format of the suffix."""
        write_image(path, self.image)

    def _repr_png_(self) -> bytes:
        return encode_png(_enlarge(self.image))

    def __repr__(self) -> str:
        lines = (
            f"  {name}: {'not measured' if math.isnan(value) else format(value, '.3g')}"
            for name, value in self.measures.items()
        )
        return "\n".join([f"Shoe({self.title})", *lines])


@dataclass(frozen=True, eq=False, repr=False)
class Strip:
    """Shoes side by side, with captions; shows itself in a notebook."""

    shoes: list[Shoe]
    captions: list[str]

    @cached_property
    def image(self) -> np.ndarray:
        """(H, W, 3) uint8."""
        tiles = [_enlarge(shoe.image) for shoe in self.shoes]
        return image_grid(tiles, len(tiles), captions=self.captions)

    def save(self, path: str | Path) -> None:
        """Writes the strip in the format of the suffix."""
        write_image(path, self.image)

    def _repr_png_(self) -> bytes:
        return encode_png(self.image)

    def __repr__(self) -> str:
        return "\n".join(["Strip", *("  " + " · ".join(caption.split("\n")) for caption in self.captions)])


def format_strength(strength: float) -> str:
    """2 → "+2", 0 → "0"."""
    return f"{strength:+g}" if strength else "0"


def format_measure(attribute: str, measures: dict[str, float], shoe_length: float = 265.0) -> str:
    """A measured attribute as text, lengths in millimetres: "62 mm"."""
    value, unit = measures[attribute], ATTRIBUTES[attribute].unit
    if math.isnan(value):
        return "not measured"
    if unit == "shoe length":
        return f"{to_millimetres(value, shoe_length):.0f} mm"
    return f"{value:.3g} {unit}"


def _enlarge(image: np.ndarray) -> np.ndarray:
    """At least 256 px a side, a whole number of times larger."""
    height, width = image.shape[:2]
    factor = max(1, math.ceil(SHOWN / min(height, width)))
    return resize(image, (factor * height, factor * width)).reshape(factor * height, factor * width, -1)
