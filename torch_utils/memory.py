"""Memory habits that training wants."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import math
import re
import resource
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from shoegen.errors import ShoegenError, TrainingError


def keep_freed_memory() -> bool:
    """Lets glibc keep large freed blocks instead of returning them to the system.

    Training allocates the same large temporaries at each step; by default each one is mapped and page-faulted
    anew, which takes up to half of a CPU step's time. Affects the whole process; does nothing where the C
    library is another one.

    Returns:
        Whether it took effect.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    m_trim_threshold, m_mmap_max = -1, -4  # from glibc's malloc.h
    return bool(mallopt(m_mmap_max, 0)) and bool(mallopt(m_trim_threshold, 2**31 - 1))


def release_freed_memory() -> None:
    """Gives back what `keep_freed_memory` and PyTorch's GPU allocator have kept."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").malloc_trim(0)


def peak_memory_gb(device: torch.device | None = None) -> float:
    """The most memory that this process has held, in 10⁹ bytes: of the GPU's, or of the computer's."""
    if device is not None and device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    peak = _status_bytes("VmHWM")  # ru_maxrss starts at what the parent process held
    if not peak:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return peak / 1e9


def free_memory(device: torch.device) -> float:
    """Bytes that this process can still take, of the GPU's memory or of the computer's; infinite where unknown."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    limits = [math.inf]
    with contextlib.suppress(OSError, ValueError, IndexError):
        available = re.findall(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
        limits.append(int(available[0]) * 1024)
    with contextlib.suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup")
        limits.append(int((group / "memory.max").read_text()) - int((group / "memory.current").read_text()))
    space, _ = resource.getrlimit(resource.RLIMIT_AS)
    if space != resource.RLIM_INFINITY:
        with contextlib.suppress(OSError, ValueError):
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            limits.append(space - pages * resource.getpagesize())
    return min(limits)


@dataclass
class Peak:
    """The most bytes held at once since its start, beyond those held then."""

    bytes: int = 0


@contextlib.contextmanager
def measure_peak(device: torch.device) -> Iterator[Peak]:
    """Measures what the body holds at most; on a CPU this needs Linux, elsewhere it is the process's peak."""
    peak = Peak()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        yield peak
        peak.bytes = torch.cuda.max_memory_allocated(device) - before
        return
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = _status_bytes("VmRSS")
    yield peak
    peak.bytes = round(peak_memory_gb() * 1e9) - before


def _status_bytes(name: str) -> int:
    try:
        found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


@contextlib.contextmanager
def explain_out_of_memory(what: str) -> Iterator[None]:
    """One line where memory runs out in the body: "out of memory " and what with, and what to do.

    Raises:
        TrainingError: it ran out.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, ShoegenError) or not is_out_of_memory(error):
            raise
        raise TrainingError(f"out of memory {what}") from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception of PyTorch or Python means that memory ran out."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(
        sign in str(error)
        for sign in (
            "can't allocate memory",
            "not enough memory",
            "out of memory",
            "could not create a primitive",
        )
    )
