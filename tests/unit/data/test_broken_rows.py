"""Ten thousand broken rows of forty kinds among good ones: every one is found, for the right reason, and no good one is accused."""

import base64
import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from lmm_r1_mega.config import DataSettings
from lmm_r1_mega.data.formats.rows import FIXES
from lmm_r1_mega.data.inspect.check import check_file

NUM_OF_EACH, NUM_GOOD = 250, 3000
SETTINGS = DataSettings(max_prompt_tokens=400, max_image_pixels=10_000, max_image_bytes=20_000)
WORDS = ("sum", "angle", "Größe", "√2", "число", "角", "\\frac{1}{2}", '"quoted"', "{braces}", "[list]", "<b>", "null", ",", ":", "\\n")


def text(rng: random.Random) -> str:
    return " ".join(rng.choices(WORDS, k=rng.randint(1, 12))) + " ?"


def turn(content: object, role: str = "user") -> dict:
    return {"role": role, "content": content}


def row(rng: random.Random, message: object = None, **columns: object) -> dict:
    """A good row, save for what is given."""
    answer = rng.choice([rng.randint(-99, 99), "$x$", rng.random(), None])
    return {"message": [turn(text(rng))] if message is None else message, "answer": answer, **columns}


def asked(*parts: object) -> Callable[[random.Random], dict]:
    """A row with these parts after a text."""
    return lambda rng: row(rng, [turn([{"type": "text", "text": text(rng)}, *parts])])


def said(*turns: object) -> Callable[[random.Random], dict]:
    return lambda rng: row(rng, list(turns))


def save_image(kind: str, **options: object) -> bytes:
    buffer = BytesIO()
    Image.effect_noise((56, 56), 64).convert("RGB").save(buffer, kind, **options)
    return buffer.getvalue()


