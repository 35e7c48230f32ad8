import hashlib

import pytest
import torch

from shoegen.errors import ConfigError, FileFormatError
from shoegen.metrics.weights import ASSETS_VARIABLE, INCEPTION, VGG, find_weights, read_weights


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.delenv(ASSETS_VARIABLE, raising=False)
    return tmp_path


def test_the_path_comes_before_the_assets(folder, monkeypatch):
    assets, given = folder / "assets", folder / "given"
    for place in (assets, given):
        place.mkdir()
    assert find_weights(INCEPTION) is None
    assert find_weights(INCEPTION, given) is None
    (assets / INCEPTION.names[1]).touch()
    assert find_weights(INCEPTION) is None
    monkeypatch.setenv(ASSETS_VARIABLE, str(assets))
    assert find_weights(INCEPTION) == assets / INCEPTION.names[1]
    assert find_weights(INCEPTION, given) == assets / INCEPTION.names[1]
    (given / INCEPTION.names[0]).touch()
    assert find_weights(INCEPTION, given) == given / INCEPTION.names[0]
    assert find_weights(VGG, given) is None


def test_a_file_is_inception_whatever_its_name(folder):
    mine, vgg = folder / "mine.pth", folder / VGG.names[0]
    mine.touch()
    assert find_weights(INCEPTION, mine) == mine
    assert find_weights(VGG, mine) is None
    vgg.touch()
    assert find_weights(VGG, mine) == vgg
    assert find_weights(VGG, vgg) == vgg
    assert find_weights(INCEPTION, vgg) is None


def test_a_path_to_nothing_is_an_error(folder):
    with pytest.raises(ConfigError, match="nothing at"):
        find_weights(INCEPTION, folder / "nothing.pth")


def test_the_name_promises_the_content(folder):
    path = folder / "mine.pth"
    torch.save({"a": torch.ones(3)}, path)
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    state, found = read_weights(path)
    assert found == digest
    assert torch.equal(state["a"], torch.ones(3))
    kept = folder / f"mine-{digest[:8]}.pth"
    kept.write_bytes(content)
    assert read_weights(kept)[1] == digest
    damaged = bytearray(content)
    damaged[len(damaged) // 2] ^= 1
    kept.write_bytes(damaged)
    with pytest.raises(FileFormatError, match=f"promises {digest[:8]}"):
        read_weights(kept)


class Evil:
    def __reduce__(self):
        return print, ("unpickled",)


@pytest.mark.parametrize("content", [[1, 2], {"a": 1}, {"a": Evil()}])
def test_what_is_no_state_dict_is_refused(folder, content, capsys):
    path = folder / "mine.pth"
    torch.save(content, path)
    with pytest.raises(FileFormatError, match=r"mine\.pth"):
        read_weights(path)
    assert capsys.readouterr().out == ""


def test_no_file_of_weights_at_all(folder):
    path = folder / "mine.pth"
    for content in (b"", b"PK\x03\x04", b"hello"):
        path.write_bytes(content)
        with pytest.raises(FileFormatError, match="damaged"):
            read_weights(path)
    with pytest.raises(FileFormatError, match="cannot be read"):
        read_weights(folder)
