"""The command line: `lmm-r1-mega VERB ...`. Only the chosen verb's modules are imported, so `--help` answers at once.

Exit status: 0 done, 2 usage or configuration, 65 bad data, 70 internal error, 75 please requeue, 130 interrupted.
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys
import traceback
from collections.abc import Callable

from lmm_r1_mega.commands.verbs import SETTINGS, VERBS, help_text
from lmm_r1_mega.errors import DONE, INTERNAL, USAGE, cause_of, exit_status
from lmm_r1_mega.process import parent, progress
from lmm_r1_mega.process.secret_variables import redacted

HELP = {"-h", "--help"}


def main(arguments: list[str] | None = None) -> int:
    """Run one verb and return the exit status. One that starts processes runs in a child, whose parent this process is."""
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
    if VERBS[name].starts_processes and not progress.connect():
        try:
            return parent.run(arguments)
        except ValueError as error:  # no place for temporary files
            return _fail(str(error), USAGE)
    return run_here(name, rest)


def run_here(name: str, arguments: list[str]) -> int:
    """Run a verb in this process; errors that a user can fix are a message, others a traceback."""
    run: Callable[[list[str]], int] = importlib.import_module(f"lmm_r1_mega.commands.{name}").run
    try:
        status = run(arguments)
        progress.tell(status=status)
    except (Exception, KeyboardInterrupt) as error:
        status = _report(error)
    return status


def _report(error: BaseException) -> int:
    """Tell the parent, else the terminal, of an error and return its exit status."""
    status = exit_status(error)
    if status == INTERNAL:
        print(redacted("".join(traceback.format_exception(error)), os.environ), end="", file=sys.stderr)
    return status if progress.tell_failure(error) else _fail(cause_of(error), status)


def _fail(message: str, status: int) -> int:
    """Libraries quote keys in their errors: none gets through."""
    print(redacted(f"lmm-r1-mega: {message}", os.environ), file=sys.stderr)
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
