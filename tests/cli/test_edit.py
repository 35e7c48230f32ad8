import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import shoegen
from shoegen.cli import main
from shoegen.data.images import read_image, write_image

from ..editing.models import make_run_folder
from ..tiny import BrightnessSegmenter


@pytest.fixture(autouse=True)
def fake_segmenter(monkeypatch):
    monkeypatch.setattr("shoegen.editing.PartSegmenter.load", lambda **_: BrightnessSegmenter())


@pytest.fixture
def run_folder(tmp_path):
    return make_run_folder(tmp_path / "run")


@pytest.fixture
def model(run_folder):
    return shoegen.load(run_folder, device="cpu")


def run(*arguments, expect=0):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == expect, result.output
    return result.output


def test_strength(run_folder, model, tmp_path):
    out = tmp_path / "edit.png"
    options = ("--model", run_folder, "--seed", 3, "--device", "cpu", "--out", out)
    text = run("edit", "--direction", "heel", "--strength", 2, *options)
    shoe = model.sample(seed=3)
    assert np.array_equal(read_image(out), shoe.edit(heel=2).image)
    for heel in (shoe.measures["heel_height"], shoe.edit(heel=2).measures["heel_height"]):
        assert f"{heel:.3f} ({265 * heel:.0f} mm)" in text
    path = run_folder / "directions" / "heel.safetensors"
    assert text == run("edit", "--direction", path, "--strength", 2, *options)


def test_a_strength_beyond_the_reach_is_said(run_folder, model, tmp_path):
    heel = dataclasses.replace(
        model.direction("heel"), curve=((-1.0, 0.1, 0.1, 1.0), (1.0, 0.2, 0.1, 1.0)), reach=(-1.0, 1.0)
    )
    heel.save(tmp_path / "heel.safetensors")
    options = ("edit", "--model", run_folder, "--direction", tmp_path / "heel.safetensors")
    one = (*options, "--out", tmp_path / "edit.png")
    note = "but it holds from -1 to 1 only"
    assert f"heel: got strength -2, {note}" in run(*one, "--strength", -2)
    assert f"heel: got strength -2, 3, {note}" in run(*one, "--strengths", "-2,0,3")
    assert f"heel: got strength 1.5, {note}" in run(
        *options, "--strength", 1.5, "--seeds", "0-1", "--out", tmp_path / "edits"
    )
    for amount in (("--strength", 1), ("--to", "20%")):
        assert "note" not in run(*one, *amount)


def test_strip(run_folder, tmp_path):
    out = tmp_path / "strip.png"
    options = ("--model", run_folder, "--out", out, "--shoe-length", "100mm")
    text = run("edit", "--direction", "heel", "--strengths", "-2,-1,0,1,2", *options)
    assert text.count("heel_height 0.") == 5
    assert text.count(" mm)") == 5
    height, width, _ = read_image(out).shape
    assert width > 4 * height


def test_amounts_with_a_unit(run_folder, model, tmp_path):
    options = ("--model", run_folder, "--seed", 3, "--out", tmp_path / "edit.png")
    shoe = model.sample(seed=3)
    for arguments, edits in (
        (("--direction", "heel", "--by", "10mm"), {"heel": "+10mm"}),
        (("--direction", "heel", "--by", "-10 mm"), {"heel": "-10mm"}),
        (("--direction", "heel", "--to", "45mm"), {"heel": "45mm"}),
        (("--edit", "heel=45mm"), {"heel": "45mm"}),
    ):
        text = run("edit", *arguments, *options)
        assert "mm from its target (" in text
        assert np.array_equal(read_image(tmp_path / "edit.png"), shoe.edit(**edits).image)


