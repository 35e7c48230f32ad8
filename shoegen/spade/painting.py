"""A SPADE in use: part maps → pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from shoegen.data.annotations.pngs import decode_colors
from shoegen.data.images import (
    check_part_map,
    encode_png,
    fit_image,
    fit_part_map,
    read_image,
    resize,
    same_aspect,
    write_image,
)
from shoegen.data.labels import SHOE_PARTS, LabelMap
from shoegen.errors import ConfigError, DataError, FileFormatError
from shoegen.measure import is_one_shoe
from shoegen.segmentation.parts import PartSegmenter
from shoegen.spade.config import SpadeConfig
from shoegen.spade.maps import boundaries, number_instances, read_map
from shoegen.spade.networks import Generator, StyleEncoder
from shoegen.torch_utils.pixels import from_pixels, to_pixels
from shoegen.torch_utils.tensors import find_model, load_tensors, save_tensors

MODEL_FILE = "spade.safetensors"  # in a run folder
BEST_FILE = "best.safetensors"
DEFAULT_PATH = Path(__file__).parent.parent / "assets" / MODEL_FILE
KIND = "spade"
LEAST_SHOE = 0.01  # of a style picture
ONE_PIECE = 0.8  # of what is found in it

Style = np.ndarray | Tensor
"""A picture (H, W, 3) uint8, or z (z_dim,)."""


class Painter:
    """A trained generator, its style encoder, and the labels that it paints.

        painter = Painter.load()
        picture = painter.paint(part_map, style_seed=3)  # (H, W) uint8 → (H, W, 3) uint8
        picture = painter.paint(part_map, style=photo)

    Args:
        generator, encoder: ready for use; encoder None: styles are random alone.
        config: of both.
        labels: as many as the generator has classes.

    Attributes: generator, encoder, config, labels, device.

    Raises:
        ConfigError: another number of labels.
    """

    def __init__(
        self, generator: Generator, encoder: StyleEncoder | None, config: SpadeConfig, labels: LabelMap
    ) -> None:
        if config.classes != len(labels):
            raise ConfigError(
                f"the generator has {config.classes} classes, the labels {len(labels)}; they must agree"
            )
        for network in (generator, encoder):
            if network is not None:
                network.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.generator, self.encoder, self.config, self.labels = generator, encoder, config, labels

    @property
    def device(self) -> torch.device:
        return next(self.generator.parameters()).device

    # ---- files ----

    @classmethod
    def load(cls, path: str | Path = "default", device: str | torch.device = "cpu") -> Self:
        """Reads a spade.safetensors, also out of a run folder; "default" is the one that ships with shoegen.

        Raises:
            FileFormatError: the file is not there, damaged, or of another kind.
        """
        path = find_model(path, DEFAULT_PATH, "painter", "train-spade")
        tensors, metadata = load_tensors(path, kind=KIND)
        damaged = f"{path} does not hold the networks that it names; get the file again"
        try:
            config = SpadeConfig.from_dict(metadata["config"])
            labels = LabelMap.from_json(metadata["labels"])
            networks: list[Any] = [Generator(config, spectral=False)]
            if any(name.startswith("encoder.") for name in tensors):
                networks.append(StyleEncoder(config, spectral=False))
            for network, prefix in zip(networks, ("generator.", "encoder.")):
                weights = {
                    name.removeprefix(prefix): tensor.float()
                    for name, tensor in tensors.items()
                    if name.startswith(prefix)
                }
                missing, unexpected = network.load_state_dict(weights, strict=False)
                if unexpected or any(not name.endswith("num_batches_tracked") for name in missing):
                    raise FileFormatError(damaged)
            encoder = networks[1].to(device) if len(networks) > 1 else None
            return cls(networks[0].to(device), encoder, config, labels)
        except (KeyError, ConfigError, DataError, RuntimeError) as error:
            raise FileFormatError(damaged) from error

    def save(
        self, path: str | Path, *, dtype: torch.dtype = torch.float16, notes: dict[str, Any] | None = None
    ) -> None:
        """Writes the networks, their filters by default in half precision, with config and labels.

        notes: what else the file's metadata keep.
        """
        tensors = {
            f"{prefix}.{name}": tensor.to("cpu", dtype if tensor.ndim > 1 else tensor.dtype).contiguous()
            for prefix, network in (("generator", self.generator), ("encoder", self.encoder))
            if network is not None
            for name, tensor in network.state_dict().items()
            if not name.endswith("num_batches_tracked")  # of use in training only
        }
        metadata = {"config": self.config.to_dict(), "labels": self.labels.to_json()}
        save_tensors(path, tensors, {**(notes or {}), "kind": KIND, **metadata})

    # ---- styles ----

    @torch.inference_mode()
    def encode(self, picture: np.ndarray) -> Tensor:
        """The style (z_dim,) of a picture (H, W, 3) uint8 of any size: the mean of what the encoder thinks likely.

        Raises:
            ConfigError: the model has no style encoder.
            DataError: an array of another shape or type.
        """
        if self.encoder is None:
            raise ConfigError("the model has no style encoder; leave out --style")
        if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or not picture.size:
            raise DataError(
                f"got a style {picture.shape} of {picture.dtype}, expected a picture: uint8 (H, W, 3)"
            )
        fitted = np.array(fit_image(picture, self.config.size, "pad"))
        pixels = torch.from_numpy(fitted).permute(2, 0, 1)[None].to(self.device)
        mean, _ = self.encoder(from_pixels(pixels))
        return mean[0].clone()

    def random_style(self, seed: int) -> Tensor:
        """The style (z_dim,) of a seed.

        Raises:
            ConfigError: the model knows no styles, or a seed that is none.
        """
        if self.config.z_dim is None:
            raise ConfigError("the model was trained without styles; leave out --style-seed")
        if not isinstance(seed, int | np.integer) or not 0 <= seed < 2**63:
            raise ConfigError(f"--style-seed: got {seed}, expected a whole number from 0 on")
        return torch.randn(self.config.z_dim, generator=torch.Generator().manual_seed(int(seed))).to(
            self.device
        )

    # ---- painting ----

    def prepare(
        self, part_map: np.ndarray, labels: LabelMap | None = None, *, fit: str = "strict"
    ) -> np.ndarray:
        """A part map of any size in the model's labels and size.

        Args:
            part_map: (H, W) of class indices, or (H, W, 3) uint8 of their colours.
            labels: its own; classes are found by their names. None: the model's.
            fit: how a map of another aspect comes to the model's, see `fit_part_map`; the margin is class 0.

        Returns:
            (height, width) uint8.

        Raises:
            DataError: a value, colour or class that the model does not know, or another aspect ratio under "strict".
        """
        labels = labels or self.labels
        if not isinstance(part_map, np.ndarray):
            raise DataError(
                f"got a part map of type {type(part_map).__name__}, expected an array; read files first"
            )
        if part_map.ndim == 3 and part_map.dtype == np.uint8:
            part_map = decode_colors(encode_png(part_map), labels)
        elif (
            np.issubdtype(part_map.dtype, np.integer)
            and part_map.size
            and 0 <= part_map.min() <= part_map.max() < 256
        ):
            part_map = part_map.astype(np.uint8)
        check_part_map(part_map, labels)
        part_map = self._table(part_map, labels)[part_map]
        return self._fit(part_map, "part map", fit)

    def _table(self, part_map: np.ndarray, labels: LabelMap) -> np.ndarray:
        """(256,) uint8: what the values of a part map are to the model."""
        table = np.zeros(256, np.uint8)
        if labels.names == self.labels.names:
            return np.arange(256, dtype=np.uint8)
        for value in np.unique(part_map).tolist():
            name = labels.names[value]
            if name not in self.labels.names:
                raise DataError(
                    f"the class {name!r} (value {value}, at {np.count_nonzero(part_map == value)} pixels) is "
                    f"unknown to the model; expected {', '.join(self.labels.names)}"
                )
            table[value] = self.labels.index(name)
        return table

    @torch.inference_mode()
    def paint(
        self,
        part_map: np.ndarray,
        style: Style | None = None,
        *,
        style_seed: int | None = None,
        instances: np.ndarray | None = None,
        fit: str = "strict",
        size: tuple[int, int] | int | None = None,
    ) -> np.ndarray:
        """The picture of a part map, (H, W, 3) uint8.

        Args:
            part_map: see `prepare`.
            style: a picture whose colours and material it takes, or z (z_dim,) as `encode` and `random_style` give it;
                None: the style of `style_seed`, without that the mean of all styles.
            style_seed: of a random style.
            instances: (H, W) of any shape that the part map may have, a number for each thing, for a model with edges.
            fit: see `prepare`.
            size: (height, width) of the picture, or a side; by default the model's.

        Raises:
            ConfigError: both kinds of style, or a model without; instances for a model without edges, or none for one
                with them.
            DataError: see `prepare` and `encode`.
        """
        labels = torch.from_numpy(self.prepare(part_map, fit=fit).astype(np.int64))[None].to(self.device)
        edges = self._edges(instances, fit)
        picture = to_pixels(self.generator(labels, self._style(style, style_seed), edges))[0]
        if size is None:
            return picture
        return resize(picture, (size, size) if isinstance(size, int) else size)

    def check_instances(self, given: bool) -> None:
        """Raises ConfigError where instances are given to a model without edges, or none to one with them."""
        if given and not self.config.edges:
            raise ConfigError("the model was trained without instances; leave out --instances")
        if self.config.edges and not given:
            raise ConfigError(
                "the model was trained with instances; give those of the part maps with --instances"
            )

    def _edges(self, instances: np.ndarray | None, fit: str) -> Tensor | None:
        """(1, 1, height, width), or None for a model without edges."""
        self.check_instances(instances is not None)
        if instances is None:
            return None
        fitted = self._fit(number_instances(instances), "instances", fit)
        return torch.from_numpy(boundaries(fitted))[None, None].float().to(self.device)

    def _fit(self, part_map: np.ndarray, name: str, fit: str) -> np.ndarray:
        height, width = self.config.size
        strict = fit == "strict" and not same_aspect(part_map.shape[:2], (height, width))  # type: ignore[arg-type]
        if part_map.ndim != 2 or strict:
            got = "x".join(str(side) for side in part_map.shape[1::-1])
            raise DataError(
                f"the {name} is {got} (width x height), the model paints {width}x{height}; cut it to that shape, or "
                "give --fit crop, or pad"
            )
        return fit_part_map(part_map, (height, width), fit)

    def _style(self, style: Style | None, seed: int | None) -> Tensor | None:
        """(1, z_dim), or None for a model without styles."""
        if style is not None and seed is not None:
            raise ConfigError("got a style and a --style-seed; give one of them")
        if self.config.z_dim is None:
            if style is not None or seed is not None:
                raise ConfigError("the model was trained without styles; leave out --style and --style-seed")
            return None
        if seed is not None:
            return self.random_style(seed)[None]
        if style is None:
            return torch.zeros(1, self.config.z_dim, device=self.device)
        if isinstance(style, np.ndarray):
            return self.encode(style)[None]
        if not isinstance(style, Tensor):
            raise DataError(
                f"got a style of type {type(style).__name__}, expected a picture or z; read files first"
            )
        if style.shape != (self.config.z_dim,):
            raise ConfigError(f"got a style {tuple(style.shape)}, expected ({self.config.z_dim},)")
        return style[None].to(self.device, torch.float32)


def check_style(painter: Painter, picture: np.ndarray, name: str) -> None:
    """Whether there is a shoe in a style picture, where the model paints the parts of shoes.

    Args:
        picture: (H, W, 3) uint8.
        name: what messages call it.

    Raises:
        DataError: the shipped segmenter finds none.
    """
    if painter.labels.names != SHOE_PARTS.names:
        return
    part_map = PartSegmenter.load(device=painter.device).segment(picture)
    enough = np.count_nonzero(part_map) >= LEAST_SHOE * part_map.size
    if not (enough and is_one_shoe(part_map, share=ONE_PIECE)):
        raise DataError(
            f"{name}: no shoe is found in it; give a picture of a single shoe from the side, before a plain background"
        )


@dataclass(frozen=True, eq=False, repr=False)
class Painting:
    """A painted picture, which a notebook shows beside its part map.

    image: (H, W, 3) uint8. part_map: (H, W) uint8, as the model saw it. labels: its classes.
    """

    image: np.ndarray
    part_map: np.ndarray
    labels: LabelMap

    def save(self, path: str | Path) -> None:
        """Writes the picture in the format of the suffix."""
        write_image(path, self.image)

    def _repr_png_(self) -> bytes:
        return encode_png(np.concatenate([self.labels.colorize(self.part_map), self.image], axis=1))

    def __repr__(self) -> str:
        height, width = self.part_map.shape
        return (
            f"Painting({width}x{height}: {', '.join(self.labels.names[i] for i in np.unique(self.part_map))})"
        )


def paint(
    part_map: np.ndarray | str | Path,
    style: Style | str | Path | None = None,
    style_seed: int | None = None,
    model: Painter | str | Path = "default",
    *,
    labels: LabelMap | None = None,
    instances: np.ndarray | None = None,
    fit: str = "strict",
) -> Painting:
    """Paints one part map.

        shoegen.paint("drawn.png", style="photo.jpg")
        shoegen.paint(part_map, style_seed=3)

    For many part maps load the model once, as `shoegen.spade.painting.Painter.load(path)`.

    Args:
        part_map: (H, W) of class indices or (H, W, 3) uint8 of their colours, or the file of either, a PNG.
        style: a picture whose colours and material it takes, uint8 (H, W, 3) or a file; or z (z_dim,).
        style_seed: of a random style, 0 where no style is given.
        model: a painter, its file or run folder.
        labels: the part map's own classes, where they are not the model's.
        instances: for a model with edges, see `Painter.paint`.
        fit: how a part map of another aspect comes to the model's: "strict", "crop" or "pad".

    Raises:
        ConfigError: both a style and a seed, or a model without styles.
        DataError: files that cannot be read, values, colours or classes that the model does not know, another aspect
            ratio, or a style picture without a shoe.
        FileFormatError: a model that is none.
    """
    painter = model if isinstance(model, Painter) else Painter.load(model)
    if isinstance(part_map, str | Path):
        part_map = read_map(part_map, labels or painter.labels)
    if style is not None and not isinstance(style, Tensor):
        picture = read_image(style) if isinstance(style, str | Path) else style
        if painter.encoder is not None:
            check_style(painter, picture, str(style) if isinstance(style, str | Path) else "the style")
        style = picture
    elif style is None and style_seed is None and painter.config.z_dim is not None:
        style_seed = 0
    prepared = painter.prepare(part_map, labels, fit=fit)
    image = painter.paint(prepared, style, style_seed=style_seed, instances=instances, fit=fit)
    return Painting(image, prepared, painter.labels)
