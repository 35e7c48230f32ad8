"""A direction: which way in W, at which layers, and how far, one attribute grows by a standard deviation."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from shoegen.errors import ConfigError, FileFormatError
from shoegen.measure import ALIASES, ATTRIBUTES
from shoegen.torch_utils.tensors import load_tensors, save_tensors

KIND = "direction"
METHODS = ("svm", "scores", "sefa", "pca", "imported")
GRADIENT = "gradient/"  # before an attribute's name: the tensors of a file
SOFTNESS = 0.01  # of what was kept before, when more is to be kept: see `_correction`
TOLD_APART = 0.05  # cosine between a step and its attribute's gradient; below it the step leads astray


@dataclass(frozen=True, kw_only=True, eq=False)
class Direction:
    """A unit vector in W, the layers that follow it, and its unit.

    attribute: what grows along it: a name in `shoegen.measure.ATTRIBUTES`, of a user's own attribute, or of scores.
    vector: float32 (w_dim,), of length 1; or (num_ws, w_dim), a row for each layer, of length 1 on average.
    layers: the indices of the ws that it moves.
    step: distance in W of strength 1, which changes the attribute by about one `sigma`.
    mean, sigma: of the attribute over the generator's samples, in `unit`.
    generator_hash: of the weights it was learned on; it means nothing on others.
    psi, samples, seed, quantile: how the samples were drawn and chosen.
    scores: accuracy and ROC AUC on held-out latents, and the share of samples that could not be measured.
    leaks: for each range of layers that was tried, the movement of every other attribute in its own standard
        deviations per standard deviation of this one.
    name: of the axis, where that is not the attribute's.
    unit: of the attribute: "shoe length", "share", "CIELAB", "ratio"; "score" of what people judged.
    method: how it was found: "svm", "scores", "sefa", "pca", "imported".
    curve: [strength, mean of the attribute, its standard deviation, share measured] over held-out latents.
    reach: the lowest and highest strength between which the curve rises and shoes stay one shoe.
    stability: mean cosine between the direction and those of bootstrapped samples; None where that was not asked for.
    kept: attributes that it was made to leave alone.
    gradients: of each attribute that could be learned, shaped as `vector`: its change, in its `sigmas`, per unit of
        W when the direction's layers are moved.
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
    name: str = ""
    unit: str = ""
    method: str = "svm"
    curve: list[list[float]] = field(default_factory=list)
    reach: tuple[float, float] = (-2.0, 2.0)
    stability: float | None = None
    kept: tuple[str, ...] = ()
    gradients: dict[str, Tensor] = field(default_factory=dict)
    sigmas: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", self.attribute)
        if not self.unit and self.attribute in ATTRIBUTES:  # files of old do not say it
            object.__setattr__(self, "unit", ATTRIBUTES[self.attribute].unit)

    def move(self, ws: Tensor, strength: float | Tensor) -> Tensor:
        """Moves latents along the direction.

        Args:
            ws: (…, num_ws, w_dim).
            strength: multiples of `sigma`; a number, or a tensor that broadcasts over the leading axes of ws.

        Returns:
            The moved copy, shaped as `ws`, or more leading axes where `strength` has them.

        Raises:
            FileFormatError: the latents are of another generator.
        """
        if self.vector.shape[-1] != ws.shape[-1] or max(self.layers) >= ws.shape[-2]:
            raise FileFormatError(
                f"the direction {self.name} moves {self.vector.shape[-1]} numbers of the layers up to "
                f"{max(self.layers)}, got latents (…, {ws.shape[-2]}, {ws.shape[-1]}); fit it again"
            )
        strength = torch.as_tensor(strength, dtype=ws.dtype, device=ws.device)[..., None, None]
        return ws + strength * self.offset(ws.shape[-2]).to(ws)

    def offset(self, num_ws: int) -> Tensor:
        """(num_ws, w_dim): what strength 1 adds to ws."""
        offset = torch.zeros(num_ws, self.vector.shape[-1])
        layers = list(self.layers)
        offset[layers] = self.step * (self.vector[layers] if self.vector.ndim == 2 else self.vector)
        return offset

    def keeping(self, names: Sequence[str]) -> Direction:
        """The direction that changes its attribute as much, and by the linear models none of those named.

        What was measured to leak is taken out where it is known, else what the models foretell. The correction is the
        shortest in W that also leaves (nearly) alone what the direction kept before. `curve` and `reach` stay, as
        first guesses.

        Args:
            names: attributes, or their short forms ("shaft").

        Raises:
            ConfigError: the attribute itself, one without a gradient (lists those that there are), or ones from
                which it cannot be told.
        """
        names = [name if name in self.gradients else ALIASES.get(name, name) for name in names]
        others = sorted(set(self.gradients) - {self.attribute})
        for name in names:
            if name == self.attribute:
                raise ConfigError(f"keep: got {name}, what the direction {self.name} moves; leave it out")
            if name not in others or self.attribute not in self.gradients:
                raise ConfigError(
                    f"keep: the direction {self.name} knows nothing of {name!r}, only of "
                    f"{', '.join(others) or 'none'}; name one of these, or fit it again"
                )
        if not names:
            return self
        names = list(dict.fromkeys(names))
        before = [name for name in self.kept if name in self.gradients and name not in names]
        step = self._flat(self.vector) * self.step
        rows = torch.stack([self._flat(self.gradients[name]) for name in (self.attribute, *names, *before)])
        foretold = dict(zip(names, (rows[1:] @ step).tolist()))
        moves = [self.leaks_here.get(name, foretold[name]) for name in names]
        targets = torch.tensor([0.0, *(-move for move in moves)], dtype=torch.double)
        change = _correction(rows, targets, float(step.norm()))
        step = step + change
        aims = len(targets)
        if not torch.allclose(rows[:aims] @ change, targets, atol=0.05) or float(
            rows[0] @ step
        ) < TOLD_APART * float(step.norm() * rows[0].norm()):
            raise ConfigError(
                f"keep: {self.attribute} cannot be told from {', '.join(names)}; name fewer of them"
            )
        vectors = step.reshape(-1, self.vector.shape[-1])
        length = float(vectors.norm(dim=1).mean())
        vector = self.vector.clone()
        if vector.ndim == 2:
            vector[list(self.layers)] = (vectors / length).float()
        else:
            vector = (vectors[0] / length).float()
        leaks = {layers_name(self.layers): {**self.leaks_here, **dict.fromkeys(names, 0.0)}}
        kept = tuple(dict.fromkeys([*self.kept, *names]))
        return replace(self, vector=vector, step=length, kept=kept, leaks=leaks, stability=None)

    @property
    def leaks_here(self) -> dict[str, float]:
        """The leaks at the layers that it moves; empty where they were not measured."""
        return self.leaks.get(layers_name(self.layers), {}) if self.layers else {}

    def _flat(self, vectors: Tensor) -> Tensor:
        """float64 (k,): of a vector or a gradient, what the direction's layers take."""
        return (vectors[list(self.layers)] if vectors.ndim == 2 else vectors).double().flatten()

    def save(self, path: str | Path) -> None:
        """Writes a safetensors file: the vector and the gradients, and the rest in its metadata."""
        metadata = {
            f.name: getattr(self, f.name)
            for f in dataclasses.fields(self)
            if f.name not in ("vector", "gradients")
        }
        gradients = {GRADIENT + name: gradient for name, gradient in self.gradients.items()}
        save_tensors(path, {"vector": self.vector, **gradients}, {"kind": KIND, **metadata})

    @classmethod
    def load(cls, path: str | Path) -> Direction:
        """Reads a file that `save` wrote, also one of an older version, which knew no gradients and no curve.

        Raises:
            FileFormatError: not there, damaged, or not a direction.
        """
        tensors, metadata = load_tensors(path, kind=KIND)
        del metadata["kind"]
        try:
            for name in ("layers", "reach", "kept"):
                if name in metadata:
                    metadata[name] = tuple(metadata[name])
            gradients = {
                name.removeprefix(GRADIENT): tensor.float()
                for name, tensor in tensors.items()
                if name.startswith(GRADIENT)
            }
            direction = cls(vector=tensors["vector"].float(), gradients=gradients, **metadata)
            direction._check()
            numbers = [direction.step, direction.mean, direction.sigma, *direction.reach]
            is_finite = all(map(math.isfinite, numbers)) and bool(direction.vector.isfinite().all())
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise FileFormatError(f"{path}: not a whole direction ({error}); fit it again") from error
        if not is_finite:
            raise FileFormatError(f"{path}: its vector or step is not finite; fit it again")
        return direction

    def _check(self) -> None:
        """Raises ValueError where the parts do not fit together."""
        if self.vector.ndim not in (1, 2):
            raise ValueError(f"a vector of shape {tuple(self.vector.shape)}")
        last = len(self.vector) if self.vector.ndim == 2 else math.inf
        if not self.layers or not all(isinstance(i, int) and 0 <= i < last for i in self.layers):
            raise ValueError(f"layers {self.layers}")
        if len(self.reach) != 2 or any(len(point) != 4 for point in self.curve):
            raise ValueError("a curve or reach of another shape")
        if any(gradient.shape != self.vector.shape for gradient in self.gradients.values()):
            raise ValueError("gradients of another shape than the vector")

    def check_generator(self, generator_hash: str) -> None:
        """Raises FileFormatError unless the direction was learned on the generator with this hash."""
        if self.generator_hash != generator_hash:
            raise FileFormatError(
                f"the direction {self.name} was fitted for another generator, {self.generator_hash[:12]}, "
                f"not for {generator_hash[:12]}; fit it again with `shoegen fit-direction`"
            )


