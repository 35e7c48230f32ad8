"""Two networks in a row: what the first finds is all that the second sees, larger, before plain grey.

The second need not know what surroundings look like, and has its whole resolution for the shoe.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import cv2
import numpy as np

from shoegen.data.datasets import ImageDataset
from shoegen.data.images import fit_image, fit_part_map
from shoegen.data.labels import IGNORED
from shoegen.data.squares import Square, box_of
from shoegen.errors import ConfigError
from shoegen.segmentation.loading import AnySegmenter
from shoegen.segmentation.parts import PartSegmenter
from shoegen.segmentation.silhouette import find

GREY = 128
DILATION = 0.08  # of the mask's longer side: how much of its surroundings is kept
MARGIN = 0.1  # of the mask's longer side: grey, or picture, around it
DILATIONS = (0.03, 0.15)  # from which training draws, for each picture
MARGINS = (0.05, 0.18)
FINER = 2  # what training crops from is so many times as large as what the second network sees


@dataclass(frozen=True)
class Focus:
    """What the second network is shown of a picture.

    image: (S, S, 3) uint8, the square around the mask, grey where the dilated mask is not. kept: (H, W) bool, the
    dilated mask, in the whole picture. square: around it.
    """

    image: np.ndarray
    kept: np.ndarray
    square: Square

    def put_back(self, values: np.ndarray) -> np.ndarray:
        """(S, S) values of the square → (H, W) of the picture; 0 outside of the square and of what was kept."""
        whole = np.zeros(self.kept.shape, values.dtype)
        inside, within = self.square.overlap(self.kept.shape)
        whole[inside] = values[within]
        whole[~self.kept] = 0
        return whole


def focus(
    image: np.ndarray, mask: np.ndarray, *, dilation: float = DILATION, margin: float = MARGIN
) -> Focus:
    """What remains of a picture (H, W, 3) uint8 for a mask (H, W) bool of the first network.

    An empty mask keeps everything: the second network may see what the first did not.
    """
    if not mask.any():
        mask = np.ones_like(mask)
    top, left, bottom, right = box_of(mask)
    longer = max(bottom - top, right - left)
    distance = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 3)
    kept: np.ndarray = distance <= max(1.0, dilation * longer)
    side = max(2, round(longer * (1 + 2 * margin)))
    square = Square((top + bottom - side) // 2, (left + right - side) // 2, side)
    shown = np.where(kept[..., None], image, np.uint8(GREY))
    return Focus(square.cut(shown, fill=GREY), kept, square)


def check_stage(segmenter: AnySegmenter, option: str, *, second: bool) -> None:
    """Whether a segmenter was trained for its place in a cascade.

    Raises:
        ConfigError: a second network in the first's place, or the other way round.
    """
    focused = isinstance(segmenter, PartSegmenter) and segmenter.config.focused
    if focused and not second:
        raise ConfigError(f"{option} is the second network of a cascade; put it second, after its first")
    if second and not focused:
        raise ConfigError(f"{option} is no second network; train one with `train-segmenter --after FIRST`")


class SecondStage:
    """What the second network of a cascade learns from: a data set's pictures as the first one leaves them.

    Args:
        dataset: pictures with part maps, `FINER` times as large as `size`.
        first: the first network, which finds each picture's mask once.
        size: (height, width) of what the second network sees.
        seed: of the dilation and margin, which differ from picture to picture and are the same at each pass; None:
            those of use.

    Raises:
        ConfigError: the first network is a second one itself.
    """

    def __init__(
        self, dataset: ImageDataset, first: AnySegmenter, size: tuple[int, int], seed: int | None = None
    ) -> None:
        check_stage(first, "--after", second=False)
        self._dataset, self._first, self._size, self._seed = dataset, first, size, seed
        self._masks: dict[int, np.ndarray] = {}  # packed, eight pixels in a byte

    @property
    def digest(self) -> str:
        """SHA-256 of the first network's weights, in hexadecimal."""
        weights = (
            tensor.cpu().contiguous().numpy().tobytes() for tensor in self._first.net.state_dict().values()
        )
        return hashlib.sha256(b"".join(weights)).hexdigest()

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """(3, H, W) uint8 and its part map (H, W) uint8, class 0 where the picture was made grey."""
        image = self._dataset[index].transpose(1, 2, 0)  # H, W, 3
        part_map = self._dataset.part_map(index)
        change = {}
        if self._seed is not None:
            rng = np.random.default_rng((self._seed, index))
            change = {"dilation": rng.uniform(*DILATIONS), "margin": rng.uniform(*MARGINS)}
        seen = focus(image, self._mask(index, image), **change)
        shown = fit_image(seen.image, self._size, "pad")
        classes = seen.square.cut(np.where(seen.kept, part_map, np.uint8(0)))
        return shown.transpose(2, 0, 1), fit_part_map(classes, self._size, "pad", margin=IGNORED)

    def _mask(self, index: int, image: np.ndarray) -> np.ndarray:
        if index not in self._masks:
            self._masks[index] = np.packbits(find(self._first, image) >= 0.5)
        packed = self._masks[index]
        mask: np.ndarray = np.unpackbits(packed, count=image.shape[0] * image.shape[1]).astype(bool)
        return mask.reshape(image.shape[:2])
