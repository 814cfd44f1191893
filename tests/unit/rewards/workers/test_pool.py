"""The pool with its real processes: bombs, losses, the user's function, and what is left when it ends."""

import logging
import subprocess
import sys
import textwrap
import threading

import psutil
import pytest

from lmm_r1_mega.config import RewardSettings
from lmm_r1_mega.rewards.workers.pool import RewardInput, RewardPool

LIMITS = {"timeout_s": 1.0, "memory_mib": 512}


def answered(text: str, answer: object = "3") -> RewardInput:
    return RewardInput(f"<think> hm </think> <answer> $\\boxed{{{text}}}$ </answer>", answer, "Q: ")


def processes() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


@pytest.fixture(scope="module")
def pool():
    with RewardPool(RewardSettings(**LIMITS)) as opened:
        yield opened


def test_scores_come_in_order_with_weighted_parts(pool):
    scores = pool.score([answered(str(i), i % 5) for i in range(40)])
    assert [score.reward for score in scores] == [1.5 if i < 5 else 0.5 for i in range(40)]
    assert scores[0].parts == {"format": 1.0, "accuracy": 1.0}


def test_no_responses_are_no_scores(pool):
    assert pool.score([]) == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("9^{9^{9^{9}}}", "timeout"),
        ("(10^9)!", "timeout"),
        ("{" * 20_000 + "3" + "}" * 20_000, "answer too long"),
    ],
)
def test_a_bomb_is_invalid_and_its_neighbours_are_not(pool, text, reason):
    scores = pool.score([answered("3"), answered(text), answered("3"), answered("4"), answered("3", "see figure"), answered("3")])
    assert [score.reward for score in scores] == [1.5, None, 1.5, 0.5, None, 1.5]
    assert [score.invalid for score in scores] == [None, reason, None, None, "unparsable gold answer", None]


def test_many_bombs_leave_every_other_score_right(pool):
    bombs = {3, 17, 18, 41}
    scores = pool.score([answered("9^{9^{9^{9}}}" if i in bombs else str(i % 2), 1) for i in range(60)])
    assert [i for i, score in enumerate(scores) if score.invalid] == sorted(bombs)
    assert all(score.reward == (1.5 if i % 2 else 0.5) for i, score in enumerate(scores) if i not in bombs)


def test_gold_answers_are_looked_at_under_the_same_limits(pool):
    assert pool.gold_problems(["3", None, "", "see figure", 5, r"\frac12"]) == [
        None,
        "missing gold answer",
        "empty gold answer",
        "unparsable gold answer",
        None,
        None,
    ]


@pytest.mark.parametrize(
    ("name", "good", "bad", "problem"),
    [
        ("iou", "[[1, 2, 3, 4]]", "3", "gold answer without boxes [x1, y1, x2, y2]"),
        ("solved", "#####\n#@$.#\n#####", "#@$.#", "gold answer is no room: the room's wall is open: surround the player with `#`"),
        ("format", None, None, None),
    ],
)
def test_every_rule_says_which_gold_answers_it_can_use(name, good, bad, problem):
    with RewardPool(RewardSettings(weights={name: 1.0}, workers=1, **LIMITS)) as opened:
        assert opened.gold_problems([good, bad]) == [None, problem]


@pytest.mark.parametrize("masked", [False, True])
def test_a_truncated_response_keeps_its_parts_and_by_a_setting_loses_its_reward(masked):
    weights = {"format": 0.5, "accuracy": 1.0, "overlong": 1.0, "repetition": 2.0}
    settings = RewardSettings(weights=weights, overlong=(10, 20), repetition_ngram=4, mask_truncated=masked, workers=1, **LIMITS)
    with RewardPool(settings) as opened:
        scores = opened.score(
            [
                RewardInput("a b c d a b c d", "3", num_tokens=12),
                RewardInput("a b c d a b c d", "3", num_tokens=20, is_truncated=True),
                RewardInput("a b c", "see figure", num_tokens=20, is_truncated=True),
            ]
        )
    parts = {"format": 0.0, "accuracy": 0.0, "overlong": -1.0, "repetition": pytest.approx(-0.2)}
    assert (scores[0].reward, scores[0].parts["overlong"]) == (pytest.approx(-0.2 - 2 * 0.2), -0.2)
    assert scores[1].parts == parts
    assert (scores[1].reward, scores[1].invalid) == ((None, "truncated") if masked else (pytest.approx(-1.4), None))
    assert scores[2].invalid == "unparsable gold answer"


