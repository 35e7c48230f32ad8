import pytest

from shoegen.editing.amounts import Amount, as_text, parse_edits
from shoegen.errors import ConfigError
from shoegen.measure import parse_shoe_length


@pytest.mark.parametrize(
    ("given", "way", "value", "unit"),
    [
        (2, "strength", 2, ""),
        ("-1.5", "strength", -1.5, ""),
        ("2 sd", "strength", 2, ""),
        ("+20mm", "by", 20, "mm"),
        (" −5 MM ", "by", -5, "mm"),
        ("80mm", "to", 80, "mm"),
        ("=80mm", "to", 80, "mm"),
        ("to 8.5 cm", "to", 8.5, "cm"),
        ("to -5 lab", "to", -5, "CIELAB"),
        ("to 0.4", "to", 0.4, ""),
        ("+3%", "by", 3, "%"),
    ],
)
def test_what_amounts_mean(given, way, value, unit):
    assert Amount.parse(given) == Amount(way, value, unit)


def test_options_say_what_is_meant():
    assert Amount.parse("20mm", way="by") == Amount("by", 20, "mm")
    assert Amount.parse("-5 CIELAB", way="to") == Amount("to", -5, "CIELAB")
    assert Amount.parse("2", way="strength") == Amount("strength", 2)
    with pytest.raises(ConfigError, match="--by and --to take units"):
        Amount.parse("+20mm", "--strength", way="strength")
    with pytest.raises(ConfigError, match="an amount with a unit"):
        Amount.parse("to 20mm", "--by", way="by")


@pytest.mark.parametrize(
    "given", ["", "mm", "high", "++2", "1,5", "nan", "2 mm mm", None, True, [1], "to 2 sd"]
)
def test_what_is_no_amount(given):
    with pytest.raises(ConfigError, match="heel: got "):
        Amount.parse(given, "heel")


@pytest.mark.parametrize("given", [float("nan"), float("inf"), 1e9, "11", -10.5])
def test_strengths_have_an_end(given):
    with pytest.raises(ConfigError, match="expected -10 to 10"):
        Amount.parse(given, "heel")


def test_units():
    assert Amount.parse("+26.5mm").in_unit("shoe length", shoe_length=265) == pytest.approx(0.1)
    assert Amount.parse("1in").in_unit("shoe length", shoe_length=254) == pytest.approx(0.1)
    assert Amount.parse("+5%").in_unit("share") == pytest.approx(0.05)
    assert Amount.parse("to 0.4").in_unit("ratio") == 0.4
    for given, unit in (("20mm", "CIELAB"), ("to 0.4", "shoe length"), ("+2 lab", "share")):
        with pytest.raises(ConfigError, match=f"is measured in {unit}"):
            Amount.parse(given).in_unit(unit)


def test_as_text():
    assert as_text(0.1, "shoe length", 265) == "26.5 mm"
    assert as_text(-0.1, "shoe length", 270, signed=True, places=0) == "-27 mm"
    assert as_text(12.345, "CIELAB") == "12.3 CIELAB"
    assert as_text(float("nan"), "share") == "not measured"
    texts = {"+20mm": "+20mm", "80 mm": "to 80mm", "-2": "-2", "+2 lab": "+2 CIELAB"}
    assert {given: str(Amount.parse(given)) for given in texts} == texts


def test_parse_edits():
    edits = parse_edits(["heel=+20mm", "shaft = -1", "sole==30mm"])
    assert [str(each) for each in edits.values()] == ["+20mm", "-1", "to 30mm"]
    assert list(edits) == ["heel", "shaft", "sole"]
    for texts, match in (
        (["heel"], "DIRECTION=AMOUNT"),
        (["=2"], "DIRECTION"),
        (["heel=1", "heel=2"], "twice"),
    ):
        with pytest.raises(ConfigError, match=match):
            parse_edits(texts)


def test_parse_shoe_length():
    for given in (265, "265", "265mm", "26.5 cm"):
        assert parse_shoe_length(given) == 265
    for given in ("", "-3", 0, 1000, "2m", None, True, float("nan")):
        with pytest.raises(ConfigError, match="shoe_length: got"):
            parse_shoe_length(given)
