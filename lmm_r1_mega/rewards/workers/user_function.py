"""A reward from the user's own file: `reward_func(queries, prompts, labels)`, loaded and called at arm's length.

`queries` are prompts with their responses, `prompts` the prompts alone, `labels` the gold answers. It returns a list of
numbers, or what a reward server answers: a dict with `rewards` and, of the same length, further lists (also in OpenRLHF's
`extra_logs`), which are recorded beside it, and `invalid` with reasons. Lists may be tensors.
"""

from __future__ import annotations

import importlib.util
import math
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lmm_r1_mega.rewards.messages import FUNCTION, RewardInput, partial_reward
from lmm_r1_mega.rewards.workers.messages import FunctionResult

UserFunction = Callable[..., Any]
MAX_TRACE = 10_000
"""Letters of a traceback that are kept, from its end."""


def load(path: Path) -> UserFunction:
    """Imports the file and returns its `reward_func`. Errors: ValueError that says what is missing or shows the traceback."""
    if not path.is_file():
        raise ValueError(f"reward.function {path} is not a file, fix: a Python file with reward_func(queries, prompts, labels)")
    spec = importlib.util.spec_from_file_location(f"user_reward_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ValueError(f"reward.function {path} is not a Python file, fix: its name must end in .py")
    sys.path.insert(0, str(path.resolve().parent))
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickle look a class's module up
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # whatever the user's file does at import is the user's to see
        raise ValueError(f"reward.function {path} cannot be imported:\n{_trace_from(path, error)}") from None
    function = vars(module).get("reward_func")
    if not callable(function):
        raise ValueError(f"reward.function {path} has no function reward_func(queries, prompts, labels), fix: define it")
    return function


def call(function: UserFunction, inputs: Sequence[RewardInput], path: Path) -> FunctionResult:
    """One call over all inputs, its result checked: lists of the right length, finite numbers."""
    queries = [item.prompt + item.response for item in inputs]
    try:
        result = function(queries, [item.prompt for item in inputs], [item.answer for item in inputs])
        columns = _columns(result, count=len(inputs))
    except _WrongResult as problem:
        return FunctionResult([], f"{FUNCTION}: {problem}")
    except MemoryError:  # this worker ends: the file may keep what filled its memory
        raise
    except (Exception, SystemExit) as error:  # a user's function may raise anything; the run survives and says what
        return FunctionResult([], f"{FUNCTION}: raised {type(error).__name__}", _trace_from(path, error)[-MAX_TRACE:])
    reasons = columns.pop("invalid", [None] * len(inputs))
    numbers = ({name: column[i] for name, column in columns.items()} for i in range(len(inputs)))
    return FunctionResult([partial_reward(FUNCTION, *pair) for pair in zip(numbers, reasons, strict=True)])


class _WrongResult(Exception):
    """The function returned something that is not one number per response."""


def _columns(result: object, *, count: int) -> dict[str, list[Any]]:
    """Name -> one number per response, or None: of a list, or of a dict of lists, as a server answers; `invalid` has reasons.

    What else stands in the dict (scalars, texts, lists of another length) says nothing of a single response and is left out.
    """
    lists: dict[str, Any] = dict(result) if isinstance(result, dict) else {"rewards": result}
    if "rewards" not in lists:
        raise _WrongResult("no `rewards` in the returned dict")
    rewards = _column(lists.pop("rewards"))
    if rewards is None:
        raise _WrongResult("`rewards` is not a list of numbers")
    if len(rewards) != count:
        raise _WrongResult(f"wrong length: `rewards` has {len(rewards)} entries for {count} responses")
    logs = lists.pop("extra_logs", None)  # OpenRLHF's place for further lists
    further = {str(name): _column(values) for name, values in [*lists.items(), *(logs.items() if isinstance(logs, dict) else ())]}
    columns: dict[str, list[Any]] = {name: column for name, column in further.items() if column is not None and len(column) == count}
    columns["rewards"] = rewards
    reasons: Any = lists.get("invalid")
    is_reasoned = isinstance(reasons, list) and len(reasons) == count
    return columns | ({"invalid": reasons} if is_reasoned else {})


def _column(values: Any) -> list[float | None] | None:
    """Numbers, None among them; None for anything but a list of such."""
    try:
        return [_number(value) for value in values]
    except (TypeError, ValueError):
        return None


def _number(value: Any) -> float | None:
    """What is a number or, as scalars of numpy and torch, turns into one; not text, which `float` would read."""
    if value is None:
        return None
    if isinstance(value, str | bytes):
        raise TypeError
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _trace_from(path: Path, error: BaseException) -> str:
    """The traceback from the user's file on: our own frames above it say nothing to the user."""
    frames = traceback.extract_tb(error.__traceback__)
    first = next((i for i, frame in enumerate(frames) if Path(frame.filename) == path), 0)
    lines = ["Traceback (most recent call last):\n", *traceback.format_list(frames[first:]), *traceback.format_exception_only(error)]
    return "".join(lines).rstrip()
