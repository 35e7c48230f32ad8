"""How good a generator's pictures are: one call, one figure a line.

evaluate(generator, dataset, ["swd", "kid"], samples=2000, seed=0)  # → [Figure, …]

`Evaluator` does so again and again for one data set, as a training does. Nothing here downloads anything:
a metric whose weights are not on the machine is skipped with one line.
"""

from shoegen.metrics.diversity import diversity
from shoegen.metrics.evaluation import METRICS, Evaluator, default_metrics, evaluate
from shoegen.metrics.figure import Figure

__all__ = ["METRICS", "Evaluator", "Figure", "default_metrics", "diversity", "evaluate"]
