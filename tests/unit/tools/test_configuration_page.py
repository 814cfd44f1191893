import re

import pytest

from lmm_r1_mega.config import Config
from lmm_r1_mega.config.reading import setting_names
from tools.write_configuration_page import PAGE, render, takes


def test_the_page_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == render(), "run python tools/write_configuration_page.py"


def test_every_setting_has_one_line():
    found = re.findall(r"^\| `([a-z0-9_.]+)` \|", render(), flags=re.MULTILINE)
    assert sorted(found) == sorted(setting_names(Config))


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "integer", "minimum": 1}, "integer, at least 1"),
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 1}, "number, above 0, at most 1"),
        ({"anyOf": [{"type": "string", "format": "path"}, {"type": "null"}]}, "path or nothing"),
        ({"type": "array", "items": {"enum": ["a", "b"]}}, "list of: `a`, `b`"),
        ({"type": "object", "additionalProperties": {"type": "number"}}, "names, each with: number"),
    ],
)
def test_words_by_hand(schema, words):
    assert takes(schema) == words
