"""With which token Ray authenticates."""

import os
import subprocess
import sys

PRINT_TOKEN = "import os, lmm_r1_mega.cluster; print(os.environ.get('RAY_AUTH_TOKEN', ''))"


def token_in(**environment: str) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH_")}
    command = [sys.executable, "-c", PRINT_TOKEN]
    return subprocess.run(command, env={**clean, **environment}, capture_output=True, text=True, check=True).stdout.strip()


def test_a_user_without_a_token_gets_a_new_one_each_time(tmp_path):
    found = {token_in(HOME=str(tmp_path)) for _ in range(2)}
    assert len(found) == 2 and {len(token) for token in found} == {64}


def test_the_users_own_token_is_left_to_ray(tmp_path):
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("a" * 64)
    assert token_in(HOME=str(tmp_path)) == ""
    assert token_in(HOME="/nonexistent", RAY_AUTH_TOKEN_PATH=str(tmp_path / ".ray" / "auth_token")) == ""
    assert token_in(HOME=str(tmp_path), RAY_AUTH_TOKEN="mine") == "mine"
