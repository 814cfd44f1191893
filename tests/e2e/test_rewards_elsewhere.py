"""A run that pays by a server, a judge and a reward model at once, and one that is resumed on the way."""

import json
import zlib
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
import yaml
from loopback import loopback, send

from lmm_r1_mega.cli import run_here
from lmm_r1_mega.config.reading import merge


def worth(text: str) -> float:
    return zlib.crc32(text.encode("utf-8", "backslashreplace")) % 1000 / 1000


def by_server(handler: BaseHTTPRequestHandler, body: dict, number: int) -> None:
    """Every third request fails."""
    if number % 3 == 1:
        return send(handler, {}, status=500)
    send(handler, {"rewards": [worth(query) for query in body["query"]], "half": [0.5] * len(body["query"])})


def by_judge(handler: BaseHTTPRequestHandler, body: dict, number: int) -> None:
    question = body["messages"][0]["content"]
    send(handler, {"choices": [{"message": {"content": f"Hm.\nScore: {worth(question)}"}}]})


def rows(folder: Path) -> list[dict]:
    found = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if not name.startswith(("time/", "perf/"))} for row in found]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_resumed_run_equals_an_unbroken_one(settings, reward_model, tmp_path):
    with loopback(by_server) as server, loopback(by_judge) as judge:
        reward = {
            "weights": {"function": 0.0},
            "remote": {"urls": [server.url]},
            "judge": {"urls": [judge.url], "model": "m"},
            "models": {"taste": str(reward_model)},
            "normalize": True,
        }
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(merge(settings, {"reward": reward})))
        whole, broken = tmp_path / "whole", tmp_path / "broken"
        assert run_here("train", [str(tmp_path / "config.yaml"), "--run.folder", str(whole)]) == 0
        assert run_here("train", [str(tmp_path / "config.yaml"), "--run.folder", str(broken), "--run.steps", "2"]) == 0
        assert run_here("resume", [str(broken), "--run.steps", "4"]) == 0
    assert len(rows(whole)) == 4 and rows(broken) == rows(whole)
    assert (broken / "hf" / "model.safetensors").read_bytes() == (whole / "hf" / "model.safetensors").read_bytes()
    for row in rows(whole):
        assert row["samples/invalid"] == 0 and row["rewards/remote/half/mean"] == 0.5
        assert {"rewards/remote/mean", "rewards/judge/mean", "rewards/model/taste/mean", "rewards/model/taste/raw/mean"} <= row.keys()
    assert 0 < rows(whole)[0]["rewards/judge/mean"] < 1