@pytest.mark.parametrize("generation", ["fork server", "workers"])
def test_idle_processes_killed_from_outside_are_replaced(pool, generation):
    fork_server = psutil.Process().children()
    victims = fork_server if generation == "fork server" else fork_server[0].children()
    witnesses = [*fork_server, *fork_server[0].children()] if generation == "fork server" else victims
    for victim in victims:
        victim.kill()
    psutil.wait_procs(witnesses, timeout=20)
    assert [(score.reward, score.invalid) for score in pool.score([answered("3"), answered("4")])] == [(1.5, None), (0.5, None)]


def test_a_worker_that_is_kept_waiting_loses_nothing(pool):
    workers = psutil.Process().children()[0].children()
    for worker in workers:
        worker.suspend()
    alarm = threading.Timer(2 * LIMITS["timeout_s"], lambda: [worker.resume() for worker in workers])
    alarm.start()
    scores = pool.score([answered(str(i)) for i in range(8)])
    alarm.join()
    assert [score.reward for score in scores] == [1.5 if i == 3 else 0.5 for i in range(8)]


def test_closing_leaves_no_process():
    before = processes()
    with RewardPool(RewardSettings(**LIMITS)) as pool:
        pool.score([answered("3")])
        assert len(processes() - before) == 3
    assert processes() - before == set()


def test_outside_its_block_a_pool_says_so():
    with pytest.raises(RuntimeError, match="`with` block"):
        RewardPool(RewardSettings()).score([])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weights": {"acuracy": 1.0}}, "no component 'acuracy', fix: use format, accuracy"),
        ({"weights": {"function": 1.0}}, "reward.function is not set"),
        ({"weights": {}}, "is empty"),
        ({"weights": {"overlong": 1.0}}, r"reward.overlong is not set: give it two numbers of tokens"),
        ({"overlong": (20, 20)}, r"reward.overlong \[20, 20\] does not rise"),
    ],
)
def test_wrong_weights_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        RewardPool(RewardSettings(**settings))


def test_a_worker_that_needs_more_memory_than_allowed_is_stopped(tmp_path):
    path = tmp_path / "greedy.py"
    path.write_text(
        "def reward_func(queries, prompts, labels):\n    return [float(len(bytearray(2**31 if 'big' in q else 1))) for q in queries]\n"
    )
    with RewardPool(RewardSettings(weights={"function": 2.0}, function=path, **LIMITS)) as pool:
        scores = pool.score([RewardInput("small", None), RewardInput("big", None), RewardInput("small", None)])
    assert [score.reward for score in scores] == [2.0, None, 2.0]
    assert scores[1].invalid == "function: memory limit"


def test_a_worker_that_keeps_what_filled_its_memory_is_replaced(tmp_path):
    path = tmp_path / "hoarder.py"
    path.write_text(
        textwrap.dedent("""
        kept = []
        def reward_func(queries, prompts, labels):
            if any('keep' in q for q in queries):
                kept.append(bytearray(100 * 2**20))
            return [float(len(bytearray(20 * 2**20)) > 0) for _ in queries]
        """)
    )
    with RewardPool(RewardSettings(weights={"function": 1.0}, function=path, workers=1, timeout_s=5.0, memory_mib=110)) as pool:
        [kept] = pool.score([RewardInput("keep", None)])
        scores = pool.score([RewardInput("small", None)] * 4)
    assert kept.invalid == "function: memory limit"
    assert [score.reward for score in scores] == [1.0] * 4