def uri(content: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(content).decode()


def shown(reference: object) -> Callable[[random.Random], dict]:
    return asked({"type": "image", "image": reference})


def broken(change: Callable[[str, random.Random], str]) -> Callable[[random.Random], bytes]:
    """A line that is no JSON."""
    return lambda rng: change(json.dumps(row(rng)), rng).encode()


def column(**values: object) -> Callable[[random.Random], dict]:
    return lambda rng: row(rng, **values)


@dataclass(frozen=True)
class Recipe:
    """How a kind of broken row is made, and how it is to be called."""

    make: Callable[[random.Random], object]
    """A row, or the bytes of a line."""
    kind: str
    reason: str
    """Matches the reasons of this recipe's rows and of no other's."""


PNG = save_image("PNG")
ANIMATED = save_image("GIF", save_all=True, append_images=[Image.new("RGB", (56, 56), "red")])
LONE = "half \ud83d"
RECIPES = {
    "cut line": Recipe(
        broken(lambda line, rng: line[: rng.randint(1, len(line) - 2)]), "json", r"not a JSON object: (Expecting|Unterm|Invalid \\)"
    ),
    "two rows a line": Recipe(broken(lambda line, rng: line + line), "json", "Extra data"),
    "Latin-1": Recipe(lambda rng: b'{"message": "\xe9t\xe9 %d"}' % rng.randint(0, 9), "json", "'utf-8' codec can't decode"),
    "too deep": Recipe(lambda rng: b"[" * rng.randint(50_000, 60_000), "json", "recursion"),
    "endless number": Recipe(lambda rng: b'{"answer": %s}' % (b"9" * rng.randint(4400, 5000)), "json", "Exceeds the limit"),
    "raw tab": Recipe(broken(lambda line, rng: line.replace('"message"', '"mess\tage"')), "json", "Invalid control character"),
    "list as row": Recipe(lambda rng: [row(rng)], "row", "a row must be an object, got list"),
    "string as row": Recipe(text, "row", "a row must be an object, got str"),
    "number as row": Recipe(lambda rng: rng.randint(0, 99), "row", "a row must be an object, got int"),
    "other columns": Recipe(lambda rng: {"question": text(rng), "answer": 1}, "row", "no column 'message' .*the row has question, answer"),
    "null message": Recipe(lambda rng: {"message": None}, "row", "no column 'message' .*the row has message$"),
    "fraction as id": Recipe(column(id=1.5), "row", "id must be .*got float"),
    "list as id": Recipe(column(id=["a"]), "row", "id must be .*got list"),
    "half an id": Recipe(column(id=LONE), "row", "id has half of a surrogate pair"),
    "list as source": Recipe(column(datasource=["a"]), "row", "datasource must be .*got list"),
    "plain text": Recipe(lambda rng: row(rng, text(rng)), "message", "a string that is not JSON"),
    "one turn": Recipe(lambda rng: row(rng, turn(text(rng))), "message", "must be a list of turns, got dict"),
    "no turns": Recipe(said(), "message", r"must be a list of turns, got list \[\]"),
    "text as turn": Recipe(lambda rng: row(rng, [text(rng)]), "message", "turn 1 must be an object with role and content"),
    "unknown role": Recipe(said(turn("?", "human")), "message", "turn 1 has the role 'human'"),
    "blank turn": Recipe(said(turn(" \n")), "message", r"turn 1 \(user\) is empty"),
    "no content": Recipe(said({"role": "user"}), "message", "turn 1, part 1 must be a text or an object with type, got NoneType"),
    "unknown part": Recipe(asked({"type": "video", "video": "a.mp4"}), "message", "has the type 'video'"),
    "number as text": Recipe(asked({"type": "text", "text": 3}), "message", "turn 1, part 2 must be a text, got int 3"),
    "image without reference": Recipe(asked({"type": "image"}), "message", "part 2 has no image: give a path"),
    "half a letter": Recipe(said(turn(LONE)), "message", "turn 1, part 1 has half of a surrogate pair"),
    "late system turn": Recipe(said(turn("?"), turn("Be brief.", "system")), "message", "turn 2 is the system's"),
    "no question": Recipe(said(turn("Be brief.", "system")), "message", "no user's turn to answer"),
    "answered with an image": Recipe(
        said(turn("?"), turn([{"type": "image", "image": uri(PNG)}], "assistant")), "message", "turn 2 is the assistant's and has an image"
    ),
    "no role": Recipe(said({"content": "?"}), "message", "turn 1 has the role None"),
    "truth as answer": Recipe(column(answer=True), "answer", "answer must be a string, a number or a list, got bool"),
    "NaN as answer": Recipe(column(answer=float("nan")), "answer", "answer is nan"),
    "half an answer": Recipe(column(answer=LONE), "answer", "answer has half of a surrogate pair"),
    "missing image": Recipe(shown("gone.png"), "image", "gone.png cannot be opened: No such file"),
    "image outside": Recipe(shown("../../../etc/passwd"), "image", "lies outside the folders that may be read"),
    "no image file": Recipe(shown("rows.jsonl"), "image", "rows.jsonl (cannot be read as an image|has .* bytes)"),
    "cut image": Recipe(lambda rng: shown(uri(PNG[: rng.randint(100, len(PNG) - 20)]))(rng), "image", "data:.* cannot be read as an image"),
    "animated image": Recipe(shown(uri(ANIMATED)), "image", "is animated or has several pages"),
    "forged token": Recipe(lambda rng: row(rng, [turn(text(rng) + "<|im_end|>")]), "special_token", "special token '<|im_end|>'"),
    "too long": Recipe(lambda rng: row(rng, [turn("long " * rng.randint(80, 90))]), "too_long", r"the prompt has \d+ tokens"),
}


def good_row(rng: random.Random) -> object:
    """All that is allowed."""
    images = [
        {"type": "image", "image": "a.png"},
        {"type": "image_url", "image_url": {"url": "./a.png"}},
        {"type": "image", "image": uri(PNG)},
    ]
    messages = [
        [turn(text(rng))],
        [turn("Be brief.", "system"), turn([text(rng), text(rng)])],
        [turn("1 ?"), turn("1", "assistant"), turn(text(rng))],
        [turn([rng.choice(images), text(rng), rng.choice(images)])],
        [turn(text(rng)), turn("<think> </think>", "assistant")],
    ]
    message = rng.choice(messages)
    extra = rng.choice([{}, {"datasource": "sums"}, {"datasource": 3}, {"more": [1, {"a": None}]}])
    return row(rng, json.dumps(message) if rng.random() < 0.3 else message, **extra)


def as_line(made: object) -> bytes:
    return made if isinstance(made, bytes) else json.dumps(made).encode()


@pytest.fixture(scope="module")
def mixed(tmp_path_factory) -> tuple[Path, dict[int, str]]:
    """A file of good and broken rows, and for the lines of the broken ones which they are."""
    rng = random.Random(0)
    (folder := tmp_path_factory.mktemp("broken")).joinpath("a.png").write_bytes(PNG)
    names = [name for name in RECIPES for _ in range(NUM_OF_EACH)] + [""] * NUM_GOOD
    rng.shuffle(names)
    path = folder / "rows.jsonl"
    path.write_bytes(b"\n".join(as_line(RECIPES[name].make(rng) if name else good_row(rng)) for name in names))
    return path, {line: name for line, name in enumerate(names, start=1) if name}


def test_every_broken_row_is_called_what_it_is(mixed, processor):
    path, expected = mixed
    assert len(RECIPES) == 40 and len(expected) == 10_000
    report = check_file(path, SETTINGS, processor)
    assert report.num_good == NUM_GOOD
    assert [bad.line for bad in report.bad_rows] == list(expected)
    for bad in report.bad_rows:
        matching = [name for name, recipe in RECIPES.items() if recipe.kind == bad.kind and re.search(recipe.reason, bad.reason)]
        assert matching == [expected[bad.line]], bad
    assert {bad.kind for bad in report.bad_rows} <= set(FIXES)


def test_repeated_ids_are_called_so(write_rows):
    path = write_rows(*(row(random.Random(number), id=number % 500) for number in range(750)))
    assert [(bad.line, bad.kind) for bad in check_file(path, SETTINGS, None).bad_rows] == [
        (line, "duplicate_id") for line in range(501, 751)
    ]
