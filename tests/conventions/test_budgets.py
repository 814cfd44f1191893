"""Sizes that keep the code readable; at most five exceptions, each with its reason."""

import ast

import pytest
from convention_rules import (
    MAX_FILE_LINES,
    Module,
    guessed_attributes,
    heavy_functions,
    long_files,
    nesting,
    num_branches,
    num_lines,
    package_modules,
    untyped_signatures,
)

LOOP = ("train", "train")
"""Module and function of the training loop."""
MAX_LOOP_LINES, MAX_LOOP_BRANCHES = 60, 10

EXCEPTIONS: dict[str, str] = {}
"""Complaint that is allowed -> why; the key is the complaint up to and without its number."""
MAX_EXCEPTIONS = 5

FOREIGN_APIS = {
    "data.images.decode": "Pillow's images have n_frames only in formats that may hold several",
}
"""Modules that may ask a foreign object what it has, and why."""


def without_exceptions(complaints):
    return [one for one in complaints if not any(one.startswith(known) for known in EXCEPTIONS)]


def test_files_fit():
    assert without_exceptions(long_files(package_modules())) == []


def test_functions_fit():
    assert without_exceptions(heavy_functions(package_modules())) == []


def test_every_signature_is_typed():
    assert list(untyped_signatures(package_modules())) == []


def test_nobody_guesses_attributes():
    assert list(guessed_attributes(package_modules(), FOREIGN_APIS)) == []


def test_exceptions_are_few_and_used():
    complaints = [*long_files(package_modules()), *heavy_functions(package_modules())]
    assert len(EXCEPTIONS) <= MAX_EXCEPTIONS
    assert [known for known in EXCEPTIONS if not any(one.startswith(known) for one in complaints)] == []
    guesses = list(guessed_attributes(package_modules(), {}))
    assert [owner for owner in FOREIGN_APIS if not any(one.startswith(f"{owner} line") for one in guesses)] == []


def test_the_loop_is_the_algorithm():
    module_name, function_name = LOOP
    [module] = [module for module in package_modules() if module.name == module_name]
    [loop] = [function for function in module.functions if function.name == function_name]
    assert num_lines(loop) <= MAX_LOOP_LINES
    assert num_branches(loop) <= MAX_LOOP_BRANCHES


def function(text):
    return ast.parse(text).body[0]


def test_a_long_file_is_found():
    assert list(long_files([Module("a", "x = 1\n" * (MAX_FILE_LINES + 1))])) == ["a has 401 lines"]
    assert list(long_files([Module("a", "x = 1\n" * MAX_FILE_LINES)])) == []


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("def f():\n" + "    x = 1\n" * 60, "a.f has 61 lines"),
        ("def f():\n if 1:\n  for x in y:\n   with z:\n    while 1:\n     pass", "a.f is nested 4 deep"),
        ("class C:\n def f(self, a, b, c, *, d, e, g, h): pass", "a.f has 7 parameters"),
    ],
)
def test_a_heavy_function_is_found(text, complaint):
    assert list(heavy_functions([Module("a", text)])) == [complaint]


def test_a_light_function_is_not_complained_of():
    text = "def f(a, b, c, *, d, e, g):\n if 1:\n  for x in y:\n   with z:\n    pass\n elif 2:\n  pass\n elif 3:\n  pass"
    assert list(heavy_functions([Module("a", text)])) == []


@pytest.mark.parametrize(
    ("text", "depth"),
    [
        ("def f(): pass", 0),
        ("def f():\n if a: pass\n elif b: pass\n elif c: pass\n else: pass", 1),
        ("def f():\n try:\n  x\n except E:\n  if a: pass", 2),
        ("def f():\n def g():\n  if a: pass", 0),
    ],
)
def test_nesting_by_hand(text, depth):
    assert nesting(function(text)) == depth


def test_branches_by_hand():
    assert num_branches(function("def f():\n for x in y:\n  z = 1 if a and b and c else 2\n with w: pass")) == 4


@pytest.mark.parametrize(
    "text",
    ["def f(a): ...", "def f(a: int): ...", "def f(*a) -> int: ...", "class C:\n def f(self, *, b) -> int: ...", "async def f(): ..."],
)
def test_an_untyped_signature_is_found(text):
    assert len(list(untyped_signatures([Module("a", text)]))) == 1


def test_a_typed_signature_is_not_complained_of():
    assert list(untyped_signatures([Module("a", "class C:\n def f(self, b: int, **c: str) -> None: ...")])) == []


def test_a_guess_is_found():
    text = "a = getattr(b, 'c')\nd = getattr(b, 'c', None)\ne = hasattr(b, 'c')"
    assert len(list(guessed_attributes([Module("a", text)], {}))) == 2
    assert list(guessed_attributes([Module("a", text)], {"a": "owns b"})) == []
