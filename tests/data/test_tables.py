import pytest

from shoegen.data.tables import read_table
from shoegen.errors import DataError


def rows(text, needed=("seed", "score"), **settings):
    content = text if isinstance(text, bytes) else text.encode()
    return [(row.line, row.cells) for row in read_table(content, "scores.csv", needed, **settings)]


def test_columns_in_any_order_and_case_with_a_mark_and_empty_lines():
    found = rows("\ufeffScore, Seed \n 0.5 ,7\n\n,\n1,8\n")
    assert found == [(2, {"seed": "7", "score": "0.5"}), (5, {"seed": "8", "score": "1"})]


def test_optional_columns_are_empty_where_they_are_not():
    assert rows("seed,score\n1,2\n", optional=("note",)) == [(2, {"seed": "1", "score": "2", "note": ""})]


def test_quoted_cells_and_shorter_rows():
    assert rows('seed,score\n"1,5"\n') == [(2, {"seed": "1,5", "score": ""})]


def test_other_columns_are_left_out_where_they_may_be():
    assert rows("seed,score,who\n1,2,me\n", others=True) == [(2, {"seed": "1", "score": "2"})]
    with pytest.raises(DataError, match="has the columns seed, score, who; expected seed, score"):
        rows("seed,score,who\n1,2,me\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"\xff\xfe", "no CSV file in UTF-8"),
        ("", "has the columns none; expected seed, score"),
        ("seed\n1\n", "has the columns seed; expected seed, score"),
        ("seed,score\n1,2,3\n", "line 2 has more cells than columns"),
        ("seed,score\n1,2\0\n", "NUL"),
    ],
)
def test_what_is_no_table(text, message):
    with pytest.raises(DataError, match=message):
        rows(text)
