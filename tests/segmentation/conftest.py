import numpy as np
import pytest

from shoegen.data.synthetic import make_dataset
from shoegen.segmentation.training import train

from ..tiny import tiny_segmenter_training


@pytest.fixture(scope="session")
def shoes(tmp_path_factory):
    """A zip of 24 shoes at 32 px."""
    path = tmp_path_factory.mktemp("shoes") / "shoes.zip"
    make_dataset(path, count=24, resolution=32)
    return path


@pytest.fixture(scope="session")
def tiny_run(shoes, tmp_path_factory):
    """The run folder of a short training."""
    out = tmp_path_factory.mktemp("run") / "run"
    train(tiny_segmenter_training(str(shoes)), out)
    return out


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
