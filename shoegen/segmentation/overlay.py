"""A picture with its part map over it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from shoegen.data.images import encode_png
from shoegen.data.labels import LabelMap

LEAST_WIDTH = 240  # of a legend, in pixels


def tint(image: np.ndarray, part_map: np.ndarray, labels: LabelMap) -> np.ndarray:
    """(H, W, 3) uint8: the picture half covered by its classes' colours; class 0 stays as it is."""
    mixed = (image.astype(np.uint16) + labels.colorize(part_map)) // 2
    mixed[part_map == 0] = image[part_map == 0]
    return mixed.astype(np.uint8)


@dataclass(frozen=True, eq=False)
class Overlay:
    """What a notebook shows for a segmented picture.

    image: (H, W, 3) uint8. part_map: (H, W) uint8. labels: names and colours of its classes.
    """

    image: np.ndarray
    part_map: np.ndarray
    labels: LabelMap

    @property
    def pixels(self) -> np.ndarray:
        """(H', W', 3) uint8: the tinted picture over a legend of the classes that are there."""
        picture = tint(self.image, self.part_map, self.labels)
        legend = self._legend(max(picture.shape[1], LEAST_WIDTH))
        sheet = np.full((picture.shape[0] + legend.shape[0], legend.shape[1], 3), 255, np.uint8)
        sheet[: picture.shape[0], : picture.shape[1]] = picture
        sheet[picture.shape[0] :] = legend
        return sheet

    def shares(self) -> dict[str, float]:
        """The share of the picture that each class has, largest first."""
        counts = np.bincount(self.part_map.ravel(), minlength=len(self.labels)) / self.part_map.size
        order = np.argsort(-counts, kind="stable")
        return {self.labels.names[i]: float(counts[i]) for i in order if counts[i]}

    def _repr_png_(self) -> bytes:
        return encode_png(self.pixels)

    def _legend(self, width: int) -> np.ndarray:
        font, line, box = ImageFont.load_default(12), 18, 12
        entries = [(name, share) for name, share in self.shares().items() if name != self.labels.names[0]]
        texts = [f"{name} {share:.1%}" for name, share in entries]
        column = max((int(font.getlength(text)) for text in texts), default=0) + box + 18
        columns = max(1, width // column)
        rows = -(-len(texts) // columns)
        picture = Image.new("RGB", (width, rows * line + 6 * bool(rows)), "white")
        draw = ImageDraw.Draw(picture)
        for i, ((name, _), text) in enumerate(zip(entries, texts)):
            x, y = i % columns * column + 4, i // columns * line + 4
            color = self.labels.colors[self.labels.index(name)]
            draw.rectangle([x, y + 1, x + box, y + 1 + box], fill=color, outline="black")
            draw.text((x + box + 5, y), text, "black", font)
        return np.asarray(picture)
