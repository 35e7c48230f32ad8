"""A direction: which way in W, at which layers, and how far, one attribute grows by a standard deviation."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from shoegen.errors import ConfigError, FileFormatError
from shoegen.measure import ATTRIBUTES
from shoegen.torch_utils.tensors import load_tensors, save_tensors

KIND = "direction"
ALIASES = {
    "heel": "heel_height",
    "sole": "sole_thickness",
    "platform": "platform_height",
    "shaft": "shaft_height",
}


def attribute_name(name: str) -> str:
    """The attribute that a name or its short form ("heel") means.

    Raises:
        ConfigError: no attribute of `shoegen.measure` has this name; lists those that there are.
    """
    attribute = ALIASES.get(name, name)
    if attribute not in ATTRIBUTES:
        raise ConfigError(f"no attribute {name!r}; expected one of {', '.join([*ALIASES, *ATTRIBUTES])}")
    return attribute


@dataclass(frozen=True, kw_only=True, eq=False)
class Direction:
    """A unit vector in W, the layers that follow it, and its unit.

    attribute: what grows along it, a name in `shoegen.measure.ATTRIBUTES`.
    vector: float32 (w_dim,), of length 1; or (num_ws, w_dim), such a row for each layer.
    layers: the indices of the ws that it moves.
    step: distance in W of strength 1, which changes the attribute by about one `sigma`.
    mean, sigma: of the attribute over the generator's samples, in the attribute's unit.
    generator_hash: of the weights it was learned on; it means nothing on others.
    psi, samples, seed, quantile: how the samples were drawn and chosen.
    scores: accuracy and ROC AUC on held-out latents, and the share of samples that could not be measured.
    leaks: for each range of layers that was tried, the movement of every other attribute in its own standard
        deviations per standard deviation of this one.
    """

    attribute: str
    vector: Tensor
    layers: tuple[int, ...]
    step: float
    mean: float
    sigma: float
    generator_hash: str
    psi: float
    samples: int
    seed: int
    quantile: float
    scores: dict[str, float] = field(default_factory=dict)
    leaks: dict[str, dict[str, float]] = field(default_factory=dict)

    def move(self, ws: Tensor, strength: float | Tensor) -> Tensor:
        """Moves latents along the direction.

        Args:
            ws: (…, num_ws, w_dim).
            strength: multiples of `sigma`; a number, or a tensor that broadcasts over the leading axes of ws.

        Returns:
            The moved copy, shaped as `ws`, or more leading axes where `strength` has them.
        """
        strength = torch.as_tensor(strength, dtype=ws.dtype, device=ws.device)[..., None, None]
        return ws + strength * self.offset(ws.shape[-2]).to(ws)

    def offset(self, num_ws: int) -> Tensor:
        """(num_ws, w_dim): what strength 1 adds to ws."""
        offset = torch.zeros(num_ws, self.vector.shape[-1])
        layers = list(self.layers)
        offset[layers] = self.step * (self.vector[layers] if self.vector.ndim == 2 else self.vector)
        return offset

    def save(self, path: str | Path) -> None:
        """Writes a safetensors file with everything but the vector in its metadata."""
        metadata = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "vector"}
        save_tensors(path, {"vector": self.vector}, {"kind": KIND, **metadata})

    @classmethod
    def load(cls, path: str | Path) -> Direction:
        """Reads a file that `save` wrote.

        Raises:
            FileFormatError: not there, damaged, or not a direction.
        """
        tensors, metadata = load_tensors(path, kind=KIND)
        del metadata["kind"]
        try:
            direction = cls(
                vector=tensors["vector"].float(), **{**metadata, "layers": tuple(metadata["layers"])}
            )
        except (KeyError, TypeError) as error:
            raise FileFormatError(f"{path}: not a whole direction ({error}); fit it again") from error
        if not (math.isfinite(direction.step) and direction.vector.isfinite().all()):
            raise FileFormatError(f"{path}: its vector or step is not finite; fit it again")
        return direction

    def check_generator(self, generator_hash: str) -> None:
        """Raises FileFormatError unless the direction was learned on the generator with this hash."""
        if self.generator_hash != generator_hash:
            raise FileFormatError(
                f"the direction {self.attribute} was fitted for another generator, {self.generator_hash[:12]}, "
                f"not for {generator_hash[:12]}; fit it again with `shoegen fit-direction`"
            )
