"""Waiting for remote calls: always with a deadline, and with errors that say which process failed at what."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Mapping
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, OutOfMemoryError, RayActorError, RayTaskError

from lmm_r1_mega.errors import INTERNAL, ProcessLost, exit_status
from lmm_r1_mega.process.progress import give_up, tell

GRACE_S = 5.0
"""After an error of ours, the time in which the death of another process may turn out to be its cause."""


def wait_all(calls: Mapping[str, ray.ObjectRef], *, doing: str, timeout_s: float) -> dict[str, Any]:
    """Results of remote calls by the name of their process; the first failure is raised at once, whoever else still works.

    Raises:
        ProcessLost: a process died, or `timeout_s` passed.
        ValueError: a process could not be made from the settings.
        Exception: what the remote code raised; an error that the user can fix comes as it was raised there.
    """
    deadline = time.monotonic() + timeout_s
    names = {ref: name for name, ref in calls.items()}
    pending, results = list(names), {}
    while pending:
        tell(waits_for=[names[ref] for ref in pending], doing=doing)
        ready, pending = ray.wait(pending, num_returns=1, timeout=max(0.0, deadline - time.monotonic()))
        if not ready:
            give_up(f"its limit of {timeout_s:.0f} s is over")
            late = ", ".join(names[ref] for ref in pending)
            raise ProcessLost(f"{late} did not finish {doing} within {timeout_s:.0f} s", names[pending[0]])
        try:
            results[names[ready[0]]] = _result(ready[0], name=names[ready[0]], doing=doing)
        except Exception as error:
            if exit_status(error) == INTERNAL:
                _raise_loss(pending, names, doing=doing)
            raise
    tell(waits_for=[], doing="")
    return {name: results[name] for name in calls}


def _raise_loss(pending: list[ray.ObjectRef], names: Mapping[ray.ObjectRef, str], *, doing: str) -> None:
    """Raise ProcessLost where another process is dead: those that talked to it fail first, with an error that does not say so."""
    deadline = time.monotonic() + GRACE_S
    while pending and time.monotonic() < deadline:
        ready, pending = ray.wait(pending, num_returns=1, timeout=max(0.0, deadline - time.monotonic()))
        for ref in ready:
            with contextlib.suppress(RayTaskError):
                _result(ref, name=names[ref], doing=doing)


def _result(ref: ray.ObjectRef, *, name: str, doing: str) -> Any:
    try:
        return ray.get(ref, timeout=60)
    except RayTaskError as error:
        raise _as_raised(error) from None
    except GetTimeoutError as error:
        raise ProcessLost(f"the answer of {name} to {doing} could not be fetched within 60 s", name) from error
    except OutOfMemoryError as error:
        used = re.search(r"was (\S+ used / \S+ limit)", str(error))
        raise ProcessLost(
            f"{name} was ended during {doing} because its machine has no memory left ({used[1] if used else 'Ray watches it'}): stop what "
            f"else runs there, or lower what `lmm-r1-mega plan` shows to be large, then go on with `lmm-r1-mega resume RUN`",
            name,
        ) from None
    except RayActorError as error:
        if error.actor_init_failed:
            raise _start_failure(error, name=name) from None
        raise ProcessLost(f"{name} died during {doing}", name) from error


def _as_raised(error: RayTaskError) -> Exception:
    """The remote error itself if the user can fix it, else with the traceback of the other process."""
    is_plain = isinstance(error.cause, OSError) or exit_status(error.cause) != INTERNAL
    return error.cause if is_plain else error.as_instanceof_cause()


def _start_failure(error: RayActorError, *, name: str) -> Exception:
    """Why a process could not be made: an error to fix and no loss. Ray keeps nothing but the text of what its constructor raised."""
    reason = str(error).strip().rsplit("\n", 1)[-1]
    if reason.startswith("ValueError: "):
        return ValueError(f"{name} cannot start: {reason.removeprefix('ValueError: ')} (settings: model, rollout)")
    return RuntimeError(f"{name} cannot start: {error}")
