"""Memory over many edits stays where it was after the first ones."""

import gc
import os
from pathlib import Path

import pytest

from ..editing.models import make_run_folder


def resident():
    """MB of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def edit_often(edits, warm_up, folder, results):
    """In a process of its own: edits of a small generator, or of the shipped one, measured, drawn and saved."""
    import shoegen
    import shoegen.editing.holding

    from ..tiny import BrightnessSegmenter

    if folder:
        shoegen.editing.PartSegmenter.load = lambda **_: BrightnessSegmenter()
        shoegen.editing.holding.BELOW = (
            frozenset()
        )  # what it sees is no shoe, of which something could be held
        model = shoegen.load(make_run_folder(Path(folder)), device="cpu")
    else:
        model, folder = shoegen.load(device="cpu"), results.parent
    shoe = model.sample(7)
    for number in range(warm_up + edits):
        if number == warm_up:
            gc.collect()
            before = resident()
        edited = shoe.edit(heel=(number % 9) / 10 - 0.4)
        _ = edited.image, edited.measures
        if number % 10 == 0:
            edited.save_latent(Path(folder) / "mine.safetensors")
            shoe = model.sample(number)
    gc.collect()
    Path(results).write_text(f"{before} {resident()}")


@pytest.mark.parametrize(
    ("of", "edits"),
    [
        ("small", 100),
        pytest.param("small", 1000, marks=pytest.mark.soak),
        pytest.param("shipped", 1000, marks=pytest.mark.soak),
    ],
)
def test_edits_take_no_memory(of, edits, commands, tmp_path, tally):
    folder = str(tmp_path / "run") if of == "small" else ""
    process = commands.call(edit_often, edits, 50, folder, tmp_path / "results.txt")
    process.join(3000)
    assert process.exitcode == 0
    before, after = map(float, (tmp_path / "results.txt").read_text().split())
    tally(f"edits of the {of} generator", edits, f"{before:.0f} MB before, {after:.0f} MB after")
    assert after < before + 20
