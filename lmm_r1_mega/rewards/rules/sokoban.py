"""What the moves in an answer earn in the room of the gold answer, played by the rules.

An answer names moves: the words up, down, left, right, or the letters U, D, L, R, in either case, together or apart, with any signs
between: `up, up, left`, `UUL`, `["up", "up", "left"]`, `up -> left`. Without words arrows are moves. With any other word it is no list
of moves. The gold answer is the room as text (`sokoban.room`).
"""

from __future__ import annotations

import re

from lmm_r1_mega.rewards.rules.sokoban_room import Move, Room

PER_MOVE, PER_BOX, DONE = -0.1, 1.0, 10.0
"""A move, also one that does nothing; a box pushed onto a target (and lost again with the box); the room solved."""

WORD = re.compile(r"[^\W\d_]+")
ARROW = re.compile("[\u2190-\u2193]")
COMMAND = re.compile(r"\\[a-z]+")
"""Of LaTeX: boxes, text, arrows between words."""
MOVES: dict[str, Move] = {
    "up": "up", "down": "down", "left": "left", "right": "right", "u": "up", "d": "down", "l": "left", "r": "right",
    "\u2191": "up", "\u2193": "down", "\u2190": "left", "\u2192": "right",
}  # fmt: skip


def moves_in(text: str) -> list[Move]:
    """The moves that an answer names, in order; none if it says anything else.

    Example: "Up, up, LEFT" and "uul" are up, up, left; "go up" is none.
    """
    text = COMMAND.sub(" ", text.lower())
    words = WORD.findall(text) or ARROW.findall(text)
    moves = [MOVES.get(name) for word in words for name in ([word] if word in MOVES else word)]
    return [] if None in moves else [move for move in moves if move]


def best_return(room: Room, moves: list[Move]) -> float:
    """The return of the best beginning of at least one move; without moves that of one wasted move.

    What follows the best beginning neither costs nor earns. A wasted move is part of every beginning, so that arbitrary moves cost more
    than their luck earns.
    """
    returns = [
        PER_MOVE * number + PER_BOX * (after.num_placed - room.num_placed) + DONE * after.is_solved
        for number, after in enumerate(room.history(moves), start=1)
    ]
    return max(returns, default=PER_MOVE)


def is_solution(room: Room, moves: list[Move]) -> bool:
    """Whether the room is solved at some point of the moves."""
    return any(after.is_solved for after in room.history(moves))
