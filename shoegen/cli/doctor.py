"""`shoegen doctor`: what this installation has, which ops it runs, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    import torch

TOLERANCE = 1e-5  # of an op's largest value, in float32
FOR_THE_REPOSITORY = ("dev", "docs")  # extras that say nothing to who uses the package


@click.command()
def command() -> None:
    """Show versions, the compiler, the GPUs, and which ops are native; say what to do.

    Each native op is run and compared with plain PyTorch. Exits with 1 if one is wrong, or if native ops were asked
    for (SHOEGEN_OPS=native) and cannot be had.

    \b
    shoegen doctor
    SHOEGEN_OPS=native shoegen doctor    # 1 if this machine would compute in plain PyTorch
    """
    from shoegen.ops import build
    from shoegen.ops.dispatch import get_impl, native_problem

    impl = get_impl()
    advice: list[str] = []
    _show_software()
    _show_gpus()
    _show_tools()

    _line("ops", "auto: native where they can be had" if impl == "auto" else impl)
    devices = ["cpu", *(["cuda"] if _gpus() else [])]
    failed = False
    for device in build.PARTS:
        problem = native_problem(device)
        _line(f"  {device.upper()}", problem or _describe(device))
        if device in devices and problem:
            failed = failed or impl == "native"
            advice.append(f"native {device.upper()} ops: {problem}")
        elif device in devices:
            failed = not _show_checks(device, advice) or failed
    _show_extras(advice)

    for i, line in enumerate(advice or ["nothing"]):
        _line("" if i else "what to do", line)
    if failed:
        raise click.exceptions.Exit(1)


def _show_software() -> None:
    import platform
    import sys

    import torch

    from shoegen import __version__

    _line("shoegen", __version__)
    _line("python", f"{platform.python_version()} on {platform.platform()} ({sys.executable})")
    capability = torch.backends.cpu.get_cpu_capability()
    _line("torch", f"{torch.__version__}, {torch.get_num_threads()} CPU threads, {capability}")


def _show_gpus() -> None:
    import torch

    built = f"CUDA {torch.version.cuda}" if torch.version.cuda else "no CUDA"
    found = f"{_gpus()} here" if _gpus() else "none here, or no driver for it"
    _line("GPU", f"{found}; PyTorch is built for {built}")
    for i in range(_gpus()):
        properties = torch.cuda.get_device_properties(i)
        size = properties.total_memory / 1e9
        _line("", f"{properties.name}, {size:.0f} GB, architecture {properties.major}.{properties.minor}")


def _show_tools() -> None:
    import subprocess

    from shoegen.ops import build

    compiler = build.find_compiler()
    if compiler:
        done = subprocess.run([*compiler, "--version"], capture_output=True, text=True)
        _line("compiler", f"{' '.join(compiler)}: {(done.stdout.splitlines() or ['no version'])[0]}")
    else:
        _line("compiler", "none ($CXX, g++, clang++ or c++)")
    nvcc = build.find_nvcc()
    _line("nvcc", f"{nvcc}: {build.nvcc_version(nvcc)}" if nvcc else "none")
    _line("ninja", build.find_ninja() or "none")


def _describe(device: str) -> str:
    import ctypes

    from shoegen.ops import build

    path = build.library(device)
    if device != "cpu":
        return f"active: {path.name}"
    level = ctypes.CDLL(str(path)).shoegen_isa()
    return f"active: {path.name}, kernels for {({4: 'AVX-512', 3: 'AVX2'}).get(level, 'any processor')}"


def _show_checks(device: str, advice: list[str]) -> bool:
    """Runs each op as native and as reference; whether they agree."""
    import torch

    from shoegen.errors import ConfigError

    right = True
    for name, op in _checks().items():
        torch.manual_seed(0)
        x = torch.randn(2, 16, 32, 32, device=device)
        expected = op(x, "reference")
        try:
            native = op(x, "native")
        except ConfigError as error:
            _line(f"    {name}", f"plain PyTorch: {error}")
            continue
        difference = ((native - expected).abs().max() / expected.abs().max()).item()
        _line(f"    {name}", f"native; differs from plain PyTorch by {difference:.0e} at most")
        if not difference <= TOLERANCE:
            right = False
            advice.append(f"{name} is wrong on {device}: set SHOEGEN_OPS=reference, and report this")
    return right


def _checks() -> dict[str, Callable[[torch.Tensor, str], torch.Tensor]]:
    import torch

    from shoegen.ops import bias_act, layer_epilogue, modulated_conv2d, setup_filter, upfirdn2d

    def bias_act_and_gradient(x: torch.Tensor, impl: str) -> torch.Tensor:
        x = x.requires_grad_()
        y = bias_act(x, x.detach()[0, :, 0, 0], act="lrelu", clamp=2, impl=impl)
        return torch.cat([y, *torch.autograd.grad(y.square().sum(), x)]).detach()

    def layer(x: torch.Tensor, impl: str) -> torch.Tensor:
        weight, f = x.detach()[0, :, None, :3, :3].expand(-1, 16, -1, -1), setup_filter([1, 3, 3, 1])
        filters = f.to(x.device)
        return modulated_conv2d(x, weight, x[:, :, 0, 0], resample_filter=filters, up=2, padding=1, impl=impl)

    return {
        "bias_act": bias_act_and_gradient,
        "upfirdn2d": lambda x, impl: upfirdn2d(x, x[0, 0, :4, :4], up=2, down=3, padding=2, impl=impl),
        "epilogue": lambda x, impl: layer_epilogue(x, scale=x[:, :, 0, 0], act="lrelu", impl=impl),
        "conv_layer": layer,
    }


def _show_extras(advice: list[str]) -> None:
    import importlib.metadata
    import re

    missing: dict[str, list[str]] = {}
    for requirement in importlib.metadata.requires("shoegen") or []:
        extra = re.search(r"extra == [\"'](.+?)[\"']", requirement)
        name = re.match(r"[\w.-]+", requirement)
        if extra and name and extra.group(1) not in FOR_THE_REPOSITORY:
            try:
                importlib.metadata.version(name.group())
            except importlib.metadata.PackageNotFoundError:
                missing.setdefault(extra.group(1), []).append(name.group())
    extras = [f"[{extra}] lacks {', '.join(names)}" for extra, names in missing.items()]
    _line("extras", "; ".join(extras) or "all there")
    advice += [f"if you want what needs it: pip install 'shoegen[{name}]'" for name in missing]


def _gpus() -> int:
    import torch

    return torch.cuda.device_count()


def _line(name: str, text: str) -> None:
    click.echo(f"{name:<15}{text}")
