"""Shell text as a tree, and where its quotes, expansions and words end.

The only owner of tree-sitter, whose grammar of bash says where statements, `$(...)` and arrays end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import tree_sitter
import tree_sitter_bash

INNER_KINDS = frozenset({"command_substitution", "process_substitution", "arithmetic_expansion", "array"})
"""What a word may hold that only the grammar knows the end of."""
Span = tuple[int, int]

_LANGUAGE = tree_sitter.Language(tree_sitter_bash.language())


@dataclass(frozen=True)
class Node:
    """A piece of the text: places are those of letters."""

    kind: str
    start: int
    end: int
    label: str | None
    """What the piece is to the one around it."""
    is_named: bool
    """False for keywords and signs."""
    children: tuple[Node, ...]

    def labelled(self, label: str) -> tuple[Node, ...]:
        """The children of a label."""
        return tuple(child for child in self.children if child.label == label)

    def walk(self) -> Iterator[Node]:
        """This node and all below it."""
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass(frozen=True)
class Source:
    """A text with its tree."""

    text: str
    root: Node
    inner: Mapping[int, Node]
    """Nodes of INNER_KINDS by where they begin."""
    broken: int | None
    """Where the first mistake of syntax is: of what stands on its line, and behind it, the tree is a guess."""
    name: str = ""
    """File that is not the script itself."""
    inside: str = ""
    """Where the text is computed, if it stands in no file."""

    def place(self, start: int) -> str:
        """Example: "line 3", or "env.sh, line 3" in another file"""
        line = f"line {self.text.count(chr(10), 0, start) + 1}"
        return self.inside or (f"{self.name}, {line}" if self.name else line)

    def of(self, node: Node) -> str:
        """The text of a node."""
        return self.text[node.start : node.end]

    def words(self, start: int, end: int, between: str = "") -> list[Span]:
        """The words between two places; blanks, comments and the letters of `between` stand between them."""
        text, spans, place = self.text, [], start
        while place < end:
            if text[place] in " \t\n" + between:
                place += 1
            elif text.startswith("\\\n", place):
                place += 2
            elif text[place] == "#":
                line = text.find("\n", place, end)
                place = end if line < 0 else line
            else:
                begin, place = place, self.word_end(place, end)
                if place == begin:
                    raise ValueError(f"simplify {text[place : place + 20]}")
                spans.append((begin, place))
        return spans

    def word_end(self, place: int, end: int, ends: str = " \t\n;|&()<>") -> int:
        """Where the word that begins here ends."""
        while place < end and (self.text[place] not in ends or (self.text[place] in "<>" and place in self.inner)):
            after = place + 1
            place = self.skipped(place)
            if self.text[after - 1] == "=" and self.text[after : after + 1] == "(" and after in self.inner:
                place = self.inner[after].end
        return place

    def closing(self, sign: str, place: int, end: int | None = None, *, quoted: bool = False) -> int:
        """Where the sign stands next, outside of quotes and expansions, or the end."""
        stop = len(self.text) + 1 if end is None else end
        while place < stop and self.text[place] != sign:
            is_quote = self.text[place] == '"' and sign == "}"
            place = self.closing('"', place + 1, quoted=True) + 1 if is_quote else self.skipped(place, quoted=quoted)
        return min(place, stop)

    def skipped(self, place: int, *, quoted: bool = False) -> int:
        """The place behind the letter, quote or expansion that begins here."""
        text = self.text
        if place in self.inner and text[place] != "(":
            return self.inner[place].end
        if text[place] == "\\":
            return place + 2
        if text[place] == "`" or (not quoted and text.startswith("$'", place)):  # inside ${...} the grammar overlooks it
            sign = text[place + (text[place] == "$")]
            return _matched(rf"\$?{sign}(?:[^{sign}\\]|\\.)*{sign}", text, place)
        if text.startswith("${", place):
            return self.closing("}", place + 2, quoted=quoted) + 1
        if not quoted and text[place] == "'":
            return _matched("'[^']*'", text, place)
        return self.closing('"', place + 1, quoted=True) + 1 if not quoted and text[place] == '"' else place + 1


def parse(text: str, *, name: str = "", inside: str = "") -> Source:
    """The tree of a text; what is no bash stands in it as nodes of the kind ERROR."""
    letters = [number for number, letter in enumerate(text) for _ in letter.encode()]
    root = _node(tree_sitter.Parser(_LANGUAGE).parse(text.encode()).root_node, None, [*letters, len(text)])
    inner = {node.start: node for node in root.walk() if node.kind in INNER_KINDS}
    return Source(text, root, inner, min(_mistakes(root, text), default=None), name, inside)


def short(text: str) -> str:
    """A piece of script on one line, for a message."""
    line = " ".join(text.split())
    return line if len(line) <= 60 else f"{line[:57]}..."


def _matched(pattern: str, text: str, place: int) -> int:
    match = re.compile(pattern, re.DOTALL).match(text, place)
    if match is None:
        raise IndexError
    return match.end()


def _mistakes(node: Node, text: str) -> Iterator[int]:
    """Where the grammar finds none of its rules; of `${...}` it only has to know the end."""
    if node.kind == "ERROR":
        yield node.start
    inside = text[node.start : node.end]
    is_whole = node.kind == "expansion" and inside.count("{") == inside.count("}") and not inside.count('"') % 2 and "'" not in inside
    for child in () if is_whole else node.children:
        yield from _mistakes(child, text)


def _node(found: tree_sitter.Node, label: str | None, letters: list[int]) -> Node:
    children = tuple(_node(child, found.field_name_for_child(number), letters) for number, child in enumerate(found.children))
    kind = "ERROR" if found.is_missing else found.type
    return Node(kind, letters[found.start_byte], letters[found.end_byte], label, found.is_named, children)
