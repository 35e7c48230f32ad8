import pytest

from .random_weights import write_inception, write_vgg


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """A folder with networks of random weights, under names that promise nothing of their content."""
    folder = tmp_path_factory.mktemp("weights")
    write_inception(folder / "inception.pth")
    write_vgg(folder / "vgg.pth")
    return folder
