"""A shoe: a latent, what is drawn and measured from it, and the shoes that it is edited into."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from shoegen.data.images import encode_png, fit_image, image_grid, resize, write_image
from shoegen.directions.direction import Direction
from shoegen.directions.sampling import BATCH, measure_images
from shoegen.editing import aiming
from shoegen.editing.amounts import Amount, as_text
from shoegen.editing.history import Edit, asked_for, direction_hash
from shoegen.errors import ConfigError
from shoegen.inversion import Photo
from shoegen.measure import ATTRIBUTES, SHOE_LENGTH, parse_shoe_length
from shoegen.torch_utils.pixels import as_rgb, to_pixels

if TYPE_CHECKING:
    from shoegen.editing.model import ShoeModel
    from shoegen.editing.report import EditReport
    from shoegen.editing.sliders import Sliders
    from shoegen.segmentation.overlay import Overlay

SHOWN = 256  # least side in pixels of a picture that shows itself


@dataclass(frozen=True, eq=False, repr=False)
class Shoe:
    """A latent, and what follows from it: drawn, segmented and measured when first asked for.

    model: draws it. ws: float32 (num_ws, w_dim). title: where it comes from. history: what was done to it since.
    photo: the photograph that it was found for. source: where it comes from, as its latent's file keeps it.
    """

    model: ShoeModel
    ws: Tensor
    title: str
    history: tuple[Edit, ...] = ()
    photo: Photo | None = None
    source: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def _drawn(self) -> Tensor:
        with torch.no_grad():
            return self.model.generator.synthesis(self.ws[None].to(self.model.device)).clamp(-1, 1)

    @cached_property
    def _measured(self) -> tuple[np.ndarray, dict[str, float]]:
        return measure_images(self._drawn, self.model.segmenter)[0]

    @property
    def drawn(self) -> Tensor:
        """float32 (1, C, h, w) in [−1, 1], on the model's device."""
        return self._drawn

    @cached_property
    def image(self) -> np.ndarray:
        """(H, W, C) uint8: grey, RGB or RGBA as the generator draws."""
        return to_pixels(self._drawn)[0]

    @property
    def rgb(self) -> np.ndarray:
        """(H, W, 3) uint8: the picture in colours, what is transparent over white."""
        return to_pixels(as_rgb(self._drawn))[0]

    @property
    def part_map(self) -> np.ndarray:
        """(256, 256) uint8, finer than a small picture; as large as the picture where that is larger."""
        return self._measured[0]

    @property
    def visible_part_map(self) -> np.ndarray:
        """The part map without the margins that it has where the picture is not square: (H, W) uint8."""
        (height, width), side = self.image.shape[:2], len(self.part_map)
        factor = side / max(height, width)
        rows, columns = round(height * factor), round(width * factor)
        top, left = (side - rows) // 2, (side - columns) // 2
        return self.part_map[top : top + rows, left : left + columns]

    @property
    def overlay(self) -> Overlay:
        """The picture, as fine as the part map, tinted by its parts over a legend; a notebook shows it."""
        from shoegen.segmentation.overlay import Overlay

        # The part map has margins where the picture is not square.
        side = len(self.part_map)
        picture = np.array(fit_image(self.rgb, (side, side), "pad"))
        return Overlay(picture, self.part_map, self.model.segmenter.labels)

    @property
    def measures(self) -> dict[str, float]:
        """The attributes in `shoegen.measure.ATTRIBUTES`; NaN where one cannot be measured, its `reasons` say why."""
        return self._measured[1]

    @property
    def in_photo(self) -> np.ndarray:
        """(H, W, 3) uint8: the photograph that the shoe was found in, with the shoe as it is now.

        Raises:
            ConfigError: it comes from no photograph.
        """
        if self.photo is None:
            raise ConfigError(
                f"{self.title} is in no photograph; only shoes of shoegen.invert (--image) are, until they are saved"
            )
        background = self.model.segmenter.labels.index("background")
        return self.photo.put_back(self.rgb, self.visible_part_map != background)

    def edit(
        self,
        *,
        keep: str | Iterable[str] = (),
        hold: bool = True,
        shoe_length: float | str = SHOE_LENGTH,
        **edits: float | str | Amount,
    ) -> Shoe:
        """Moves along one or several directions of the model: `edit(heel="+20mm", upper_a=1, keep="toe")`.

        Args:
            hold: edits of the heel and the sole leave what is above them as it looks, and edits of the upper's colour
                all shapes and the other colours, by a search near the latent (see `shoegen.editing.holding`); other
                edits go straight along their directions. False: all go straight, sixteen times as fast.
            keep: attributes that shall stay. By the linear models that came with the directions, and where an amount
                has a unit by measuring too.
            shoe_length: millimetres, which lengths are reckoned with.
            edits: by direction. A number is a strength: 1 adds about one standard deviation of the attribute over the
                model's samples. "+20mm" adds so much to what is measured now, "80mm" or "to 80mm" makes it so much;
                see `shoegen.editing.amounts`. Strengths go first, then all targets are sought at once, by measuring.

        Returns:
            A new shoe; the last of its `history` say how far they went and how close they came.

        Raises:
            ConfigError: an unknown direction, an amount that is none, a target out of reach (with the range that is
                not), something to keep that is edited or that cannot be told from what is.
            FileFormatError: a direction for another generator.
        """
        return aiming.edit(self, edits, keep=keep, hold=hold, shoe_length=parse_shoe_length(shoe_length))

    def move(self, direction: Direction, strength: float, *, name: str | None = None) -> Shoe:
        """Goes straight along a direction; `name` is what the title calls it."""
        name = name or direction.name
        amount = Amount.parse(strength, name, way="strength")
        self.model.check_direction(direction)
        edit = Edit(
            direction=name,
            attribute=direction.attribute,
            unit=direction.unit,
            direction_hash=direction_hash(direction, self.ws.shape[0]),
            strength=amount.value,
            asked=asked_for(amount),
            kept=direction.kept,
        )
        return self.moved_to(direction.move(self.ws, amount.value), [edit])

    def moved_to(self, ws: Tensor, edits: Sequence[Edit] = ()) -> Shoe:
        """The shoe at another latent, (num_ws, w_dim), to which `edits` led."""
        title = ", ".join([self.title, *(edit.title for edit in edits)])
        return replace(self, ws=ws, title=title, history=(*self.history, *edits))

    def strip(
        self,
        *,
        keep: str | Iterable[str] = (),
        hold: bool = True,
        shoe_length: float | str = SHOE_LENGTH,
        **edits: Sequence[float | str | Amount],
    ) -> Strip:
        """The same shoe at several strengths or targets of one direction: `strip(heel=[-2, -1, 0, 1, 2])`.

        Args:
            keep, hold, shoe_length: as `edit`.
            edits: of one direction, what `edit` takes.

        Raises:
            ConfigError: as `edit`, or not a list for one direction.
        """
        if len(edits) != 1 or not _is_list(next(iter(edits.values()))) or not len(*edits.values()):
            raise ConfigError(f"strip: got {edits or 'nothing'}, expected strengths of one direction")
        ((name, values),) = edits.items()
        shoe_length = parse_shoe_length(shoe_length)
        attribute = self.model.direction(name).attribute
        shoes = [
            self if value == 0 else self.edit(keep=keep, hold=hold, shoe_length=shoe_length, **{name: value})
            for value in values
        ]
        prepare(shoes)
        captions = [
            f"{Path(name).stem} {shoe.history[-1].asked if shoe is not self else '0'}\n"
            f"{shoe.say(attribute, shoe_length)}"
            for shoe in shoes
        ]
        return Strip(shoes, captions)

    def say(self, attribute: str, shoe_length: float = SHOE_LENGTH, *, places: int = 0) -> str:
        """A measured attribute as text, lengths in millimetres: "62 mm"."""
        if attribute not in self.measures:
            return "not measured"
        return as_text(self.measures[attribute], ATTRIBUTES[attribute].unit, shoe_length, places=places)

    def report(self, before: Shoe, *, shoe_length: float | str = SHOE_LENGTH) -> EditReport:
        """What is not as it was `before`: each attribute, and where the picture changed."""
        from shoegen.editing.report import compare

        return compare(before, self, shoe_length=parse_shoe_length(shoe_length))

    def sweep(
        self,
        path: str | Path,
        *,
        frames: int = 48,
        fps: int = 24,
        scale: int | None = None,
        **strengths: Sequence[float],
    ) -> None:
        """Writes a film through strengths of one direction and back: `sweep("a.gif", heel=(-2, 2))`.

        Args:
            path: of the film: .gif, .mp4 or .webp.
            frames, fps, scale: see `shoegen.editing.films.film`.
            strengths: of one direction, at least two.
        """
        from shoegen.editing.films import film

        if (
            len(strengths) != 1
            or not _is_list(next(iter(strengths.values())))
            or len(*strengths.values()) < 2
        ):
            raise ConfigError(
                f"sweep: got {strengths or 'nothing'}, expected two or more strengths of one direction"
            )
        ((name, values),) = strengths.items()
        film(
            path,
            [self.edit(keep=(), hold=True, **{name: value}) for value in values],
            frames=frames,
            fps=fps,
            scale=scale,
        )

    def sliders(self, *directions: str, shoe_length: float | str = SHOE_LENGTH) -> Sliders:
        """The shoe with a slider for each direction, in a notebook; its `shoe` is the one that is shown.

        Args:
            directions: by default all of the model's.
            shoe_length: millimetres.

        Raises:
            ConfigError: ipywidgets is not installed, or there is no such direction.
        """
        from shoegen.editing.sliders import Sliders

        return Sliders(self, directions, shoe_length=parse_shoe_length(shoe_length))

    def save(self, path: str | Path) -> None:
        """Writes the picture, pixel by pixel, in the format of the suffix."""
        write_image(path, self.image)

    def save_latent(self, path: str | Path, *, name: str | None = None) -> None:
        """Writes the latent, where it comes from and what was done to it; `shoegen.load_shoe` opens it.

        Args:
            path: ends in .safetensors.
            name: what to call it; by default the title.

        Raises:
            ConfigError: another suffix.
            OutputError: it cannot be written.
        """
        from shoegen.editing.store import save_latent

        save_latent(path, self, name=name)

    def _repr_png_(self) -> bytes:
        return encode_png(enlarge(self.image))

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
        tiles = [enlarge(shoe.image) for shoe in self.shoes]
        return image_grid(tiles, len(tiles), captions=self.captions)

    def save(self, path: str | Path) -> None:
        """Writes the strip in the format of the suffix."""
        write_image(path, self.image)

    def _repr_png_(self) -> bytes:
        return encode_png(self.image)

    def __repr__(self) -> str:
        return "\n".join(["Strip", *("  " + " · ".join(caption.split("\n")) for caption in self.captions)])


