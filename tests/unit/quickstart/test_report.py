import json
from dataclasses import asdict

import pytest
from rich.console import Console

from examples.quickstart.report import Answer, Measured, read_measured, show, summary


def measured(accuracy, greedy, response="<think> about 7 </think>"):
    return Measured(accuracy, greedy, tuple(Answer(f"question {i}", str(i), response) for i in range(3)))


@pytest.fixture
def findings():
    return {
        "base": {"text": measured(0.41, 0.32), "image": measured(0.27, 0.3)},
        "fre": {"text": measured(0.88, 0.98), "image": measured(0.39, 0.41)},
        "mgt": {"text": measured(0.93, 0.97, "worked"), "image": measured(0.84, 0.95, "worked")},
    }


def test_the_summary_has_the_promised_keys(findings):
    assert summary(findings, steps=80, wall_s=271.26, peak_rss_bytes=5 * 2**30) == {
        "text_accuracy": {"base": 0.41, "fre": 0.88, "mgt": 0.93, "greedy": {"base": 0.32, "fre": 0.98, "mgt": 0.97}},
        "image_accuracy": {"base": 0.27, "fre": 0.39, "mgt": 0.84, "greedy": {"base": 0.3, "fre": 0.41, "mgt": 0.95}},
        "steps": 80,
        "wall_s": 271.3,
        "peak_rss_bytes": 5 * 2**30,
    }


def test_figures_come_back_from_their_file(findings, tmp_path):
    path = tmp_path / "base.json"
    path.write_text(json.dumps({name: asdict(one) for name, one in findings["base"].items()}))
    assert read_measured(path) == findings["base"]


def test_the_report_shows_every_figure_and_three_answers(findings, capsys):
    show(findings, Console(width=120))
    text = capsys.readouterr().out
    for cell in ("41% (32%)", "88% (98%)", "93% (97%)", "27% (30%)", "39% (41%)", "84% (95%)"):
        assert cell in text
    assert text.count("before  <think> about 7 </think>") == text.count("after   worked") == 3
