"""How long a training step takes and how much memory, against plain PyTorch and the published way.

    python benchmarks/training_speed.py --resolution 256 --batch 4 --json speed.json
    python benchmarks/training_speed.py --device cuda --batch 16 --variants ours,reference,compiled,published

A step is Gmain + Dmain, and every 4th and 16th time path length and R1: their shares count. Variants: `ours`;
`reference`, the same ops in plain PyTorch; `published`, see published.py; `compiled`, torch.compile of the reference
for Gmain and Dmain (it has no gradients of gradients). Times come from one process, where the variants take turns;
peak memory from a process of each one's own. Aims on two cores at 64 and 256 px: published_over_ours ≥ 2,
ours_memory_share ≤ 0.7. With --cold the C library hands freed memory back. On a GPU the shares of its measured
memory bandwidth that single ops reach are added.
"""

from __future__ import annotations

import argparse
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from published import published
from report import Report
from torch import Tensor, nn

from shoegen.ops import bias_act, downsample2d, modulated_conv2d, setup_filter, upsample2d
from shoegen.ops.dispatch import native_problem, set_impl
from shoegen.stylegan.config import DiscriminatorConfig, GeneratorConfig
from shoegen.stylegan.loss import generator_loss, path_lengths, r1_penalty
from shoegen.stylegan.networks import Discriminator, Generator
from shoegen.torch_utils.memory import keep_freed_memory, peak_memory_gb