def test_what_else_is_written(run_folder, model, tmp_path):
    options = ("--model", run_folder, "--seed", 3, "--direction", "heel", "--by", "+10mm")
    names = {name: tmp_path / name for name in ("r.json", "s.webp", "shoe.safetensors", "e.png")}
    text = run(
        "edit", *options, "--report", names["r.json"], "--sweep", names["s.webp"], "--frames", 4,
        "--save-latent", names["shoe.safetensors"], "--name", "mine", "--out", names["e.png"],
    )  # fmt: skip
    assert "moved without being asked to" in text
    assert all(path.exists() for path in names.values())
    assert json.loads(names["r.json"].read_text())["edits"][0]["asked"] == "+10mm"
    with Image.open(names["s.webp"]) as film:
        assert film.n_frames == 4
    listed = run("latents", "list", tmp_path)
    assert f"{names['shoe.safetensors']}: mine\n" in listed
    assert "from psi 0.7, seed 3" in listed
    assert "  heel +10mm: heel +" in listed
    again = run("edit", "--latent", names["shoe.safetensors"], "--model", run_folder, "--direction", "heel",
                "--by", "-10mm", "--out", names["e.png"])  # fmt: skip
    assert "seed 3, heel +10mm, heel -10mm: heel_height" in again
    heel = model.sample(3).measures["heel_height"]
    assert shoegen.load_shoe(names["shoe.safetensors"], model).edit(heel="-10mm").measures[
        "heel_height"
    ] == pytest.approx(heel, abs=0.006)


def test_many_seeds(run_folder, model, tmp_path):
    options = ("--model", run_folder, "--out", tmp_path / "out", "--report", tmp_path / "r.json")
    text = run("edit", "--seeds", "3-5", "--direction", "heel", "--strength", 1, *options)
    assert "3 pictures in " in text
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        f"seed000{i}.png" for i in (3, 4, 5)
    ]
    jobs = json.loads((tmp_path / "r.json").read_text())["jobs"]
    assert jobs[2]["after"]["heel_height"] == pytest.approx(
        model.sample(5).edit(heel=1).measures["heel_height"], abs=0.005
    )
    text = run(
        "edit", "--seeds", "3", "--direction", "heel", "--to", "900mm", *options, "--skip-bad", expect=1
    )
    assert "none of 1 could be done" in text


def test_jobs(run_folder, tmp_path):
    jobs = tmp_path / "jobs.csv"
    jobs.write_text("seed,edits,out\n3,heel=+5mm,a.png\n4,heel=900mm,b.png\n5,heel=1,c.png\n")
    options = ("--model", run_folder, "--jobs", jobs, "--out", tmp_path / "out")
    assert "seed 4: heel: 900.0 mm is out of reach" in run("edit", *options, expect=1)
    text = run("edit", *options, "--skip-bad")
    assert "note: 1 of 3 could not be done: seed 4: heel" in text
    assert "2 pictures in " in text
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "c.png"]
    assert "--jobs has its own edits" in run("edit", *options, "--direction", "heel", expect=1)


def test_photographs(run_folder, model, tmp_path, monkeypatch):
    photo = tmp_path / "photos" / "photo.png"
    write_image(photo, np.zeros((20, 30, 3), np.uint8))
    asked = []

    class Photo:
        def put_back(self, rendered, mask):
            return np.full((20, 30, 3), 9, np.uint8)

    def invert(path, **options):
        asked.append(options)
        source = {"photo": "photo.png", "notes": ["which end is the toe is not clear"]}
        return dataclasses.replace(model.sample(3), photo=Photo(), source=source)

    monkeypatch.setattr("shoegen.editing.invert", invert)
    monkeypatch.setattr("shoegen.editing.batch.invert", invert)
    options = ("--model", run_folder, "--direction", "heel", "--strength", 1)
    out = tmp_path / "edit.png"
    text = run("edit", "--image", photo, "--quality", "fast", "--instance", 2, *options, "--out", out)
    assert "note: which end is the toe is not clear" in text
    assert (read_image(out) == 9).all()
    assert (asked[0]["quality"], asked[0]["instance"]) == ("fast", 2)
    run("edit", "--image", photo.parent, *options, "--out", tmp_path / "out")
    assert (read_image(tmp_path / "out" / "photo.png") == 9).all()
    text = run("edit", "--image", photo, *options, "--out", photo, expect=1)
    assert "would overwrite what was given" in text


