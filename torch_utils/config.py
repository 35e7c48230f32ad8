"""Configurations: keyword-only dataclasses that a run folder keeps as JSON. Loads no torch."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any, Self

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
            return cls(**arguments)
        except ConfigError:
            raise
        except (TypeError, AttributeError, ValueError, ArithmeticError) as error:
            raise ConfigError(
                f"{cls.__name__}: {error}; the configuration was changed by hand, or written by another version"
            ) from error
