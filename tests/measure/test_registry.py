import numpy as np
import pytest

from shoegen.errors import ConfigError, DataError
from shoegen.measure import (
    ALIASES,
    ATTRIBUTES,
    Attribute,
    attribute_name,
    format_measure,
    from_millimetres,
    load_attributes,
    measure,
    read_scores,
    register,
    to_millimetres,
)


def own(name="fullness", function=lambda shoe: shoe.area / shoe.length**2, needs="silhouette"):
    return Attribute(name, "area over length squared", "ratio", needs, "no shoe", function)


def test_names_and_short_forms():
    assert attribute_name("heel") == attribute_name("heel_height") == "heel_height"
    assert attribute_name("toe") == "toe_pointedness"
    assert set(ALIASES.values()) <= set(ATTRIBUTES)
    assert not set(ALIASES) & set(ATTRIBUTES)
    with pytest.raises(ConfigError, match=r"no attribute 'hue'; expected one of heel, sole, .*heel_height"):
        attribute_name("hue")


def test_every_attribute_says_what_it_is():
    for name, attribute in ATTRIBUTES.items():
        assert attribute.name == name
        assert name.isidentifier()
        assert attribute.unit in ("shoe length", "share", "ratio", "CIELAB")
        assert attribute.fails.startswith("no shoe")
        assert len(attribute.description) > 20


def test_an_own_attribute_counts_as_the_others_do(blocks, registry):
    register(own())
    assert attribute_name("fullness") == "fullness"
    assert measure(blocks)["fullness"] == measure(blocks > 0)["fullness"]
    assert format_measure("fullness", 0.51) == "0.51 ratio"


@pytest.mark.parametrize(
    ("attribute", "message"),
    [
        (own("heel_height"), "heel_height: there is one of this name"),
        (own("heel"), "heel: there is one of this name"),
        (own("toe gap"), "'toe gap': expected a name of letters"),
        (own(3), "3: expected a name"),
        (own(function=0.5), "function is a float"),
        (own(needs="heel"), "needs is 'heel', expected one of silhouette, parts, image"),
        (len, "got builtin_function_or_method, expected a shoegen.measure.Attribute"),
    ],
)
def test_register_refuses(attribute, message, registry):
    with pytest.raises(ConfigError, match=message):
        register(attribute)


FILE = """
from shoegen.measure import Attribute, register

register(Attribute("{name}", "area over length squared", "ratio", "silhouette", "no shoe",
                   lambda shoe: shoe.area / shoe.length**2))
{more}
"""


def test_attributes_of_a_file(tmp_path, blocks, registry):
    path = tmp_path / "mine.py"
    path.write_text(FILE.format(name="fullness", more=""))
    assert load_attributes(path) == ["fullness"]
    path.write_text(FILE.format(name="density", more=""))
    assert load_attributes(path) == ["density"]  # in place of what the file gave before
    assert "fullness" not in ATTRIBUTES
    assert measure(blocks)["density"] > 0.3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (FILE.format(name="fullness", more="1 / 0"), "failed: ZeroDivisionError"),
        (FILE.format(name="fullness", more="raise SystemExit(3)"), "failed: SystemExit"),
        (FILE.format(name="heel", more=""), "there is one of this name"),
        ("import (", "failed: SyntaxError"),
        ("x = 1", "registers no attribute"),
    ],
)
def test_files_that_cannot_be_used_leave_nothing(tmp_path, text, message, registry):
    path = tmp_path / "mine.py"
    path.write_text(text)
    before = set(ATTRIBUTES)
    with pytest.raises(ConfigError, match=message):
        load_attributes(path)
    assert set(ATTRIBUTES) == before
    with pytest.raises(ConfigError, match="give a Python file"):
        load_attributes(tmp_path / "nothing.py")


def test_scores(tmp_path):
    path = tmp_path / "scores.csv"
    path.write_text("\ufeffseed,who,score\n7,me,0.5\n11,you,-2\n", encoding="utf-8")
    assert read_scores(path) == {7: 0.5, 11: -2.0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed,value\n1,2\n", "no column score"),
        ("", "no column score and seed"),
        ("seed,score\n", "has no scores"),
        ("seed,score\n7,high\n", "line 2: got '7' and 'high'"),
        ("seed,score\n7,nan\n", "line 2"),
        ("seed,score\n-7,1\n", "line 2"),
        ("seed,score\n7\n", "line 2: got '7' and None"),
        ("seed,score\n7,1\n7,2\n", "line 3: seed 7 has a score already"),
        ("seed,score\n7,\x00\n", "scores.csv"),
    ],
)
def test_scores_that_cannot_be_read(tmp_path, text, message):
    path = tmp_path / "scores.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_scores(path)
    path.write_bytes(b"seed,score\n\xff\xfe")
    with pytest.raises(DataError, match="cannot read the scores"):
        read_scores(path)
    with pytest.raises(DataError, match="cannot read the scores"):
        read_scores(tmp_path / "nothing.csv")


def test_millimetres():
    assert to_millimetres(0.2) == pytest.approx(53)
    assert to_millimetres(0.2, shoe_length=250) == pytest.approx(50)
    assert from_millimetres(to_millimetres(0.3, 270), 270) == pytest.approx(0.3)


def test_formats():
    assert format_measure("heel_height", 0.234) == "62 mm"
    assert format_measure("heel_height", 0.234, 300) == "70 mm"
    assert format_measure("opening_size", 0.1234) == "0.123 share"
    assert format_measure("upper_l", float(np.float64(52.34))) == "52.3 CIELAB"
    assert format_measure("heel_width", float("nan")) == "not measured"
