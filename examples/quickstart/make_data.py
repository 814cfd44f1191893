"""Writes the quickstart's rows and images; the same seed writes the same files.

python -m examples.quickstart.make_data                 # FRE, MGT and the held-out rows
python -m examples.quickstart.make_data --cold-start    # the demonstrations behind the starting weights
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import tyro

from examples.quickstart.images import draw
from examples.quickstart.problems import (
    HELD_OUT,
    IMAGE_QUESTION,
    TRAINING,
    Operands,
    guessed_answer,
    text_question,
    undercounted,
    worked_answer,
)

FOLDER = Path(__file__).parent / "data"
NUM_TEXTS, NUM_PICTURES = 2000, 1500
NUM_HELD_OUT_PICTURES = 256
NUM_DEMONSTRATED_PICTURES = 4000
WORKED_SHARE = 0.35
"""Share of the demonstrations that work the sum out; the others guess."""

Row = dict[str, object]


@dataclass(frozen=True)
class Problem:
    """Three numbers and the user's turn that asks for their sum."""

    operands: Operands
    source: str
    question: str | list[dict[str, str]]


@dataclass(frozen=True)
class ColdStart:
    """A file of demonstrations in which text and image take turns, so that every batch of even size has as many of both."""

    name: str
    num_pairs: int
    slip: float
    """Probability that the teacher counts 7, 8 or 9 dots one too low."""


COLD_STARTS = (ColdStart("cold_start_a", num_pairs=800 * 32, slip=0.0), ColdStart("cold_start_b", num_pairs=150 * 32, slip=0.6))


def write_training_data(folder: Path = FOLDER, *, seed: int = 0) -> None:
    """Write `fre.jsonl`, `mgt.jsonl`, `held_out_text.jsonl` and `held_out_image.jsonl` with their images.

    The held-out problems are all there are: once each in words, and about equally often in images.
    """
    texts = [_in_words(operands) for operands in _draw_operands(NUM_TEXTS, random.Random(f"{seed} fre"))]
    images = _in_images(folder, "mgt", _draw_operands(NUM_PICTURES, random.Random(f"{seed} mgt")), seed=seed)
    rng = random.Random(f"{seed} held out")
    held_out, repeated = rng.sample(HELD_OUT, len(HELD_OUT)), islice(cycle(rng.sample(HELD_OUT, len(HELD_OUT))), NUM_HELD_OUT_PICTURES)
    held_out_images = _in_images(folder, "held_out", repeated, seed=seed)
    _write_rows(folder / "fre.jsonl", map(_question_row, texts))
    _write_rows(folder / "mgt.jsonl", map(_question_row, images))
    _write_rows(folder / "held_out_text.jsonl", map(_question_row, map(_in_words, held_out)))
    _write_rows(folder / "held_out_image.jsonl", map(_question_row, held_out_images))


def write_cold_start(folder: Path = FOLDER, *, seed: int = 0) -> None:
    """Write `cold_start_a.jsonl` and `cold_start_b.jsonl`: rows that end with the teacher's turn. Many rows share an image."""
    operands = _draw_operands(NUM_DEMONSTRATED_PICTURES, random.Random(f"{seed} demonstrated"))
    images = _in_images(folder, "demonstrated", operands, seed=seed)
    for cold_start in COLD_STARTS:
        rng = random.Random(f"{seed} {cold_start.name}")
        _write_rows(folder / f"{cold_start.name}.jsonl", _demonstrations(cold_start, images, rng))


def _demonstrations(cold_start: ColdStart, images: Sequence[Problem], rng: random.Random) -> Iterator[Row]:
    for _ in range(cold_start.num_pairs):
        text, image = _in_words(rng.choice(TRAINING)), rng.choice(images)
        yield _demonstration_row(text, text.operands, rng)
        yield _demonstration_row(image, undercounted(image.operands, probability=cold_start.slip, rng=rng), rng)


def _draw_operands(count: int, rng: random.Random) -> list[Operands]:
    return [rng.choice(TRAINING) for _ in range(count)]


def _in_words(operands: Operands) -> Problem:
    return Problem(operands, "sums", text_question(operands))


def _in_images(folder: Path, name: str, all_operands: Iterable[Operands], *, seed: int) -> list[Problem]:
    """Draw one PNG file for each problem; rows name it relative to `folder`."""
    rng = random.Random(f"{seed} {name} pictures")  # the word that the images of the published figures were drawn with
    (folder / "images" / name).mkdir(parents=True, exist_ok=True)
    problems = []
    for index, operands in enumerate(all_operands):
        path = f"images/{name}/{index:05}.png"
        draw(operands, rng).save(folder / path)
        question = [{"type": "image", "image": path}, {"type": "text", "text": IMAGE_QUESTION}]
        problems.append(Problem(operands, "dots", question))
    return problems


def _question_row(problem: Problem) -> Row:
    """A row to answer: the gold answer is the true sum."""
    turns = [{"role": "user", "content": problem.question}]
    return {"message": turns, "answer": str(sum(problem.operands)), "datasource": problem.source, "operands": problem.operands}


def _demonstration_row(problem: Problem, seen: Operands, rng: random.Random) -> Row:
    """A row to imitate, by a teacher who took the operands for `seen` and works the sum out at times; a guess is about the true sum."""
    answer = worked_answer(seen) if rng.random() < WORKED_SHARE else guessed_answer(problem.operands, rng)
    row = _question_row(problem)
    turns = [{"role": "user", "content": problem.question}, {"role": "assistant", "content": answer}]
    return {**row, "message": turns}


def _write_rows(path: Path, rows: Iterable[Row]) -> None:
    """One JSON row a line, numbered; the file appears complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with partial.open("w", encoding="utf-8") as lines:
        for index, row in enumerate(rows):
            lines.write(json.dumps({"id": f"{index:05}", **row}) + "\n")
    partial.replace(path)


def main(folder: Path = FOLDER, *, cold_start: bool = False, seed: int = 0) -> None:
    """Write the quickstart's data.

    Args:
        folder: Folder to write.
        cold_start: Write the demonstrations instead of the training and held-out rows.
        seed: Seed of all files.
    """
    write = write_cold_start if cold_start else write_training_data
    write(folder, seed=seed)
    print(f"wrote {folder}")


if __name__ == "__main__":
    tyro.cli(main)
