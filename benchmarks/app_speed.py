"""How fast the page is, in a real browser: from the start of the process to the first picture, from slider to picture.

    python benchmarks/app_speed.py --starts 3 --moves 20 --json speed.json

Aims on two cores: first_picture ≤ 3 s, slider_to_picture ≤ 0.7 s. The browser is open before the process starts, as a
user's is. first_picture: a shoe of the wall is seen, and may be picked; whole_page: the sliders are there. A move sets
the slider as a hand does and ends when another picture is shown: slider_to_picture where the slider has millimetres,
which are sought by measuring, slider_sigma where it has strengths, settled: until what the edit is not about is held
too. import_torch and import_gradio are what Python takes for these alone, and cpu what the process has computed until
the page was whole: on a machine with other work the seconds of wall are longer.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from report import Report

MOVE = """
async ([selector, value, picture]) => {
  const slider = document.querySelector(selector), image = () => document.querySelector(picture).src, before = image();
  const start = performance.now();
  slider.value = value;
  slider.dispatchEvent(new Event('input', {bubbles: true}));
  while (image() === before && performance.now() - start < 30000) await new Promise(done => setTimeout(done, 4));
  return (performance.now() - start) / 1000;
}
"""
SLIDER, PICTURE = "#shoes-slider-heel input[type=range]", "#shoes-stage img"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--starts", type=int, default=3, help="default: 3")
    parser.add_argument("--moves", type=int, default=20, help="of a slider, on each scale; default: 20")
    parser.add_argument("--model", default="default", help="a generator's file or a run folder")
    parser.add_argument("--json", help="also write the figures to this file")
    options = parser.parse_args()

    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("there is no Chromium here; apt-get install chromium")
    report = Report()
    for name in ("torch", "gradio"):
        code = f"import {name}"
        add(report, f"import_{name}", [clock(code) for _ in range(options.starts)])
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.set_default_timeout(120_000)
        first, whole, cpu = [], [], []
        for start in range(options.starts):
            page.goto("about:blank")
            began = time.perf_counter()
            with serving(options.model) as (address, pid):
                page.goto(address)
                page.wait_for_selector("#first-wall img, #wall img")
                first.append(time.perf_counter() - began)
                page.wait_for_selector("#wall img")
                whole.append(time.perf_counter() - began)
                cpu.append(cpu_of(pid))
                if start == options.starts - 1:
                    add(report, "first_picture", first, "≤ 3")
                    add(report, "whole_page", whole)
                    add(report, "cpu", cpu)
                    move(report, page, options.moves)
        browser.close()
    report.write(options.json)


def move(report: Report, page: object, moves: int) -> None:
    page.click("#wall button[data-index='7']")  # type: ignore[attr-defined]
    page.wait_for_selector("#shoes-slider-heel input[type=range]:enabled")  # type: ignore[attr-defined]
    rest = "() => !document.querySelector('#shoes-story i')"
    for name, scale, values in (
        ("slider_to_picture", "Measured (mm)", np.linspace(40, 110, moves).round()),
        ("slider_sigma", "Strength (σ)", np.linspace(-1, 2, moves).round(1)),
    ):
        page.get_by_label(scale).first.check()  # type: ignore[attr-defined]
        page.wait_for_timeout(1000)  # type: ignore[attr-defined]
        seconds, settled = [], []
        for value in np.random.default_rng(0).permutation(values):
            began = time.perf_counter()
            seconds.append(page.evaluate(MOVE, [SLIDER, str(value), PICTURE]))  # type: ignore[attr-defined]
            page.wait_for_function(rest)  # type: ignore[attr-defined]
            settled.append(time.perf_counter() - began)
        add(report, name, seconds, "≤ 0.7")
        report.add(f"{name}_slowest", max(seconds), "s")
        add(report, f"{name}_settled", settled)


@contextmanager
def serving(model: str):
    """The address of a page that is being opened, and its process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "shoegen", "app", "--port", "0", "--no-open", "--model", model],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process.stdout.readline().split()[3], process.pid
    finally:
        process.terminate()
        process.wait()


def cpu_of(pid: int) -> float:
    """Seconds that a process has computed; NaN where the system does not say it in /proc."""
    try:
        user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    except OSError:
        return float("nan")
    return (int(user) + int(system)) / 100


def clock(code: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - start


def add(report: Report, name: str, seconds: list[float], aim: str | None = None) -> None:
    report.add(name, float(np.median(seconds)), "s", aim)


if __name__ == "__main__":
    main()
