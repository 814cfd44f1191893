"""Settings that had another name in an earlier version."""

RENAMED = {
    "layout.row_tokens": "layout.max_tokens_per_microbatch",
    "rollout.ahead": "rollout.max_staleness",
    "algorithm.kl.place": "algorithm.kl.apply_to",
    "critic.normalise_returns": "critic.normalize_returns",
}
"""Old name -> name of today. An old one is an error, but in the folder of a run that `resume` goes on with."""
