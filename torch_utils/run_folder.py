"""The folder of a training run: config.json, log.jsonl, TensorBoard events, samples, checkpoints."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Collection
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
        images = state["images"] if state else 0
        self._rewind_log(images)
        self._log = open(self.path / "log.jsonl", "a")  # noqa: SIM115
        from torch.utils.tensorboard import SummaryWriter  # a second of imports that only training needs

        self._board = SummaryWriter(str(self.path / "tensorboard"), purge_step=images + 1 if images else None)

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
            for left in path.rglob(".*.part"):  # of files that were being written when the run was killed
                with contextlib.suppress(OSError):
                    left.unlink()
            state, damaged = load_latest_checkpoint(path)
            for reason in damaged:
                print(f"passed over a checkpoint: {reason}", file=sys.stderr)
            run = cls(path, config, state, lock)
            on_error.pop_all()
        return run

    def log(self, images: int, figures: dict[str, float]) -> None:
        """One line of JSON and one point of each TensorBoard curve."""
        self._log.write(json.dumps({"images": images, **figures}) + "\n")
        self._log.flush()
        for name, value in figures.items():
            self._board.add_scalar(name, value, images)

    def save_checkpoint(
        self, images: int, state: dict[str, Any], *, keep: int = 2, protect: Collection[int] = ()
    ) -> Path:
        """Keeps `state` (and the image count) to resume from."""
        return save_checkpoint(self.path, images, {"images": images, **state}, keep=keep, protect=protect)

    def close(self) -> None:
        self._log.close()
        self._board.close()
        self._lock.close()

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
