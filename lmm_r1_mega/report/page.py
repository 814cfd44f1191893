"""The report as one HTML file: it works from disk, asks no other place for anything, and runs no script but its own.

Text of samples stands in it as JSON and reaches the page as text nodes only. The policy of the page (its first element) lets the
browser run and style by the two digests below, load images that the page itself holds, and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from lmm_r1_mega.record.folder import RunFolder
from lmm_r1_mega.record.jsonl import write_whole
from lmm_r1_mega.report.content import read_content
from lmm_r1_mega.report.embed import embedded

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<noscript>This report draws itself with a script of its own, which this browser does not run.</noscript>
<script type="application/json" id="content">{content}</script>
<script>{script}</script>
</body>
</html>
"""


def write_report(runs: Sequence[RunFolder], out: Path) -> None:
    """Write the report of one run, or of two side by side.

    Raises:
        BadData: a file of a run is damaged.
    """
    # A lone surrogate, which UTF-8 has not, becomes its JSON escape: it can stand only inside a string.
    write_whole(out, page(runs).encode(errors="backslashreplace"))


def page(runs: Sequence[RunFolder]) -> str:
    """The text of the report."""
    style, script = (files(__package__).joinpath(name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    allowed = {"default-src": "'none'", "script-src": _digest(script), "style-src": _digest(style), "img-src": "data:"}
    allowed |= {"base-uri": "'none'", "form-action": "'none'"}
    return PAGE.format(
        policy="; ".join(f"{what} {where}" for what, where in allowed.items()),
        title=html.escape(" and ".join(run.path.name for run in runs)),
        style=style,
        script=script,
        content=embedded(read_content(runs)),
    )


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
