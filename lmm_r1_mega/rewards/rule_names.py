"""The rules by name, for those that do not run them: the algebra that runs them takes 40 MB to import."""

from __future__ import annotations

from collections.abc import Mapping

RULE_NAMES = ("format", "accuracy", "iou", "point_in_box", "solved", "sokoban", "overlong", "repetition")
"""The keys of `rewards.rules.RULES`."""
COMPARE = ("accuracy", "iou", "point_in_box", "solved", "sokoban")
"""Compare with the gold answer."""


def needs_gold(weights: Mapping[str, float]) -> bool:
    """Whether a component compares with the gold answer."""
    return any(name in COMPARE for name in weights)
