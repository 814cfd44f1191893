"""Imports go down only, foreign libraries have one owner, and nothing imports in a circle or by stealth."""

import pytest
from convention_rules import (
    Module,
    foreign_imports,
    import_cycles,
    imports,
    lazy_imports,
    missing_imports,
    package_modules,
    scripts,
    wrong_way_imports,
)

LAYERS = (
    ("errors",),
    ("process", "http_client"),
    ("config", "schema", "families"),
    ("algorithms", "rewards", "data", "convert", "migration"),
    ("batching", "models", "planning"),
    ("training", "rollout"),
    ("cluster",),
    ("record", "doctor"),
    ("report", "driver"),
    ("train",),
    ("commands",),
    ("cli",),
)
"""From the ground up; the parts of one layer do not import each other."""

INNER_LAYERS = {
    "data": (("formats",), ("images",), ("chat",), ("stream",), ("inspect",)),
    "rewards": (
        ("messages", "running"),
        ("answers",),
        ("rules",),
        ("components",),
        ("workers",),
        ("golds", "remote"),
        ("total",),
        ("try_file",),
    ),
}
"""The same inside a folder."""

OWNERS = {
    "ray": ("cluster",),
    "vllm": ("rollout",),
    "megatron": ("models", "training"),
    "megatron.training": (),
    "wandb": ("record",),
    "trackio": ("record",),
    "tensorboard": ("record",),
    "torch.utils.tensorboard": ("record",),
    "transformer_engine": ("models",),
    "math_verify": ("rewards",),
    "PIL": ("data", "schema"),
    "torchvision": ("process.torchvision_shim",),
    "tyro": (),
    "yaml": ("config.reading",),
    "pyarrow": ("data",),
    "aiohttp": ("http_client",),
    "yarl": ("http_client",),
    "http": (),
    "starlette": ("rewards.remote.serve",),
    "uvicorn": ("rewards.remote.serve",),
    "reasoning_gym": (),
    "datasets": ("data",),
    "jinja2": (),
    "tree_sitter": ("migration.bash.tree",),
    "tree_sitter_bash": ("migration.bash.tree",),
    "tokenizers": (),
    "ijson": ("data.formats.json_list",),
}

LAZY = {
    "doctor": "reports a library that cannot be imported instead of failing with it",
    "process.torchvision_shim": "imports torchvision only after its operators are declared",
    "cluster.workers": "the driver has the actor's class too, and is spared the seconds of Megatron",
    "data.chat.processor": "transformers needs the shim first",
    "data.formats.hub": "datasets is an extra",
    "models.tower": "transformers needs the shim first",
    "models.reward_model": "transformers needs the shim first",
    "models.device": "megatron.core takes seconds to import and is patched only where there is no CUDA",
    "models.specs": "Transformer Engine exists on GPUs only",
    "record.trackers": "a tracker's library is needed only by a run that asks for it",
    "rollout.engine": "vLLM reads its environment when it is imported",
    "rollout.plugin": "vLLM loads the plug-in while it is itself being imported",
}
"""Modules that import inside a function, and why."""

VERBS = "commands"
"""A verb imports what it runs when it runs, so that `--help` answers at once."""


def test_imports_go_down_only():
    assert list(wrong_way_imports(package_modules(), LAYERS)) == []


@pytest.mark.parametrize("folder", INNER_LAYERS)
def test_imports_inside_a_folder_go_down_only(folder):
    modules = [one for one in package_modules() if one.name.startswith(f"{folder}.") and one.name != f"{folder}.__init__"]
    assert modules and list(wrong_way_imports([inner(module, folder) for module in modules], INNER_LAYERS[folder])) == []


def inner(module: Module, folder: str) -> Module:
    """The module as if its folder were the package, and the package another library."""
    text = module.text.replace(f"lmm_r1_mega.{folder}.", "inner.").replace("lmm_r1_mega.", "outside.").replace("inner.", "lmm_r1_mega.")
    return Module(module.name.removeprefix(f"{folder}."), text)


