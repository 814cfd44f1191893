"""Answers a second a core on ordinary mathematics, and what bombs among the answers cost.

    python benchmarks/rewards.py

Prints one JSON line. `answers_per_s_core`: prompts with eight responses each, about half right, gold answers and dresses as in
`ordinary`, over the processor time of the workers and of the parent; `answers_per_s`: by the clock. `algebra_per_s_core`: the same
without plain numbers, words and letters. `bombs_s`: what the clock says more where bombs replace 5 % of the responses, `bound_s` what
it may on a machine with a core a worker: bombs x limit / workers + 10 %. `bombs_core_s`: their processor time. `changed`: other
responses whose score is not what it was without bombs.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import psutil
import tyro

from lmm_r1_mega.config import RewardSettings
from lmm_r1_mega.rewards.workers.pool import RewardInput, RewardPool
from lmm_r1_mega.schema import Score

SAMPLES = 8
Pair = tuple[str, str]
"""A gold answer, and the same answer dressed otherwise."""


def ordinary(rng: random.Random) -> list[tuple[int, Callable[[], Pair]]]:
    """(share in percent, kind of answer), the plain ones first."""
    a, b, c = rng.randint(2, 999), rng.randint(2, 99), rng.choice([2, 3, 5, 6, 7])
    return [
        (52, lambda: (f"{a}", rng.choice([f"{a}", f"x = {a}", rf"{a}\text{{ cm}}", f"{a}.0", rf"{a}^\circ"]))),
        (12, lambda: (rf"\frac{{{a}}}{{{b}}}", rng.choice([f"{a}/{b}", rf"\dfrac{{{a * c}}}{{{b * c}}}"]))),
        (4, lambda: (f"{a / 8}", rf"\frac{{{a}}}{{8}}")),
        (2, lambda: (rf"{b}\%", f"{b / 100}")),
        (3, lambda: (rng.choice("ABCDE"), rng.choice("ABCDE"))),
        (1, lambda: (r"\text{Monday}", "monday")),
        (3, lambda: (f"({a},{-b})", rf"\left({a},-{b}\right)")),
        (3, lambda: (f"{a},{b}", rf"{b} \text{{ and }} {a}")),
        (4, lambda: (rf"{b}\sqrt{{{c}}}", rf"\sqrt{{{c}}}\cdot {b}")),
        (3, lambda: (rf"{a}\pi", rf"{a} \pi \text{{ cm}}^2")),
        (4, lambda: (f"{a}x^2+{b}x+{c}", f"{c} + {b}x + {a}x^2")),
        (3, lambda: (f"(x+{a})(x-{b})", f"x^2+{a - b}x-{a * b}")),
        (2, lambda: (f"[{b},{a + b}]", rf"{b}\le x\le {a + b}")),
        (1, lambda: (rf"(-\infty,{b})\cup({a + b},\infty)", rf"(-\infty, {b}) \cup ({a + b}, \infty)")),
        (2, lambda: (f"y={a}x+{b}", f"{a}x-y+{b}=0")),
        (1, lambda: (rf"\begin{{pmatrix}}{a}\\{b}\end{{pmatrix}}", rf"\begin{{bmatrix}}{a}\\{b}\end{{bmatrix}}")),
    ]


NUM_PLAIN = 8
"""Rows of `ordinary` that need no algebra."""


def nested(command: str, depth: int) -> str:
    """`\\command{\\command{...2...}}`."""
    return (command + "{") * depth + "2" + "}" * depth


BOMBS = (
    "9^{9^{9^{9}}}", "(10^9)!", "((20!)!)!", r"\binom{10^{9}}{5\cdot 10^{8}}", r"\sum_{k=1}^{10^{9}} k^{k}",
    r"\prod_{k=1}^{10^{8}} (k+\frac{1}{k})", "(x+y+z+1)^{5000}-1", r"\lim_{x\to 0}\frac{\tan(\sin(x))-\sin(\tan(x))}{x^{7}}", "2^{10^{11}}",
    "{" * 20_000 + "4" + "}" * 20_000, nested(r"\sqrt", 250), nested(r"\frac{1}", 190), "(" * 900 + "4" + ")" * 900, nested(r"\sin", 200),
    "+".join(f"x_{{{i}}}^{{{i}}}" for i in range(150)), r"\int_{0}^{1} x^{x^{x^{x}}} \sin(\frac{1}{x}) e^{x^{7}} dx",
)  # fmt: skip
"""Answers that take for ever, take all memory or break a parser."""


def main(*, answers: int = 2000, workers: int = 2, seed: int = 0, bombs: bool = True) -> None:
    """Measure the pool of reward workers.

    Args:
        answers: Responses of each measurement.
        workers: Processes that judge.
        seed: Of the answers.
        bombs: Whether to measure those too, which takes up to a minute.
    """
    settings = RewardSettings(workers=workers)
    rng = random.Random(seed)
    calm = responses(rng, answers, first=0)
    found: dict[str, float] = {}
    with RewardPool(settings) as pool:
        scores, calm_s, calm_core_s = measured(pool, calm)
        found["answers_per_s_core"], found["answers_per_s"] = answers / calm_core_s, answers / calm_s
        found["right"] = sum(score.parts.get("accuracy", 0.0) for score in scores) / answers
        found |= {f"invalid/{reason}": count for reason, count in Counter(score.invalid for score in scores if score.invalid).items()}
        found["algebra_per_s_core"] = answers / measured(pool, responses(rng, answers, first=NUM_PLAIN))[2]
    if bombs:
        places = rng.sample(range(answers), answers // 20)
        mixed = list(calm)
        for number, place in enumerate(places):
            mixed[place] = replace(mixed[place], response=answered(BOMBS[number % len(BOMBS)], rng))
        with RewardPool(settings) as pool:
            again, mixed_s, mixed_core_s = measured(pool, mixed)
        bound = 1.1 * len(places) * settings.timeout_s / workers
        found |= {"bombs": len(places), "kinds": len(BOMBS), "bombs_s": mixed_s - calm_s, "bound_s": bound}
        found["bombs_core_s"] = mixed_core_s - calm_core_s
        found["changed"] = sum(a != b for i, (a, b) in enumerate(zip(scores, again, strict=True)) if i not in set(places))
    print(json.dumps(found))


def measured(pool: RewardPool, inputs: list[RewardInput]) -> tuple[list[Score], float, float]:
    """Scores, the seconds they took by the clock, and those of all processes' processors."""
    start, busy = time.perf_counter(), core_seconds()
    scores = pool.score(inputs)
    return scores, time.perf_counter() - start, core_seconds() - busy


