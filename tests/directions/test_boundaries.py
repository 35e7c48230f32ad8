import io

import numpy as np
import pytest
import torch

from shoegen.directions.boundaries import import_boundary, read_boundary, write_boundary
from shoegen.errors import ConfigError, DataError, FileFormatError

from .test_fitting import FEATURES, HEEL, LAYERS, draw, measure_ws


def bring_in(vector, **options):
    options = {"attribute": "heel_height", "num_ws": LAYERS, "generator_hash": "x", **options}
    return import_boundary(vector, draw(400), measure_ws, **options)


@pytest.mark.parametrize("shape", [(FEATURES,), (1, FEATURES), (1, 1, FEATURES)])
def test_shapes_of_one_normal(tmp_path, shape):
    np.save(tmp_path / "heel.npy", (3 * HEEL).reshape(shape).astype(np.float32))
    np.testing.assert_allclose(read_boundary(tmp_path / "heel.npy"), HEEL, atol=1e-6)


def test_a_boundary_gets_a_unit():
    direction = bring_in(HEEL)
    assert (direction.method, direction.unit, direction.layers) == (
        "imported",
        "shoe length",
        tuple(range(LAYERS)),
    )
    ws = draw(100, seed=5).w.unsqueeze(1).expand(-1, LAYERS, -1)
    grown = measure_ws(direction.move(ws, 1))["heel_height"] - measure_ws(ws)["heel_height"]
    assert grown.mean() == pytest.approx(direction.sigma, rel=0.02)
    assert direction.leaks_here["toe_height"] == pytest.approx(0.6, abs=0.1)
    assert direction.keeping(["toe_height"]).kept == ("toe_height",)


def test_a_boundary_that_points_down_is_turned():
    said = []
    direction = bring_in(-HEEL, say=said.append)
    np.testing.assert_allclose(direction.vector, HEEL, atol=1e-6)
    assert "turned around" in said[0]


def test_a_row_for_each_layer():
    rows = np.tile(HEEL, (LAYERS, 1))
    direction = bring_in(rows, layers=[0, 1, 2, 3])
    assert direction.vector.shape == (LAYERS, FEATURES)
    assert abs(direction.leaks_here["upper_l"]) < 0.05


def test_there_and_back(tmp_path):
    direction = bring_in(HEEL)
    write_boundary(tmp_path / "heel.npy", direction)
    again = np.load(tmp_path / "heel.npy", allow_pickle=False)
    assert (again.shape, again.dtype) == ((1, FEATURES), np.float32)
    np.testing.assert_allclose(read_boundary(tmp_path / "heel.npy"), direction.vector, atol=1e-6)
    rows = bring_in(np.tile(HEEL, (LAYERS, 1)), layers=[0, 1])
    write_boundary(tmp_path / "rows.npy", rows)
    written = np.load(tmp_path / "rows.npy")
    assert written.shape == (LAYERS, FEATURES)
    assert not written[2:].any()


def test_refuses_what_it_cannot_be():
    with pytest.raises(DataError, match="another generator"):
        bring_in(np.ones(7))
    with pytest.raises(ConfigError, match="0 to 5"):
        bring_in(HEEL, layers=[6])
    with pytest.raises(DataError, match="name the attribute that it moves"):
        bring_in(np.eye(FEATURES)[5])


def test_refuses_files(tmp_path):
    path = tmp_path / "x.npy"
    with pytest.raises(FileFormatError, match="no such file"):
        read_boundary(path)
    contents = {
        "not a readable": b"boundary",
        "length is 0": np.zeros(8),
        "length is nan": np.full(8, np.nan),
        "real numbers": np.array(["a", "b"]),
        "got shape": np.ones((2, 3, 4)),
    }
    for message, content in contents.items():
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            np.save(path, content)
        with pytest.raises(FileFormatError, match=message):
            read_boundary(path)


def test_pickles_are_not_opened(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (torch.save, (1, str(tmp_path / "exploded")))

    content = io.BytesIO()
    np.save(content, np.array([Bomb()], object), allow_pickle=True)
    path = tmp_path / "x.npy"
    path.write_bytes(content.getvalue())
    with pytest.raises(FileFormatError, match="not a readable"):
        read_boundary(path)
    assert not (tmp_path / "exploded").exists()
