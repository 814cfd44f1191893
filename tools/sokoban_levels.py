"""Levels that can be solved, made backwards: from the solved room boxes are pulled away, and the shortest way back is known exactly."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from lmm_r1_mega.rewards.rules.sokoban_room import STEPS, Cell, Move, Room, beside, draw_room, reachable

MAX_STATES = 20_000
"""Rooms looked at for one level; the nearest to the solved one come first."""
MAX_FAILURES = 200
WALL_SHARE = 0.2

RoomState = tuple[Cell, frozenset[Cell]]
"""Player, boxes: all that changes in a room."""
Way = tuple[int, Move | None, RoomState | None]
"""Number of moves to the solved room, the first of them, and the state after it."""


@dataclass(frozen=True)
class Difficulty:
    """How hard a level is."""

    side: int = 6
    """Rows and columns inside the outer wall."""
    boxes: int = 1
    min_moves: int = 8
    """Of the shortest solution. Below the default arbitrary moves are lucky so often that they may earn something on average."""
    max_moves: int = 20


@dataclass(frozen=True)
class Level:
    """A room and a shortest solution of it."""

    room: Room
    solution: tuple[Move, ...]


def make_levels(difficulty: Difficulty, *, seed: int) -> Iterator[Level]:
    """Different levels without end; the same ones for the same difficulty and seed.

    Raises: ValueError where no (further) level of the difficulty is found.
    """
    rng = random.Random(seed)
    made: set[str] = set()
    failures = 0
    while failures < MAX_FAILURES:
        level = _make_level(difficulty, rng)
        drawing = draw_room(level.room) if level else None
        if level and drawing and drawing not in made:
            made.add(drawing)
            failures = 0
            yield level
        else:
            failures += 1
    raise ValueError(
        f"{len(made)} levels found for {difficulty}, and none in {failures} further tries: raise side or widen min_moves..max_moves"
    )


def _make_level(difficulty: Difficulty, rng: random.Random) -> Level | None:
    """A random room and a start with a shortest solution of the wanted length, no box yet on a target; None where there is none."""
    floor = _random_floor(difficulty.side, rng)
    if len(floor) < 2 * difficulty.boxes + 1:
        return None
    targets = frozenset(rng.sample(sorted(floor), difficulty.boxes))
    ways = _ways_home(floor, targets, max_moves=difficulty.max_moves)
    starts = [state for state, (length, *_) in ways.items() if length >= difficulty.min_moves and not state[1] & targets]
    if not starts:
        return None
    player, boxes = state = rng.choice(starts)
    return Level(Room(floor, targets, boxes, player), tuple(_follow(state, ways)))


def _random_floor(side: int, rng: random.Random) -> frozenset[Cell]:
    """The largest connected part of a square in which some places are walls."""
    rest = frozenset((row, column) for row in range(side) for column in range(side) if rng.random() >= WALL_SHARE)
    parts: list[frozenset[Cell]] = []
    while rest:
        parts.append(reachable(min(rest), rest))
        rest -= parts[-1]
    return max(parts, key=len, default=rest)


def _ways_home(floor: frozenset[Cell], targets: frozenset[Cell], *, max_moves: int) -> dict[RoomState, Way]:
    """Breadth first, backwards from the solved room: the shortest way of every state that comes home in `max_moves`."""
    ways: dict[RoomState, Way] = {(player, targets): (0, None, None) for player in sorted(floor - targets)}
    waiting = deque(ways)
    while waiting and len(ways) < MAX_STATES:
        state = waiting.popleft()
        length = ways[state][0] + 1
        for move, before in _predecessors(state, floor) if length <= max_moves else ():
            if before not in ways:
                ways[before] = length, move, state
                waiting.append(before)
    return ways


def _predecessors(state: RoomState, floor: frozenset[Cell]) -> Iterator[tuple[Move, RoomState]]:
    """The moves that lead here and whence: the player steps back, and may have pushed the box that is now ahead."""
    player, boxes = state
    for move in STEPS:
        ahead, behind = beside(player, move), beside(player, move, steps=-1)
        if behind not in floor or behind in boxes:
            continue
        yield move, (behind, boxes)
        if ahead in boxes:
            yield move, (behind, boxes - {ahead} | {player})


def _follow(state: RoomState | None, ways: dict[RoomState, Way]) -> Iterator[Move]:
    """The moves of the way home."""
    while state is not None:
        _, move, state = ways[state]
        if move is not None:
            yield move
