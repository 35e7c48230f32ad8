import csv

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from shoegen.cli import main
from shoegen.data.images import read_image
from shoegen.directions.direction import Direction
from shoegen.measure import ATTRIBUTES

from ..tiny import BrightnessSegmenter, tiny_generator

QUICK = ("--samples", 100, "--layers", "all", "--bootstraps", 2, "--device", "cpu")


class Segmenter(BrightnessSegmenter):
    net = torch.nn.Identity()


@pytest.fixture(autouse=True)
def quick(monkeypatch, tmp_path):
    """Small part maps, few moved latents, and a cache of its own."""
    monkeypatch.setattr("shoegen.segmentation.parts.PartSegmenter.load", lambda *_, **__: Segmenter())
    monkeypatch.setattr("shoegen.directions.sampling.FINE", 64)
    monkeypatch.setattr("shoegen.directions.fitting.CALIBRATION", 8)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def model(tmp_path):
    tiny_generator().save(tmp_path / "run" / "generator.safetensors")
    return tmp_path / "run"


def run(*arguments, expect=0):
    result = CliRunner().invoke(main, ["fit-direction", *map(str, arguments)])
    assert result.exit_code == expect, result.output
    assert "Traceback" not in result.output
    return result.output


def test_beside_the_model_where_edit_finds_it(model):
    text = run("heel", "--model", model, *QUICK)
    assert "AUC" in text
    assert "stability" in text
    assert "time: drawing" in text
    direction = Direction.load(model / "directions" / "heel.safetensors")
    assert (direction.attribute, direction.samples) == ("heel_height", 100)
    assert len(direction.curve) > 1
    assert list((model / "directions" / "samples").iterdir())

    text = run("heel", "--model", model, *QUICK, "--out", model / "again.safetensors")
    assert "100 of 100 samples are known" in text
    again = Direction.load(model / "again.safetensors")
    assert torch.equal(direction.vector, again.vector)


def test_per_layer(model):
    run("heel", "--model", model, *QUICK, "--per-layer")
    direction = Direction.load(model / "directions" / "heel.safetensors")
    assert direction.vector.shape == (6, 16)
    assert not torch.equal(direction.vector[0], direction.vector[5])
    assert "--per-layer" in run(
        "elegance", "--scores", "x.csv", "--model", model, *QUICK, "--per-layer", expect=1
    )


def test_several_share_the_samples(model, tmp_path):
    out = tmp_path / "directions"
    options = ("--out", out, "--matrix", tmp_path / "leaks.csv", "--cache", tmp_path / "kept")
    options += ("--sheet", tmp_path / "sheet.png")
    text = run("heel", "silhouette", "--model", model, *QUICK, *options)
    assert text.count("AUC") == 2
    assert {path.name for path in out.iterdir()} == {"heel.safetensors", "silhouette.safetensors"}
    with open(tmp_path / "leaks.csv", newline="") as file:
        assert [row["direction"] for row in csv.DictReader(file)] == ["heel_height", "silhouette_ratio"]
    assert len(list((tmp_path / "kept").iterdir())) == 1
    height, width, _ = read_image(tmp_path / "sheet.png").shape
    assert width > 10 * 128  # two shoes a row at five strengths
    assert height > 8 * 128  # four rows for each of the two


def test_all_that_can_be_learned(model, tmp_path, monkeypatch):
    for name in set(ATTRIBUTES) - {"heel_height", "silhouette_ratio", "shaft_height"}:
        monkeypatch.delitem(ATTRIBUTES, name)
    options = ("--orthogonal-to", "all", "--cache", "none", "--matrix", tmp_path / "leaks.png")
    text = run("all", "--model", model, *QUICK, "--out", tmp_path / "d", *options)
    assert "left out: shaft_height" in text
    assert {path.stem for path in (tmp_path / "d").iterdir()} == {"heel_height", "silhouette_ratio"}
    assert Direction.load(tmp_path / "d" / "heel_height.safetensors").kept == ()
    assert "heel_height: not held against it, since they measure much the same: silhouette_ratio" in text
    assert read_image(tmp_path / "leaks.png").size
    assert not (model / "directions").exists()


def test_what_people_judge(model, tmp_path):
    generator = tiny_generator()
    z = torch.cat([torch.randn(1, 16, generator=torch.Generator().manual_seed(seed)) for seed in range(60)])
    with torch.no_grad():
        brightness = generator(z, truncation_psi=0.7).mean((1, 2, 3)).numpy()
    with open(tmp_path / "scores.csv", "w", newline="") as file:
        csv.writer(file).writerows([("seed", "score"), *enumerate(np.round(brightness, 4))])
    text = run("elegance", "--scores", tmp_path / "scores.csv", "--model", model, *QUICK)
    assert "of the scores" in text
    direction = Direction.load(model / "directions" / "elegance.safetensors")
    assert (direction.attribute, direction.method, direction.unit) == ("elegance", "scores", "score")
    ws = generator.map(z, truncation_psi=0.7)
    moved = [float(generator.synthesis(direction.move(ws, strength)).mean()) for strength in (-1, 0, 1)]
    assert moved == sorted(moved)

    (tmp_path / "few.csv").write_text("seed,score\n1,2\n")
    for name, path, message in [
        ("heel", "scores.csv", "expected one new name"),
        ("elegance", "few.csv", "at least 20"),
        ("all", "scores.csv", "all: it takes"),
        ("elegance", "none.csv", "cannot read"),
    ]:
        assert message in run(name, "--scores", tmp_path / path, "--model", model, *QUICK, expect=1)


def test_an_attribute_of_ones_own(model, tmp_path):
    path = tmp_path / "own.py"
    path.write_text(
        "from shoegen.measure import Attribute, register\n"
        "register(Attribute('fullness', 'heel over length squared', 'ratio', 'parts', 'never',\n"
        "                   lambda shoe: shoe.part('heel').sum() / shoe.length**2))\n"
    )
    try:
        run("fullness", "--attributes", path, "--model", model, *QUICK)
    finally:
        ATTRIBUTES.pop("fullness", None)
    direction = Direction.load(model / "directions" / "fullness.safetensors")
    assert (direction.attribute, direction.unit) == ("fullness", "ratio")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("elegance",), "no attribute 'elegance'"),
        (("heel", "--layers", "x"), "--layers"),
        (("heel", "--layers", "2-9"), "from 0 to 5"),
        (("heel", "--quantile", 0.7), "quantile"),
        (("heel", "--orthogonal-to", "x"), "no attribute 'x'"),
        (("heel", "--orthogonal-to", "heel"), "itself"),
        (("heel", "heel_height"), "named twice"),
        (("heel", "heel"), "named twice"),
        (("all", "heel"), "all: it takes"),
        (("heel", "--bootstraps", 1), "bootstraps"),
        (("heel", "--out", "heel.pt"), "--out"),
        (("heel", "toe", "--out", "both.safetensors"), "a folder for several"),
        (("heel", "--matrix", "leaks.txt"), "--matrix"),
        (("heel", "--sheet", "sheet.txt"), "suffix"),
        (("heel", "--attributes", "nothing.py"), "no attributes at"),
        (("heel", "--samples", 0), "samples: got 0"),
        (("heel", "--psi", 9), "psi"),
    ],
)
def test_one_line_for_what_is_wrong(model, options, message):
    text = run(*QUICK, "--model", model, *options, expect=1)
    assert message in text
    assert text.count("\n") == 1
    assert not (model / "directions").exists()
