import json

import numpy as np
import pytest
from click.testing import CliRunner

from shoegen.cli import main
from shoegen.data.images import write_image
from shoegen.metrics.weights import ASSETS_VARIABLE, INCEPTION
from shoegen.stylegan.config import GeneratorConfig
from shoegen.stylegan.networks import Generator

from ..metrics.random_weights import write_inception
from ..tiny import tiny_generator


@pytest.fixture(autouse=True)
def no_assets(monkeypatch):
    monkeypatch.delenv(ASSETS_VARIABLE, raising=False)


@pytest.fixture
def paths(tmp_path):
    """A generator's file and a folder of 8 pictures."""
    model, data = tmp_path / "generator.safetensors", tmp_path / "data"
    tiny_generator().save(model)
    random = np.random.default_rng(0)
    for i in range(8):
        write_image(data / f"{i}.png", random.integers(0, 256, (16, 16, 3), np.uint8))
    return "--model", model, "--data", data


def run(*arguments, expect=0):
    result = CliRunner().invoke(main, ["evaluate", *map(str, arguments)])
    assert result.exit_code == expect, result.output
    assert "Traceback" not in result.output
    return result


def test_swd_is_the_default_without_weights(paths, tmp_path):
    out = tmp_path / "reports" / "report.json"
    result = run(*paths, "--psi", 0.5, "--seed", 3, "--out", out)
    assert result.stdout.startswith("swd ")
    assert "[16 px: " in result.stdout
    assert result.stdout.endswith("(N_ref 8, N_gen 8, resize none)\n")
    report = json.loads(out.read_text())
    assert (report["psi"], report["seed"], report["samples"]) == (0.5, 3, 8)
    (figure,) = report["figures"]
    assert figure["name"] == "swd"
    assert figure["parts"]["16 px"] == figure["value"] > 0
    assert report["skipped"] == {}
    assert run(*paths, "--psi", 0.5, "--seed", 3).stdout == result.stdout


def test_without_weights_the_others_are_skipped(paths, tmp_path):
    out = tmp_path / "report.json"
    result = run(*paths, "--metrics", "swd, fid,ppl", "--samples", 4, "--out", out)
    assert result.stdout.count("\n") == 1
    assert "fid skipped: no Inception weights here" in result.stderr
    assert "ppl skipped: no VGG weights here" in result.stderr
    assert list(json.loads(out.read_text())["skipped"]) == ["fid", "ppl"]
    assert run(*paths, "--metrics", "fid").stdout == ""


def test_kid_with_weights_from_a_file(paths, tmp_path):
    write_inception(tmp_path / "mine.pth")
    result = run(*paths, "--samples", 6, "--weights", tmp_path / "mine.pth")
    assert result.stdout.startswith("kid ")
    assert " ± " in result.stdout
    assert "(N_ref 8, N_gen 6, resize bilinear-299 torch-fidelity)" in result.stdout
    assert "not the published Inception" in result.stderr


def test_conditional_grey_and_wide(tmp_path):
    config = GeneratorConfig(
        resolution=(16, 24),
        img_channels=1,
        c_dim=2,
        z_dim=8,
        w_dim=8,
        mapping_layers=1,
        channel_base=64,
        channel_max=8,
    )
    model, data = tmp_path / "generator.safetensors", tmp_path / "data"
    Generator(config).save(model)
    for i, name in enumerate(["boots/a", "boots/b", "sandals/c"]):
        write_image(data / f"{name}.png", np.full((16, 24, 3), 60 * i, np.uint8))
    paths = "--model", model, "--data", data
    assert "[24x16 px: " in run(*paths, "--classes", "folders", "--mirror").stdout
    assert "draws 2 classes, got data without classes" in run(*paths, expect=1).stderr


def test_says_what_is_wrong(paths, tmp_path):
    def error(*arguments):
        output = run(*arguments, expect=1).stderr
        assert output.startswith("error: ")
        assert output.count("\n") == 1
        return output

    # Before the data is looked for.
    assert "expected some of swd, kid, fid, pr, is, ppl" in error(
        "--data", tmp_path / "no", "--metrics", "swd,x"
    )
    assert "samples: got 1, expected at least 2" in error(*paths, "--samples", 1)
    assert "--psi" in error(*paths, "--psi", "nan")
    assert "nothing at" in error(*paths, "--weights", tmp_path / "nothing")
    assert "does not exist" in error("--model", paths[1], "--data", tmp_path / "nothing")
    assert "no model" in error("--model", tmp_path / "nothing", "--data", paths[3])
    assert "is a folder" in error(*paths, "--out", tmp_path)
    damaged = tmp_path / INCEPTION.names[0]
    damaged.write_bytes(b"damaged")
    assert "promises 6726825d; it is damaged" in error(*paths, "--weights", tmp_path)
    (tmp_path / "one").mkdir()
    write_image(tmp_path / "one" / "a.png", np.zeros((16, 16, 3), np.uint8))
    assert "the data has 1" in error("--model", paths[1], "--data", tmp_path / "one", "--samples", 4)
