"""Makes the quickstart's starting weights: a random model, then two supervised cold starts (`make quickstart-model`).

A noisy teacher plants two manners, working a sum out and guessing it, and reinforcement learning later chooses between them.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from pathlib import Path

from transformers import PreTrainedTokenizerFast

from examples.quickstart.images import SIDE
from examples.quickstart.make_data import FOLDER, write_cold_start
from examples.quickstart.problems import IMAGE_QUESTION, TRAINING, guessed_answer, text_question, worked_answer
from tools.make_tiny_model import TinyShape, make_tiny_model, train_tokenizer

HERE = Path(__file__).parent
MODEL = HERE / "model"
SCRATCH = Path("runs/quickstart_model")
"""As the two configurations name it."""
SHAPE = TinyShape(
    hidden=128,
    layers=4,
    vocab=512,
    kv=2,
    tied=True,
    rope_theta=1e4,
    vision_depth=2,
    vision_hidden=64,
    init_range=0.06,
    min_pixels=SIDE * SIDE,
    max_pixels=SIDE * SIDE,
)


def task_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer in which every word of the task is one token and every digit stands alone."""
    rng = random.Random(0)
    texts = ["user\n", "assistant\n", IMAGE_QUESTION]
    for operands in rng.sample(TRAINING, 300):
        texts += [text_question(operands), worked_answer(operands), guessed_answer(operands, rng)]
    return train_tokenizer(texts, vocab_size=SHAPE.vocab)


def write_random_model(folder: Path, *, seed: int = 0) -> int:
    """The model before it has learnt anything; returns its 1.1 M parameters' exact number."""
    return make_tiny_model(folder, SHAPE, tokenizer=task_tokenizer(), seed=seed)


def main() -> None:
    """Remake `examples/quickstart/model`."""
    shutil.rmtree(SCRATCH, ignore_errors=True)
    write_random_model(SCRATCH / "random")
    write_cold_start(FOLDER)
    for stage in ("cold_start_a", "cold_start_b"):
        subprocess.run([sys.executable, "-m", "lmm_r1_mega.cli", "sft", str(HERE / f"{stage}.yaml")], check=True)
    shutil.rmtree(MODEL, ignore_errors=True)
    shutil.copytree(SCRATCH / "cold_start_b" / "hf", MODEL)
    print(f"wrote {MODEL}")


if __name__ == "__main__":
    main()
