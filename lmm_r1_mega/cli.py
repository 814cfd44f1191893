"""The command line: `lmm-r1-mega VERB ...`. Only the chosen verb's modules are imported, so `--help` answers at once.

Exit status: 0 done, 2 usage or configuration, 65 bad data, 70 internal error, 75 please requeue, 130 interrupted.
"""

from __future__ import annotations

import difflib
import importlib
import sys
import traceback
from collections.abc import Callable

from lmm_r1_mega.commands.verbs import SETTINGS, VERBS, help_text
from lmm_r1_mega.errors import DONE, INTERNAL, USAGE, exit_status

HELP = {"-h", "--help"}


def main(arguments: list[str] | None = None) -> int:
    """Run one verb and return the exit status; errors that a user can mend are a message, others a traceback."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in HELP:
        print(_help())
        return DONE if arguments else USAGE
    name, rest = arguments[0], arguments[1:]
    if name not in VERBS:
        return _fail(f"unknown verb {name}: {_nearest(name)}", USAGE)
    if HELP & set(rest):
        print(help_text(VERBS[name]))
        return DONE
    run: Callable[[list[str]], int] = importlib.import_module(f"lmm_r1_mega.commands.{name}").run
    try:
        return run(rest)
    except (Exception, KeyboardInterrupt) as error:
        return _report(error)


def _report(error: BaseException) -> int:
    """Print an error for the one who can mend it and return its exit status."""
    status = exit_status(error)
    if isinstance(error, KeyboardInterrupt):
        return _fail("interrupted", status)
    if status != INTERNAL:
        return _fail(str(error), status)
    traceback.print_exception(error)
    return _fail(f"{type(error).__name__}: {error}", status)


def _fail(message: str, status: int) -> int:
    print(f"lmm-r1-mega: {message}", file=sys.stderr)
    return status


def _nearest(name: str) -> str:
    near = difflib.get_close_matches(name, VERBS, n=1)
    return f"did you mean {near[0]}?" if near else f"verbs are {', '.join(VERBS)}"


def _help() -> str:
    lines = [f"  {verb.name:<8} {verb.summary}" for verb in VERBS.values()]
    return "\n".join(
        [f"usage: lmm-r1-mega VERB {SETTINGS}", "", *lines, "", "`lmm-r1-mega VERB --help` shows a verb's arguments and settings."]
    )


if __name__ == "__main__":
    sys.exit(main())
