import runpy
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from shoegen.cli import main
from shoegen.data.images import read_image

EXAMPLES = Path(__file__).parents[1] / "examples"
CELLS = [path for path in sorted(EXAMPLES.glob("*.py")) if "# %%" in path.read_text("utf-8")]


@pytest.mark.parametrize("path", CELLS, ids=lambda path: path.name)
def test_runs(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(path))
    assert list(tmp_path.glob("*.png"))


@pytest.fixture
def commands(monkeypatch):
    """The names of the `shoegen` commands that were run since; they run in this process, which saves their start."""
    names = []

    def call(command):
        assert command[1:3] == ["-m", "shoegen"]
        names.append(command[3])
        result = CliRunner().invoke(main, command[3:])
        assert result.exit_code == 0, result.output
        return result.exit_code

    monkeypatch.setattr(subprocess, "call", call)
    return names


def test_from_mask_rcnn_to_spade(tmp_path, commands, capsys):
    run = runpy.run_path(str(EXAMPLES / "mask_rcnn_to_spade.py"))["main"]
    options = [
        "--work", tmp_path / "run", "--shoes", 12, "--resolution", 32, "--split", "0.34,0.33,0.33", "--rows", 3,
        "--maskrcnn-images", 2, "--maskrcnn", "--no-pretrained --width 0.0625 --resolution 64 --rois 8 --device cpu",
        "--spade-images", 2, "--spade", "--batch 2 --channels 2 --hidden 4 --perceptual-net none --device cpu",
    ]  # fmt: skip
    options = [str(each) for each in options]
    run(options)
    steps = "make-shoes convert-annotations train-segmenter segment segment train-spade paint"
    assert " ".join(commands) == steps
    assert "photograph, map by Mask R-CNN, painted by SPADE" in capsys.readouterr().out
    assert read_image(tmp_path / "run" / "sheet.png").shape[1] == 8 * 32 + 7 * 2
    assert len(list((tmp_path / "run" / "painted" / "style0").iterdir())) == 4

    commands.clear()
    run(options)
    assert commands == []  # all is done
    run([*options, "--spade-images", "4", "--style-seed", "1"])
    assert commands == ["train-spade", "paint"]  # goes on
