"""Everything that Ray does: the only package that imports it.

Ray reads how it authenticates when it is imported, so that is settled here: with the user's own token where there is one, as a
cluster that is joined wants, else with one that lives in this process's environment. A cluster without authentication is joined
with RAY_AUTH_MODE=disabled.
"""

import os
import secrets
from pathlib import Path

os.environ.setdefault("RAY_AUTH_MODE", "token")
_users = "RAY_AUTH_TOKEN_PATH" in os.environ or (Path.home() / ".ray" / "auth_token").is_file()  # RAY_AUTH_TOKEN would go before both
if os.environ["RAY_AUTH_MODE"] == "token" and not _users:
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
