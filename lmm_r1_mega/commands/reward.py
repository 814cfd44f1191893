"""`lmm-r1-mega reward try FILE [--json] ...` and `lmm-r1-mega reward serve [--host H] [--port P] [--response-after TEXT] ...`"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lmm_r1_mega.commands.arguments import take_flag, take_positional, take_value
from lmm_r1_mega.commands.verbs import VERBS
from lmm_r1_mega.config.reading import read_config
from lmm_r1_mega.errors import DONE, BadData
from lmm_r1_mega.rewards.golds import counted
from lmm_r1_mega.rewards.remote.questions import CHAT_TURN
from lmm_r1_mega.rewards.remote.reward_servers import TOKEN_VARIABLE
from lmm_r1_mega.rewards.remote.serve import RewardServer, check_is_local, serve
from lmm_r1_mega.rewards.try_file import try_file
from lmm_r1_mega.rewards.workers.pool import RewardPool


def run(arguments: list[str]) -> int:
    """Print what the rewards pay for each row of a file, or pay whoever asks over HTTP."""
    actions = {"try": _try, "serve": _serve}
    if not arguments or arguments[0] not in actions:
        raise ValueError(VERBS["reward"].usage)
    return actions[arguments[0]](arguments[1:])


def _try(arguments: list[str]) -> int:
    """A table, or with --json one line per row. Raises: BadData when no row has a reward."""
    as_json, rest = take_flag(arguments, "--json")
    (file,), rest = take_positional(rest, 1, verb="reward")
    rows = list(try_file(Path(file), read_config(rest).reward))
    if as_json:
        for row in rows:
            print(json.dumps(row))
    else:
        Console().print(_table(rows))
    reasons = Counter(row["invalid"] for row in rows if row["invalid"])
    if reasons.total() == len(rows):
        raise BadData(f"none of {len(rows)} responses of {file} has a reward ({counted(reasons)})")
    return DONE


def _serve(arguments: list[str]) -> int:
    """Until SIGTERM or SIGINT."""
    host, rest = take_value(arguments, "--host")
    port, rest = take_value(rest, "--port")
    opening, rest = take_value(rest, "--response-after")
    settings = read_config(rest).reward
    check_is_local(settings)
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    server = _server(host or "127.0.0.1", port or "5000", token=token, opening=opening or CHAT_TURN)
    with RewardPool(settings) as pool:
        serve(server, pool)
    return DONE


def _server(host: str, port: str, *, token: str, opening: str) -> RewardServer:
    if not (port.isascii() and port.isdigit() and int(port) < 2**16):
        raise ValueError(f"--port {port} is no port, fix: give a number below 65536, 0 for a free one")
    try:
        return RewardServer(host, int(port), token=token, opening=opening)
    except OSError as error:
        raise ValueError(f"{host}:{port} cannot be served ({error.strerror}), fix: choose another --host or --port") from None


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table("row", "reward", "parts", "invalid, or why not right", box=None)
    for number, row in enumerate(rows, start=1):
        parts = ", ".join(f"{name} {value:g}" for name, value in row["parts"].items())
        table.add_row(
            str(number), "-" if row["reward"] is None else f"{row['reward']:g}", parts, Text(row["invalid"] or row.get("why", ""))
        )
    return table
