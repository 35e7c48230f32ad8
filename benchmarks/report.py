"""What every benchmark prints: one `name value unit` line per figure, and the same as JSON."""

from __future__ import annotations

import math
import os
import platform
from pathlib import Path

from shoegen.torch_utils.files import write_json


class Report:
    """Figures in the order they were measured.

    report = Report()
    report.note("segmenter", "the shipped one")
    report.add("mean_iou", 0.93, "share", aim="≥ 0.9")
    report.write("figures.json")
    """

    def __init__(self) -> None:
        self.figures: list[dict[str, float | str | None]] = []
        self.notes: dict[str, str] = {}

    def add(self, name: str, value: float, unit: str, aim: str | None = None) -> None:
        """Prints a figure and keeps it. What could not be measured, NaN, is null in the JSON."""
        print(f"{name} {value:.6g} {unit}" + (f" (aim: {aim})" if aim else ""), flush=True)
        figure = {"name": name, "value": float(value) if math.isfinite(value) else None, "unit": unit}
        self.figures.append({**figure, "aim": aim} if aim else figure)

    def note(self, name: str, text: str) -> None:
        """Prints how the figures were made, and keeps it."""
        print(f"{name}: {text}", flush=True)
        self.notes[name] = text

    def write(self, json_path: str | Path | None) -> None:
        """Writes the figures and the machine they come from; no path, no file."""
        if json_path is not None:
            machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
            notes = {"notes": self.notes} if self.notes else {}
            write_json(json_path, {"machine": machine, **notes, "figures": self.figures})
