"""What a training logs of its generator."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import torch

from shoegen.data.datasets import ImageDataset
from shoegen.errors import ConfigError
from shoegen.metrics.diversity import diversity
from shoegen.metrics.evaluation import Evaluator, check_request
from shoegen.metrics.pictures import draw_latents, generator_sampler
from shoegen.stylegan.networks import Generator

LESS_IS_BETTER = ("kid", "fid", "swd", "ppl")
_COMPARED = 256  # pictures whose diversity is compared
_AT_ONCE = 16


def monitor(
    metrics: str, *, samples: int, weights: str | os.PathLike[str] | None = None
) -> Callable[[ImageDataset], Callable[[Generator], dict[str, float]]] | None:
    """For `shoegen.stylegan.training.train`: figures of a generator by name, the one that chooses the best first.

    Args:
        metrics: names such as "swd,kid"; "auto" for KID or FID where their weights are, else SWD; "none".
        samples: pictures to draw each time.
        weights: see `Evaluator`.

    Raises:
        ConfigError: unknown metrics, none that can choose, or bad samples or weights.
    """
    if metrics == "none":
        return None
    names: Sequence[str] | None = None if metrics == "auto" else metrics.split(",")
    check_request(names, samples=samples, weights=weights)
    if names and not {*names} & {*LESS_IS_BETTER}:
        raise ConfigError(
            f"--metrics: got {metrics}, expected one of {', '.join(LESS_IS_BETTER)} too, to choose the best by"
        )

    def prepare(data: ImageDataset) -> Callable[[Generator], dict[str, float]]:
        classes = [data.class_of(i) or 0 for i in range(len(data))] if data.class_names else None
        settings: Any = {"samples": min(samples, len(data)), "weights": weights, "classes": classes}
        evaluator = Evaluator(data, names, **settings)
        if not {*evaluator.names} & {*LESS_IS_BETTER}:  # their weights are not here
            evaluator = Evaluator(data, ["swd", *evaluator.names], **settings)
        few = range(0, len(data), max(len(data) // _COMPARED, 1))
        reference = torch.stack([torch.from_numpy(data[i]) for i in few])

        def evaluate(generator: Generator) -> dict[str, float]:
            measured = {each.name: each.value for each in evaluator.evaluate(generator)}
            first = [name for name in LESS_IS_BETTER if name in measured]
            figures = {name: measured[name] for name in [*first, *measured]}
            draw = generator_sampler(
                generator, draw_latents(generator, _COMPARED, seed=0, classes=classes), 1.0
            )
            drawn = [draw(chunk) for chunk in [_AT_ONCE] * (_COMPARED // _AT_ONCE)]
            return {**figures, "diversity": diversity(torch.cat(drawn), reference)}

        return evaluate

    return prepare
