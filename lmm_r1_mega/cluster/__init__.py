"""Everything that Ray does: the only package that imports it.

Ray reads how it authenticates when it is imported, so that is settled here: with a token that lives in this process's
environment, unless the user's environment says otherwise (a cluster without authentication is joined with RAY_AUTH_MODE=disabled).
"""

import os
import secrets

os.environ.setdefault("RAY_AUTH_MODE", "token")
if os.environ["RAY_AUTH_MODE"] == "token":
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
