"""How fast synthetic shoes are drawn, with PNG encoding and the zip.

    python benchmarks/render_speed.py --count 1000 --resolution 128 --json speed.json

Aim: shoes_per_second ≥ 60 on two cores. On a busy machine cpu_time_per_shoe says more: 33 ms is that.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from pathlib import Path

from report import Report

from shoegen.data.synthetic import make_dataset


def cpu_seconds() -> float:
    """Of this process and the workers that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--resolution", type=int, default=128)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shoes.zip"
        started, cpu_started = time.perf_counter(), cpu_seconds()
        make_dataset(path, count=options.count, resolution=options.resolution, workers=options.workers)
        wall, cpu = time.perf_counter() - started, cpu_seconds() - cpu_started
        size = path.stat().st_size

    report = Report()
    report.add("workers", options.workers, "processes")
    report.add("shoes_per_second", options.count / wall, "shoes/s")
    report.add("cpu_time_per_shoe", 1e3 * cpu / options.count, "ms")
    report.add("bytes_per_shoe", size / options.count, "B")
    report.write(options.json)


if __name__ == "__main__":
    main()
