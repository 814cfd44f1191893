"""The rules by name, for those that do not run them: the algebra that runs them takes 40 MB to import."""

from __future__ import annotations

from collections.abc import Mapping

RULE_NAMES = ("format", "accuracy", "iou", "point_in_box", "solved", "sokoban", "overlong", "repetition")
"""The keys of `rewards.rules.table.RULES`."""
ACCURACY_RULES = ("accuracy", "iou", "point_in_box", "solved")
"""Rules whose part is between 0 (wrong) and 1 (right), so that its mean is an accuracy."""
RIGHT = 0.5
"""Part from which a response counts as right."""


def is_right(parts: Mapping[str, float]) -> bool | None:
    """Whether a response is right by the first of its parts that is an accuracy; None when none is.

    Example: {format: 1, iou: 0.6} -> True
    """
    return next((value >= RIGHT for name, value in parts.items() if name in ACCURACY_RULES), None)


def accuracy_rule(weights: Mapping[str, float]) -> str:
    """The first component that tells right from wrong: its mean is an accuracy. Raises ValueError when there is none."""
    name = next((name for name in weights if name in ACCURACY_RULES), None)
    if name is None:
        raise ValueError(
            f"evaluation needs one of {', '.join(ACCURACY_RULES)} in reward.weights, which has {', '.join(weights)}, "
            f"fix: add it, with weight 0 if it shall not pay"
        )
    return name