def _correction(rows: Tensor, targets: Tensor, length: float) -> Tensor:
    """The change (d,) of a step of this length, which the first rows (k, d) turn into `targets` (fewer than k), and
    which weighs what the other rows make of it against its own length.

    It lies in the span of the rows, so that only k unknowns are solved for.
    """
    gram, aims = rows @ rows.T, len(targets)
    others = gram[aims:]
    pull = others.T @ others + SOFTNESS / length**2 * gram
    system = torch.zeros(len(rows) + aims, len(rows) + aims, dtype=torch.double)
    system[: len(rows), : len(rows)] = pull
    system[len(rows) :, : len(rows)] = gram[:aims]
    system[: len(rows), len(rows) :] = gram[:aims].T
    wanted = torch.cat([torch.zeros(len(rows), dtype=torch.double), targets])
    solution = torch.linalg.lstsq(system, wanted[:, None], driver="gelsd").solution[:, 0]
    return rows.T @ solution[: len(rows)]


def layers_name(layers: Sequence[int]) -> str:
    """(0, 1, 2) → "0-2", (0, 2) → "0,2"."""
    whole = tuple(layers) == tuple(range(layers[0], layers[-1] + 1))
    return f"{layers[0]}-{layers[-1]}" if whole else ",".join(map(str, layers))
