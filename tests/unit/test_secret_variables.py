"""Which variables hold secrets, and texts without them."""

from base64 import b64encode

import pytest

from lmm_r1_mega.cli import _report, main
from lmm_r1_mega.errors import INTERNAL, USAGE
from lmm_r1_mega.process.secret_variables import is_secret, redacted, without_secrets

SECRET = [
    *("LMM_R1_REWARD_TOKEN", "LMM_R1_JUDGE_KEY", "RAY_AUTH_TOKEN", "WANDB_API_KEY", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"),
    *("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "PGPASSWORD", "GOOGLE_APPLICATION_CREDENTIALS", "SSH_AUTH_SOCK", "openai_api_key"),
]
PLAIN = ["PATH", "HOME", "TOKENIZERS_PARALLELISM", "CUDA_VISIBLE_DEVICES", "MONKEYPATCH", "WANDB_MODE", "RAY_ADDRESS", "AUTHOR", "KEYBOARD"]


@pytest.mark.parametrize("name", SECRET)
def test_secrets_are_told_by_their_name(name):
    assert is_secret(name)


@pytest.mark.parametrize("name", PLAIN)
def test_other_variables_are_left(name):
    assert not is_secret(name)
    assert without_secrets({name: "a", "HF_TOKEN": "b"}) == {name: "a"}


@pytest.mark.parametrize("spell", [str, repr, ascii, lambda text: repr(text.encode()), lambda text: text.splitlines()[0]])
@pytest.mark.parametrize(
    "value", ["sk-0123456789", "sk-0123456789\n", "sk-0123456789\nX: hunter2hunter2", "sk-0123456789\x00\xe9rest-of-it"]
)
def test_no_spelling_of_a_secret_stays(spell, value):
    text = redacted(f"Invalid header value {spell(value)}, see WANDB_API_KEY", {"WANDB_API_KEY": value, "HOME": "header"})
    assert "0123456789" not in text and "hunter2hunter2" not in text and "rest-of-it" not in text
    assert text.startswith("Invalid header value") and "[WANDB_API_KEY]" in text


@pytest.mark.parametrize("before", ["", "u", "me", "api:", "user:"])
@pytest.mark.parametrize("after", ["", ":", ":x", "\n\n\n"])
def test_a_key_in_a_header_of_basic_authentication_is_taken_out(before, after):
    """Of the three letters at each side that it shares with its neighbors a key cannot be made."""
    key = "0123456789abcdef0123456789ABCDEF01234567"
    encoded = b64encode(f"{before}{key}{after}".encode()).decode()
    left = redacted(f"Authorization: Basic {encoded}.", {"WANDB_API_KEY": key})
    assert left.startswith("Authorization: Basic ") and left.endswith(".") and "[WANDB_API_KEY]" in left
    assert len(left) - len("Authorization: Basic [WANDB_API_KEY].") <= len(b64encode(f"{before}{after}".encode())) + 4


def test_short_words_are_no_secrets():
    assert redacted("mode token", {"RAY_AUTH_MODE": "token"}) == "mode token"


@pytest.mark.parametrize("key", ["sk-0123456789", "sk-0123456789\nX-Header: hunter2hunter2", "sk-0123456789\r\n\x7f"])
def test_the_command_line_echoes_no_key(key, monkeypatch, capsys):
    monkeypatch.setenv("LMM_R1_REWARD_TOKEN", key)
    assert main(["reward", "try", f"{key}.jsonl"]) == USAGE
    told = "".join(capsys.readouterr())
    assert "[LMM_R1_REWARD_TOKEN]" in told and "0123456789" not in told and "hunter2" not in told


def test_a_traceback_echoes_no_key(monkeypatch, capsys):
    monkeypatch.setenv("WANDB_API_KEY", "sk-0123456789")
    assert _report(RuntimeError("Invalid header value b'Bearer sk-0123456789'")) == INTERNAL
    told = capsys.readouterr().err
    assert "Traceback" in told or "RuntimeError" in told
    assert "[WANDB_API_KEY]" in told and "0123456789" not in told
