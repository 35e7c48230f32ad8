"""W as its samples lie in it: the coordinates that inversion moves in, one sigma a unit along every axis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from shoegen.stylegan.networks import Generator

SAMPLES = 8192
THINNEST = 0.02  # of the widest axis: W is taken to be at least as wide along every axis
CHUNK = 1024


@dataclass(frozen=True, eq=False)
class Basis:
    """mean: (w_dim,) of W. axes: (w_dim, w_dim), rows are W's principal axes, one standard deviation long each."""

    mean: Tensor
    axes: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, generator: Generator, *, seed: int = 0) -> Self:
        """Measured on samples, of all classes."""
        device = generator.mapping.w_avg.device
        stream = torch.Generator().manual_seed(seed)
        z = torch.randn(SAMPLES, generator.config.z_dim, generator=stream)
        c = None
        if generator.config.c_dim:
            c = F.one_hot(torch.arange(SAMPLES) % generator.config.c_dim, generator.config.c_dim).float()
        chunks = [
            generator.mapping(z[i : i + CHUNK].to(device), None if c is None else c[i : i + CHUNK].to(device))
            for i in range(0, SAMPLES, CHUNK)
        ]
        w = torch.cat(chunks).double()
        mean = w.mean(0)
        variances, vectors = torch.linalg.eigh((w - mean).T @ (w - mean) / (len(w) - 1))
        sigmas = variances.clamp(min=0).sqrt()
        sigmas = sigmas.clamp(min=max(float(sigmas.max()) * THINNEST, 1e-6))
        return cls(mean.float(), (vectors * sigmas).T.contiguous().float())

    def to_w(self, v: Tensor) -> Tensor:
        """(…, w_dim) in sigmas → W."""
        return self.mean + v @ self.axes

    def to_sigmas(self, w: Tensor) -> Tensor:
        """The inverse of `to_w`."""
        scale = self.axes.square().sum(1)  # axes are orthogonal
        return (w - self.mean) @ (self.axes / scale[:, None]).T

    def distance(self, ws: Tensor) -> tuple[float, float]:
        """How far ws (num_ws, w_dim) lie from the mean of W, and their layers from one another, in sigmas.

        Root mean squares over the axes: 1 is as far as a sample of W is from its mean.
        """
        v = self.to_sigmas(ws)
        middle = v.mean(0)
        return float(middle.square().mean().sqrt()), float((v - middle).square().mean().sqrt())
