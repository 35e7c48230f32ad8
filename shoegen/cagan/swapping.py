"""The model in use: a photograph, the article on it and another one → the photograph with the other one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from shoegen.cagan.config import CaganConfig, Size
from shoegen.cagan.networks import Generator, Swap, blend, carry
from shoegen.data.images import encode_png, fit_image, read_image, same_aspect, write_image
from shoegen.errors import ConfigError, DataError, FileFormatError
from shoegen.torch_utils.devices import pick_device
from shoegen.torch_utils.pixels import from_pixels
from shoegen.torch_utils.tensors import find_model, load_tensors, save_tensors
from shoegen.torch_utils.text import describe_size

KIND = "cagan"
MODEL_FILE = "cagan.safetensors"  # in a run folder
DEFAULT_PATH = Path(__file__).parent.parent / "assets" / MODEL_FILE
SMALLEST = 16  # pixels a side of a picture that shows anything
FLOOR = 0.05  # a sigmoid never reaches 0: a mask below this is none

Picture = np.ndarray | str | Path


def swap(
    photo: Picture, wearing: Picture, article: Picture, *, model: str | Path = "default", device: str = "auto"
) -> Swapped:
    """The photo with another article on it, which a notebook shows.

        shoegen.swap("street.jpg", wearing="sneaker.png", article="pump.png").save("pump_on_street.png")

    Args:
        photo, wearing, article: the photograph, the product picture of what is on it, and that of what is to be:
            (H, W, 3) uint8, or paths; all of the model's aspect, of any size.
        model: a cagan.safetensors, a run folder, or "default", which ships with shoegen.
        device: auto, cpu or cuda.

    Raises:
        DataError: a picture that cannot be read, or of another aspect.
        FileFormatError: no such model.
        ConfigError: no such device.
    """
    pictures = [
        read_image(each) if isinstance(each, str | Path) else each for each in (photo, wearing, article)
    ]
    return Swapper.load(model, pick_device(device)).swap(*pictures)


@dataclass(frozen=True, eq=False, repr=False)
class Swapped:
    """image: (H, W, 3) uint8, the photo with the other article. alpha: (H, W) float32 in [0, 1], where it was changed.

    Where alpha is 0 the image is the photo, bit for bit.
    """

    image: np.ndarray
    alpha: np.ndarray

    @property
    def mask(self) -> np.ndarray:
        """(H, W) uint8: alpha as a picture, white where the photo was changed."""
        return (self.alpha * 255 + 0.5).astype(np.uint8)

    def save(self, path: str | Path) -> None:
        """Writes the picture in the format of the suffix."""
        write_image(path, self.image)

    def _repr_png_(self) -> bytes:
        return encode_png(self.image)

    def __repr__(self) -> str:
        height, width = self.alpha.shape
        return f"Swapped({width}x{height}, {(self.alpha > 0).mean():.0%} changed)"


class Swapper:
    """A trained generator.

        swapper = Swapper.load("runs/swap")
        swapper.swap(photo, wearing, article).image  # each (H, W, 3) uint8

    Attributes: net, config, device.
    """

    def __init__(self, net: Generator) -> None:
        self.net = net.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.config: CaganConfig = net.config

    @property
    def device(self) -> torch.device:
        return next(self.net.parameters()).device

    @classmethod
    def load(cls, path: str | Path = "default", device: str | torch.device = "cpu") -> Self:
        """Reads a cagan.safetensors, also out of a run folder; "default" is the one that ships with shoegen.

        Raises:
            FileFormatError: the file is not there, damaged, or of another kind.
        """
        path = find_model(path, DEFAULT_PATH, "model to swap with", "train-cagan")
        tensors, metadata = load_tensors(path, kind=KIND)
        try:
            net = Generator(CaganConfig.from_dict(metadata["config"]))
            net.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
        except (KeyError, ConfigError, RuntimeError) as error:
            raise FileFormatError(
                f"{path} does not hold the network that it names; get the file again"
            ) from error
        return cls(net.to(device))

    def save(
        self, path: str | Path, *, dtype: torch.dtype = torch.float16, notes: dict[str, Any] | None = None
    ) -> None:
        """Writes the network, its filters by default in half precision, with its config.

        notes: what else the file's metadata keep.
        """
        tensors = {
            name: tensor.to("cpu", dtype if tensor.ndim > 1 else tensor.dtype).contiguous()
            for name, tensor in self.net.state_dict().items()
        }
        save_tensors(path, tensors, {**(notes or {}), "kind": KIND, "config": self.config.to_dict()})

    def swap(self, photo: np.ndarray, wearing: np.ndarray, article: np.ndarray) -> Swapped:
        """One photograph, see `swap_all`."""
        return self.swap_all([photo], [wearing], [article])[0]

    @torch.inference_mode()
    def swap_all(
        self,
        photos: Sequence[np.ndarray],
        wearing: Sequence[np.ndarray],
        articles: Sequence[np.ndarray],
        *,
        batch: int = 8,
    ) -> list[Swapped]:
        """The photographs with other articles on them, each at its own resolution.

        Args:
            photos: (H, W, 3) uint8, of any size that has the aspect of the training's pictures.
            wearing: product pictures of what is on them.
            articles: of what is to be on them.
            batch: photographs per pass.

        Raises:
            DataError: a picture of another shape, type or aspect, or numbers of pictures that differ.
            ConfigError: a batch below 1.
        """
        if not len(photos) == len(wearing) == len(articles):
            raise DataError(
                f"got {len(photos)} photos, {len(wearing)} articles worn and {len(articles)} others; expected as many "
                "of each"
            )
        if batch < 1:
            raise ConfigError(f"batch is {batch}, expected at least 1")
        for each in zip(photos, wearing, articles):
            self.check(*each)
        results: list[Swapped] = []
        for start in range(0, len(photos), batch):
            part = slice(start, start + batch)
            inputs = [self._fit(pictures[part]) for pictures in (photos, wearing, articles)]
            made = self.net(*inputs)
            for i, (photo, article) in enumerate(zip(photos[part], articles[part])):
                one = Swap(*(None if each is None else each[i : i + 1] for each in made))  # type: ignore[arg-type]
                results.append(_blend(photo, article, one))
        return results

    def check(self, photo: np.ndarray, wearing: np.ndarray, article: np.ndarray) -> None:
        """Whether the model takes these pictures.

        Raises:
            DataError: says what is wrong.
        """
        named = {"the photo": photo, "the article worn": wearing, "the other article": article}
        for name, each in named.items():
            if (
                not isinstance(each, np.ndarray)
                or each.ndim != 3
                or each.shape[2] != 3
                or each.dtype != np.uint8
                or not each.size
            ):
                got = (
                    f"an array {each.shape} of {each.dtype}"
                    if isinstance(each, np.ndarray)
                    else type(each).__name__
                )
                raise DataError(f"{name}: got {got}, expected a picture: uint8 (H, W, 3)")
            if min(each.shape[:2]) < SMALLEST:
                raise DataError(f"{name} is {_text(each.shape)} pixels, expected at least {SMALLEST} a side")
        for name in ("the article worn", "the other article"):
            if not same_aspect(named[name].shape[:2], photo.shape[:2]):
                raise DataError(
                    f"the photo is {_text(photo.shape)}, {name} {_text(named[name].shape)}; expected one aspect: cut "
                    "them alike, nothing is padded here"
                )
        for name, each in named.items():
            if not same_aspect(each.shape[:2], self.config.size):
                raise DataError(
                    f"{name} is {_text(each.shape)}, the model takes pictures of the aspect of "
                    f"{describe_size(self.config.size)}; cut the photo and both articles to it, nothing is padded here"
                )

    def _fit(self, pictures: Sequence[np.ndarray]) -> Tensor:
        fitted = np.stack([fit_image(each, self.config.size) for each in pictures])
        pixels = torch.from_numpy(fitted).permute(0, 3, 1, 2).to(self.device)
        return from_pixels(pixels).contiguous(memory_format=torch.channels_last)


def _blend(photo: np.ndarray, article: np.ndarray, made: Swap) -> Swapped:
    """What the network made of one photo, over the photo at its own size.

    Mask and colours are interpolated; what comes from the article comes from it at this size, and is as sharp as it is.
    """
    size: Size = photo.shape[0], photo.shape[1]

    def scale(x: Tensor) -> Tensor:
        return x if x.shape[2:] == size else F.interpolate(x, size, mode="bilinear", antialias=True)

    def pixels_of(picture: np.ndarray) -> Tensor:
        return torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].to(made.alpha.device).float()

    alpha = ((scale(made.alpha) - FLOOR) / (1 - FLOOR)).clamp(0, 1)
    if made.painted is None or made.share is None or made.places is None:
        drawn = scale(made.drawn)
    else:
        moved = carry(pixels_of(fit_image(article, size)) / 127.5 - 1, made.places)
        drawn = blend(scale(made.painted), scale(made.share), moved)
    pixels = pixels_of(photo)
    mixed = (pixels + alpha * (drawn * 127.5 + 127.5 - pixels)).round().clamp(0, 255).to(torch.uint8)
    return Swapped(mixed[0].permute(1, 2, 0).cpu().numpy(), alpha[0, 0].cpu().numpy())


def _text(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"
