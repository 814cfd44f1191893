"""Waiting for remote calls: always with a deadline, and with errors that say which process failed at what."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayTaskError

from lmm_r1_mega.errors import ProcessLost


def wait_all(calls: Mapping[str, ray.ObjectRef], *, doing: str, timeout_s: float) -> dict[str, Any]:
    """Results of remote calls by the name of their process; the first failure is raised at once, whoever else still works.

    Raises:
        ProcessLost: a process died, or `timeout_s` passed.
        Exception: what the remote code raised, as it was raised there.
    """
    deadline = time.monotonic() + timeout_s
    names = {ref: name for name, ref in calls.items()}
    pending, results = list(names), {}
    while pending:
        ready, pending = ray.wait(pending, num_returns=1, timeout=max(0.0, deadline - time.monotonic()))
        if not ready:
            late = ", ".join(sorted(names[ref] for ref in pending))
            raise ProcessLost(f"{late} did not finish {doing} within {timeout_s:.0f} s: raise cluster.step_timeout_s, or look for a hang")
        results[names[ready[0]]] = _result(ready[0], name=names[ready[0]], doing=doing)
    return {name: results[name] for name in calls}


def _result(ref: ray.ObjectRef, *, name: str, doing: str) -> Any:
    try:
        return ray.get(ref, timeout=60)
    except RayTaskError as error:
        raise error.as_instanceof_cause() from None
    except GetTimeoutError as error:
        raise ProcessLost(f"the answer of {name} to {doing} could not be fetched within 60 s") from error
    except RayActorError as error:
        raise ProcessLost(f"{name} died during {doing}: go on from the last checkpoint with `lmm-r1-mega resume RUN`\n{error}") from None
