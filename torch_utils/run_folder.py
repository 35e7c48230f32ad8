"""The folder of a training run: config.json, log.jsonl, TensorBoard events, samples, checkpoints."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Self

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

from shoegen.errors import ConfigError, FileFormatError, OutputError
from shoegen.torch_utils.checkpoints import load_latest_checkpoint, save_checkpoint
from shoegen.torch_utils.files import atomic_write, make_folder, write_json


class RunFolder:
    """What a run leaves on disk. Progress is counted in images shown.

    `create` starts a run, `resume` goes on with one; use it as a context manager.
    """

    def __init__(
        self, path: Path, config: dict[str, Any], state: dict[str, Any] | None, lock: BinaryIO
    ) -> None:
        self.path = path
        self.config = config
        self.state = state  # of the checkpoint that the run goes on from; None for a new run
        self._lock = lock
        for left in path.rglob(".*.part"):  # of files that were being written when a run here was killed
            with contextlib.suppress(OSError):
                left.unlink()
        images = state["images"] if state else 0
        with _said(self.path):
            self._rewind_log(images)
            self._log = open(self.path / "log.jsonl", "a")  # noqa: SIM115
            self._board = _Board(self.path / "tensorboard", purge_step=images + 1 if images else None)

    @classmethod
    def create(cls, path: str | os.PathLike[str], config: dict[str, Any], *, kind: str) -> Self:
        """A new run of a kind of training, such as "stylegan", with this configuration.

        Raises:
            OutputError: cannot be written, or holds a run already.
        """
        check_new_run(path)
        path = Path(path)
        make_folder(path / "samples" / "sheet.png")
        with contextlib.ExitStack() as on_error:
            lock = on_error.enter_context(_lock(path))
            check_new_run(path)  # nobody was faster
            write_json(path / "config.json", {"kind": kind, **config})
            run = cls(path, config, None, lock)
            on_error.pop_all()
        return run

    def keep_config(self, config: dict[str, Any]) -> None:
        """The configuration with which the run goes on, so that it does so too after the next interruption."""
        path = self.path / "config.json"
        write_json(path, {"kind": json.loads(path.read_bytes())["kind"], **config})

    @classmethod
    def resume(cls, path: str | os.PathLike[str], *, kind: str) -> Self:
        """The run in `path`, from its newest intact checkpoint, or from its start if it has none yet.

        Raises:
            ConfigError: there is no run of this kind in `path`.
            FileFormatError: its configuration or checkpoint is damaged.
        """
        path = Path(path)
        if not (path / "config.json").exists():
            raise ConfigError(f"--resume: no run in {path}; expected the run folder of an earlier training")
        make_folder(path / "samples" / "sheet.png")
        with contextlib.ExitStack() as on_error:
            lock = on_error.enter_context(_lock(path))
            try:
                config = json.loads((path / "config.json").read_bytes())
            except (OSError, ValueError) as error:
                raise FileFormatError(
                    f"{path / 'config.json'} is not JSON ({error}); restore it or start anew"
                ) from error
            if not isinstance(config, dict):
                raise FileFormatError(f"{path / 'config.json'} is no configuration; restore it or start anew")
            if config.pop("kind", None) != kind:
                raise ConfigError(
                    f"--resume: the run in {path} is not one of {kind}; expected the command that started it"
                )
            state, damaged = load_latest_checkpoint(path)
            for reason in damaged:
                print(f"passed over a checkpoint: {reason}", file=sys.stderr)
            run = cls(path, config, state, lock)
            on_error.pop_all()
        return run

    def log(self, images: int, figures: dict[str, float]) -> None:
        """One line of JSON and one point of each TensorBoard curve."""
        with _said(self.path):
            self._log.write(json.dumps({"images": images, **figures}) + "\n")
            self._log.flush()
            self._board.add(images, figures)

    def save_checkpoint(
        self, images: int, state: dict[str, Any], *, keep: int = 2, protect: Collection[int] = ()
    ) -> Path:
        """Keeps `state` (and the image count) to resume from."""
        return save_checkpoint(self.path, images, {"images": images, **state}, keep=keep, protect=protect)

    def close(self) -> None:
        for file in (self._log, self._board, self._lock):
            with contextlib.suppress(OSError):  # said when it was written to
                file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _rewind_log(self, images: int) -> None:
        # A run that was killed has logged beyond its last checkpoint; those images will be shown again.
        path = self.path / "log.jsonl"
        if not path.exists():
            return
        kept = []
        for line in path.read_text(errors="replace").splitlines():
            # A line that was being written, or is somebody else's, goes too.
            with contextlib.suppress(ValueError, TypeError, KeyError):
                if json.loads(line)["images"] <= images:
                    kept.append(line + "\n")
        with atomic_write(path) as file:
            file.write("".join(kept).encode())


class _Board:
    """An event file of TensorBoard, written at once.

    TensorBoard's own writer leaves that to a thread, which dies of a full disk with a traceback, and may then be waited
    for without end.
    """

    def __init__(self, folder: Path, *, purge_step: int | None) -> None:
        from tensorboard.compat.proto.event_pb2 import SessionLog  # imports that only training needs
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder.mkdir(exist_ok=True)
        name = f"events.out.tfevents.{time.time_ns():020d}.{socket.gethostname()}.{os.getpid()}"
        self._file = open(folder / name, "wb")  # noqa: SIM115
        self._records = RecordWriter(self._file)
        self._write(file_version="brain.Event:2")
        if purge_step is not None:  # what was logged beyond the checkpoint is shown no more
            self._write(step=purge_step, session_log=SessionLog(status=SessionLog.START))
        self._file.flush()

    def add(self, images: int, figures: dict[str, float]) -> None:
        """One point of each curve."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=name, simple_value=value) for name, value in figures.items()]
        self._write(step=images, summary=Summary(value=values))
        self._file.flush()

    def _write(self, **event: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self._records.write(Event(wall_time=time.time(), **event).SerializeToString())

    def close(self) -> None:
        self._file.close()


@contextlib.contextmanager
def _said(path: Path) -> Iterator[None]:
    """Turns what the system refuses in a run folder into one line."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(
            f"cannot write {error.filename or path}: {error.strerror}; free space or choose another path, then go on "
            "with --resume"
        ) from error


def check_new_run(path: str | os.PathLike[str]) -> None:
    """Refuses a folder that a new run cannot be started in; writes nothing.

    Raises:
        ConfigError: no path.
        OutputError: it is a file, or holds a run, or what is left of one.
    """
    if not os.fspath(path):
        raise ConfigError("--out: got an empty path, expected a run folder")
    path = Path(path)
    left = [path / name for name in ("config.json", "checkpoints.json", "log.jsonl")]
    if (
        any(each.exists() for each in left)
        or any(path.glob("checkpoint-*.pt"))
        or any(path.glob("*.safetensors"))
    ):
        raise OutputError(f"{path} holds a run already; choose another --out, or go on with it with --resume")
    if path.exists() and not path.is_dir():
        raise OutputError(f"cannot use {path} as a run folder: it is a file; choose another --out")


def _lock(path: Path) -> BinaryIO:
    """Keeps a second process from training in the same folder; the system lets go of it when the process ends."""
    try:
        file = open(path / ".lock", "wb")  # noqa: SIM115
    except OSError as error:
        raise OutputError(f"cannot write {path / '.lock'}: {error.strerror}; choose another --out") from error
    if fcntl is not None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.close()
            raise OutputError(
                f"another process trains in {path}; wait for it, or choose another --out"
            ) from error
        except OSError:  # a file system without locks
            pass
    return file
