"""A generator ready for editing: `load("default").sample(7)`; a photograph's shoe: `invert("photo.jpg")`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from shoegen.directions.direction import Direction
from shoegen.directions.sampling import measure_ws
from shoegen.editing.shoe import Shoe
from shoegen.errors import ConfigError, FileFormatError
from shoegen.inversion import Inversion, Quality
from shoegen.inversion.latents import Basis
from shoegen.measure import ALIASES, ATTRIBUTES
from shoegen.segmentation.parts import PartSegmenter
from shoegen.stylegan.legacy import read_network
from shoegen.stylegan.networks import Generator, NoiseMode
from shoegen.stylegan.sampling import Classes, latents
from shoegen.torch_utils.devices import pick_device

ASSETS = Path(__file__).parent.parent / "assets"
SAMPLES = 96


def load(
    name_or_path: str | Path = "default", device: str = "auto", *, directions: str | Path | None = None
) -> ShoeModel:
    """Opens a generator.

    Args:
        name_or_path: "default", the one that ships with shoegen; the run folder of a training; or a file: a generator
            (.safetensors), a checkpoint (its averaged generator), an official .pkl, or rosinality's .pt. What a file
            is, its content tells. Directions are looked for in the folder `directions` beside it.
        device: "auto" takes a GPU where there is one; or "cpu", "cuda".
        directions: a folder of more, such as your own for the shipped model; it need not be there yet.

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
    folders = [path.parent / "directions", *([] if directions is None else [Path(directions)])]
    return ShoeModel(generator.to(pick_device(device)), name=str(name_or_path), directions=folders)


class ShoeModel(nn.Module):
    """A generator, the directions found for it, and a part segmenter to measure with.

    Args:
        generator: ready for inference.
        name: what messages call it.
        directions: the folder of its direction files, or several, of which a later one's come before; they need not
            be there.
        segmenter: knows the parts of a shoe; by default the shipped one, loaded when first needed.
        origin: hash of the generator that this one is a tuned copy of, whose directions hold for it too.
        base: the model of that generator.
    """

    def __init__(
        self,
        generator: Generator,
        *,
        name: str = "model",
        directions: str | Path | Sequence[Path] = "directions",
        segmenter: PartSegmenter | None = None,
        origin: str | None = None,
        base: ShoeModel | None = None,
    ) -> None:
        super().__init__()
        self.generator = generator
        self.name = name
        self.directions_folders = (
            [Path(directions)] if isinstance(directions, str | Path) else list(directions)
        )
        self._origin = origin or (base.hash if base else None)
        self._base = (base,)  # in a tuple: it is no part of this module
        if segmenter is not None:
            self.segmenter = segmenter

    @cached_property
    def segmenter(self) -> PartSegmenter:
        return PartSegmenter.load(device=self.device)

    @cached_property
    def basis(self) -> Basis:
        """W as the generator's samples lie in it."""
        return Basis.of(self.generator)

    @cached_property
    def hash(self) -> str:
        """Of the weights."""
        return self.generator.hash()

    @property
    def origin(self) -> str:
        """Hash of the generator that directions are fitted for: this one, or the one that it is a tuned copy of."""
        return self._origin or self.hash

    @property
    def base(self) -> ShoeModel | None:
        """The model that this one is a tuned copy of, where it is one."""
        return self._base[0]

    @property
    def device(self) -> torch.device:
        return self.generator.mapping.w_avg.device

    @property
    def directions_folder(self) -> Path:
        """Where directions of this model are written."""
        return self.directions_folders[0]

    @property
    def directions(self) -> list[str]:
        """The names that `edit` takes."""
        return sorted(self._direction_files())

    def _direction_files(self) -> dict[str, Path]:
        return {
            path.stem: path for folder in self.directions_folders for path in folder.glob("*.safetensors")
        }

    def direction(self, name: str | Path) -> Direction:
        """A direction by its name, by that of its attribute, or by the path of its file.

        Raises:
            ConfigError: there is no direction of this name; lists those that there are.
            FileFormatError: the file is none of a direction, or of one for another generator.
        """
        direction = Direction.load(self._find(str(name)))
        self.check_direction(direction)
        return direction

    def check_direction(self, direction: Direction) -> None:
        """Raises FileFormatError where a direction is for another generator."""
        direction.check_generator(self.origin)

    @cached_property
    def sigmas(self) -> dict[str, float]:
        """The standard deviation of each attribute over the model's shoes.

        As its directions know it; where they do not, over 96 samples, which takes seconds.
        """
        known: dict[str, float] = {}
        for path in self._direction_files().values():
            direction = Direction.load(path)
            if direction.generator_hash == self.origin:
                known |= {direction.attribute: direction.sigma, **direction.sigmas}
        if len(known) < 2:  # an old direction knows but its own
            model = self.base or self
            classes: Classes = "random" if model.generator.config.c_dim else None
            ws = latents(model.generator, range(SAMPLES), classes=classes)
            for name, values in measure_ws(model.generator, model.segmenter, ws).items():
                finite = values[np.isfinite(values)]
                if len(finite) > SAMPLES / 4 and name in ATTRIBUTES:
                    known.setdefault(name, float(finite.std()))
        return {name: sigma for name, sigma in known.items() if sigma > 0}

    def _find(self, name: str) -> Path:
        if name.endswith(".safetensors"):
            return Path(name)
        files = self._direction_files()
        alike = sorted(known for known in files if ALIASES.get(known, known) == ALIASES.get(name, name))
        if alike:
            return files[name if name in alike else alike[0]]
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
        return self.samples([seed], psi, class_index=class_index)[0]

    def samples(
        self, seeds: Sequence[int], psi: float = 0.7, *, class_index: int | None = None
    ) -> list[Shoe]:
        """The shoes of seeds."""
        ws = latents(self.generator, seeds, classes=class_index, psi=psi).cpu()
        kind = "" if class_index is None else f", class {class_index}"
        source = {"psi": psi} if class_index is None else {"psi": psi, "class": class_index}
        return [
            Shoe(self, each, f"seed {seed}{kind}", source={"seed": int(seed), **source})
            for seed, each in zip(seeds, ws, strict=True)
        ]


