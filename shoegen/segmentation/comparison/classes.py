"""The classes of a data set and of several models, brought together by their names."""

from __future__ import annotations

import numpy as np

from shoegen.data.annotations.model import BACKGROUNDS
from shoegen.data.labels import IGNORED, LabelMap
from shoegen.errors import ConfigError
from shoegen.torch_utils.text import some


class CommonClasses:
    """What the part maps of the data and of the models are compared in.

    Without `mapping` these are the data's classes, and a model must know the same, in any order; class 0 is the same
    for all where each calls it a usual name of the background.

    Args:
        data: the data's classes.
        mapping: {old: new}: the data's and the models' classes become these; a new name stands for itself too, and
            what is not listed becomes background. A model's best class is found before, so the probabilities of
            several that become one are not added.

    Attributes:
        labels: the common classes.

    Raises:
        ConfigError: the mapping makes a class background by its name, or leaves nothing.
    """

    def __init__(self, data: LabelMap, mapping: dict[str, str] | None = None):
        self._data, self._mapping = data, mapping
        self.labels = data
        if mapping is None:
            return
        for old, new in mapping.items():
            if new in BACKGROUNDS:
                raise ConfigError(f"--classes: got {old}={new}; to make a class background, leave it out")
        news = dict.fromkeys(mapping.values())
        self._mapping = {**{new: new for new in news if new not in mapping}, **mapping}
        self.labels = LabelMap.from_names(["background", *news])

    def check_names(self, others: list[LabelMap]) -> None:
        """Refuses a mapping of a class that neither the data nor any of the models has.

        Raises:
            ConfigError: names it.
        """
        known = {name for labels in (self._data, *others) for name in labels.names}
        news = set((self._mapping or {}).values())
        unknown = [old for old in self._mapping or {} if old not in known and old not in news]
        if unknown:
            raise ConfigError(
                f"--classes: no class {unknown[0]!r} in the data or a model; expected some of "
                f"{some(sorted(known), limit=12)}"
            )

    def table(self, labels: LabelMap, what: str) -> np.ndarray:
        """(256,) uint8: for each class of `labels` the common class; indexed with a part map it translates it.

        What is `IGNORED` stays so.

        Args:
            what: whose classes they are, for messages.

        Raises:
            ConfigError: it lacks a class, or has others.
        """
        table = np.zeros(256, np.uint8)
        table[IGNORED] = IGNORED
        if self._mapping is not None:
            for index, name in enumerate(labels.names):
                if name in self._mapping:
                    table[index] = self.labels.index(self._mapping[name])
            missing = [
                name for i, name in enumerate(self.labels.names) if i and i not in table[: len(labels)]
            ]
            if missing:
                raise ConfigError(
                    f"{what} has nothing that --classes makes {some(missing)}; its classes are "
                    f"{some(labels.names, limit=12)}; map one of them"
                )
            return table
        names = list(labels.names)
        if names[0] in BACKGROUNDS and self.labels.names[0] in BACKGROUNDS:
            names[0] = self.labels.names[0]
        lacks = [name for name in self.labels.names if name not in names]
        others = [name for name in names if name not in self.labels.names]
        if lacks or others:
            differences = [f"it lacks {some(lacks)}"] * bool(lacks) + [f"it has {some(others)}"] * bool(
                others
            )
            raise ConfigError(
                f"{what} has other classes than the data: {' and '.join(differences)}; bring both to the same with "
                "--classes, such as --classes shoes=shoe,boots=shoe"
            )
        for index, name in enumerate(names):
            table[index] = self.labels.index(name)
        return table
