"""What the documents name exists: files, and in the tables of the tour functions and classes."""

import ast
import re

import pytest
from convention_rules import PACKAGE, ROOT

DOCUMENTS = (
    "README.md",
    "CONTRIBUTING.md",
    "docs/tour.md",
    "docs/gpu.md",
    "docs/recipes.md",
    "docs/migration.md",
    "docs/generation.md",
    "docs/rewards.md",
    "docs/rewards_elsewhere.md",
    "docs/data.md",
    "docs/report.md",
    "docs/algorithms.md",
    "docs/proven.md",
    "docs/benchmarks.md",
    "docs/scale.md",
    "docs/configuration.md",
)
FOLDERS = ("benchmarks", "docs", "examples", "slurm", "tests", "tools", PACKAGE)
PLACE = re.compile(rf"[`(]((?:{'|'.join(FOLDERS)})/[\w./-]*\w)")
STOP = re.compile(r"^\| `(?P<file>[\w/]+\.py)` \| (?P<names>`[^|]+`) \|", re.MULTILINE)


def missing_files(text: str) -> list[str]:
    """Paths below the repository's folders that a document gives in backticks or as link targets and that are not there."""
    return [name for name in PLACE.findall(text) if not (ROOT / name).exists()]


def missing_names(text: str) -> list[str]:
    """Functions and classes in the tables of a document that their file does not define."""
    missing = []
    for stop in STOP.finditer(text):
        source = ast.parse((ROOT / PACKAGE / stop["file"]).read_text(encoding="utf-8"))
        missing += [f"{stop['file']} {name}" for name in re.findall(r"`([\w.]+)`", stop["names"]) if not _defines(source, name.split("."))]
    return missing


def _defines(node: ast.AST, names: list[str]) -> bool:
    found = [one for one in ast.iter_child_nodes(node) if isinstance(one, ast.FunctionDef | ast.ClassDef) and one.name == names[0]]
    return bool(found) and (len(names) == 1 or _defines(found[0], names[1:]))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_files_are_there(document):
    assert missing_files((ROOT / document).read_text(encoding="utf-8")) == []


def test_every_stop_of_the_tour_is_there():
    text = (ROOT / "docs/tour.md").read_text(encoding="utf-8")
    assert missing_names(text) == []
    assert 15 < len(STOP.findall(text)) < 30


def test_a_wrong_name_is_found():
    assert missing_names("| `batching/packing.py` | `pack`, `unpack` | |\n| `rollout/engine.py` | `RolloutEngine.fly` | |") == [
        "batching/packing.py unpack",
        "rollout/engine.py RolloutEngine.fly",
    ]
    assert missing_files("see `tools/nothing.py` and [this](docs/none.md) and `docs/tour.md`") == ["tools/nothing.py", "docs/none.md"]