SHARES = {"gmain": 1.0, "dmain": 1.0, "path_length": 1 / 4, "r1": 1 / 16}  # of a step


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--channel-base", type=int, default=16384)
    parser.add_argument("--variants", default="ours,published")
    parser.add_argument("--phases", default=",".join(SHARES))
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, help="default: PyTorch's")
    parser.add_argument("--cpu-time", action="store_true", help="one thread, by its processor time")
    parser.add_argument("--cold", action="store_true", help="leave the C library's allocator as it is")
    parser.add_argument("--roofline", action="store_true", help="measure single ops on a CPU as well")
    parser.add_argument("--memory-only", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--json")
    options = parser.parse_args()
    if options.threads or options.cpu_time:
        torch.set_num_threads(1 if options.cpu_time else options.threads)
    kept = not options.cold and keep_freed_memory()
    names, phases = options.variants.split(","), options.phases.split(",")
    device = torch.device(options.device)
    if "ours" in names and native_problem(device.type):
        parser.exit(1, f"the native ops on {device.type} cannot be had: {native_problem(device.type)}\n")
    step = Step(options.resolution, options.batch, options.channel_base, device)
    if options.memory_only:
        for phase in phases:
            step.run(names[0], phase)
        print(peak_gb(device))
        return

    report = Report()
    report.add("threads", torch.get_num_threads(), "threads")
    report.add("freed_memory_is_kept", kept, "yes")
    report.add("batch", options.batch, "images")
    seconds: dict[tuple[str, str], list[float]] = {(name, phase): [] for name in names for phase in phases}
    for name in names:  # the first time is slow
        for phase in phases:
            step.run(name, phase)
    timer = time.process_time if options.cpu_time else time.perf_counter
    for _ in range(options.runs):
        for phase in phases:
            for name in names:
                start = timer()
                step.run(name, phase)
                seconds[name, phase].append(timer() - start)
    whole: dict[str, float] = {}
    for name in names:
        typical = {phase: statistics.median(seconds[name, phase]) for phase in phases}
        for phase, taken in typical.items():
            report.add(f"{name}_{phase}", taken, "s")
        whole[name] = sum(taken * SHARES[phase] for phase, taken in typical.items())
        report.add(f"{name}_step", whole[name], "s")
        report.add(f"{name}_speed", options.batch / whole[name], "images/s")
    for name in names[1:]:
        for phase in phases:
            ratios = [b / a for a, b in zip(seconds[names[0], phase], seconds[name, phase], strict=True)]
            report.add(f"{name}_over_{names[0]}_{phase}", statistics.median(ratios), "times")
        report.add(f"{name}_over_{names[0]}", whole[name] / whole[names[0]], "times")

    memory = {name: peak_in_own_process(name) for name in names}
    for name, peak in memory.items():
        report.add(f"{name}_peak_memory", peak, "GB")
    for name in names[1:]:
        report.add(f"{names[0]}_memory_share_of_{name}", memory[names[0]] / memory[name], "times")
    if device.type == "cuda" or options.roofline:
        roofline(report, options.batch, options.resolution, device)
    report.write(options.json)


class Step:
    """Both networks, their optimisers, and the four phases of a step."""

    def __init__(self, resolution: int, batch: int, channel_base: int, device: torch.device) -> None:
        torch.manual_seed(0)
        width = {"resolution": resolution, "channel_base": channel_base}
        self.generator = Generator(GeneratorConfig(mapping_layers=2, **width)).to(device)
        self.discriminator = Discriminator(DiscriminatorConfig(mbstd_group=min(batch, 4), **width)).to(device)
        self.adam = {
            network: torch.optim.Adam(network.parameters(), lr=0.0025, betas=(0.0, 0.99), eps=1e-8)
            for network in (self.generator, self.discriminator)
        }
        self.batch, self.device = batch, device
        self.real = torch.randn(batch, 3, resolution, resolution, device=device)
        self.gamma = 0.0002 * resolution**2 / batch
        self.synthesize: Callable[..., Tensor] = self.generator.synthesis
        self.judge: Callable[..., Tensor] = self.discriminator

    def run(self, variant: str, phase: str) -> None:
        compiled = variant == "compiled" and phase in ("gmain", "dmain")
        self.synthesize = torch.compile(self.generator.synthesis) if compiled else self.generator.synthesis
        self.judge = torch.compile(self.discriminator) if compiled else self.discriminator
        with computed_by(variant):
            getattr(self, phase)()
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def gmain(self) -> None:
        with self._update(self.generator):
            generator_loss(self.judge(self._fake())).backward()

    def dmain(self) -> None:
        with self._update(self.discriminator):
            with torch.no_grad():
                fake = self._fake()
            # one after the other, as in the published code: the second finds the first's memory free
            nn.functional.softplus(self.judge(fake)).mean().backward()
            nn.functional.softplus(-self.judge(self.real)).mean().backward()

    def path_length(self) -> None:
        with self._update(self.generator):
            ws = self._ws(max(self.batch // 2, 1))
            images = self.generator.synthesis(ws, noise_mode="random")
            noise = torch.randn_like(images) / math.sqrt(images.shape[2] * images.shape[3])
            lengths = path_lengths(images, ws, noise)
            (lengths.square().mean() * 8).backward()

    def r1(self) -> None:
        with self._update(self.discriminator):
            images = self.real.detach().requires_grad_()
            penalty = r1_penalty(self.discriminator(images), images)
            (penalty.mean() * self.gamma / 2 * 16).backward()

    def _ws(self, count: int) -> Tensor:
        z = torch.randn(count, self.generator.config.z_dim, device=self.device)
        return self.generator.broadcast(self.generator.mapping(z))

    def _fake(self) -> Tensor:
        return self.synthesize(self._ws(self.batch), noise_mode="random")

    @contextmanager
    def _update(self, network: nn.Module) -> Iterator[None]:
        for other, adam in self.adam.items():
            other.requires_grad_(other is network)
            adam.zero_grad(set_to_none=True)
        yield
        self.adam[network].step()


@contextmanager
def computed_by(variant: str) -> Iterator[None]:
    """The published code scales activations where it trains, and has no clamp in float32."""
    if variant == "published":
        with published(fused=False):
            yield
        return
    set_impl("auto" if variant == "ours" else "reference")
    try:
        yield
    finally:
        set_impl("auto")


def peak_gb(device: torch.device) -> float:
    """Of this process. Not getrusage's, which a process inherits from the one that started it."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 1e9
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return peak_memory_gb()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e9


def peak_in_own_process(variant: str) -> float:
    command = [sys.executable, *sys.argv, "--memory-only", "--variants", variant]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout.split()[-1])


def roofline(report: Report, batch: int, resolution: int, device: torch.device) -> None:
    """Bytes that an op has to move (its input and output, once) per second, as a share of what copying moves."""
    f = setup_filter([1, 3, 3, 1]).to(device)
    source = torch.randn(2**26, device=device)
    target = torch.empty_like(source)
    bandwidth = 2 * source.nbytes / shortest(lambda: target.copy_(source), device) / 1e9
    report.add("copy_bandwidth", bandwidth, "GB/s")
    for dtype in (torch.float32, torch.float16) if device.type == "cuda" else (torch.float32,):
        x = torch.randn(batch, 64, resolution, resolution, device=device, dtype=dtype)
        x = x.contiguous(memory_format=torch.channels_last)
        small = x[:, :, ::2, ::2].contiguous(memory_format=torch.channels_last)
        bias = torch.zeros(64, device=device, dtype=dtype)
        layer = {
            "weight": torch.randn(64, 64, 3, 3, device=device),
            "styles": torch.randn(batch, 64, device=device),
            "padding": 1,
            "bias": bias,
            "act": "lrelu",
        }
        up: dict[str, Any] = {**layer, "up": 2, "resample_filter": f, "flip_weight": False}
        jobs: dict[str, tuple[Tensor, Callable[[Tensor], Tensor]]] = {
            "bias_act": (x, partial(bias_act, b=bias, act="lrelu", clamp=256)),
            "upsample2d": (small, partial(upsample2d, f=f)),
            "downsample2d": (x, partial(downsample2d, f=f)),
            "layer": (x, partial(modulated_conv2d, **layer)),
            "layer_up": (small, partial(modulated_conv2d, **up)),
        }
        for name, (given, job) in jobs.items():
            for variant in ("ours", "reference"):
                with torch.no_grad(), computed_by(variant):
                    moved = given.nbytes + job(given).nbytes
                    seconds = shortest(partial(job, given), device)
                report.add(
                    f"{name}_{str(dtype)[6:]}_{variant}",
                    moved / seconds / 1e9 / bandwidth,
                    "of copy_bandwidth",
                )


def shortest(job: Callable[[], object], device: torch.device, runs: int = 10) -> float:
    """Seconds of the fastest run."""
    best = math.inf
    for _ in range(runs):
        start = time.perf_counter()
        job()
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return best


if __name__ == "__main__":
    main()
