import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_quickstart_reaches_its_figures_and_can_be_repeated(tmp_path):
    """The whole of `make quickstart` with a seed of its own, then once more for a step: it replaces its own folder."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")

    def run(*arguments):
        command = [sys.executable, "-m", "examples.quickstart.run", *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=3000, check=False)
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout, json.loads((tmp_path / "runs/quickstart/summary.json").read_text())

    printed, found = run("--seed", "11")
    text, image = found["text_accuracy"], found["image_accuracy"]
    assert text["fre"] - text["base"] >= 0.30
    assert image["mgt"] - image["base"] >= 0.30
    assert text["fre"] - text["mgt"] < 0.10
    assert found["steps"] == 80
    assert found["peak_rss_bytes"] < 12e9
    assert f"{image['mgt']:.0%}" in printed

    _, again = run("--fre-steps", "1", "--mgt-steps", "1")
    assert again["steps"] == 2
    assert again["text_accuracy"]["base"] == pytest.approx(text["base"], abs=0.1)
