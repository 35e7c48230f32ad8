import pytest

from shoegen.cagan.training import train

from .tiny import tiny_config, write_pairs


@pytest.fixture(scope="session")
def pairs(tmp_path_factory):
    """A folder with a pairs.csv, all columns."""
    return write_pairs(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="session")
def tiny_run(pairs, tmp_path_factory):
    """The run folder of a short training."""
    out = tmp_path_factory.mktemp("run") / "run"
    train(tiny_config(pairs), out)
    return out
