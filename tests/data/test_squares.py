import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoegen.data.squares import Square, box_of

PLACES = st.integers(-30, 30)


@given(PLACES, PLACES, st.integers(1, 40), st.integers(1, 20), st.integers(1, 20))
def test_what_is_cut_comes_back_to_its_place(top, left, side, height, width):
    values = np.arange(1, height * width + 1).reshape(height, width)
    square = Square(top, left, side)
    inside, within = square.overlap(values.shape)
    cut = square.cut(values)
    assert cut.shape == (side, side)
    back = np.zeros_like(values)
    back[inside] = cut[within]
    rows, columns = np.indices(values.shape)
    seen = (rows >= top) & (rows < top + side) & (columns >= left) & (columns < left + side)
    assert (back == np.where(seen, values, 0)).all()
    assert np.count_nonzero(cut) == np.count_nonzero(seen)


def test_beyond_the_picture():
    values = np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8)  # 1, 2, 3
    square = Square(-1, 0, 3)
    assert (square.cut(values, fill=9)[[0, 2]] == 9).all()
    nearest = square.cut(values, fill=None)
    assert (nearest[:, 0] == [1, 2, 3]).all()
    assert (nearest[:, 1:] == [4, 5, 6]).all()


@pytest.mark.parametrize(("rows", "columns"), [((2, 5), (1, 3)), ((0, 1), (7, 8))])
def test_the_box_of_a_mask(rows, columns):
    mask = np.zeros((6, 8), bool)
    mask[slice(*rows), slice(*columns)] = True
    assert box_of(mask) == (rows[0], columns[0], rows[1], columns[1])
