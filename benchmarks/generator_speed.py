"""How fast the generator draws, against plain PyTorch and the published way, and against what convolution runs at.

    python benchmarks/generator_speed.py --resolution 256 --batch 1 4 --json speed.json

Variants: `ours`; `reference`, the same ops in plain PyTorch; `published`, see published.py. They take turns in one
process; `median` counts. Aims on two cores at 256 px: published_over_ours ≥ 2.5 at batch 4, ≥ 1.5 with each at its
best batch, conv_share ≥ 0.6; at 64 px and batch 8: ≥ 2.5. With --cold the C library hands freed memory back.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from published import published
from report import Report

from shoegen.ops.dispatch import native_problem, set_impl
from shoegen.stylegan.config import GeneratorConfig
from shoegen.stylegan.networks import Generator
from shoegen.torch_utils.memory import keep_freed_memory

VARIANTS = ("ours", "reference", "published")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--variants", default=",".join(VARIANTS))
    parser.add_argument("--channel-base", type=int, default=16384)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, help="default: PyTorch's")
    parser.add_argument(
        "--cpu-time", action="store_true", help="on a busy machine: one thread, by its processor time"
    )
    parser.add_argument("--cold", action="store_true", help="leave the C library's allocator as it is")
    parser.add_argument(
        "--one-image",
        type=int,
        nargs="*",
        metavar="SIDE",
        help="only: import to first image, and memory, at sides",
    )
    parser.add_argument("--json")
    options = parser.parse_args()
    if options.threads or options.cpu_time:
        torch.set_num_threads(1 if options.cpu_time else options.threads)
    timer = time.process_time if options.cpu_time else time.perf_counter
    if native_problem("cpu"):
        parser.exit(1, f"the native ops cannot be had: {native_problem('cpu')}\n")
    report = Report()
    report.add("threads", torch.get_num_threads(), "threads")
    if options.one_image is not None:
        one_image(report, options.one_image or [64, 128, 256, 512, 1024])
        report.write(options.json)
        return
    report.add("freed_memory_is_kept", 0 if options.cold else keep_freed_memory(), "yes")

    torch.manual_seed(0)
    generator = Generator(
        GeneratorConfig(resolution=options.resolution, mapping_layers=2, channel_base=options.channel_base)
    )
    generator.eval().requires_grad_(False)
    work = gflop_per_image(generator)
    report.add("work_per_image", work, "GFLOP")

    best: dict[str, float] = {}
    conv_rate = 0.0
    for batch in options.batch:
        z = torch.randn(batch, generator.config.z_dim)
        names = options.variants.split(",")
        jobs = {name: variant(name, partial(generator, z)) for name in names}
        pictures = {name: job() for name, job in jobs.items()}  # and warms up
        for name, picture in pictures.items():
            assert torch.allclose(picture, pictures[names[0]], atol=2e-3), f"{name} draws other pictures"
        conv_rate = max(conv_rate, convolution_rate(batch, timer))
        seconds = clock(jobs, options.runs, timer)
        for name, taken in seconds.items():
            rate = batch / statistics.median(taken)
            best[name] = max(best.get(name, 0), rate)
            report.add(f"{name}_batch{batch}", rate, "images/s")
        for name in names[1:]:
            # pair by pair: the machine's pace drifts, and both sides of a pair feel it
            ratios = [other / own for own, other in zip(seconds[names[0]], seconds[name], strict=True)]
            report.add(f"{name}_over_{names[0]}_batch{batch}", statistics.median(ratios), "times")
    report.add("convolution_rate", conv_rate, "GFLOP/s")
    for name, rate in best.items():
        report.add(f"{name}_best", rate, "images/s")
        report.add(f"{name}_conv_share", rate * work / conv_rate, "of the convolution rate")
        if name != "ours" and "ours" in best:
            report.add(f"{name}_over_ours_best", best["ours"] / rate, "times")
    report.write(options.json)


def one_image(report: Report, sides: list[int]) -> None:
    """Each side in a process of its own: seconds from its start to its first image, and the most memory it held."""
    program = """
import sys
from shoegen.stylegan.config import GeneratorConfig
from shoegen.stylegan.networks import Generator
import torch
side = int(sys.argv[1])
base = 32768 if side >= 512 else 16384
generator = Generator(GeneratorConfig(resolution=side, mapping_layers=2, channel_base=base)).eval()
from shoegen.torch_utils.memory import peak_memory_gb
before = peak_memory_gb()
with torch.no_grad():
    generator(torch.randn(1, 512))
print(before, peak_memory_gb())
"""
    for side in sides:
        start = time.perf_counter()
        command = [sys.executable, "-c", program, str(side)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        report.add(f"first_image_{side}px", time.perf_counter() - start, "s")
        before, peak = (float(word) for word in done.stdout.split())
        report.add(f"memory_{side}px", 1000 * (peak - before), "MB above the network's")
        report.add(f"peak_memory_{side}px", 1000 * peak, "MB")


def variant(name: str, job: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
    """The job, computed in one of the ways."""

    def run() -> torch.Tensor:
        with torch.no_grad():
            if name == "published":
                with published(fused=True):
                    return job()
            set_impl("reference" if name == "reference" else "auto")
            try:
                return job()
            finally:
                set_impl("auto")

    return run


def clock(
    jobs: dict[str, Callable[[], object]], runs: int, timer: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Seconds of each run; the jobs take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(runs):
        for name, job in jobs.items():
            start = timer()
            job()
            seconds[name].append(timer() - start)
    return seconds


def gflop_per_image(generator: Generator) -> float:
    """Of its convolutions, two operations per product of a weight; filters and scales count as nothing."""
    total = 0
    for block in generator.synthesis.blocks:
        for name in ("conv0", "conv1", "torgb"):
            layer = getattr(block, name, None)
            if layer is not None:
                height, width = block.conv1.noise_const.shape
                total += 2 * layer.weight.numel() * height * width // (4 if name == "conv0" else 1)
    return total / 1e9


def convolution_rate(batch: int, timer: Callable[[], float]) -> float:
    """The best rate of PyTorch's 3×3 convolution over the generator's shapes, channels last, in GFLOP/s."""
    best = 0.0
    with torch.no_grad():
        for channels, size in [(64, 256), (128, 128), (256, 64), (512, 32)]:
            x = torch.randn(batch, channels, size, size).contiguous(memory_format=torch.channels_last)
            weight = torch.randn(channels, channels, 3, 3).contiguous(memory_format=torch.channels_last)
            work = 2 * weight.numel() * batch * size**2 / 1e9
            (seconds,) = clock({"conv": lambda x=x, w=weight: F.conv2d(x, w, padding=1)}, 6, timer).values()
            best = max(best, work / min(seconds))
    return best


if __name__ == "__main__":
    main()
