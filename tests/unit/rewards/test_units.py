"""Units told from algebra and from one another."""

import pytest

from lmm_r1_mega.rewards.units import are_different, split_unit


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("3 cm", "3", "cm"),
        (r"3\text{cm}", "3", "cm"),
        (r"3 \mathrm{ cm }^{2}", "3", "cm^2"),
        ("3 square centimeters", "3", "cm^2"),
        ("60 miles per hour", "60", "mi/h"),
        (r"60\text{ km/h}", "60", "km/h"),
        (r"30\degree", "30", "degree"),
        ("30 degrees", "30", "degree"),
        ("3 m", "3", "m"),
        (r"\frac{1}{2} \text{ m}", r"\frac{1}{2}", "m"),
        ("12 square units", "12", "unit"),
        ("3m", "3m", ""),
        (r"2\pi h", r"2\pi h", ""),
        (r"2\pi \text{ cm}^2", r"2\pi", "cm^2"),
        (r"\frac{\pi}{4} rad", r"\frac{\pi}{4}", "rad"),
        (r"2\sqrt{3}\text{ m}", r"2\sqrt{3}", "m"),
        ("60 mph", "60", "mi/h"),
        (r"12 \frac{m}{s^2}", "12", "m/s^2"),
        (r"12\text{ N}\cdot\text{m}", "12", "N\\cdotm"),
        (r"12 \mu m", "12", "um"),
        (r"12\Omega", "12", "ohm"),
        ("5 in", "5", "in"),
        ("3 sq. ft", "3", "ft^2"),
        ("3 cubic yards", "3", "yd^3"),
        ("4:05 pm", "4:05", "pm"),
        ("5\u5398\u7c73", "5", "cm"),
        ("5 \u5e73\u65b9\u7c73", "5", "m^2"),
        ("30\u5ea6", "30", "degree"),
        (r"2\frac{a}{b}", r"2\frac{a}{b}", ""),
        ("3x", "3x", ""),
        ("x", "x", ""),
        (r"3\sin", r"3\sin", ""),
        ("x cm", "x cm", ""),
    ],
)
def test_split_unit(text, value, unit):
    assert split_unit(text) == (value, unit)


def test_measures_exclude_one_another_and_things_do_not():
    assert are_different("m", "cm") and are_different("cm", "cm^2") and are_different("dollar", "cent") and are_different("am", "pm")
    assert not any(
        are_different(*pair) for pair in [("cm", "cm"), ("cm", ""), ("", "cm"), ("apple", "fruit"), ("cm", "unit"), ("m", "long")]
    )
