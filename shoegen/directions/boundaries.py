"""Boundaries as others publish them: unit normals in .npy files (InterFaceGAN, arXiv 1907.10786)."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from shoegen.directions.calibration import CALIBRATION, LEAST_GROWTH, calibrate, mean, trace, with_curve
from shoegen.directions.direction import Direction
from shoegen.directions.fitting import LinearModels, split
from shoegen.directions.sampling import Measure, Samples
from shoegen.errors import ConfigError, DataError, FileFormatError
from shoegen.torch_utils.files import atomic_write

LARGEST = 64 * 2**20  # bytes


def read_boundary(path: str | Path) -> np.ndarray:
    """float64 (w_dim,), of length 1; or (num_ws, w_dim), whose rows have this length on average.

    Raises:
        FileFormatError: not there, no .npy of numbers, or of another shape; pickled objects are not opened.
    """
    path = Path(path)
    if not path.is_file():
        raise FileFormatError(f"no such file: {path}; expected a boundary (.npy)")
    if path.stat().st_size > LARGEST:
        raise FileFormatError(f"{path}: larger than 64 MiB, which no boundary is")
    try:
        vector = np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)
    except Exception as error:  # NumPy raises many types on damaged headers
        raise FileFormatError(f"{path}: not a readable .npy of numbers ({error})") from error
    if not isinstance(vector, np.ndarray) or vector.dtype.kind not in "fiu":
        raise FileFormatError(f"{path}: expected one array of real numbers, as np.save writes it")
    vector = vector.astype(float)
    if vector.ndim == 3 and len(vector) == 1:
        vector = vector[0]
    if vector.ndim == 2 and len(vector) == 1:
        vector = vector[0]
    if vector.ndim not in (1, 2) or not vector.size:
        raise FileFormatError(
            f"{path}: got shape {vector.shape}, expected (w_dim,), (1, w_dim) or (num_ws, w_dim)"
        )
    length = np.linalg.norm(vector, axis=-1).mean()
    if not np.isfinite(length) or length == 0:
        raise FileFormatError(f"{path}: its length is {length}; a direction has one that is finite and not 0")
    return vector / length


def write_boundary(path: str | Path, direction: Direction) -> None:
    """Writes float32 (1, w_dim), of length 1; or (num_ws, w_dim) with zeros at layers that do not move.

    A boundary knows no layers and no unit: a direction of some layers, that has one row for all, loses which.
    """
    if direction.vector.ndim == 1:
        rows = direction.vector[None]
    else:
        rows = torch.zeros_like(direction.vector)
        rows[list(direction.layers)] = direction.vector[list(direction.layers)]
    content = io.BytesIO()
    np.save(content, rows.float().numpy(), allow_pickle=False)
    with atomic_write(path) as file:
        file.write(content.getvalue())


def check_boundary(vector: np.ndarray, w_dim: int, num_ws: int, layers: Sequence[int] | None) -> None:
    """Raises DataError where a boundary is of another generator's shape, ConfigError for layers that there are not."""
    if vector.shape not in ((w_dim,), (num_ws, w_dim)):
        raise DataError(
            f"the boundary has the shape {vector.shape}, the model needs {(w_dim,)} or {(num_ws, w_dim)}; "
            "it is one of another generator"
        )
    if layers is not None and (not layers or not set(layers) <= set(range(num_ws))):
        raise ConfigError(f"layers: got {list(layers)}, expected numbers from 0 to {num_ws - 1}")


def import_boundary(
    vector: np.ndarray,
    samples: Samples,
    measure_ws: Measure,
    *,
    attribute: str,
    num_ws: int,
    generator_hash: str,
    layers: Sequence[int] | None = None,
    name: str = "",
    say: Callable[[str], None] = lambda line: None,
) -> Direction:
    """A boundary, calibrated by measuring what it does.

    Args:
        vector: (w_dim,) or (num_ws, w_dim).
        samples: some hundred or more; of a row for all layers the gradients are learned from them.
        measure_ws: measures moved latents.
        attribute: a name in `shoegen.measure.ATTRIBUTES`: what grows along the boundary.
        num_ws, generator_hash: of the generator.
        layers: that it moves; by default all.
        name: of the direction; by default the attribute's.
        say: takes lines about what goes on.

    Raises:
        DataError: it is of another width, or moves the attribute hardly.
        ConfigError: layers that there are not.
    """
    check_boundary(vector, samples.w.shape[1], num_ws, layers)
    layers = tuple(range(num_ws) if layers is None else sorted(set(layers)))
    sigmas, values = samples.sigmas(), samples.attributes[attribute]
    gradients = {}
    if vector.ndim == 1:
        models = LinearModels(samples, ~split(len(samples.w), samples.seed), quantile=0.25, seed=0).all()
        gradients = {found: torch.from_numpy(model.gradient_).float() for found, model in models.items()}
    direction = Direction(
        attribute=attribute,
        name=name,
        vector=torch.from_numpy(vector).float(),
        layers=layers,
        step=float(samples.w.std(0).square().mean().sqrt()),
        mean=mean(values),
        sigma=sigmas[attribute],
        generator_hash=generator_hash,
        psi=samples.psi,
        samples=len(values),
        seed=samples.seed,
        quantile=0.0,
        method="imported",
        gradients=gradients,
        sigmas={found: sigma for found, sigma in sigmas.items() if sigma > 0},
    )
    ws = samples.w[:CALIBRATION].unsqueeze(1).expand(-1, num_ws, -1)
    low, high = trace(direction, measure_ws, ws, (-1, 1)).values[attribute].T
    growth = mean(high - low) / (2 * direction.sigma) if direction.sigma > 0 else float("nan")
    if not abs(growth) > LEAST_GROWTH:
        raise DataError(
            f"along the boundary {attribute} changes by {growth:.2f} of its standard deviations when W moves by one of "
            "its own; name the attribute that it moves, or layers"
        )
    if growth < 0:
        say(f"{attribute} falls along the boundary; it is turned around")
        direction = replace(direction, vector=-direction.vector)
    calibrated = calibrate(direction, measure_ws, ws)
    if calibrated is None:
        raise DataError(f"{attribute} does not follow the boundary; name the attribute that it moves")
    return with_curve(calibrated, measure_ws, ws, sigmas)
