"""What an encoder learns from: a generator's own samples, drawn while it trains."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from itertools import repeat
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from shoegen.errors import ConfigError
from shoegen.inversion.config import TrainingConfig
from shoegen.inversion.latents import Basis
from shoegen.stylegan.legacy import read_network
from shoegen.stylegan.networks import Generator
from shoegen.stylegan.sampling import Classes, latents
from shoegen.torch_utils.draws import BatchDraws
from shoegen.torch_utils.tensors import find_model

DEFAULT_GENERATOR = Path(__file__).parent.parent / "assets" / "generator.safetensors"
VALIDATED = 64
FIRST_HELD_OUT = 2**31  # seeds of the samples to validate on


class SampleData:
    """See `torch_utils.training.Data`; a batch is the rows alone, whose latents follow from the step and the seed.

    Attributes: generator, basis.
    """

    def __init__(self, config: TrainingConfig) -> None:
        self._config = config
        path = find_model(config.data, DEFAULT_GENERATOR, "generator", "train-stylegan")
        network = read_network(path).network
        if not isinstance(network, Generator):
            raise ConfigError(f"--model {path}: got no generator; give its .safetensors file or run folder")
        self.generator = network.eval().requires_grad_(False)
        self.basis = Basis.of(self.generator)
        self.fingerprint = self.generator.hash()
        self.notes: list[str] = []

    @property
    def contents(self) -> str:
        return f"the generator {self.fingerprint[:12]}"

    @contextlib.contextmanager
    def batches(self, rows: Sequence[int], shown: int) -> Iterator[Iterator[list[int]]]:
        """The rows, endlessly."""
        yield repeat(list(rows))

    def held_out(self) -> Tensor:
        """ws (N, num_ws, w_dim) to validate on, which training does not see."""
        seeds = range(FIRST_HELD_OUT, FIRST_HELD_OUT + VALIDATED)
        classes: Classes = "random" if self.generator.config.c_dim else None
        return latents(self.generator, seeds, classes=classes, psi=0.7)


@torch.no_grad()
def draw_ws(generator: Generator, draws: BatchDraws, rows: int, config: TrainingConfig) -> Tensor:
    """ws (N, num_ws, w_dim), truncated and mixed as the configuration says."""
    network = generator.mapping
    size = (rows, network.z_dim)
    c = None
    if network.c_dim:
        number = (draws.uniform("class", (rows,), 0, 1) * network.c_dim).long().clamp(max=network.c_dim - 1)
        c = F.one_hot(number, network.c_dim).float()
    one, other = (network(draws.normal(f"z {i}", size, 1.0), c) for i in range(2))
    psi = draws.uniform("psi", (rows, 1), *config.psi)
    one, other = (torch.lerp(network.w_avg, each, psi) for each in (one, other))
    crossover = (draws.uniform("crossover", (rows, 1), 0, 1) * (generator.num_ws - 1)).floor() + 1
    mixed = draws.gate("mixed", (rows, 1), config.mixed).bool()
    layers = torch.arange(generator.num_ws, device=one.device)
    later = (layers >= crossover) & mixed  # N, num_ws
    return torch.where(later[..., None], other[:, None], one[:, None])
