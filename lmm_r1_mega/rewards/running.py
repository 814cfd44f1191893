"""Running mean and standard deviation of what reward models say, so that their scale does not matter."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

SMALLEST_DEVIATION = 1e-6


@dataclass(frozen=True)
class Moments:
    """Of all values so far (Welford 1962): their number, mean, and sum of squared distances from the mean."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def with_value(self, value: float) -> Moments:
        """One value more.

        Example: 1.0, 2.0 and 6.0 in turn -> count 3, mean 3.0, squares 14.0
        """
        count = self.count + 1
        mean = self.mean + (value - self.mean) / count
        return Moments(count, mean, self.squares + (value - self.mean) * (value - mean))

    @property
    def deviation(self) -> float:
        """Standard deviation with the unbiased variance; 1 before the second value and for values that are all equal."""
        if self.count < 2:
            return 1.0
        deviation = math.sqrt(self.squares / (self.count - 1))
        return deviation if deviation > SMALLEST_DEVIATION else 1.0


class RunningScales:
    """Moments of several components over a run; `state` and `restore` carry them through a checkpoint bit by bit."""

    def __init__(self) -> None:
        self._moments: dict[str, Moments] = {}

    def add(self, name: str, values: Iterable[float]) -> None:
        """Count a step's values."""
        moments = self._moments.get(name, Moments())
        for value in values:
            moments = moments.with_value(value)
        self._moments[name] = moments

    def scaled(self, name: str, value: float) -> float:
        """The value less the mean, divided by the deviation."""
        moments = self._moments.get(name, Moments())
        return (value - moments.mean) / moments.deviation

    def state(self) -> dict[str, Any]:
        """Everything as JSON, in which Python's floats come back exactly."""
        return {name: asdict(moments) for name, moments in self._moments.items()}

    def restore(self, state: dict[str, Any]) -> None:
        """Inverse of `state`."""
        self._moments = {name: Moments(**fields) for name, fields in state.items()}
