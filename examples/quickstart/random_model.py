"""Writes the quickstart's model before it has learnt anything: 1.1 M parameters, and a tokenizer for the task's few words.

    python -m examples.quickstart.random_model OUT
"""

from __future__ import annotations

import random
from pathlib import Path

import tyro
from transformers import PreTrainedTokenizerFast

from examples.quickstart.pictures import SIDE
from examples.quickstart.problems import IMAGE_QUESTION, TRAINING, guessed_answer, text_question, worked_answer
from lmm_r1_mega.tiny_model import TinyShape, make_tiny_model, train_tokenizer

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


def main(out: tyro.conf.Positional[Path], *, seed: int = 0) -> None:
    """Write the random model that the first cold start begins with.

    Args:
        out: Folder to write.
        seed: Seed of the weights.
    """
    parameters = make_tiny_model(out, SHAPE, tokenizer=task_tokenizer(), seed=seed)
    print(f"{parameters / 1e6:.2f}M parameters in {out}")


if __name__ == "__main__":
    tyro.cli(main)
