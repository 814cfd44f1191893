"""Units behind a number: each word is known, or a thing that is counted, or the text is no quantity."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

PREFIXES = {
    "n": -9, "u": -6, "m": -3, "c": -2, "d": -1, "h": 2, "k": 3, "M": 6, "G": 9, "T": 12, "p": -12,
    "nano": -9, "micro": -6, "milli": -3, "centi": -2, "deci": -1, "hecto": 2, "kilo": 3, "mega": 6, "giga": 9, "tera": 12,
}  # fmt: skip
PREFIXABLE = "m g s L l N J W V A Pa Hz eV cal mol Wh ohm K C F H T Wb bar B bit rad M"
UNIT_TABLE = """
    m 1 m; g 1/1000 kg; s 1 s; L 1/1000 m3; l 1/1000 m3; N 1 kg m s-2; J 1 kg m2 s-2; W 1 kg m2 s-3; V 1 kg m2 s-3 A-1; A 1 A;
    Pa 1 kg m-1 s-2; Hz 1 s-1; eV 1.602176634e-19 kg m2 s-2; cal 4.184 kg m2 s-2; mol 1 mol; Wh 3600 kg m2 s-2; ohm 1 kg m2 s-3 A-2;
    K 1 K; C 1 A s; F 1 A2 s4 kg-1 m-2; H 1 kg m2 s-2 A-2; T 1 kg s-2 A-1; Wb 1 kg m2 s-2 A-1; bar 100000 kg m-1 s-2; B 1 byte;
    rad 1 rad; M 1000 mol m-3; min 60 s; h 3600 s; day 86400 s; week 604800 s; month 1 month; year 12 month; decade 120 month;
    century 1200 month; in 0.0254 m; ft 0.3048 m; yd 0.9144 m; mi 1609.344 m; nmi 1852 m; lb 0.45359237 kg; oz 0.028349523125 kg;
    ton 1000 kg; gal 0.003785411784 m3; ha 10000 m2; acre 4046.8564224 m2; mph 0.44704 m s-1; kph 5/18 m s-1; atm 101325 kg m-1 s-2;
    erg 1/10000000 kg m2 s-2; dyn 1/100000 kg m s-2; bit 1/8 byte; degree 1 degree; degC 1 degC; degF 1 degF; rpm 1/60 turn s-1;
    turn 1 turn; dollar 1 dollar; cent 1/100 dollar; euro 1 euro; quid 1 quid; yuan 1 yuan; rupee 1 rupee; jiao 1/10 yuan;
    fen 1/100 yuan; dB 1 dB; lm 1 lm; unit 1; chi 1/3 m; mu 2000/3 m2; jin 1/2 kg; cc 1/1000000 m3; yen 1 yen; knot 463/900 m s-1;
    angstrom 1e-10 m;
"""
"""Symbol, factor, dimension: in metres, kilograms, seconds, amperes, and what has no measure in these."""
UNIT_NAMES = """
    m: meter metre \u7c73; g: gram gramme \u514b; L: liter litre \u5347; s: second sec \u79d2;
    min: minute mins \u949f \u5206\u949f \u5206; h: hour hr \u5c0f\u65f6 \u65f6; week: wk \u5468; year: yr \u5e74;
    month: mo \u4e2a\u6708 \u6708; degree: degree deg \u5ea6; in: inch; ft: foot feet; mi: mile; yd: yard; lb: pound lbs; oz: ounce;
    ton: tonne \u5428; gal: gallon; ha: hectare \u516c\u9877; N: newton \u725b \u725b\u987f; J: joule \u7126 \u7126\u8033;
    W: watt \u74e6 \u74e6\u7279; V: volt \u4f0f \u4f0f\u7279; A: ampere amp \u5b89 \u5b89\u57f9; Pa: pascal \u5e15;
    Hz: hertz \u8d6b\u5179; eV: electronvolt; cal: calorie; mol: mole; K: kelvin; C: coulomb; F: farad; H: henry; T: tesla; Wb: weber;
    B: byte; rad: radian \u5f27\u5ea6; degC: celsius centigrade \u6444\u6c0f\u5ea6; degF: fahrenheit;
    dollar: usd buck $ us$ \u7f8e\u5143; euro: eur \u20ac \u6b27\u5143; quid: gbp \u00a3;
    yuan: rmb cny \u00a5 \u5143 \u5757 \u5143\u94b1; rupee: inr \u20b9; cent: \u00a2 penny pennies; century: centuries;
    turn: revolution rev; angstrom: \u00c5; day: \u5929 \u65e5; km: \u516c\u91cc; nmi: \u6d77\u91cc; kg: \u516c\u65a4;
    jin: \u65a4; mu: \u4ea9; jiao: \u89d2; ohm: \u6b27 \u6b27\u59c6; chi: \u5c3a; unit: \u5355\u4f4d \u5e73\u65b9\u5355\u4f4d;