def test_says_what_is_wrong(run_folder, tmp_path):
    def error(*options, direction="heel", out="x.png"):
        arguments = ("--direction", direction) if direction else ()
        paths = ("--model", run_folder, "--out", tmp_path / out)
        text = run("edit", *arguments, *paths, *options, expect=1)
        assert text.startswith("error: ")
        assert text.count("\n") == 1
        assert not [path for path in tmp_path.iterdir() if path.name != "run"]
        return text

    assert "known: heel" in error("--strength", 1, direction="toe")
    assert "no such file" in error("--strength", 1, direction=tmp_path / "no.safetensors")
    assert "expected 'direction'" in error("--strength", 1, direction=run_folder / "generator.safetensors")
    assert "finite numbers" in error("--strength", "high")
    assert "finite numbers" in error("--strengths", "-1,nan")
    assert "expected -10 to 10" in error("--strengths", "1,99")
    assert "one number" in error("--strength", "1,2")
    assert "either" in error()
    assert "either" in error("--strength", 1, "--strengths", "1,2")
    assert "either" in error("--by", "+2mm", "--to", "20mm")
    assert "either --direction" in error("--edit", "heel=1")
    assert "no --direction" in error(direction=None)
    assert "--shoe-length" in error("--strength", 1, "--shoe-length", -3)
    assert "no model" in error("--strength", 1, "--model", tmp_path / "nothing")
    assert "suffix" in error("--strength", 1, out="x.xyz")
    assert "cannot" in error("--strength", 1, out="run/generator.safetensors/x.png")
    assert "seed" in error("--strength", 1, "--seed", -1)
    assert "unit 'stone'" in error("--by", "+1 stone")
    assert "got +2, but it is measured in shoe length" in error("--by", "2")
    assert "--strength takes 2 sd" in error("--by", "2 sd")
    assert "in shoe length; expected mm" in error("--to", "0.4")
    assert "out of reach of seed 7; it can be brought from" in error("--to", "900mm")
    assert "which heel is to edit" in error("--strength", 1, "--keep", "heel")
    assert "fitted by an older version" in error("--strength", 1, "--keep", "shaft")
    assert "suffix .json" in error("--strength", 1, "--report", tmp_path / "r.txt")
    assert "suffix .safetensors" in error("--strength", 1, "--save-latent", tmp_path / "a.npz")
    assert "would overwrite --out" in error("--strength", 1, "--report", tmp_path / "x.json")
    assert "expected .mp4" in error("--strength", 1, "--sweep", tmp_path / "a.xyz")
    assert "several shoes" in error("--strengths", "1,2", "--report", tmp_path / "r.json")
    assert "one source" in error("--strength", 1, "--seeds", "1-2", "--latent", "a.safetensors")
    assert "for a single shoe" in error("--strength", 1, "--seeds", "1-2", "--sweep", tmp_path / "a.gif")
    assert "no such file" in error("--strength", 1, "--latent", tmp_path / "no.safetensors")
    assert "no attributes at" in error("--strength", 1, "--attributes", tmp_path / "no.py")


def test_latents_of_nothing(tmp_path):
    assert "has no latents" in run("latents", "list", tmp_path, expect=1)
    assert "no such file" in run("latents", "list", tmp_path / "a.safetensors", expect=1)


def test_a_process_ends_with_one_line_and_a_status(tmp_path):
    command = [sys.executable, "-m", "shoegen", "edit", "--direction", "heel", "--strength", "1"]
    command += ["--model", str(tmp_path / "nothing"), "--out", str(tmp_path / "x.png")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: no model")
    assert done.stderr.count("\n") == 1
