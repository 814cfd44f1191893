import json

import pytest

from lmm_r1_mega.data.chat.messages import Chat, Turn, map_references, parse_chat, with_columns
from lmm_r1_mega.data.formats.rows import RowRefused


def user(*parts: object) -> list[dict]:
    return [{"role": "user", "content": list(parts)}]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image", "image": "a.png"},
        {"type": "image", "image": {"url": "a.png"}},
        {"type": "image_url", "image_url": {"url": "a.png", "detail": "low"}},
        {"type": "image_url", "image_url": "a.png"},
        {"type": "image", "image": "a.png", "text": None},
        {"type": "image", "image": {"bytes": None, "path": "a.png"}},
    ],
    ids=["image", "image with url", "openai", "image_url as string", "null columns of Parquet", "path of datasets"],
)
def test_every_spelling_of_an_image(part):
    assert parse_chat(user(part, {"type": "text", "text": "Why?"})) == Chat((Turn("user", (None, "Why?")),), ("a.png",))


def test_bytes_of_datasets_become_a_data_uri():
    chat = parse_chat(user({"type": "image", "image": {"bytes": b"\x00\xff", "path": "a.png"}}))
    assert chat.images == ("data:image/any;base64,AP8=",)


def test_string_content_is_one_text():
    assert parse_chat([{"role": "user", "content": "Why?"}]) == Chat((Turn("user", ("Why?",)),), ())


def test_a_json_string_is_the_list_that_it_spells():
    message = [{"role": "system", "content": "Be brief."}, *user({"type": "image", "image": "a.png"}, "Why?")]
    assert parse_chat(json.dumps(message)) == parse_chat(message)


def test_images_keep_their_order_over_turns_and_neighbouring_texts_join():
    chat = parse_chat(
        [
            *user("a", {"type": "text", "text": "b"}, {"type": "image", "image": "1"}, {"type": "image", "image": "2"}, "c"),
            {"role": "assistant", "content": "d"},
            *user({"type": "image", "image": "3"}),
        ]
    )
    assert [turn.parts for turn in chat.turns] == [("ab", None, None, "c"), ("d",), (None,)]
    assert chat.images == ("1", "2", "3")


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("Why?", "a string that is not JSON"),
        ("[" * 100_000, "a string that is not JSON"),
        ([], "must be a list of turns, got list"),
        ({"role": "user"}, "must be a list of turns, got dict"),
        (7, "must be a list of turns, got int 7"),
        (["Why?"], "turn 1 must be an object with role and content, got str 'Why"),
        ([{"role": "human", "content": "Why?"}], "turn 1 has the role 'human': use one of system, user, assistant"),
        ([{"content": "Why?"}], "turn 1 has the role None"),
        ([{"role": "user"}], "turn 1, part 1 must be a text or an object with type, got NoneType"),
        ([{"role": "user", "content": " \n"}], "turn 1 \\(user\\) is empty"),
        ([{"role": "user", "content": []}], "turn 1 \\(user\\) is empty"),
        (user({"text": "Why?"}), "turn 1, part 1 has the type None: use text, image or image_url"),
        (user({"type": "video", "video": "a.mp4"}), "has the type 'video'"),
        (user("x", {"type": "text", "text": 3}), "turn 1, part 2 must be a text, got int 3"),
        (user({"type": "image", "image": None}), "part 1 has no image: give a path"),
        (user({"type": "image", "image": {"bytes": None, "path": None}}), "part 1 has no image: give a path"),
        (user({"type": "image", "image": {"bytes": "text"}}), "part 1 has no image: give a path"),
        (user("half \ud83d"), "half of a surrogate pair"),
        ([*user("Why?"), {"role": "system", "content": "Be brief."}], "turn 2 is the system's: only the first may be"),
        (
            [*user("Why?"), {"role": "assistant", "content": [{"type": "image", "image": "a"}]}],
            "turn 2 is the assistant's and has",
        ),
    ],
)
def test_other_messages_are_refused_with_their_place(message, reason):
    with pytest.raises(RowRefused, match=reason) as refusal:
        parse_chat(message)
    assert refusal.value.kind == "message"


