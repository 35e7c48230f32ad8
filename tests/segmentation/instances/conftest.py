import pytest

from shoegen.segmentation.training import train

from .tiny import coco, tiny_training, write_json, write_pictures


@pytest.fixture(scope="session")
def street(tmp_path_factory):
    """A data set of 8 pictures with annotations.json."""
    folder = tmp_path_factory.mktemp("street") / "street"
    write_pictures(folder / "images", 8)
    write_json(folder / "annotations.json", coco(8))
    return folder


@pytest.fixture(scope="session")
def tiny_run(street, tmp_path_factory):
    """The run folder of a short training."""
    out = tmp_path_factory.mktemp("run") / "run"
    train(tiny_training(street), out)
    return out
