"""Synthetic shoes before real photographs: where the shoe stands, what is behind it, and in which light."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from shoegen.data.files import PictureFiles
from shoegen.data.images import decode_image
from shoegen.data.squares import Square
from shoegen.data.synthetic.parameters import ShoeParameters
from shoegen.data.synthetic.render import MAX_RESOLUTION, MIN_RESOLUTION, RenderedShoe, render_shoe
from shoegen.data.synthetic.shading import Scene
from shoegen.errors import DataError
from shoegen.torch_utils.text import some

SIZES = (0.55, 1.25)  # of the square that the shoe is drawn in, as a share of the picture's side
MARGIN = 0.02  # left free around the shoe, of the picture's side
CROPS = (0.35, 1.0)  # of a photograph, shares of its shorter side
SKETCH = 64  # side of the drawing that tells where in its square a shoe is


class Backgrounds:
    """The photographs of a folder or zip file, each read when it is needed; can be sent to other processes.

    Raises:
        DataError: nothing at `path`, no pictures, or some that cannot be read.
    """

    def __init__(self, path: str | Path):
        self._files = PictureFiles(path)
        bad = []
        for name in self._files.pictures:  # before the long work
            try:
                decode_image(self._files.read(name))
            except DataError as error:
                bad.append(f"{name}: {error}")
        if bad:
            raise DataError(
                f"{len(bad)} of {len(self)} backgrounds in {path} cannot be read: {some(bad, separator='; ')}; "
                "mend or remove them"
            )

    def __len__(self) -> int:
        return len(self._files.pictures)

    def crop(self, rng: np.random.Generator, side: int) -> np.ndarray:
        """(side, side, 3) uint8: a random square of a random photograph, half of them mirrored."""
        photo = decode_image(self._files.read(self._files.pictures[rng.integers(len(self))]))[0]
        height, width = photo.shape[:2]
        wanted = max(1, round(rng.uniform(*CROPS) * min(height, width)))
        top, left = rng.integers(height - wanted + 1), rng.integers(width - wanted + 1)
        square = photo[top : top + wanted, left : left + wanted]
        if rng.random() < 0.5:
            square = square[:, ::-1]
        method = cv2.INTER_AREA if wanted > side else cv2.INTER_CUBIC
        return cv2.resize(np.ascontiguousarray(square), (side, side), interpolation=method)


def render_in_scene(
    parameters: ShoeParameters, resolution: int, backgrounds: Backgrounds, rng: np.random.Generator
) -> RenderedShoe:
    """A shoe somewhere before a photograph, whole, its shadow on the photograph, lit a little like it.

    Nothing is pasted that was cut out: the shoe is drawn over the photograph, so that its edge is as soft as before
    paper and the part map as exact. The parameters' place in the picture is not kept.
    """
    photo = backgrounds.crop(rng, resolution)
    place = _place(parameters, resolution, rng)
    # The square that is drawn may reach beyond the picture; the shoe does not.
    reach = max(resolution, place.side)
    surroundings = cv2.copyMakeBorder(photo, reach, reach, reach, reach, cv2.BORDER_REPLICATE)
    top, left = place.top + reach, place.left + reach
    square = np.s_[top : top + place.side, left : left + place.side]
    scene = Scene(surroundings[square].astype(np.float32), _light(photo, rng))
    shoe = render_shoe(parameters, place.side, scene)

    part_map = np.zeros(surroundings.shape[:2], np.uint8)
    surroundings[square], part_map[square] = shoe.image, shoe.part_map
    picture = np.s_[reach : reach + resolution, reach : reach + resolution]
    return RenderedShoe(surroundings[picture].copy(), part_map[picture].copy(), shoe.attributes)


def _place(parameters: ShoeParameters, resolution: int, rng: np.random.Generator) -> Square:
    """The square of the picture that a shoe is drawn in."""
    rows, columns = np.nonzero(render_shoe(parameters, SKETCH).part_map)
    # One pixel of the sketch to spare: an edge pixel that is mostly background counts as background there.
    top, bottom = (rows.min() - 1) / SKETCH, (rows.max() + 2) / SKETCH
    left, right = (columns.min() - 1) / SKETCH, (columns.max() + 2) / SKETCH
    largest = (1 - 2 * MARGIN) / max(bottom - top, right - left)
    side = round(min(rng.uniform(*SIZES), largest) * resolution)
    side = min(max(side, MIN_RESOLUTION), MAX_RESOLUTION)
    free = resolution * MARGIN

    def draw(low: float, high: float) -> int:
        """Where a square begins so that what it holds from low to high lies in the picture."""
        first, last = free - low * side, resolution - free - high * side
        return round(rng.uniform(first, max(first, last)))

    return Square(draw(top, bottom), draw(left, right), side)


def _light(photo: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(3,) factors of the shoe's colours: some of the photograph's cast, and of its brightness."""
    mean = photo.reshape(-1, 3).mean(0) + 1
    cast = (mean / mean.mean()) ** rng.uniform(0, 0.5)
    brightness = (mean.mean() / 128) ** rng.uniform(0, 0.4)
    return np.clip(cast * brightness, 0.5, 1.4).astype(np.float32)