IMAGE = {"type": "image", "image": "own.png"}


@pytest.mark.parametrize(
    ("content", "columns", "parts", "images"),
    [
        (["<image>Find x."], {"images": ["a.png"]}, (None, "Find x."), ("a.png",)),
        (["Compare <image> and <image>."], {"images": ["a.png", "b.png"]}, ("Compare ", None, " and ", None, "."), ("a.png", "b.png")),
        (["<image>", "Find x."], {"image": "a.png"}, (None, "Find x."), ("a.png",)),
        (["<image>?"], {"image": {"bytes": b"\x00\xff", "path": None}}, (None, "?"), ("data:image/any;base64,AP8=",)),
        (["<image>?"], {"images": '["a.png"]', "image": None}, (None, "?"), ("a.png",)),
        (["Why?"], {"images": [], "image": "", "image_path": [None]}, ("Why?",), ()),
        ([IMAGE, "Why?"], {"image": "own.png", "images": None}, (None, "Why?"), ("own.png",)),
        (["Why?"], {"number_of_images": 3}, ("Why?",), ()),
    ],
)
def test_images_of_a_column_stand_in_their_places(content, columns, parts, images):
    assert with_columns(parse_chat(user(*content)), columns) == Chat((Turn("user", parts),), images)


@pytest.mark.parametrize(
    ("content", "columns", "reason"),
    [
        (["<image>Find x."], {}, r"1 places <image> for images, the row has none in images or image"),
        (["<image>Find x."], {"images": []}, r"the row has none"),
        (["<image><image>?"], {"images": ["a.png"]}, r"2 places <image> for images, column images has 1: give each image its place"),
        (["<image>?"], {"images": ["a.png", "b.png"]}, r"1 places <image> for images, column images has 2"),
        (["Find x."], {"image_path": "a.png"}, r"0 places <image> for images, column image_path has 1"),
        ([IMAGE, "<image>Find x."], {}, r"has images as parts and <image> in its text: take <image> out of the text"),
        ([IMAGE, "Find x."], {"images": ["a.png"]}, r"images stand in the message and in column images: keep those of one place"),
        (["<image>?"], {"images": ["a.png"], "image": "b.png"}, r"in column images and in column image"),
        (["<image>?"], {"images": [7]}, r"column images has list \[7\], which is no image"),
        (["<image>?"], {"images": ["a.png", None]}, r"which is no image"),
        (["<image>?"], {"images": "[a"}, r"column images is no list of images"),
    ],
)
def test_an_image_that_would_not_be_used_is_refused(content, columns, reason):
    with pytest.raises(RowRefused, match=reason) as refusal:
        with_columns(parse_chat(user(*content)), columns)
    assert refusal.value.kind == "image"


def test_what_the_assistant_writes_has_no_places():
    turns = [*user("Draw."), {"role": "assistant", "content": "<image>"}]
    assert with_columns(parse_chat(turns), {}) == parse_chat(turns)


def test_references_are_found_again_where_they_were_read():
    row = {
        "message": json.dumps(user("ü", {"type": "image_url", "image_url": {"url": "a.png", "detail": "low"}})),
        "images": [{"bytes": None, "path": "b.png"}, {"bytes": b"1", "path": "c.png"}],
        "image": "d.png",
        "answer": "a.png",
    }
    changed = map_references(row, "message", lambda reference: f"x/{reference}")
    assert parse_chat(changed["message"]).images == ("x/a.png",)
    assert changed["images"] == [{"bytes": None, "path": "x/b.png"}, "data:image/any;base64,MQ=="]
    assert (changed["image"], changed["answer"]) == ("x/d.png", "a.png")
    assert map_references(row, "message", str) == row | {"images": [{"bytes": None, "path": "b.png"}, "data:image/any;base64,MQ=="]}
