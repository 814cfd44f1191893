"""Write Sokoban levels as rows with images, ready for training.

python -m tools.make_sokoban OUT --count 1000 --boxes 2

OUT gets `levels.jsonl` and a PNG a level in `images/`. A row's `answer` is the room as text, which the components `sokoban` and
`solved` of `reward.weights` play the response's moves in. Start `--seed` elsewhere for a held-out file.
"""

from __future__ import annotations

import json
import sys
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import tyro

from lmm_r1_mega.errors import DONE, USAGE
from lmm_r1_mega.rewards.rules.sokoban_room import draw_room
from tools.sokoban_image import draw_image
from tools.sokoban_levels import Difficulty, Level, make_levels

SYSTEM = (
    "First think about the question inside <think> </think>, then answer inside <answer> </answer>. "
    "Your output starts with <think> and ends with </answer>."
)
TASK = (
    "This is a room of Sokoban. The blue disc is you, brown squares are boxes, red rings are targets, dark squares are walls. "
    "You move one place up, down, left or right, and push a box by walking into it, one box at a time, if the place behind it is free. "
    "Push every box onto a target in few moves. Inside <answer> write only the moves, for example: up, up, left."
)
DEFAULT = Difficulty()


def main(
    out: tyro.conf.Positional[Path],
    difficulty: Annotated[Difficulty, tyro.conf.arg(name="")] = DEFAULT,
    *,
    count: int = 1000,
    seed: int = 0,
) -> int:
    """Write Sokoban levels as rows with images.

    Args:
        out: Folder to write.
        difficulty: How hard the levels are.
        count: Number of levels, all different.
        seed: Other levels for another seed.
    """
    try:
        rows = write_rows(out, difficulty, count=count, seed=seed)
    except (ValueError, OSError) as error:
        print(f"make_sokoban: {error}", file=sys.stderr)
        return USAGE
    moves = [row["num_moves"] for row in rows]
    print(f"{len(rows)} levels in {out / 'levels.jsonl'}, solved in {min(moves)} to {max(moves)} moves")
    return DONE


def write_rows(out: Path, difficulty: Difficulty, *, count: int, seed: int) -> list[dict[str, Any]]:
    """Write images and rows. Errors: ValueError where there are not so many levels."""
    if count < 1:
        raise ValueError(f"--count {count}: give a number above 0")
    images = out / "images"
    images.mkdir(parents=True, exist_ok=True)
    levels = islice(make_levels(difficulty, seed=seed), count)
    rows = [write_row(level, images / f"{number:06d}.png") for number, level in enumerate(levels)]
    (out / "levels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return rows


def write_row(level: Level, path: Path) -> dict[str, Any]:
    """Saves the image; the row that goes with it. Images are named relative to the data file."""
    draw_image(level.room).save(path)
    image = {"type": "image", "image": f"{path.parent.name}/{path.name}"}
    turns = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": [image, {"type": "text", "text": TASK}]}]
    return {
        "id": path.stem,
        "datasource": "sokoban",
        "message": turns,
        "answer": draw_room(level.room),
        "num_moves": len(level.solution),
    }


if __name__ == "__main__":
    sys.exit(tyro.cli(main))
