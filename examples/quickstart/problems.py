"""The quickstart's task: the sum of three numbers from 1 to 9, asked in words or as images of dots."""

from __future__ import annotations

import hashlib
import itertools
import random

Operands = tuple[int, int, int]

GUESS_RANGE = 3
"""A guess is off by at most this much."""
HARD_COUNTS = (7, 8, 9)
"""Counts that the teacher of the second cold start gets wrong by one."""


def is_held_out(operands: Operands) -> bool:
    """Whether a problem belongs to the eighth that no training stage sees, neither in words nor as an image."""
    return int(hashlib.md5(repr(operands).encode()).hexdigest(), 16) % 8 == 0


NUMBERS = range(1, 10)
ALL: tuple[Operands, ...] = tuple(itertools.product(NUMBERS, NUMBERS, NUMBERS))
TRAINING: tuple[Operands, ...] = tuple(operands for operands in ALL if not is_held_out(operands))
HELD_OUT: tuple[Operands, ...] = tuple(operands for operands in ALL if is_held_out(operands))
IMAGE_QUESTION = "How many dots ?"


def text_question(operands: Operands) -> str:
    """Example: (7, 2, 8) -> "What is 7 + 2 + 8 ?"."""
    return f"What is {' + '.join(map(str, operands))} ?"


def worked_answer(operands: Operands) -> str:
    r"""The sum step by step.

    Example: (7, 2, 8) -> "<think> 7 + 2 = 9 + 8 = 17 </think> <answer> $\boxed{17}$ </answer>"
    """
    total, steps = operands[0], str(operands[0])
    for operand in operands[1:]:
        total += operand
        steps += f" + {operand} = {total}"
    return _response(steps, total)


def guessed_answer(operands: Operands, rng: random.Random) -> str:
    r"""A sum that is off by up to `GUESS_RANGE`.

    Example: (7, 2, 8) -> "<think> about 16 </think> <answer> $\boxed{16}$ </answer>"
    """
    guess = max(1, sum(operands) + rng.randint(-GUESS_RANGE, GUESS_RANGE))
    return _response(f"about {guess}", guess)


def undercounted(operands: Operands, *, probability: float, rng: random.Random) -> Operands:
    """Each of 7, 8 and 9 becomes one less with `probability`."""
    first, second, third = (n - (n in HARD_COUNTS and rng.random() < probability) for n in operands)
    return first, second, third


def _response(reasoning: str, answer: int) -> str:
    return f"<think> {reasoning} </think> <answer> $\\boxed{{{answer}}}$ </answer>"