def test_a_wrong_way_inside_a_folder_is_found():
    module = inner(Module("data.formats.rows", "from lmm_r1_mega.data.chat.processor import Processor"), "data")
    assert len(list(wrong_way_imports([module], INNER_LAYERS["data"]))) == 1


def test_foreign_libraries_stay_with_their_owners():
    assert list(foreign_imports(package_modules(), OWNERS)) == []


def test_rewards_and_planning_do_not_need_torch():
    assert list(foreign_imports([module for module in package_modules() if module.part in ("rewards", "planning")], {"torch": ()})) == []


def test_imports_stand_at_the_top():
    assert list(lazy_imports([module for module in package_modules() if module.part != VERBS], LAZY)) == []


def test_every_listed_exception_is_used():
    lazy = {module.name for module in package_modules() if any(one.is_lazy for one in imports(module))}
    assert set(LAZY) - lazy == set()


def test_programs_import_what_is_there():
    assert list(missing_imports(scripts(), package_modules())) == []


def test_an_import_of_what_has_moved_is_found():
    modules = [Module("batching.rope", "import json\nAXES: int = 3\ndef positions() -> None: ...")]
    there = Module("there.py", "import lmm_r1_mega.batching\nfrom lmm_r1_mega.batching.rope import AXES, json, positions")
    gone = Module("gone.py", "from lmm_r1_mega.batching.rope import lengths")
    assert list(missing_imports([there, gone], modules)) == ["gone.py imports lmm_r1_mega.batching.rope.lengths, which is not there"]


def test_nothing_imports_in_a_circle():
    assert list(import_cycles(package_modules())) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("config", "from lmm_r1_mega.batching.rope import positions"),
        ("data.rope", "from lmm_r1_mega.rewards.answers.extract import last_box"),
        ("training.engine", "import lmm_r1_mega.rollout.engine"),
        ("training.engine", "def late() -> None:\n    from lmm_r1_mega.cluster import workers"),
        ("data.rope", "from .packing import pack"),
        ("unheard_of", "x = 1"),
    ],
)
def test_a_wrong_way_is_found(name, text):
    assert len(list(wrong_way_imports([Module(name, text)], LAYERS))) == 1


def test_a_right_way_is_not_complained_of():
    text = (
        "import torch, lmm_r1_mega.config\nfrom lmm_r1_mega.batching.packing import pack\nfrom lmm_r1_mega.training.optimizer import step"
    )
    assert list(wrong_way_imports([Module("training.engine", text)], LAYERS)) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("training.engine", "import ray"),
        ("cluster.workers", "from vllm import LLM"),
        ("data.rope", "import megatron.core as core"),
        ("training.engine", "from megatron.training import get_args"),
        ("rollout.engine", "def send() -> None:\n    import wandb"),
        ("records", "from torch.utils import tensorboard"),
    ],
)
def test_a_library_away_from_home_is_found(name, text):
    assert list(foreign_imports([Module(name, text)], OWNERS))


def test_a_library_at_home_is_not_complained_of():
    modules = [Module("training.engine", "from megatron.core import parallel_state"), Module("data.rows", "import rays, vllm_cpu")]
    assert list(foreign_imports(modules, OWNERS)) == []


def test_a_hidden_import_is_found():
    modules = [
        Module("batching.rope", "class A:\n    def f(self):\n        if self:\n            import json"),
        Module("data.rows", "import json"),
    ]
    assert list(lazy_imports(modules, {})) == ["batching.rope imports json inside a function: move it to the top"]


def test_a_circle_is_found():
    modules = [
        Module("a.one", "from lmm_r1_mega.b.two import f"),
        Module("b.two", "import lmm_r1_mega.c"),
        Module("c", "def late():\n    from lmm_r1_mega.a import one"),
        Module("d", "from lmm_r1_mega.a.one import g"),
    ]
    assert list(import_cycles(modules)) == ["a.one -> b.two -> c -> a.one"]
