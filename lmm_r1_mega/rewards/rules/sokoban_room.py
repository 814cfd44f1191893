"""A room of Sokoban and its one rule: the player walks, and pushes one box at a time.

Rooms are values: a move gives a new one, so to start again is to go on from the first. As text a room is drawn in the signs that
Sokoban programs share (XSB): `#` wall, space floor, `.` target, `$` box, `*` box on a target, `@` player, `+` player on a target.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

Cell = tuple[int, int]
"""Row, column, from the upper left."""
Move = Literal["up", "down", "left", "right"]

STEPS: dict[Move, Cell] = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}
SIGNS = "# .$*@+"
MAX_SIDE = 64


@dataclass(frozen=True)
class Room:
    """Walls and targets, and where player and boxes are."""

    floor: frozenset[Cell]
    """Every place inside that is no wall."""
    targets: frozenset[Cell]
    boxes: frozenset[Cell]
    player: Cell

    @property
    def num_placed(self) -> int:
        """Boxes on targets."""
        return len(self.boxes & self.targets)

    @property
    def is_solved(self) -> bool:
        return self.boxes == self.targets

    def moved(self, move: Move) -> Room:
        """The room after a move: the same where a wall, or a box that cannot be pushed, is in the way."""
        ahead, beyond = beside(self.player, move), beside(self.player, move, steps=2)
        if ahead not in self.floor:
            return self
        if ahead not in self.boxes:
            return replace(self, player=ahead)
        if beyond not in self.floor or beyond in self.boxes:
            return self
        return replace(self, player=ahead, boxes=self.boxes - {ahead} | {beyond})

    def history(self, moves: Iterable[Move]) -> Iterator[Room]:
        """The room after each move, up to the one that solves it."""
        room = self
        for move in moves:
            room = room.moved(move)
            yield room
            if room.is_solved:
                return


def beside(place: Cell, move: Move, *, steps: int = 1) -> Cell:
    """The place some steps away."""
    down, right = STEPS[move]
    return place[0] + steps * down, place[1] + steps * right


def parse_room(text: str) -> Room:
    """A room from its drawing.

    Raises: ValueError that says what is wrong: another sign, no player or two, boxes and targets that do not match, an open wall.
    """
    lines = text.strip("\n").split("\n")
    signs = {(row, column): sign for row, line in enumerate(lines) for column, sign in enumerate(line)}
    counts = Counter(signs.values())
    strange = set(counts) - set(SIGNS)
    if strange:
        raise ValueError(f"a room has no sign {min(strange)!r}: use {SIGNS!r}")
    if max(len(lines), *map(len, lines)) > MAX_SIDE:
        raise ValueError(f"a room has at most {MAX_SIDE} rows and columns")
    if counts["@"] + counts["+"] != 1:
        raise ValueError(f"a room has one player, got {counts['@'] + counts['+']}")
    num_boxes, num_targets = counts["$"] + counts["*"], counts["."] + counts["*"] + counts["+"]
    if num_boxes != num_targets or not num_boxes:
        raise ValueError(f"a room has as many boxes as targets and at least one, got {num_boxes} and {num_targets}")
    where = {sign: frozenset(place for place, found in signs.items() if found == sign) for sign in SIGNS}
    targets, boxes = where["."] | where["*"] | where["+"], where["$"] | where["*"]
    [player] = where["@"] | where["+"]
    inside = reachable(player, frozenset(signs) - where["#"])
    if any(beside(place, move) not in signs for place in inside for move in STEPS):
        raise ValueError("the room's wall is open: surround the player with `#`")
    return Room(inside | targets | boxes, targets, boxes, player)


def draw_room(room: Room) -> str:
    """The drawing of a room, without empty lines around; `parse_room` reads it."""
    around = room.floor | {(row + down, column + right) for row, column in room.floor for down in (-1, 0, 1) for right in (-1, 0, 1)}
    top, left = min(row for row, _ in around), min(column for _, column in around)
    bottom, right = max(row for row, _ in around), max(column for _, column in around)
    return "\n".join("".join(sign_at(room, (row, column)) for column in range(left, right + 1)) for row in range(top, bottom + 1))


def sign_at(room: Room, place: Cell) -> str:
    """The sign of a place."""
    if place not in room.floor:
        return "#"
    is_target = place in room.targets
    if place == room.player:
        return "+" if is_target else "@"
    if place in room.boxes:
        return "*" if is_target else "$"
    return "." if is_target else " "


def reachable(start: Cell, floor: frozenset[Cell]) -> frozenset[Cell]:
    """Places that a walk over the floor comes to, boxes not minded."""
    found, waiting = {start}, [start]
    while waiting:
        place = waiting.pop()
        fresh = {beside(place, move) for move in STEPS} & floor - found
        found |= fresh
        waiting += fresh
    return frozenset(found)
