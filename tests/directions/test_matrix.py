import csv
import dataclasses

import numpy as np
import pytest
import torch

from shoegen.data.images import read_image
from shoegen.directions.direction import Direction
from shoegen.directions.matrix import check_matrix, leak_matrix, write_matrix
from shoegen.errors import ConfigError, DataError


@pytest.fixture
def directions():
    heel = Direction(
        attribute="heel_height",
        vector=torch.eye(4)[0],
        layers=(0, 1),
        step=1.0,
        mean=0.0,
        sigma=1.0,
        generator_hash="x",
        psi=0.7,
        samples=8,
        seed=0,
        quantile=0.25,
        leaks={"0-1": {"toe_height": 0.25, "upper_l": -0.5}, "0-3": {"toe_height": 9.0}},
    )
    toe = dataclasses.replace(heel, attribute="toe_height", name="toe", leaks={"0-1": {"heel_height": 0.1}})
    return [heel, toe]


def test_rows_are_directions(directions):
    rows, columns, table = leak_matrix(directions)
    assert rows == ["heel_height", "toe"]
    assert columns == ["heel_height", "toe_height", "upper_l"]
    np.testing.assert_array_equal(table, [[1, 0.25, -0.5], [0.1, 1, np.nan]])
    with pytest.raises(DataError, match="no directions"):
        leak_matrix([])


def test_as_a_table_and_a_picture(directions, tmp_path):
    write_matrix(tmp_path / "leaks.csv", directions)
    with open(tmp_path / "leaks.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["direction", "heel_height", "toe_height", "upper_l"]
    assert rows[2] == ["toe", "0.1000", "1.0000", ""]
    write_matrix(tmp_path / "leaks.png", directions)
    picture = read_image(tmp_path / "leaks.png")
    colours = {tuple(colour) for colour in picture.reshape(-1, 3)}
    assert {(214, 69, 65), (225, 225, 225)} <= colours  # the whole of itself, and what was not measured


def test_names_of_files(tmp_path):
    check_matrix(tmp_path / "leaks.CSV")
    with pytest.raises(ConfigError, match="--matrix"):
        check_matrix(tmp_path / "leaks.txt")