def test_what_a_users_function_started_ends_with_its_worker(tmp_path):
    path = tmp_path / "starter.py"
    path.write_text(
        textwrap.dedent(f"""
        import pathlib, subprocess, sys
        def reward_func(queries, prompts, labels):
            child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])
            with open({str(tmp_path / "pids")!r}, 'a') as pids:
                pids.write(f'{{child.pid}} ')
            return [float(child.wait() if 'hang' in q else 1) for q in queries]
        """)
    )
    with RewardPool(RewardSettings(weights={"function": 1.0}, function=path, workers=1, timeout_s=1.0)) as pool:
        assert pool.score([RewardInput("hang", None)])[0].invalid == "function: timeout"
        assert pool.score([RewardInput("go", None)])[0].reward == 1.0
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    started = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
    _, alive = psutil.wait_procs(started, timeout=10)
    assert len(pids) == 2 and [one for one in alive if one.status() != psutil.STATUS_ZOMBIE] == []


def test_a_users_function_fails_only_where_it_fails(tmp_path, caplog):
    path = tmp_path / "moody.py"
    path.write_text(
        textwrap.dedent("""
        import os, time
        def reward_func(queries, prompts, labels):
            if any('raise' in q for q in queries):
                raise KeyError('moody')
            if any('hang' in q for q in queries):
                time.sleep(60)
            if any('die' in q for q in queries):
                os._exit(9)
            if any('leave' in q for q in queries):
                os._exit(0)
            return {'rewards': [float(len(q)) for q in queries], 'labels': labels}
        """)
    )
    words = ["aa", "raise", "hang", "die", "leave", "b"] * 2
    with caplog.at_level(logging.WARNING), RewardPool(RewardSettings(weights={"format": 1.0}, function=path, **LIMITS)) as pool:
        scores = pool.score([RewardInput(word, 4) for word in words])
    reasons = {
        "raise": "function: raised KeyError",
        "hang": "function: timeout",
        "die": "function: worker died",
        "leave": "function: worker died",
    }
    assert [score.invalid for score in scores] == [reasons.get(word) for word in words]
    assert scores[0].parts == {"format": 0.0, "function": 2.0, "function/labels": 4.0} and scores[0].reward == 2.0
    assert caplog.text.count("KeyError: 'moody'") == 1


def test_a_file_that_cannot_be_imported_stops_the_run_before_it_starts(tmp_path):
    before = processes()
    path = tmp_path / "broken.py"
    path.write_text("import no_such_package_anywhere\n")
    with pytest.raises(ValueError, match="no_such_package_anywhere"), RewardPool(RewardSettings(function=path, **LIMITS)):
        pass
    assert processes() == before


PARENT = """
import sys, time
from lmm_r1_mega.config import RewardSettings
from lmm_r1_mega.rewards.workers.pool import RewardInput, RewardPool
with RewardPool(RewardSettings(timeout_s=60)) as pool:
    print("open", flush=True)
    pool.score([RewardInput("<answer>9^{9^{9^{9}}}</answer>", 3)] * 4)
"""


@pytest.mark.parametrize("victim", ["parent", "fork server"])
def test_busy_workers_end_with_what_is_killed_above_them(victim):
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    try:
        assert parent.stdout.readline() == "open\n"
        [fork_server] = psutil.Process(parent.pid).children()
        workers = fork_server.children()
        assert len(workers) == 2
        (fork_server if victim == "fork server" else parent).kill()
        _, alive = psutil.wait_procs([fork_server, *workers], timeout=20)
        assert [one for one in alive if one.status() != psutil.STATUS_ZOMBIE] == []
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()


def test_workers_print_to_stderr_and_read_no_stdin(tmp_path):
    path = tmp_path / "chatty.py"
    path.write_text(
        "import sys\nprint('hello from the file')\ndef reward_func(queries, prompts, labels):\n    print('called')\n    return [1.0]\n"
    )
    script = textwrap.dedent(f"""
        from pathlib import Path
        from lmm_r1_mega.config import RewardSettings
        from lmm_r1_mega.rewards.workers.pool import RewardInput, RewardPool
        with RewardPool(RewardSettings(function=Path({str(path)!r}), workers=1)) as pool:
            print(pool.score([RewardInput("", 3)])[0].parts["function"])
    """)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "1.0\n"
    assert "hello from the file" in done.stderr and "called" in done.stderr