"""
"""Symbol and its other names."""
CHINESE_PREFIXES = {"\u5343": "k", "\u5398": "c", "\u6beb": "m", "\u5206": "d", "\u5fae": "u", "\u7eb3": "n", "\u5146": "M"}
COUNTERS = (
    "\u53ea\u4e2a\u4eba\u672c\u5f20\u9897\u6761\u6735\u8f86\u4ef6\u4f4d\u679a\u652f\u679d\u628a\u5934\u68f5\u540d\u9053\u6b21\u7ec4\u76d2"
    "\u888b\u7bb1\u5305\u74f6\u676f\u5c81\u9875\u53f0\u5bb6\u95f4\u5339\u7c92\u6839\u7247\u76c6\u5c42\u6b65\u9898\u79cd\u5bf9\u53cc\u6876\u573a\u500d"
)
"""What Chinese counts with, before the name of the thing or without one."""
TELLING = re.compile(
    "[\u4e0a\u4e0b\u5de6\u53f3\u4e1c\u5357\u897f\u5317\u524d\u540e\u5185\u5916\u591a\u5c11\u5927\u5c0f\u4f59\u9ad8\u4f4e\u957f\u77ed\u589e"
    "\u51cf\u52a0\u500d\u4e8f\u8d5a\u65e9\u665a\u4e07\u4ebf\u5343\u767e\u5341\u534a\u975e\u65e0\u6ca1\u8d85\u8fc7\u81f3\u5230\u4e4b\u7ea6"
    "\u6216\u4e0d\u5747\u6bcf\u6b63\u8d1f\u76c8]"
)
"""Chinese that says more than what is counted."""
OTHER_PLURALS = """
    afterwards always besides billions decreases downwards dozens eighths equals fifths fourths gains halves hundreds hundredths increases
    losses millions minus minuses multiples ninths others pairs perhaps plus points powers previous profits quarters rises roots sevens
    sevenths sideways sixths tens tenths thirds this thousands thousandths towards upwards versus
"""
"""English in "s" behind a number that says more than what is counted."""
PLURALS = "people children men women mice geese sheep fish deer teeth oxen dice"
GLUED_LETTERS = frozenset("msghLNJWVAK")
"""Units of one letter that may touch a digit: `15m`."""
LETTERS_BEHIND_SYMBOLS = frozenset("msNJWV")
"""And that may stand behind pi or a root: `2\\pi h` is algebra."""

CHINESE = "[\u4e00-\u9fff]+"
UNIT_FRACTION = re.compile(r"\\frac\s*\{\s*([a-zA-Z]+(?:\^\{?\d\}?)?)\s*\}\s*\{\s*([a-zA-Z]+(?:\^\{?\d\}?)?)\s*\}$")
SPELLINGS = (
    (re.compile(rf"(?:\b(?:square|sq)\b\.?\s*|\u5e73\u65b9)([a-zA-Z]+|{CHINESE})"), r"\1^2"),
    (re.compile(rf"(?:\b(?:cubic|cu)\b\.?\s*|\u7acb\u65b9)([a-zA-Z]+|{CHINESE})"), r"\1^3"),
    (re.compile(r"(?<=[a-zA-Z])\s+squared$"), "^2"),
    (re.compile(r"(?<=[a-zA-Z])\s+cubed$"), "^3"),
    (re.compile(r"\s+(?:per|an?)\s+"), "/"),
    (re.compile(r"\\degree\s*(?=[CF](?![a-zA-Z]))"), "deg"),
    (re.compile(r"\\degree"), "degree "),
    (re.compile(r"\\mu\s*"), "u"),
    (re.compile(r"\\Omega"), "ohm"),
)
"""Ways to write a unit, and the one way that is read."""
UNIT_PART = re.compile(
    rf"\s*(?:(?P<word>[a-zA-Z]+\$|[a-zA-Z]+|{CHINESE}|[$\u20ac\u00a3\u00a5\u20b9\u00a2])\.?"
    r"(?:\^?\{?\s*(?P<power>(?<=[\^{\s])-?\d|[23](?!\d))\s*\}?)?|(?P<mark>/|\\cdot(?![a-zA-Z])|\*|\(|\)))"
)
SCALES = {
    name: Fraction(value)
    for names, value in (
        ("dozen dozens", 12), ("\u5341", 10), ("hundred \u767e", 100), ("thousand k \u5343", 1000), ("\u4e07", 10**4),
        ("million", 10**6), ("\u4ebf", 10**8), ("billion", 10**9), ("trillion", 10**12), ("half halves", "1/2"),
        ("third thirds", "1/3"), ("fourth fourths quarter quarters", "1/4"), ("fifths", "1/5"), ("sixths", "1/6"), ("sevenths", "1/7"),
        ("eighths", "1/8"), ("ninths", "1/9"), ("tenths", "1/10"), ("hundredths", "1/100"), ("thousandths", "1/1000"),
    )
    for name in names.split()
}  # fmt: skip
SCALE = re.compile(rf"\s*({'|'.join(sorted(SCALES, key=len, reverse=True))})(?![a-zA-Z])")


Dimension = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Unit:
    """A measure, or a thing that is counted, which is a dimension of its own."""

    dimension: Dimension
    factor: Fraction = Fraction(1)
    """How many of the dimension's own unit it is."""

    def times(self, other: Unit, power: int) -> Unit:
        exponents = dict(self.dimension)
        for name, exponent in other.dimension:
            exponents[name] = exponents.get(name, 0) + exponent * power
        return Unit(tuple(sorted((name, e) for name, e in exponents.items() if e)), self.factor * other.factor**power)

    def scaled(self, power_of_ten: int) -> Unit:
        return Unit(self.dimension, self.factor * Fraction(10) ** power_of_ten)

    @property
    def is_thing(self) -> bool:
        """Whether nothing is measured."""
        return any(name.startswith("thing ") for name, _ in self.dimension)


