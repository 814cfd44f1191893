"""Made levels, judged by a solver that knows only their text."""

import random
from itertools import islice

import pytest

from lmm_r1_mega.rewards.rules.sokoban_room import draw_room
from tools.sokoban_levels import Difficulty, make_levels

DIRECTIONS = {"up": -1j, "down": 1j, "left": -1, "right": 1}


def shortest_solution(text):
    """Number of moves of a shortest solution, breadth first and forwards, places as complex numbers; None where there is none."""
    signs = {x + 1j * y: sign for y, line in enumerate(text.split("\n")) for x, sign in enumerate(line)}
    targets = {place for place, sign in signs.items() if sign in ".*+"}
    [player] = [place for place, sign in signs.items() if sign in "@+"]
    states = {(player, frozenset(place for place, sign in signs.items() if sign in "$*"))}
    seen, length = set(states), 0
    while states:
        if any(boxes == targets for _, boxes in states):
            return length
        nexts = set()
        for here, boxes in states:
            for direction in DIRECTIONS.values():
                there, behind = here + direction, here + 2 * direction
                if signs[there] == "#" or (there in boxes and (signs[behind] == "#" or behind in boxes)):
                    continue
                nexts.add((there, boxes - {there} | {behind} if there in boxes else boxes))
        states = nexts - seen
        seen |= states
        length += 1
    return None


DIFFICULTIES = [Difficulty(), Difficulty(side=5, boxes=2, min_moves=8, max_moves=16), Difficulty(side=4, boxes=1, min_moves=3, max_moves=9)]


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_every_level_has_the_wanted_difficulty_and_its_solution_is_a_shortest(difficulty):
    levels = list(islice(make_levels(difficulty, seed=3), 25))
    assert len({draw_room(level.room) for level in levels}) == 25
    for level in levels:
        assert len(level.room.boxes) == difficulty.boxes and level.room.num_placed == 0
        assert difficulty.min_moves <= len(level.solution) <= difficulty.max_moves
        assert len(level.solution) == shortest_solution(draw_room(level.room))
        rooms = list(level.room.history(level.solution))
        assert len(rooms) == len(level.solution) and rooms[-1].is_solved


def test_the_solver_of_this_test_knows_a_room_without_solution():
    assert shortest_solution("#####\n#$  #\n# @.#\n#####") is None
    assert shortest_solution("#####\n# $.#\n# @ #\n#####") == 3


def test_levels_depend_on_difficulty_and_seed_alone():
    def drawings(seed):
        return [draw_room(level.room) for level in islice(make_levels(Difficulty(), seed=seed), 10)]

    first = drawings(1)
    random.random()
    assert drawings(1) == first
    assert not set(first) & set(drawings(2))


@pytest.mark.parametrize(
    "difficulty",
    [
        Difficulty(side=2, boxes=1, min_moves=10),
        Difficulty(side=1),
        Difficulty(side=3, boxes=9),
        Difficulty(side=3, min_moves=3, max_moves=2),
    ],
)
def test_a_difficulty_that_no_room_has_is_an_error(difficulty):
    with pytest.raises(ValueError, match=r"0 levels found .*raise side or widen"):
        next(make_levels(difficulty, seed=0))


def test_levels_run_out_with_an_error():
    with pytest.raises(ValueError, match=r"[1-9]\d* levels found .* none in 200 further tries"):
        list(make_levels(Difficulty(side=3, min_moves=2, max_moves=2), seed=0))
