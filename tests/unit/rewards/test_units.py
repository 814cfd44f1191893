"""Units: each word is known, or a thing that is counted, or there is no unit."""

from fractions import Fraction

import pytest

from lmm_r1_mega.rewards.answers.units import NO_UNIT, parse_unit, split_scale


@pytest.mark.parametrize(
    ("text", "other"),
    [
        (" cm", "cm"),
        (" cm^{2}", " square centimeters"),
        (" mi/h", " miles per hour"),
        (" mph", " miles per hour"),
        (r"\degree ", " degrees"),
        (r"\degree C", r" \degree C"),
        (" m/s^2", " meters / second squared"),
        (" sq. ft", " ft^2"),
        (" cubic yards", " yd^3"),
        (" kg\\cdot m/s^2", " N"),
        (" J/(kg\\cdot K)", " J/kg/K"),
        ("\u5e73\u65b9\u5398\u7c73", " cm^2"),
        ("\u5343\u7c73", " km"),
        ("\u5ea6", r"\degree"),
        (" apples", " apples"),
        (r"\mu m", " micrometers"),
        (" k$", None),
        (" north", None),
        (" km north", None),
        (" years ago", None),
        (" more", None),
        (" thirds", None),
        ("x", None),
        ("\u4ee5\u4e0b", None),
        ("\u5ea6\u4ee5\u4e0b", None),
    ],
)
def test_units_are_known_or_none(text, other):
    assert parse_unit(text) == (other and parse_unit(other))
    assert other is None or parse_unit(text) is not None


def test_dimensions_and_factors():
    metre, cent, hour = parse_unit("m"), parse_unit(" cents"), parse_unit(" hours")
    assert (metre.dimension, metre.factor) == ((("m", 1),), 1)
    assert parse_unit(" km").factor == 1000 and parse_unit(" kJ").factor == 1000 and parse_unit(" mL").factor == Fraction(1, 10**6)
    assert (cent.dimension, cent.factor) == (parse_unit("$").dimension, Fraction(1, 100))
    assert hour.factor == 3600 and parse_unit(" square units") == NO_UNIT
    assert parse_unit(" students").is_thing and not metre.is_thing


def test_scales():
    assert split_scale(" million dollars") == (10**6, " dollars")
    assert split_scale("\u4e07\u5143") == (10**4, "\u5143") and split_scale(" cm") == (1, " cm")
