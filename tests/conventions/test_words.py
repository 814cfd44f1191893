"""The field's words: what has been replaced does not come back, and a name of a type stands for one thing."""

import ast
import re
from collections import defaultdict

import pytest
from convention_rules import PACKAGE, ROOT, Module, package_modules

REPLACED = {
    r"\b[Pp]ictures?\b": "image: what Megatron, vLLM and transformers say",
    r"\brow_tokens\b": "max_tokens_per_microbatch: a row is an item of a data file to everybody else",
    r"\b(own|trained)_places\b": "num_new_tokens, loss_positions",
    r"\b(is_)?reporter\b": "returns_results, output rank",
    r"\blearns_them_in_update\b": "old_logprobs_from_update",
    r"\b_?go_ahead\b": "start_next_step",
    r"\bsettle\(": "wait_for_generation",
    r"\brollout\.ahead\b": "rollout.max_staleness",
    r"\bkl\.place\b": "kl.apply_to",
    r"\bnurse\b": "fork server",
    r"\bundress\w*\b": "normalize_latex",
    r"\bsqueezed\b": "strip_spaces",
    r"\brefuse_\w+": "check_*: the field's word for a function that raises",
    r"\b[Mm]end(s|ed)?\b": "fix",
    r"\b[Ff]aults? of ours\b": "internal error",
    r"\bopen_book\b": "open_run_logger",
    r"\bledger\b": "ReceivedTensors",
    r"\btruth value\b": "boolean",
    r"\bwhole numbers?\b": "integer",
    r"\bkeys and values\b": "KV cache",
    r"\b[Ww]ithout a (single )?verdict\b": "unscored",
    r"\bthe life\b": "killed",
    r"\bhouse (rules|style)\b": "conventions",
}
"""Pattern -> what is said instead. The tests' own names are free."""
FOLDERS = (PACKAGE, "tools", "docs", "examples", "slurm")
SUFFIXES = (".py", ".md", ".yaml", ".sh", ".sbatch")


def documents():
    paths = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*"))]
    return {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in paths if path.suffix in SUFFIXES}


def replaced_words(name: str, text: str) -> list[str]:
    """Words of a text that have been replaced, with their line."""
    return [
        f"{name}:{number}: {found[0]} -> {instead}"
        for number, line in enumerate(text.splitlines(), start=1)
        for pattern, instead in REPLACED.items()
        if (found := re.search(pattern, line))
    ]


def type_names(module: Module) -> list[str]:
    """Classes and type aliases that a module defines."""
    classes = [node.name for node in module.tree.body if isinstance(node, ast.ClassDef)]
    aliases = [
        node.targets[0].id
        for node in module.tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and isinstance(node.value, ast.Subscript | ast.BinOp)
    ]
    return classes + [name for name in aliases if not name.isupper()]


def doubled_types(modules: list[Module]) -> list[str]:
    """Names of types that several modules define, with the modules."""
    where = defaultdict(list)
    for module in modules:
        for name in type_names(module):
            where[name].append(module.name)
    return [f"{name}: {', '.join(places)}" for name, places in where.items() if len(places) > 1]


def test_replaced_words_do_not_come_back():
    allowed = {
        f"{PACKAGE}/config/renamed.py",
        f"{PACKAGE}/data/chat/messages.py",  # the columns of public data
        f"{PACKAGE}/rewards/answers/equality.py",  # what a gold answer may point at
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "examples/quickstart/make_data.py",  # the seed of published figures
    }
    assert [found for name, text in documents().items() if name not in allowed for found in replaced_words(name, text)] == []


def test_a_name_of_a_type_is_defined_once():
    assert doubled_types(package_modules()) == []


@pytest.mark.parametrize("text", ["# two pictures", "def refuse_all(): ...", "what nobody can mend", "set layout.row_tokens"])
def test_a_replaced_word_is_found(text):
    assert len(replaced_words("x", text)) == 1


def test_two_types_of_one_name_are_found():
    modules = [Module("a", "class Plan: ...\nKind = dict[str, int]"), Module("b", "Plan = int | str\nKIND = {} | {}")]
    assert doubled_types(modules) == ["Plan: a, b"]
