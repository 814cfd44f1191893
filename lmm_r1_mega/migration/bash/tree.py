"""Shell text as a tree, and where its words, quotes and expansions end.

The only owner of tree-sitter: its grammar of bash says where statements, `$(...)` and arrays end. Words are scanned here, because the
grammar errs inside `${...}`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import tree_sitter_bash
from tree_sitter import Language, Parser, Query, QueryCursor
from tree_sitter import Node as Node

Span = tuple[int, int]

_LANGUAGE = Language(tree_sitter_bash.language())
_QUERY = Query(
    _LANGUAGE,
    "[(command_substitution) (process_substitution) (arithmetic_expansion) (array)] @inner [(ERROR) (MISSING)] @mistake",
)


@dataclass(frozen=True)
class Source:
    """A text with its tree."""

    text: str
    root: Node
    inner: Mapping[int, Node]
    """What a word may hold that only the grammar knows the end of, by where it begins: `$(...)`, `<(...)`, `$((...))` and arrays."""
    broken: int | None
    """Where the first syntax error is: the tree is a guess from its line on."""
    name: str = ""
    """File that is not the script itself."""
    inside: str = ""
    """Where the text is computed, if it stands in no file."""

    def position(self, index: int) -> str:
        """Example: "line 3", or "env.sh, line 3" in another file"""
        line = f"line {self.text.count(chr(10), 0, index) + 1}"
        return self.inside or (f"{self.name}, {line}" if self.name else line)

    def of(self, node: Node) -> str:
        """The text of a node."""
        return self.text[node.start_byte : node.end_byte]

    def next_word(self, index: int, end: int, between: str = "") -> int:
        """Where the next word begins, or the end; blanks, comments and the letters of `between` stand before it."""
        blank = re.compile(rf"(?:[ \t\n{re.escape(between)}]|\\\n|#[^\n]*)*")
        match = blank.match(self.text, index, end)
        return match.end() if match else index

    def words(self, start: int, end: int, between: str = "") -> list[Span]:
        """All words of a part of the text."""
        spans: list[Span] = []
        index = self.next_word(start, end, between)
        while index < end:
            begin, index = index, self.word_end(index, end)
            spans.append((begin, index))
            index = self.next_word(index, end, between)
        return spans

    def word_end(self, start: int, end: int, ends: str = " \t\n;|&()<>") -> int:
        """Where the word that begins here ends."""
        text, index = self.text, start
        while index < end and (text[index] not in ends or (text[index] in "<>" and index in self.inner)):
            is_array = text.startswith("=(", index) and index + 1 in self.inner
            index = self.inner[index + 1].end_byte if is_array else self.skip(index)
        if index == start:
            raise ValueError(f"simplify {text[start : start + 20]}")
        return index

    def closing(self, sign: str, index: int, end: int | None = None, *, quoted: bool = False) -> int:
        """Where the sign stands next, outside of quotes and expansions, or the end."""
        stop = len(self.text) + 1 if end is None else end
        while index < stop and self.text[index] != sign:
            is_quote = self.text[index] == '"' and sign == "}"
            index = self.closing('"', index + 1, quoted=True) + 1 if is_quote else self.skip(index, quoted=quoted)
        return min(index, stop)

    def skip(self, index: int, *, quoted: bool = False) -> int:
        """The index behind the letter, quote or expansion that begins here."""
        text = self.text
        if index in self.inner and text[index] != "(":
            return self.inner[index].end_byte
        if text[index] == "\\":
            return index + 2
        if text[index] == "`" or (not quoted and text.startswith(("'", "$'"), index)):
            sign = text[index + (text[index] == "$")]
            inside = "[^']" if text[index] == "'" else rf"(?:[^{sign}\\]|\\.)"
            match = re.compile(rf"\$?{sign}{inside}*{sign}", re.DOTALL).match(text, index)
            if match is None:
                raise IndexError
            return match.end()
        if text.startswith("${", index):
            return self.closing("}", index + 2, quoted=quoted) + 1
        return self.closing('"', index + 1, quoted=True) + 1 if not quoted and text[index] == '"' else index + 1


def parse(text: str, *, name: str = "", inside: str = "") -> Source:
    """The tree of a text; what is no bash stands in it as errors."""
    one_byte_each = re.sub(r"[^\x00-\x7f]", ".", text)  # so that the grammar's offsets are those of the text
    root = Parser(_LANGUAGE).parse(one_byte_each.encode()).root_node
    captures = QueryCursor(_QUERY).captures(root)
    inner = {node.start_byte: node for node in captures.get("inner", ())}
    mistakes = [node.start_byte for node in captures.get("mistake", ()) if not _is_in_braces(node, text)]
    return Source(text, root, inner, min(mistakes, default=None), name, inside)


def _is_in_braces(node: Node, text: str) -> bool:
    """Whether a mistake stands inside a `${...}` of which only the end has to be known, and that is known."""
    outer = node.parent
    while outer is not None:
        inside = text[outer.start_byte : outer.end_byte]
        is_whole = inside.count("{") == inside.count("}") and not inside.count('"') % 2 and "'" not in inside
        if outer.type == "expansion" and is_whole:
            return True
        outer = outer.parent
    return False


def short(text: str) -> str:
    """A piece of script on one line, for a message."""
    line = " ".join(text.split())
    return line if len(line) <= 60 else f"{line[:57]}..."
