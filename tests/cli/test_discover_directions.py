import pytest
import torch
from click.testing import CliRunner

from shoegen.cli import main
from shoegen.data.images import read_image
from shoegen.directions.direction import Direction

from ..tiny import BrightnessSegmenter, tiny_generator


class Segmenter(BrightnessSegmenter):
    net = torch.nn.Identity()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("shoegen.segmentation.parts.PartSegmenter.load", lambda *_, **__: Segmenter())
    monkeypatch.setattr("shoegen.directions.sampling.FINE", 64)


@pytest.fixture
def model(tmp_path):
    tiny_generator().save(tmp_path / "run" / "generator.safetensors")
    return tmp_path / "run"


def run(*arguments, expect=0):
    result = CliRunner().invoke(main, list(map(str, arguments)))
    assert result.exit_code == expect, result.output
    assert "Traceback" not in result.output
    return result.output


@pytest.mark.parametrize("method", ["sefa", "pca"])
def test_axes_and_their_sheet(model, tmp_path, method):
    out = tmp_path / "axes"
    options = ("--samples", 12, "--strengths", "-1,0,1", "--seeds", "0-1", "--layers", "0-3")
    text = run(
        "discover-directions", "--model", model, "--method", method, "--count", 2, "--out", out, *options
    )
    assert "2 directions" in text
    files = sorted(path.name for path in out.iterdir())
    assert [name for name in files if not name.startswith(method)] == ["leaks.csv", "sheet.png"]
    directions = [Direction.load(out / name) for name in files if name.startswith(method)]
    assert [direction.name for direction in directions] == [
        name.removesuffix(".safetensors") for name in files if name.startswith(method)
    ]
    assert all(direction.layers == (0, 1, 2, 3) and direction.method == method for direction in directions)
    assert read_image(out / "sheet.png").shape[1] == 3 * 128 + 2 * 2
    axis = next(name for name in files if name.startswith(method))
    picture = tmp_path / "edit.png"
    run("edit", "--model", model, "--direction", out / axis, "--strength", 1, "--out", picture)
    assert read_image(picture).size


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--count", 0), "count: got 0"),
        (("--count", 17), "1 to 16"),
        (("--layers", "6"), "0 to 5"),
        (("--layers", "5"), "only colours"),
        (("--strengths", "x"), "--strengths"),
        (("--seeds", "x"), "--seeds"),
    ],
)
def test_one_line_for_what_is_wrong(model, tmp_path, options, message):
    text = run("discover-directions", "--model", model, "--out", tmp_path / "axes", *options, expect=1)
    assert message in text
    assert text.count("\n") == 1
    assert not (tmp_path / "axes").exists()
