"""Perceptual path length (arXiv 1812.04948, section 4.1): how evenly the picture changes along a path in W."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from shoegen.errors import DataError
from shoegen.metrics.pictures import draw_latents
from shoegen.metrics.weights import VGG, mismatch, read_weights
from shoegen.stylegan.networks import Generator
from shoegen.torch_utils.pixels import as_rgb

EPSILON = 1e-4  # the step, as a share of the way from one w to another
RESIZE = "box, by max(1, longer side // 256)"
_MAX_SIDE = 256
_AT_ONCE = 8  # pairs
_LEAST_SIDE = 16  # VGG halves four times


class PerceptualDistance:
    """LPIPS (arXiv 1801.03924) with VGG-16.

    Args:
        path: of torchvision's VGG-16 weights; those of LPIPS itself come with its library.

    Attributes:
        sha256: of the file.

    Raises:
        FileFormatError: the file is damaged, or of another network.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        from lpips import LPIPS

        state, self.sha256 = read_weights(path)
        # Both networks are drawn at random before they are overwritten: not from the caller's random state.
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it asks torchvision in a way that is going out of use
            self._network = LPIPS(net="vgg", pnet_rand=True, verbose=False).requires_grad_(False)
        # LPIPS cuts VGG's features in slices: slice3.10.weight is features.10.weight.
        names = {name: f"features.{name.split('.', 1)[1]}" for name in self._network.net.state_dict()}
        try:
            self._network.net.load_state_dict({name: state[names[name]] for name in names})
        except (KeyError, RuntimeError) as error:
            raise mismatch(path, "VGG-16") from error

    @property
    def is_published(self) -> bool:
        return self.sha256.startswith(VGG.sha256)

    def __call__(self, one: Tensor, other: Tensor) -> Tensor:
        """float (N, 3, H, W) twice, about [−1, 1] → (N,)."""
        return self._network.to(one.device)(one, other).flatten()


@torch.no_grad()
def path_length(
    generator: Generator,
    distance: Callable[[Tensor, Tensor], Tensor],
    count: int,
    *,
    psi: float,
    seed: int,
    classes: Sequence[int] | None = None,
    progress: Callable[[int], None] = lambda pictures: None,
) -> float:
    """The mean squared perceptual speed at the beginning of `count` straight paths in W.

    d(g(w), g(lerp(w, w', ε))) / ε² with ε = 10⁻⁴; the lowest and the highest hundredth do not count, as in the
    published measurements. Pictures of 512 px and more are averaged to at least 256 first.

    Args:
        generator: whose mapping and synthesis are walked.
        distance: (N, 3, H, W) twice → (N,), `PerceptualDistance`.
        count: of paths.
        psi: truncation.
        seed: of the paths.
        classes: see `draw_latents`; both ends of a path have the same class.
        progress: is told after each chunk how many paths it had.

    Raises:
        DataError: the pictures are smaller than 16 px.
    """
    device = next(generator.parameters()).device
    z, c = draw_latents(generator, 2 * count, seed=seed, classes=classes)
    starts, ends = z.chunk(2)
    speeds = []
    for first in range(0, count, _AT_ONCE):
        part = slice(first, first + _AT_ONCE)
        labels = None if c is None else c[part].to(device)
        start = generator.map(starts[part].to(device), labels, truncation_psi=psi)
        end = generator.map(ends[part].to(device), labels, truncation_psi=psi)
        images = as_rgb(generator.synthesis(torch.cat([start, start.lerp(end, EPSILON)])))
        speeds.append(distance(*_reduce(images).chunk(2)).double() / EPSILON**2)
        progress(len(start))
    lengths = torch.cat(speeds).cpu().numpy()
    low, high = np.percentile(lengths, 1, method="lower"), np.percentile(lengths, 99, method="higher")
    return float(lengths[(lengths >= low) & (lengths <= high)].mean())


def _reduce(images: Tensor) -> Tensor:
    if min(images.shape[2:]) < _LEAST_SIDE:
        raise DataError(f"ppl: got pictures of {tuple(images.shape[2:])} px, expected at least {_LEAST_SIDE}")
    factor = max(1, max(images.shape[2:]) // _MAX_SIDE)
    return F.avg_pool2d(images, factor) if factor > 1 else images
