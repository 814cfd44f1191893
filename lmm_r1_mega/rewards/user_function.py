"""A reward from the user's own file: `reward_func(queries, prompts, labels)`, loaded and called at arm's length.

`queries` are prompts with their responses, `prompts` the prompts alone, `labels` the gold answers. It returns a list of
numbers, or a dict with `rewards` and further lists of the same length, which are recorded beside it.
"""

from __future__ import annotations

import importlib.util
import math
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lmm_r1_mega.rewards.messages import Outcome, RewardInput, Verdict

UserFunction = Callable[..., Any]


def load(path: Path) -> UserFunction:
    """Imports the file and returns its `reward_func`. Errors: ValueError that says what is missing or shows the traceback."""
    if not path.is_file():
        raise ValueError(f"reward.function {path} is not a file: give the path of a Python file with reward_func(queries, prompts, labels)")
    spec = importlib.util.spec_from_file_location(f"user_reward_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ValueError(f"reward.function {path} is not a Python file: its name must end in .py")
    sys.path.insert(0, str(path.resolve().parent))
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickle look a class's module up
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # whatever the user's file does at import is the user's to see
        raise ValueError(f"reward.function {path} cannot be imported:\n{_trace_from(path, error)}") from None
    function = vars(module).get("reward_func")
    if not callable(function):
        raise ValueError(f"reward.function {path} has no function reward_func(queries, prompts, labels): define it")
    return function


def call(function: UserFunction, inputs: Sequence[RewardInput], path: Path) -> Outcome:
    """One call over all inputs, its result checked: lists of the right length, finite numbers."""
    queries = [given.prompt + given.response for given in inputs]
    try:
        result = function(queries, [given.prompt for given in inputs], [given.answer for given in inputs])
        columns = _columns(result, count=len(inputs))
    except _WrongResult as problem:
        return Outcome([], f"function: {problem}")
    except MemoryError:  # this worker ends: the file may keep what filled its memory
        raise
    except (Exception, SystemExit) as error:  # a user's function may raise anything; the run survives and says what
        return Outcome([], f"function: raised {type(error).__name__}", _trace_from(path, error))
    return Outcome([_verdict({name: column[i] for name, column in columns.items()}) for i in range(len(inputs))])


class _WrongResult(Exception):
    """The function returned something that is not one number a response."""


def _columns(result: object, *, count: int) -> dict[str, list[float]]:
    """Part name -> one number a response, from a list or a dict of lists."""
    lists: dict[str, Any] = dict(result) if isinstance(result, dict) else {"rewards": result}
    if "rewards" not in lists:
        raise _WrongResult("no `rewards` in the returned dict")
    columns = {}
    for name, values in lists.items():
        try:
            column = [_number(value) for value in values]
        except (TypeError, ValueError):
            raise _WrongResult(f"`{name}` is not a list of numbers") from None
        if len(column) != count:
            raise _WrongResult(f"wrong length: `{name}` has {len(column)} entries for {count} responses")
        columns["function" if name == "rewards" else f"function/{name}"] = column
    return columns


def _number(value: Any) -> float:
    """What is a number or, as scalars of numpy and torch, turns into one; not text, which `float` would read."""
    if isinstance(value, str | bytes):
        raise TypeError
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _verdict(parts: dict[str, float]) -> Verdict:
    finite = {name: value for name, value in parts.items() if math.isfinite(value)}
    return Verdict(finite, None if len(finite) == len(parts) else "function: not a finite number")


def _trace_from(path: Path, error: BaseException) -> str:
    """The traceback from the user's file on: our own frames above it say nothing to the user."""
    frames = traceback.extract_tb(error.__traceback__)
    first = next((i for i, frame in enumerate(frames) if Path(frame.filename) == path), 0)
    lines = ["Traceback (most recent call last):\n", *traceback.format_list(frames[first:]), *traceback.format_exception_only(error)]
    return "".join(lines).rstrip()
