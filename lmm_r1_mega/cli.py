"""The command line: `lmm-r1-mega VERB ...`. Only the chosen verb's modules are imported, so `--help` answers at once.

Exit status: 0 done, 2 usage or configuration, 65 bad data, 70 internal error, 75 please requeue, 130 interrupted.
"""

from __future__ import annotations

import difflib
import importlib
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from lmm_r1_mega.errors import BadData, DiskFull, ProcessLost

DONE, USAGE, BAD_DATA, INTERNAL, REQUEUE, INTERRUPTED = 0, 2, 65, 70, 75, 130


@dataclass(frozen=True)
class Verb:
    """One command: the function `run(arguments) -> exit status` of a module, and its line of help."""

    module: str
    arguments: str
    help: str


CONFIG = "[CONFIG.yaml ...] [--section.field VALUE ...]"
VERBS = {
    "train": Verb("train", f"{CONFIG} [--dry-run]", "reinforcement learning: PPO, GRPO, RLOO, ..."),
    "sft": Verb("sft", f"{CONFIG} [--dry-run]", "supervised cold start with the same engine and data format"),
    "resume": Verb("resume", "RUN", "go on from the newest complete checkpoint of a run"),
    "eval": Verb("eval", "MODEL_OR_RUN DATA [CONFIG.yaml ...] [--section.field VALUE ...]", "accuracy on a data file, generated with vLLM"),
    "plan": Verb(
        "plan", f"{CONFIG} [--json] [--gpu-gib N]", "layout, batch arithmetic and memory a rank, for hardware that need not be here"
    ),
    "convert": Verb(
        "convert", "to-megatron|to-hf|verify FROM TO", "checkpoints between Hugging Face and Megatron, and the proof that they agree"
    ),
    "data": Verb("data", "check FILE [CONFIG.yaml ...] [--section.field VALUE ...]", "look at a data file before any GPU is spent"),
    "reward": Verb("reward", "try FILE [--json] [CONFIG.yaml ...] [--section.field VALUE ...]", "score rows of `response` and `answer`"),
    "doctor": Verb("doctor", "", "versions, devices, what is missing and the command that mends it"),
}


def main(arguments: list[str] | None = None) -> int:
    """Run one verb and return the exit status; errors that a user can mend are one line, others a traceback."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_help())
        return DONE if arguments else USAGE
    name, rest = arguments[0], arguments[1:]
    if name not in VERBS:
        return _fail(f"unknown verb {name}: {_nearest(name)}", USAGE)
    run: Callable[[list[str]], int] = importlib.import_module(f"lmm_r1_mega.commands.{VERBS[name].module}").run
    try:
        return run(rest)
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED)
    except Exception as error:
        return _report(error)


def _report(error: Exception) -> int:
    """Print an error for the one who can mend it and return its exit status."""
    for kind, status in ((BadData, BAD_DATA), (ProcessLost, REQUEUE), (DiskFull, REQUEUE), (ValueError, USAGE)):
        if isinstance(error, kind):
            return _fail(str(error), status)
    traceback.print_exception(error)
    return _fail(f"{type(error).__name__}: {error}", INTERNAL)


def _fail(message: str, status: int) -> int:
    print(f"lmm-r1-mega: {message}", file=sys.stderr)
    return status


def _nearest(name: str) -> str:
    near = difflib.get_close_matches(name, VERBS, n=1)
    return f"did you mean {near[0]}?" if near else f"verbs are {', '.join(VERBS)}"


def _help() -> str:
    lines = [f"  {name:<8} {verb.help}" for name, verb in VERBS.items()]
    usage = "usage: lmm-r1-mega VERB [CONFIG.yaml ...] [--section.field VALUE ...]"
    return "\n".join([usage, "", *lines, "", "`lmm-r1-mega VERB --help` shows a verb's arguments and settings."])


if __name__ == "__main__":
    sys.exit(main())
