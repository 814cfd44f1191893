"""Where the words of a command begin and end in its text."""

from __future__ import annotations

import re
from collections.abc import Sequence

from lmm_r1_mega.migration.bash.scan import Scanner, Span, counters
from lmm_r1_mega.migration.bash.tree import Node, Source

_SETTERS = re.compile(r"\b(?:read|mapfile|readarray|getopts|printf -v)\b[^\n;|&]*")


def raw_words(source: Source, node: Node, skipped: Sequence[Node], scanner: Scanner) -> list[list[Span]]:
    """The words of each command in a node, redirections left out: a line that is not continued ends a command."""
    commands: list[list[Span]] = [[]]
    place = node.start
    for start, end in [*((one.start, _end_of(one)) for one in skipped), (node.end, node.end)]:
        for span in scanner.words(place, start):
            if commands[-1] and _breaks(source.text[commands[-1][-1][1] : span[0]]):
                commands.append([])
            commands[-1].append(span)
        place = end
    return [command for command in commands if command]


def _end_of(redirect: Node) -> int:
    """The grammar takes words behind `> file` for more files."""
    targets = redirect.labelled("destination")
    return targets[0].end if redirect.kind == "file_redirect" and targets else redirect.end


def _breaks(text: str) -> bool:
    return "\n" in re.sub(r"\\\n", "", text)


def assigned_names(source: Source, node: Node) -> set[str]:
    """Variables that a piece of script may set."""
    names = set()
    for inner in node.walk():
        if inner.kind == "variable_assignment" or (inner.kind in ("for_statement", "declaration_command") and inner.children):
            names |= {
                source.of(child).split("[")[0]
                for child in inner.children
                if child.label in ("name", "variable") or child.kind == "variable_name"
            }
        if inner.kind in ("c_style_for_statement", "compound_statement", "arithmetic_expansion"):
            names |= counters(source.of(inner))
    for call in _SETTERS.findall(source.of(node)):
        names |= {word for word in re.findall(r"(?<![-\w$])[A-Za-z_]\w*", call)} - {"read", "mapfile", "readarray", "getopts", "printf"}
    return names


def short(text: str) -> str:
    """A piece of script on one line, for a message."""
    line = " ".join(text.split())
    return line if len(line) <= 60 else f"{line[:57]}..."
