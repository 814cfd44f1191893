"""Kinds of statements in the grammar, and what follows each."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lmm_r1_mega.migration.bash import branches, commands, loops
from lmm_r1_mega.migration.bash.conditions import Truth
from lmm_r1_mega.migration.bash.interpreter import Interpreter
from lmm_r1_mega.migration.bash.state import Shell
from lmm_r1_mega.migration.bash.tree import Node, Source

HANDLERS: Mapping[str, Callable[[Interpreter, Source, Node, Shell], Truth]] = {
    "command": commands.commands,
    "variable_assignment": commands.commands,
    "variable_assignments": commands.commands,
    "declaration_command": commands.commands,
    "unset_command": commands.commands,
    "redirected_statement": commands.redirected,
    "list": branches.list_,
    "negated_command": branches.not_,
    "pipeline": branches.pipeline,
    "subshell": branches.subshell,
    "compound_statement": branches.group,
    "do_group": branches.group,
    "test_command": branches.test,
    "if_statement": branches.if_,
    "case_statement": branches.case,
    "function_definition": branches.define,
    "for_statement": loops.for_,
    "while_statement": loops.while_,
    "c_style_for_statement": loops.c_for,
}