def invert(
    photo: str | Path | np.ndarray,
    *,
    model: ShoeModel | str | Path = "default",
    quality: Quality = "balanced",
    mask: np.ndarray | None = None,
    instance: int | None = None,
    flip: str = "auto",
    seed: int = 0,
    work: str | Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Shoe:
    """The shoe of a photograph, as a model draws it: `invert("photo.jpg").edit(heel="+20mm").in_photo`.

    Args:
        photo: a picture's file, or (H, W, 3) uint8.
        model: draws it; opened by `load` where it is not one.
        quality: "fast" (a second or so), "balanced" or "best", which also tune a copy of the generator to it.
        mask: (H, W), where the shoe is, in place of the segmenter's.
        instance: which of several shoes, counted from 1, left to right.
        flip: "yes" where the toe is at the right, "no" at the left; "auto" finds out.
        seed: of what is random.
        work: a folder to keep unfinished work in, which a second call goes on with.
        progress: is told the steps that are done, and all.

    Returns:
        A Shoe with its `photo`; `source` has the figures of the inversion.

    Raises:
        DataError: a picture that cannot be read, no shoe, or several and no `instance`.
        ConfigError: another quality or flip.
    """
    from shoegen.inversion import invert as find

    model = model if isinstance(model, ShoeModel) else load(model)
    found = find(
        photo,
        generator=model.generator,
        segmenter=model.segmenter,
        quality=quality,
        mask=mask,
        instance=instance,
        flip=flip,  # type: ignore[arg-type]
        seed=seed,
        work=work,
        progress=progress,
    )
    return inverted(found, model, name=None if isinstance(photo, np.ndarray) else Path(photo).name)


def inverted(found: Inversion, model: ShoeModel, *, name: str | None = None) -> Shoe:
    """An inversion by a model's generator as a Shoe; `name` is the photograph's."""
    from shoegen.editing.store import tuned_model

    if found.is_tuned:
        model = tuned_model(model, found.generator)
    source: dict[str, Any] = {
        "photo": name or "photograph",
        "photo_sha256": found.photo.sha256,
        "quality": found.quality,
        "figures": {key: float(value) for key, value in found.figures.items()},
        "notes": list(found.notes),
    }
    return Shoe(model, found.ws.cpu(), name or "photograph", photo=found.photo, source=source)
