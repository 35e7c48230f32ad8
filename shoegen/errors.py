"""What can go wrong, as one tree:

    ShoegenError
    ├── ConfigError      (ValueError)    an option or argument that cannot be followed
    ├── DataError        (ValueError)    pictures, part maps, data sets
    ├── FileFormatError  (ValueError)    checkpoints, models, directions: wrong kind, damaged, for another model
    ├── OutputError      (OSError)       a path that cannot be written
    └── TrainingError    (RuntimeError)  a run that cannot go on, such as one with NaN losses

Each message is one line: what was got, what was expected, what to do.
The command line prints it and exits with 1; `--debug` adds the traceback.
"""

from __future__ import annotations


class ShoegenError(Exception):
    """Base of every error that shoegen raises on purpose."""


class ConfigError(ShoegenError, ValueError):
    """An option or argument that cannot be followed."""


class DataError(ShoegenError, ValueError):
    """Pictures, part maps or data sets that cannot be used."""


class FileFormatError(ShoegenError, ValueError):
    """A checkpoint, model or direction of the wrong kind, damaged, or made for another model."""


class OutputError(ShoegenError, OSError):
    """A path that cannot be written."""


class TrainingError(ShoegenError, RuntimeError):
    """A training run that cannot go on."""
