"""Learning rates over a training, as functions of the images shown: a resumed run needs no more."""

from __future__ import annotations

import math

from shoegen.segmentation.config import TrainingConfig

WARM_UP = 0.1  # of the images
START, END = 1 / 25, 1 / 250_000  # of the highest rate


def learning_rate(config: TrainingConfig, shown: int) -> float:
    """The rate of the step that follows after `shown` images.

    - onecycle (Smith and Topin, arXiv 1708.07120): up for a tenth of the training, down for the rest, along cosines,
      from `START` to `END` of the highest rate.
    - cyclical (Smith, arXiv 1506.01186, section 3): up and down along straight lines from `START`, again and again.
    - constant.
    """
    highest = config.learning_rate
    if config.schedule == "constant":
        return highest
    if config.schedule == "cyclical":
        assert config.cycle is not None  # chosen with the data
        up = 1 - abs(2 * (shown % config.cycle) / config.cycle - 1)
        return highest * (START + (1 - START) * up)
    done = min(shown / config.images, 1.0)
    if done < WARM_UP:
        return highest * _cosine(START, 1.0, done / WARM_UP)
    return highest * _cosine(1.0, END, (done - WARM_UP) / (1 - WARM_UP))


def _cosine(first: float, last: float, progress: float) -> float:
    return last + (first - last) * (1 + math.cos(math.pi * progress)) / 2
