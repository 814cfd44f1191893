"""What the moves in an answer earn in the room of the gold answer, played by the rules.

An answer names moves: the words up, down, left, right, or the letters U, D, L, R (either case, together or apart), or arrows, in any
punctuation: `up, up, left`, `UUL`, `["up", "up", "left"]`. Any other word, and it is no list of moves. The gold answer is the room as
text (`sokoban.room`).
"""

from __future__ import annotations

import re

from lmm_r1_mega.sokoban.room import Move, Room

PER_MOVE, PER_BOX, DONE = -0.1, 1.0, 10.0
"""A move, also one that does nothing; a box pushed onto a target (and lost again with the box); the room solved."""

WORD = re.compile(r"[^\W\d_]+|[\u2190-\u2193]")
DRESS = re.compile(r"\\(?:text|textbf|mathrm|mathbf|boxed|fbox)\\b|\\(?:(?:right|Right)arrow|to)\b")
LETTERS: dict[str, Move] = {"u": "up", "d": "down", "l": "left", "r": "right"}
MOVES: dict[str, Move] = {
    **{move: move for move in LETTERS.values()},
    **{"\u2191": "up", "\u2193": "down", "\u2190": "left", "\u2192": "right"},
}


def moves_in(text: str) -> list[Move]:
    """The moves that an answer names, in order; none where it says anything else.

    Example: "Up, up, LEFT" and "uul" are up, up, left; "go up" is none.
    """
    moves: list[Move] = []
    for word in WORD.findall(DRESS.sub(" ", text)):
        named = _moves_of_word(word.lower())
        if not named:
            return []
        moves += named
    return moves


def _moves_of_word(word: str) -> list[Move]:
    if word in MOVES:
        return [MOVES[word]]
    return [LETTERS[letter] for letter in word] if set(word) <= set(LETTERS) else []


def best_return(room: Room, moves: list[Move]) -> float:
    """The return of the best beginning of at least one move; without moves that of one wasted move.

    What follows the best beginning costs nothing and earns nothing, so an answer is worth at least -0.1: less than nothing, which
    arbitrary moves do not make up for by luck (`tests/unit/rewards/test_sokoban.py`).
    """
    found = [
        PER_MOVE * number + PER_BOX * (after.num_placed - room.num_placed) + DONE * after.is_solved
        for number, after in enumerate(room.history(moves), start=1)
    ]
    return max(found, default=PER_MOVE)


def is_solution(room: Room, moves: list[Move]) -> bool:
    """Whether the room is solved at some point of the moves."""
    return any(after.is_solved for after in room.history(moves))
