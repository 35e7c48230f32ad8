"""Configurations: keyword-only dataclasses that a run folder keeps as JSON. Loads no torch."""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, ClassVar, Self

from shoegen.errors import ConfigError


class JsonConfig:
    """Base of a dataclass whose fields are plain values, tuples, or dataclasses of this kind."""

    def to_dict(self) -> dict[str, Any]:
        """What `json.dumps` takes."""
        return dataclasses.asdict(self)  # type: ignore[call-overload]

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The inverse of `to_dict`, also through JSON.

        Raises:
            ConfigError: names that this version does not know, or lacks.
        """
        types = typing.get_type_hints(cls)
        try:
            arguments = {
                name: types[name].from_dict(value) if isinstance(value, dict) and name in types else value
                for name, value in values.items()
            }
            for name, value in arguments.items():
                if name in types and not _fits(value, types[name]):
                    raise TypeError(f"{name} is {value!r:.60}")
            return cls(**arguments)
        except ConfigError:
            raise
        except (TypeError, AttributeError, ValueError, ArithmeticError) as error:
            raise ConfigError(
                f"{cls.__name__}: {error}; the configuration was changed by hand, or written by another version"
            ) from error


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value of JSON can stand for a type; what the values may be, the dataclasses say themselves."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, UnionType):
        return any(_fits(value, each) for each in arguments)
    if origin is tuple:
        return isinstance(value, (list, tuple)) and all(
            any(_fits(each, kind) for kind in arguments if kind is not Ellipsis) for each in value
        )
    if origin is typing.Literal:
        return type(value) in map(type, arguments)
    if type(value) is int and abs(value) >= 2**63:
        return False
    if hint in (bool, int, str, NoneType):
        return type(value) is hint
    return type(value) in (int, float) if hint is float else True


MAX_BATCH = 2**16


@dataclass(frozen=True, kw_only=True)
class LoopConfig(JsonConfig):
    """What the configuration of every training has.

    data: what to learn from. images: how many to show. batch: images per step, over all processes.
    seed: of all that is random. log_every, evaluate_every, save_every: in images.
    """

    LEAST_SHARE: ClassVar[int] = 2
    """Pictures of a batch that a process needs: batch normalisation takes two."""

    data: str
    images: int
    batch: int = 16
    seed: int = 0
    log_every: int = 800
    evaluate_every: int = 8_000
    save_every: int = 4_000

    def __post_init__(self) -> None:
        for name in ("log_every", "evaluate_every", "save_every"):
            if getattr(self, name) < 1:
                raise ConfigError(
                    f"--{name.replace('_', '-')}: got {getattr(self, name)}, expected at least 1"
                )
        if not 1 <= self.images <= 10**12:
            raise ConfigError(f"images is {self.images}, expected 1 to 10¹²; change --images")
        if self.batch < self.LEAST_SHARE:
            needs = " (batch normalisation needs two)" if self.LEAST_SHARE == 2 else ""
            raise ConfigError(
                f"batch is {self.batch}, expected at least {self.LEAST_SHARE}{needs}; change --batch"
            )
        if self.batch > MAX_BATCH:
            raise ConfigError(f"batch is {self.batch}, expected at most {MAX_BATCH}; change --batch")
        if not 0 <= self.seed < 2**32:
            raise ConfigError(f"seed is {self.seed}, expected 0 to 2³² − 1; change --seed")

    def check_batch(self, processes: int) -> int:
        """Pictures of a batch that each process gets.

        Raises:
            ConfigError: the processes cannot share it alike, or one would get fewer than `LEAST_SHARE` pictures.
        """
        share, rest = divmod(self.batch, processes)
        if rest or share < self.LEAST_SHARE:
            least = ", at least 2 pictures for each (batch normalisation needs two)"
            raise ConfigError(
                f"--batch: got {self.batch}, expected a multiple of the {processes} processes"
                f"{least if self.LEAST_SHARE == 2 else ''}"
            )
        return share
