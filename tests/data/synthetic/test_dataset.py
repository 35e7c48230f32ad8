import io
import json
import zipfile

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from shoegen.cli import main
from shoegen.data.labels import SHOE_PARTS, LabelMap
from shoegen.data.synthetic import make_dataset, render, sample_parameters
from shoegen.errors import ConfigError, OutputError


def test_zip_holds_what_was_drawn(tmp_path):
    path = tmp_path / "shoes.zip"
    made: list[int] = []
    make_dataset(path, count=5, resolution=48, seed=4, progress=made.append)
    assert made == [1, 2, 3, 4, 5]
    with zipfile.ZipFile(path) as archive:
        described = json.loads(archive.read("attributes.json"))
        labels = LabelMap.read(archive.read("labels.json"))
        for index in range(5):
            name, shoe = f"images/{index:08d}.png", render(4, index, 48)
            image = Image.open(io.BytesIO(archive.read(name)))
            mask = Image.open(io.BytesIO(archive.read(f"masks/{index:08d}.png")))
            assert (image.mode, mask.mode) == ("RGB", "P")
            assert np.array_equal(np.asarray(image), shoe.image)
            assert np.array_equal(np.asarray(mask), shoe.part_map)
            assert described["attributes"][name] == pytest.approx(shoe.attributes, abs=1e-3)
            assert described["metadata"][name] == sample_parameters(4, index).metadata
    assert described["unit"] == "mm"
    assert labels == SHOE_PARTS


def test_same_bytes_whatever_the_workers(tmp_path):
    paths = [tmp_path / f"{workers}.zip" for workers in (1, 2)]
    for path, workers in zip(paths, (1, 2)):
        make_dataset(path, count=70, resolution=32, seed=9, workers=workers)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_shoe_does_not_depend_on_how_many_there_are(tmp_path):
    for count in (2, 4):
        make_dataset(tmp_path / f"{count}.zip", count=count, resolution=32)
    few, many = (zipfile.ZipFile(tmp_path / f"{count}.zip") for count in (2, 4))
    with few, many:
        assert few.read("images/00000001.png") == many.read("images/00000001.png")


@pytest.mark.parametrize(("name", "value"), [("count", 0), ("workers", 0), ("seed", -1), ("resolution", 16)])
def test_bad_arguments_write_nothing(tmp_path, name, value):
    arguments = {"count": 2, "resolution": 32} | {name: value}
    with pytest.raises(ConfigError, match=name):
        make_dataset(tmp_path / "shoes.zip", **arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_interruption_leaves_nothing(tmp_path, error):
    def stop(done: int) -> None:
        raise error

    with pytest.raises(KeyboardInterrupt if error is KeyboardInterrupt else OutputError):
        make_dataset(tmp_path / "shoes.zip", count=40, resolution=32, workers=2, progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_command_writes_the_zip(tmp_path):
    path = tmp_path / "shoes.zip"
    arguments = ["make-shoes", "--count", "3", "--resolution", "32", "--workers", "1", "--out", str(path)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert "3 shoes" in result.output
    assert zipfile.is_zipfile(path)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--count", "0", "--out", "shoes.zip"], "count is 0"),
        (["--resolution", "2000", "--out", "shoes.zip"], "resolution is 2000"),
        (["--count", "1", "--out", "shoes.png"], "ends in .zip"),
    ],
)
def test_command_says_what_is_wrong_in_one_line(arguments, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["make-shoes", *arguments])
    assert result.exit_code == 1
    errors = [line for line in result.output.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert told in errors[0]
    assert list(tmp_path.iterdir()) == []
