import pytest

from shoegen.data.synthetic import make_dataset
from shoegen.spade.training import train

from .small_runs import tiny_training


@pytest.fixture(scope="session")
def shoes(tmp_path_factory):
    """A zip of 16 shoes at 32 px."""
    path = tmp_path_factory.mktemp("shoes") / "shoes.zip"
    make_dataset(path, count=16, resolution=32, workers=1)
    return path


@pytest.fixture(scope="session")
def tiny_run(shoes, tmp_path_factory):
    """The run folder of a short training."""
    out = tmp_path_factory.mktemp("run") / "run"
    train(tiny_training(shoes), out)
    return out
