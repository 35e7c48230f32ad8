"""What several commands do with their options."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoegen.cli._options import MAX_SIDE, parse_size
from shoegen.errors import ConfigError


@given(width=st.integers(1, MAX_SIDE), height=st.integers(1, MAX_SIDE), sign=st.sampled_from("xX×"))
def test_width_by_height(width, height, sign):
    assert parse_size("--resolution", f"{width}{sign}{height}") == (height, width)


def test_one_number_is_a_square():
    assert parse_size("--resolution", "256") == (256, 256)


@pytest.mark.parametrize(
    "text", ["", "x", "256x", "x256", "0", "-8", "8.5", "8x8x8", "1e3", "16385", "9" * 5000, " 8", "²"]
)
def test_wrong(text):
    with pytest.raises(
        ConfigError, match=r"--size: got '.*', expected one side such as 256, or WIDTHxHEIGHT"
    ):
        parse_size("--size", text)