NO_UNIT = Unit(())


def _known_units() -> dict[str, Unit]:
    """The tables by every symbol and name."""
    units: dict[str, Unit] = {}
    for line in filter(None, (part.split() for part in UNIT_TABLE.split(";"))):
        powers = [re.fullmatch(r"([a-zA-Z]+?)(-?\d*)", part) for part in line[2:]]
        units[line[0]] = Unit(tuple(sorted((part[1], int(part[2] or 1)) for part in powers if part)), Fraction(line[1]))
    for symbol in PREFIXABLE.split():
        letters = [p for p in PREFIXES if len(p) == 1 and (len(symbol) > 1 or p in "numckMG" or p + symbol in ("dm", "dL"))]
        units = {p + symbol: units[symbol].scaled(PREFIXES[p]) for p in letters} | units
    for symbol, names in (part.split(":") for part in UNIT_NAMES.split(";") if part.strip()):
        unit = units[symbol.strip()]
        for name in names.split():
            units |= {name: unit} | {p + name: unit.scaled(PREFIXES[p]) for p in PREFIXES if len(p) > 3}
    return units


KNOWN_UNITS = _known_units()


def split_scale(tail: str) -> tuple[Fraction, str]:
    """What the words at the start of a tail multiply with, and the rest: " million dollars" -> 10**6, " dollars"."""
    scale = Fraction(1)
    while match := SCALE.match(tail):
        scale, tail = scale * SCALES[match[1]], tail[match.end() :]
    return scale, tail


@lru_cache(maxsize=4096)
def parse_unit(tail: str, *, letters: frozenset[str] = GLUED_LETTERS) -> Unit | None:
    r"""The unit that a whole text spells; None if a part of it is unknown.

    `letters` are the single letters that may touch the value before them.

    Example: `square centimeters` and ` cm^2` are the same; ` km north` is none
    """
    text = tail
    for spelling, spelled in SPELLINGS:
        text = spelling.sub(spelled, text)
    if re.match(r"[a-zA-Z](?![a-zA-Z$])", text) and text[0] not in letters:
        return None
    unit, sign, is_open, position = NO_UNIT, 1, False, 0
    while text[position:].strip():
        part = UNIT_PART.match(text, position)
        if not part:
            return None
        if mark := part["mark"]:
            sign, is_open = {"/": -1, ")": 1}.get(mark, sign), (is_open or mark == "(") and mark != ")"
        else:
            factor = _unit_of_word(part["word"])
            if factor is None:
                return None
            unit, sign = unit.times(factor, sign * int(part["power"] or 1)), sign if is_open else 1
        position = part.end()
    return unit


def _unit_of_word(word: str) -> Unit | None:
    low = word.lower()
    for name in (word, low, low.removesuffix("s"), low.removesuffix("es")):
        if name in KNOWN_UNITS and (name == word or len(name) > 1 or not name.isascii()):
            return KNOWN_UNITS[name]
    if not word.isascii():
        return _chinese_unit(word)
    is_plural = low in PLURALS.split() or (len(low) > 3 and low.endswith("s") and not low.endswith("ss"))
    return _thing(low.removesuffix("s")) if is_plural and low not in OTHER_PLURALS.split() else None


def _thing(name: str) -> Unit:
    return Unit(((f"thing {name}", 1),))


def _chinese_unit(word: str) -> Unit | None:
    unit = KNOWN_UNITS.get(word[1:])
    if word[0] in CHINESE_PREFIXES and unit and len(word) > 1:
        return unit.scaled(PREFIXES[CHINESE_PREFIXES[word[0]]])
    return _thing(word) if word[0] in COUNTERS and not TELLING.search(word[1:]) else None
