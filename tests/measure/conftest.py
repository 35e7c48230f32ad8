import numpy as np
import pytest

from shoegen.data.synthetic import ShoeParameters, render_shoe
from shoegen.measure import ATTRIBUTES

SOLE, HEEL, UPPER, SHAFT, OPENING, FASTENING = range(1, 7)


@pytest.fixture
def blocks():
    """A shoe of rectangles, 100 long: heel 30 high and 20 wide, sole 10, upper 30, on the ground row 90."""
    part_map = np.zeros((120, 140), np.uint8)
    part_map[60:90, 100:120] = HEEL
    part_map[50:60, 80:120] = SOLE
    part_map[80:90, 20:80] = SOLE
    part_map[50:80, 20:80] = UPPER
    part_map[20:50, 80:120] = UPPER
    part_map[20:26, 90:110] = OPENING
    part_map[60:70, 50:60] = FASTENING
    return part_map


@pytest.fixture(scope="session")
def shoes():
    """60 shoes of all styles: parameters and renders."""
    rng = np.random.default_rng(3)
    parameters = [ShoeParameters.sample(rng) for _ in range(60)]
    return [(p, render_shoe(p, 128)) for p in parameters]


@pytest.fixture
def registry():
    """The attributes; what a test registers is gone after it."""
    before = dict(ATTRIBUTES)
    yield ATTRIBUTES
    ATTRIBUTES.clear()
    ATTRIBUTES.update(before)
