"""The book of a run, with its real folder."""

import json
import sys

import pytest
import torch
from PIL import Image

from lmm_r1_mega.config import Config
from lmm_r1_mega.record.folder import RunFolder
from lmm_r1_mega.record.run_logger import open_run_logger
from lmm_r1_mega.schema import Prompt, PromptImages


def settings(folder, *trackers):
    return Config(run={"folder": folder, "steps": 4, "trackers": trackers})


def opened(folder, config_yaml="", *, verb="train", resume_after=None):
    return open_run_logger(settings(folder), config_yaml, verb=verb, resume_after=resume_after)


def play(book, steps):
    for step in steps:
        with book.phase("update"):
            pass
        book.samples([{"step": step + 1, "response": f"r{step}"}])
        book.step(step + 1, {"reward": step / 3}, num_tokens=12)


def steady(folder):
    """The rows without what a clock says."""
    return [{k: v for k, v in row.items() if not k.startswith(("time/", "perf/"))} for row in RunFolder.open(folder).metrics()]


def test_a_row_a_step_counted_by_the_steps_that_are_done(tmp_path, capsys):
    with opened(tmp_path / "run", verb="sft") as book:
        play(book, range(2))
        book.evaluation(2, {"text": {"accuracy": 0.5, "num_unscorable": 3}})
        book.finish(steps=2)
    assert steady(tmp_path / "run") == [
        {"step": 1, "reward": 0.0},
        {"step": 2, "reward": 1 / 3},
        {"step": 2, "eval/text/accuracy": 0.5, "eval/text/num_unscorable": 3},
    ]
    row = book.folder.metrics()[0]
    assert row["perf/tokens_per_s"] == pytest.approx(12 / row["time/step"])
    assert "held out after 2 steps: text 50.0% (3 gold answers cannot be judged)" in capsys.readouterr().out
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["steps"] == 2 and summary["last_step"]["reward"] == 1 / 3
    assert summary["eval"] == {"eval/text/accuracy": 0.5, "eval/text/num_unscorable": 3}
    assert book.folder.verb == "sft"


def test_broken_off_and_resumed_is_as_never_broken_off(tmp_path):
    with opened(tmp_path / "whole") as book:
        play(book, range(4))
    with opened(tmp_path / "broken", "a: 1\n") as book:
        play(book, range(3))
    with opened(tmp_path / "broken", "a: 2\n", resume_after=2) as book:
        book.go_on(settings(tmp_path / "broken"), "a: 2\n", after=2)
        play(book, range(2, 4))
    assert steady(tmp_path / "broken") == steady(tmp_path / "whole")
    assert (tmp_path / "broken" / "rollouts.jsonl").read_bytes() == (tmp_path / "whole" / "rollouts.jsonl").read_bytes()
    assert (tmp_path / "broken" / "config.yaml").read_text() == "a: 2\n"


def test_an_image_is_kept_once_by_its_content(tmp_path):
    red = torch.tensor([255] * 196 + [0] * 392, dtype=torch.uint8)  # of each pixel of a patch, then green and blue
    images = PromptImages(red.expand(4, -1), torch.tensor([[1, 2, 2]]))
    prompts = [Prompt(name, "a", "q", (1,), (1,), images, None) for name in ("a", "a", "b")]
    prompts.append(Prompt("c", "a", "q", (1,), (1,), None, None))
    with opened(tmp_path / "run") as book:
        files = book.images(prompts, merge_size=2)
    [kept] = (tmp_path / "run" / "images").iterdir()
    assert files == {"a": [f"images/{kept.name}"], "b": [f"images/{kept.name}"], "c": []}
    assert Image.open(kept).getpixel((0, 0)) == (255, 0, 0)


def test_a_taken_folder_stops_the_run_before_it_starts(tmp_path):
    with opened(tmp_path / "run"):
        pass
    with pytest.raises(ValueError, match="is not empty: go on with"), opened(tmp_path / "run"):
        pass


def tree(folder):
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def test_a_resume_that_fails_before_it_goes_on_changes_nothing(tmp_path):
    with opened(tmp_path / "run", "a: 1\n") as book:
        play(book, range(4))
        with book.folder.checkpoint(3, keep=1) as partial:
            (partial / "state.json").write_text("{}")
        book.finish(steps=4)
    before, config = tree(tmp_path), settings(tmp_path / "run", "tensorboard")
    with pytest.raises(RuntimeError), open_run_logger(config, "a: 2\n", verb="train", resume_after=2) as book, book.phase("start"):
        raise RuntimeError("a process did not start")
    assert tree(tmp_path) == before
    with open_run_logger(config, "a: 2\n", verb="train", resume_after=2) as book:
        book.go_on(config, "a: 2\n", after=2)
    assert not book.folder.is_finished and len(book.folder.metrics()) == 2
    assert {path.name for path in (tmp_path / "run").iterdir()} >= {"tensorboard", "metrics.jsonl"}


def test_what_is_set_aside_is_said(tmp_path, capsys):
    with opened(tmp_path / "run") as book, book.folder.checkpoint(3, keep=1) as partial:
        (partial / "state.json").write_text("{}")
    with opened(tmp_path / "run", resume_after=2) as book:
        book.go_on(settings(tmp_path / "run"), "", after=2)
    assert (
        f"a checkpoint that the run does not go on from is now {tmp_path / 'run/checkpoints/step_000003.set_aside'}"
        in capsys.readouterr().out
    )


def test_a_tracker_that_cannot_be_had_is_told_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ValueError, match="wandb, which is not installed"):
        open_run_logger(settings(tmp_path / "run", "wandb"), "", verb="train", resume_after=None).__enter__()
    assert not (tmp_path / "run").exists()
