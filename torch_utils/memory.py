"""Memory habits that training wants."""

from __future__ import annotations

import ctypes
import resource
import sys


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


def peak_memory_gb() -> float:
    """The most memory that this process has held, in 10⁹ bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e9