def core_seconds() -> float:
    """Processor time of this process, of those that it started, and of those that these have buried."""
    this = psutil.Process()
    times = [process.cpu_times() for process in (this, *this.children(recursive=True))]
    return sum(one.user + one.system + one.children_user + one.children_system for one in times)


def responses(rng: random.Random, count: int, *, first: int) -> list[RewardInput]:
    """`SAMPLES` responses a prompt. Half give the gold answer in another dress, half another answer of its kind."""
    inputs: list[RewardInput] = []
    while len(inputs) < count:
        kinds = ordinary(rng)[first:]
        kind = rng.choices(range(len(kinds)), [share for share, _ in kinds])[0]
        gold, same = kinds[kind][1]()
        for _ in range(SAMPLES):
            other = ordinary(rng)[first:][kind][1]()[1]
            inputs.append(RewardInput(answered(rng.choice([same, other]), rng), gold))
    return inputs[:count]


def answered(text: str, rng: random.Random) -> str:
    """A response of some two thousand letters in form."""
    steps = " ".join(f"We take ${rng.randint(1, 99)}+{rng.randint(1, 99)}$ and go on." for _ in range(60))
    return rf"<think> {steps} </think> <answer> $\boxed{{{text}}}$ </answer>"


if __name__ == "__main__":
    tyro.cli(main)
