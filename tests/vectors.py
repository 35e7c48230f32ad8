"""Reference numbers that stand beside the repository; tests that need them skip where they are absent."""

import json
from pathlib import Path

import numpy as np
import pytest

VECTORS = Path(__file__).parents[2] / "shared" / "vectors"


def load(name):
    """(description, {key: array}) of one vector file, or skips the calling module."""
    path = VECTORS / f"{name}.npz"
    if not path.exists():
        pytest.skip(f"the reference vectors ({path.name}) are not on this machine", allow_module_level=True)
    with np.load(path) as arrays:
        meta = json.loads(bytes(arrays["__meta__"]))
        return meta, {key: arrays[key] for key in arrays.files if key != "__meta__"}


def assert_close(actual, expected, relative=None):
    """Agreement relative to the largest absolute value: 1e-4 in float32, 1e-9 in float64."""
    actual = np.asarray(actual)
    assert actual.shape == expected.shape
    relative = relative or (1e-9 if expected.dtype == np.float64 else 1e-4)
    error = np.abs(actual - expected).max(initial=0)
    assert error <= relative * np.abs(expected).max(initial=0) + 1e-12, f"largest error {error}"
