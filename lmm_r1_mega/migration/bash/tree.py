"""Shell text as a tree. The only owner of tree-sitter, whose grammar of bash says where statements begin and end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate, pairwise

import tree_sitter
import tree_sitter_bash

INNER_KINDS = frozenset({"command_substitution", "process_substitution", "arithmetic_expansion", "array"})
"""What a word may hold that only the grammar knows the end of."""

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


def parse(text: str, *, name: str = "", inside: str = "") -> Source:
    """The tree of a text; what is no bash stands in it as nodes of the kind ERROR."""
    encoded = text.encode()
    letters = [0] * (len(encoded) + 1)
    ends = list(accumulate((len(letter.encode()) for letter in text), initial=0))
    for number, (start, end) in enumerate(pairwise(ends)):
        letters[start:end] = [number] * (end - start)
    letters[len(encoded)] = len(text)
    root = _node(tree_sitter.Parser(_LANGUAGE).parse(encoded).root_node, None, letters)
    inner = {node.start: node for node in root.walk() if node.kind in INNER_KINDS}
    broken = min(_mistakes(root, text), default=None)
    return Source(text, root, inner, broken, name, inside)


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