def prepare(shoes: Sequence[Shoe], *, measure: bool = False) -> None:
    """Draws, and maybe measures, shoes many at a time rather than one by one when each is asked for.

    The batch changes a picture by float32's rounding at most.
    """
    todo = [
        shoe
        for shoe in shoes
        if "_drawn" not in shoe.__dict__ or (measure and "_measured" not in shoe.__dict__)
    ]
    while todo:
        model = todo[0].model
        batch = [shoe for shoe in todo if shoe.model is model][:BATCH]
        todo = [shoe for shoe in todo if all(shoe is not each for each in batch)]
        with torch.no_grad():
            drawn = model.generator.synthesis(
                torch.stack([shoe.ws for shoe in batch]).to(model.device)
            ).clamp(-1, 1)
        found = measure_images(drawn, model.segmenter) if measure else [None] * len(batch)
        for shoe, image, measured in zip(batch, drawn, found, strict=True):
            shoe.__dict__["_drawn"] = image[None]  # where cached_property looks
            if measured is not None:
                shoe.__dict__["_measured"] = measured


def _is_list(values: object) -> bool:
    return bool(np.ndim(values))  # type: ignore[arg-type]


def enlarge(image: np.ndarray, least: int = SHOWN) -> np.ndarray:
    """(H, W, C) uint8, at least 256 px a side, a whole number of times larger."""
    height, width = image.shape[:2]
    factor = max(1, math.ceil(least / min(height, width)))
    return resize(image, (factor * height, factor * width)).reshape(factor * height, factor * width, -1)
