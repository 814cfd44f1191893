"""The rule of Sokoban, drawn before and after."""

import random

import pytest

from lmm_r1_mega.rewards.rules.sokoban_room import STEPS, draw_room, parse_room


def walled(row: str) -> str:
    """A corridor."""
    return f"{'#' * (len(row) + 2)}\n#{row}#\n{'#' * (len(row) + 2)}"


MOVES = {
    "a walk": ("@ $.", "right", " @$."),
    "a push onto the target": (" @$.", "right", "  @*"),
    "no push into the wall": ("  @*", "right", "  @*"),
    "no push into the wall on the left": ("$@.", "left", "$@."),
    "no push of two boxes": ("@$$..", "right", "@$$.."),
    "no push of two, one of them placed": ("@$*.", "right", "@$*."),
    "a push off the target": ("@* .$", "right", " +$.$"),
    "a walk off a target": ("+ $", "right", ".@$"),
    "a walk off a target to the left": (" +$", "left", "@.$"),
    "a wall above": ("@ $.", "up", "@ $."),
    "a wall on the left": ("@$.", "left", "@$."),
    "no pull": (" @$.", "left", "@ $."),
}


@pytest.mark.parametrize(("before", "move", "after"), MOVES.values(), ids=MOVES)
def test_a_move(before, move, after):
    assert draw_room(parse_room(walled(before)).moved(move)) == walled(after)


ROOM = """
#######
#.   .#
# $#$ #
#  @  #
#######
""".strip()


def test_moves_up_and_down_change_rows():
    room = parse_room(ROOM)
    for move, line in [("left", "# $#$ #"), ("up", "# @#$ #"), ("down", "#  #$ #")]:
        room = room.moved(move)
        assert draw_room(room).split("\n")[2] == line
    assert draw_room(room).split("\n")[1] == "#.$  .#"


def test_a_history_ends_where_the_room_is_solved():
    rooms = list(parse_room(walled("@$. ")).history(["left", "right", "right", "left"]))
    assert [draw_room(room) for room in rooms] == [walled("@$. "), walled(" @* ")]
    assert [room.is_solved for room in rooms] == [False, True]


def test_a_room_is_never_changed_and_boxes_are_never_lost():
    rng, start = random.Random(0), parse_room(ROOM)
    moves = [rng.choice(list(STEPS)) for _ in range(500)]
    first, second = list(start.history(moves)), list(start.history(moves))
    assert first == second and draw_room(start) == ROOM
    assert all(len(room.boxes) == 2 and room.boxes <= room.floor - {room.player} and room.player in room.floor for room in first)


def test_a_drawing_is_the_room():
    assert draw_room(parse_room(ROOM)) == ROOM
    assert draw_room(parse_room("\n    ####\n#####+*#\n#    $ #\n########\n")) == "########\n#####+*#\n#    $ #\n########"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "one player, got 0"),
        (walled("@$.@"), "one player, got 2"),
        (walled("@$"), "got 1 and 0"),
        (walled("@"), "got 0 and 0"),
        (walled("@$.x"), "no sign 'x'"),
        ("@$.", "wall is open"),
        ("####\n#@$.\n####", "wall is open"),
        ("####\n#@ \n#  #\n#$.#\n####", "wall is open"),
        ("#" * 65 + "\n#@$.#\n" + "#" * 65, "at most 64"),
    ],
)
def test_what_is_no_room_says_why(text, problem):
    with pytest.raises(ValueError, match=problem):
        parse_room(text)
