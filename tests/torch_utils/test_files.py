import json
import os
import resource
import signal
import stat
import subprocess
import sys

import pytest

from shoegen.errors import OutputError
from shoegen.torch_utils.files import atomic_folder, atomic_write, check_writable, write_json


def test_the_old_file_stays_when_writing_fails(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(TypeError), atomic_write(path) as file:
        file.writelines([b"half of the n", "ew"])
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_makes_folders_and_honours_the_umask(tmp_path):
    path = tmp_path / "x" / "y" / "a.json"
    write_json(path, {"a": 1})
    assert json.loads(path.read_text()) == {"a": 1}
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~_mask()


def test_a_folder_is_no_file_name(tmp_path):
    with pytest.raises(OutputError, match="it is a folder"):
        check_writable(tmp_path)


def test_a_parent_that_is_a_file_is_said(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="cannot make the folder"):
        check_writable(tmp_path / "file" / "a.png")


def test_a_full_disk_leaves_the_old_file(tmp_path):
    # A limit on the size of files stands in for the full disk.
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        with (
            pytest.raises(OutputError, match="free space or choose another path"),
            atomic_write(path) as file,
        ):
            file.write(b"x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_loads_no_torch():
    code = "import sys, shoegen.torch_utils.files; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("before", [None, [], ["kept", "a"]])
def test_a_folder_comes_whole(tmp_path, before):
    out = tmp_path / "folder"
    if before is not None:
        out.mkdir()
        for name in before:
            (out / name).write_text("old")
    with atomic_folder(out) as folder:
        (folder / "a").write_text("new")
        (folder / "in").mkdir()
        (folder / "in" / "b").write_text("new")
        assert not (out / "in").exists()
    assert {path.name for path in out.iterdir()} == {"a", "in", *(before or [])}
    assert (out / "a").read_text() == (out / "in" / "b").read_text() == "new"
    assert os.listdir(tmp_path) == ["folder"]
    assert stat.S_IMODE(out.stat().st_mode) == 0o777 & ~_mask()


def test_a_folder_that_is_there_is_kept(tmp_path, monkeypatch):
    # It may be a mount, the working folder, or be reached by a link: it cannot be replaced.
    real, link = tmp_path / "real", tmp_path / "link"
    real.mkdir()
    link.symlink_to(real)
    monkeypatch.chdir(real)
    before = real.stat().st_ino
    for out, name in ((real, "a"), (link, "b"), (".", "c")):
        for path in real.iterdir():
            path.unlink()
        with atomic_folder(out) as folder:
            (folder / name).write_text("new")
        assert os.listdir(real) == [name]
    assert real.stat().st_ino == before
    assert link.is_symlink()
    assert sorted(os.listdir(tmp_path)) == ["link", "real"]


def write_half(out):
    with atomic_folder(out) as folder:
        (folder / "a").write_text("new")
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("before", [None, [], ["kept"]])
def test_a_folder_that_fails_leaves_nothing(tmp_path, before):
    out = tmp_path / "folder"
    if before is not None:
        out.mkdir()
        for name in before:
            (out / name).write_text("old")
    with pytest.raises(OutputError, match="cannot write"):
        write_half(out)
    assert [path.name for path in tmp_path.rglob("*")] == ([] if before is None else ["folder", *before])


@pytest.mark.parametrize("before", [[], ["kept"]])
def test_the_last_file_of_a_folder_says_that_all_are_there(tmp_path, monkeypatch, before):
    out, came = tmp_path / "folder", []
    out.mkdir()
    for name in before:
        (out / name).write_text("old")
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda old, new: (came.append(new.name), replace(old, new)))
    with atomic_folder(out, last="a") as folder:
        for name in ("a", "b", "c"):
            (folder / name).write_text("new")
    assert came[-1] == "a"
    assert set(came) == {"a", "b", "c"}


def _mask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
