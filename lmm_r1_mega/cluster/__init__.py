"""Everything that Ray does: the only package that imports it.

Ray reads how it authenticates when it is imported, so that is settled here: with the user's own token where there is one, as a
cluster that is joined wants, else with one that lives in this process's environment. A cluster without authentication is joined
with RAY_AUTH_MODE=disabled.

So is where a private cluster listens. Told 127.0.0.1, Ray takes the machine's outer address all the same and listens on every
interface, unless this machine is said to be one that clusters do not run on (2.60, `ray._private.services.get_node_ip_address`).
Whoever joins a cluster goes by the address of its nodes and does not ask. The autoscaler's figures, which everybody may read, are
given a port that cannot be opened.

Ranks and engines run at the priority of the command that started them. Ray gives its workers niceness 15, and a program that computes
beside them for nothing then has 28 times their share of the machine.
"""

import os
import secrets
from pathlib import Path

os.environ.setdefault("RAY_AUTH_MODE", "token")
_users = "RAY_AUTH_TOKEN_PATH" in os.environ or (Path.home() / ".ray" / "auth_token").is_file()  # RAY_AUTH_TOKEN would go before both
if os.environ["RAY_AUTH_MODE"] == "token" and not _users:
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
os.environ.setdefault("AUTOSCALER_METRIC_PORT", "-1")
os.environ.setdefault("RAY_worker_niceness", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
