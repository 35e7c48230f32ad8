"""Who does the work of an op: plain PyTorch, which defines it (the reference), or the compiled library (native).

Every op takes `impl`: "reference"; "native", which raises where it cannot be had; or "auto", which is what `set_impl`
or the environment variable SHOEGEN_OPS says, and native wherever it can be had if they say "auto" too.

Under autocast a native op computes in the type of its input and casts nothing. Native ops have neither forward-mode
derivatives nor `torch.func` transforms: take the reference for these.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch
from torch import Tensor

from shoegen.errors import ConfigError
from shoegen.ops import build

IMPLEMENTATIONS = ("auto", "reference", "native")
DTYPES = {
    "cpu": (torch.float32, torch.bfloat16, torch.float64),
    "cuda": (torch.float32, torch.float16, torch.bfloat16, torch.float64),
}

# The schemas stand beside each op's front-end; the libraries implement them.
LIBRARY = torch.library.Library("shoegen", "FRAGMENT")

_state = {"impl": os.environ.get("SHOEGEN_OPS") or "auto"}
_problems: dict[str, str] = {}  # device type → why its native ops cannot be had; empty when they can
_said: set[str] = set()


def set_impl(impl: str) -> None:
    """Sets what "auto" means in this process: "auto", "reference" or "native".

    "native" wants the library; layers that no native op is for are still done by plain PyTorch.
    """
    _check(impl, "ops")
    _state["impl"] = impl


def get_impl() -> str:
    """What "auto" means in this process."""
    _check(_state["impl"], "SHOEGEN_OPS")
    return _state["impl"]


def wants_reference(impl: str) -> bool:
    """Whether plain PyTorch is asked for, by the call or by the process: ops then look at no values or sizes first,
    so that they can be traced."""
    _check(impl, "impl")
    return "reference" in (impl, get_impl() if impl == "auto" else impl)


def native_problem(device_type: str) -> str:
    """Why the native ops of "cpu" or "cuda" cannot be had; empty when they can."""
    return _problems.get(device_type, f"there are none for {device_type} tensors")


def use_native(op: str, x: Tensor, impl: str, *, unsupported: str = "") -> bool:
    """Whether `op` on `x` is to be done by the compiled library.

    Args:
        unsupported: what the native op cannot do of what is asked for; empty if it can do all.

    Raises:
        ConfigError: unknown `impl`, or native was asked for and cannot be had.
    """
    if wants_reference(impl):
        return False
    wanted = impl if impl != "auto" else get_impl()
    problem = native_problem(x.device.type)
    if not problem and x.dtype not in DTYPES[x.device.type]:
        unsupported = f"it does not compute in {x.dtype} on {x.device.type}"
    if not problem and not unsupported:
        return True
    # Who asks for native ops in the whole process wants no library missing; layers that none is for stay as they are.
    if impl == "native" or (wanted == "native" and problem):
        raise ConfigError(f"{op}: the native op was asked for and cannot be had: {problem or unsupported}")
    if problem and x.device.type in DTYPES and not torch.compiler.is_compiling():
        _say_once(f"shoegen: native {x.device.type.upper()} ops: {problem}. Plain PyTorch does their work.")
    return False


def empty_image(like: Tensor, *shape: int) -> Tensor:
    """(N, C, H, W), channels_last where `like` is, else contiguous: the layout of native results, for fake kernels."""
    last = like.is_contiguous(memory_format=torch.channels_last) and not like.is_contiguous()
    memory_format = torch.channels_last if last else torch.contiguous_format
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=memory_format)


def load(part: str) -> str:
    """Loads the library of "cpu" or "cuda"; returns what kept it from being loaded."""
    if part == "cuda" and torch.version.cuda is None:
        return "this PyTorch is not built for CUDA"
    path = build.library(part)
    how = "run `shoegen build-ops --cuda`" if part == "cuda" else build.HOW
    if not path.exists():
        others = list(Path(path.parent).glob(f"{path.name.split('.')[0]}.*.so"))
        return f"{'built from other sources' if others else 'not built'}; {how}"
    try:
        torch.ops.load_library(path)
    except OSError as error:
        return f"the library cannot be loaded ({error}); {how}"
    return ""


def _check(impl: str, name: str) -> None:
    if impl not in IMPLEMENTATIONS:
        raise ConfigError(f"{name}: got {impl!r}, expected one of {', '.join(IMPLEMENTATIONS)}")


def _say_once(line: str) -> None:
    if line not in _said:
        _said.add(line)
        print(line, file=sys.stderr)


_problems.update((part, load(part)) for part in build.PARTS)
