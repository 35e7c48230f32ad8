"""Files that are written whole or not at all. Loads no torch."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from shoegen.errors import OutputError


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A binary file that takes the name `path` only once it is complete and on disk.

    The bytes go to a temporary file beside `path`, are flushed to disk, and are renamed;
    whoever reads `path` sees the old file or the new one, and an error leaves the old one.

    Raises:
        OutputError: the folder or file cannot be written, or the disk is full.
    """
    path = Path(path)
    make_folder(path)
    temporary = None
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp makes files private
        os.replace(temporary, path)
        temporary = None
        _sync(path.parent)
    except OutputError:
        raise
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Checks that a file can be written at `path`, whose folder need not be there yet; leaves nothing behind.

    Called before long work starts, so that the work is not lost at its end.

    Raises:
        OutputError: says what is in the way.
    """
    path = Path(path)
    if path.is_dir():
        raise OutputError(f"cannot write {path}: it is a folder; give a file name")
    folder = path.absolute().parent
    while not os.path.lexists(folder):
        folder = folder.parent
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        is_there = folder == path.absolute().parent and folder.is_dir()
        what = f"write {path}" if is_there else f"make the folder {path.parent}"
        raise OutputError(f"cannot {what}: {error.strerror}; choose another path") from error


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Writes `value` as indented JSON, whole or not at all."""
    text = json.dumps(value, indent=2, allow_nan=False) + "\n"
    with atomic_write(path) as file:
        file.write(text.encode())


def make_folder(path: Path) -> None:
    """Makes the parent folder of `path`.

    Raises:
        OutputError: cannot be made, or `path` is a folder itself.
    """
    if path.is_dir():
        raise OutputError(f"cannot write {path}: it is a folder; give a file name")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot make the folder {path.parent}: {error.strerror}; choose another path"
        ) from error


@contextlib.contextmanager
def atomic_folder(path: str | os.PathLike[str], *, last: str | None = None) -> Iterator[Path]:
    """A folder to write in that takes the name `path` once it is complete; an error leaves nothing.

    Where there is a folder of that name, empty or not, or a link to one, what was written comes into it, file by file,
    over files of the same name.

    Args:
        last: the name of the file that comes there last, and so says that all are there.

    Raises:
        OutputError: it cannot be written.
    """
    path = Path(path)
    is_new = not path.exists()
    if is_new:
        make_folder(path)
    temporary = None
    try:
        parent = path.absolute().parent if is_new else path
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=parent))
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                _sync(file)
        if is_new:
            temporary.chmod(0o777 & ~_umask())  # mkdtemp makes folders private
            os.replace(temporary, path)
            _sync(path.absolute().parent)
            temporary = None
            return
        for file in sorted(temporary.iterdir(), key=lambda each: each.name == last):
            os.replace(file, path / file.name)
        _sync(path)
    except OutputError:
        raise
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def _cannot_write(path: Path, error: OSError) -> OutputError:
    return OutputError(f"cannot write {path}: {error.strerror or error}; free space or choose another path")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync(path: Path) -> None:
    """Has the disk keep a file, or the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
