"""What a person reads while a run goes on."""

import io
import os
import pty
import subprocess
import sys
import textwrap

import pytest

from lmm_r1_mega.record.console import Console, duration, open_console

ROW = {
    "reward": 0.25,
    "completions/mean_length": 18.2,
    "kl": 0.00123,
    "time/generate": 2.0,
    "time/update": 3.0,
    "time/score": 0.01,
    "time/step": 5.2,
}


def test_a_step_is_one_line_with_its_slowest_phases_first():
    lines = []
    Console(lines.append, total_steps=60).step(12, ROW)
    assert lines == ["step 12/60  reward 0.250  length 18.2  kl 0.0012  5.2 s (update 3.0 generate 2.0)  ETA 4:10"]


def test_the_remaining_time_follows_the_recent_steps_and_ends_with_the_last():
    lines = []
    console = Console(lines.append, total_steps=3)
    for done, step_s in ((1, 10.0), (2, 20.0), (3, 20.0)):
        console.step(done, {"time/step": step_s})
    assert [line.partition("ETA ")[2] for line in lines] == ["0:20", "0:13", ""]


def test_silence_is_broken_with_the_name_of_the_phase():
    lines = []
    console = Console(lines.append, total_steps=3, first_step=1)
    console.phase("generate")
    console.break_silence()
    assert lines == []
    console.break_silence(after_s=0)
    assert lines == ["step 2/3  generate for 0 s"]


def test_elsewhere_than_on_a_terminal_lines_are_plain():
    stream = io.StringIO()
    with open_console(total_steps=2, stream=stream) as console:
        console.message("held-out [bold]text[/bold]")
        console.step(1, {"loss": 1.5, "time/step": 2.0})
    assert stream.getvalue() == "held-out [bold]text[/bold]\nstep 1/2  loss 1.5000  2.0 s  ETA 0:02\n"


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (75, "1:15"), (3675, "1:01:15"), (59.7, "1:00")])
def test_duration(seconds, text):
    assert duration(seconds) == text


LIVE = textwrap.dedent("""
    from lmm_r1_mega.record.console import open_console
    with open_console(total_steps=2) as console:
        console.phase("generate")
        input()
        console.step(1, {"reward": 0.5, "time/step": 2.0})
""")


def test_on_a_terminal_a_status_line_moves_below_the_steps():
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen([sys.executable, "-c", LIVE], stdin=theirs, stdout=theirs, env=environment) as process:
        os.close(theirs)
        text = b""
        while b"generate for" not in text and (more := read(ours)):
            text += more
        os.write(ours, b"\n")
        text = (text + b"".join(iter(lambda: read(ours), b""))).decode()
    os.close(ours)
    assert process.returncode == 0
    assert "step 1/2  generate for" in text
    assert "step 1/2  reward 0.500  2.0 s" in text


def read(terminal):
    """What was written to a terminal; nothing once its last writer has gone, which Linux reports as an error."""
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""
