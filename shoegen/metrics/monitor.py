"""What a training logs of its generator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from shoegen.data.datasets import ImageDataset
from shoegen.errors import ConfigError
from shoegen.metrics.diversity import diversity
from shoegen.metrics.evaluation import Evaluator, check_request
from shoegen.metrics.pictures import draw_latents, generator_sampler
from shoegen.stylegan.config import TrainingConfig
from shoegen.stylegan.networks import Generator

LESS_IS_BETTER = ("kid", "fid", "swd", "ppl")
_COMPARED = 256  # pictures whose diversity is compared
_AT_ONCE = 16


def monitor(
    config: TrainingConfig,
) -> Callable[[ImageDataset], Callable[[Generator], dict[str, float]]] | None:
    """For `shoegen.stylegan.training.train`: figures of a generator by name, the one that chooses the best first.

    Args:
        config: its `metrics` are names such as "swd,kid"; "auto" for KID or FID where their weights are, else SWD; or
            "none". Metrics whose weights are not here are skipped with a line, and SWD stands in for them.

    Raises:
        ConfigError: unknown metrics, none that can choose, or bad samples or weights.
    """
    if config.metrics == "none":
        return None
    names: Sequence[str] | None = None if config.metrics == "auto" else config.metrics.split(",")
    check_request(names, samples=config.metric_samples, weights=config.weights)
    if names and not {*names} & {*LESS_IS_BETTER}:
        raise ConfigError(
            f"--metrics: got {config.metrics}, expected one of {', '.join(LESS_IS_BETTER)} too, to choose the best by"
        )

    def prepare(data: ImageDataset) -> Callable[[Generator], dict[str, float]]:
        classes = [data.class_of(i) or 0 for i in range(len(data))] if data.class_names else None
        settings: Any = {
            "samples": min(config.metric_samples, len(data)),
            "weights": config.weights,
            "classes": classes,
        }
        evaluator = Evaluator(data, names, **settings)
        if not {*evaluator.names} & {*LESS_IS_BETTER}:  # their weights are not here
            names_here = ["swd", *evaluator.names]
            evaluator = Evaluator(data, names_here, **settings)
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
