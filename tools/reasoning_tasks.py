"""Text problems that reasoning-gym generates, for those of its tasks whose answer the accuracy reward can judge.

reasoning-gym is optional and has verifiers of its own; here only tasks with one answer are used, a number, fraction or word.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle, islice
from typing import Any

from tools.public_sets import SourceProblem

_JUDGED = (
    "acre aiw basic_arithmetic binary_alternation calendar_arithmetic chain_sum circuit_logic color_cube_rotation count_bits "
    "count_primes course_schedule decimal_chain_sum dice game_of_life_halting gcd gsm_symbolic isomorphic_strings largest_island lcm "
    "leg_counting letter_counting mahjong_puzzle maze number_sequence products ransom_note rectangle_count rotten_oranges "
    "self_reference simple_equations simple_geometry syllogism zebra_puzzles"
)
JUDGED = tuple(_JUDGED.split())
"""Tasks with one right answer that is a number, a fraction or a word."""

_SEVERAL = "several answers are right, and its own verifier would be needed"
_LETTERS = "the answer is spelled letter by letter, and words are compared here without regard to case"
_LAYOUT = "the answer is a grid, list or sentence whose layout counts"
_FORM = "the form of the answer counts (base, rounding, lowest terms, notation), and equal numbers are paid here"

LEFT_OUT = {
    _SEVERAL: (
        "boxnet codeio countdown cryptarithm emoji_mystery graph_color group_anagrams intermediate_integration jugs knight_swap "
        "knights_knaves letter_jumble n_queens needle_haystack palindrome_generation palindrome_partitioning path_star propositional_logic "
        "puzzle24 quantum_lock rubiks_cube rush_hour sentence_reordering shortest_path simple_integration sokoban tower_of_hanoi tsumego "
        "word_ladder composite"
    ),
    _LETTERS: (
        "ab bf caesar_cipher family_relationships figlet_font modulo_grid spell_backward string_insertion string_manipulation "
        "word_sequence_reversal word_sorting"
    ),
    _LAYOUT: (
        "arc_1d arc_agi binary_matrix futoshiki game_of_life kakurasu list_functions manipulate_matrix mini_sudoku number_filtering "
        "number_sorting pool_matrix rearc rotate_matrix spiral_matrix string_splitting string_synthesis sudoku survo"
    ),
    _FORM: (
        "advanced_geometry base_conversion bitwise_arithmetic coin_flip complex_arithmetic decimal_arithmetic fraction_simplification "
        "number_format polynomial_equations polynomial_multiplication power_function prime_factorization time_intervals"
    ),
}
"""Reason -> the tasks that are left out for it."""


def reasoning_problems(tasks: Sequence[str], *, count: int, seed: int) -> Iterator[SourceProblem]:
    """`count` problems of the tasks in turn; the same seed gives the same ones.

    Raises: ValueError where reasoning-gym is not installed, or a task is left out or unknown.
    """
    check_tasks(tasks)
    try:
        import reasoning_gym
    except ImportError as error:
        raise ValueError(f"reasoning-gym is not installed ({error}): pip install 'lmm-r1-mega[reasoning]'") from None
    share = -(-count // len(tasks))
    sources = [iter(reasoning_gym.create_dataset(task, size=share, seed=seed)) for task in tasks]
    return (as_problem(next(source), task) for task, source in islice(cycle(zip(tasks, sources, strict=True)), count))


def check_tasks(tasks: Sequence[str]) -> None:
    """Raises ValueError for a task that is left out, with the reason, and for one that is unknown."""
    reasons = {task: reason for reason, names in LEFT_OUT.items() for task in names.split()}
    for task in tasks:
        if task not in JUDGED:
            raise ValueError(f"no task {task}: {reasons.get(task) or f'use some of {chr(44).join(JUDGED)}'}")


def as_problem(entry: Mapping[str, Any], task: str) -> SourceProblem:
    """A problem of one generated entry, `question` and `answer` among its columns."""
    return SourceProblem(entry["question"], str(entry["answer"]), source=f"reasoning_gym/{task}")
