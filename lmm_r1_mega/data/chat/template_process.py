"""A process that writes chats by a template that nobody trusts: what it may take of processor and memory is the kernel's to see.

A template comes with the model and is a program: that loops in loops and doubled strings have an end cannot be told from its text, and
Jinja's sandbox keeps it from reaching out, not from working. The only owner of jinja2, which it sets up as transformers 5.19 does.

    stdin   [source, variables], then for each chat [messages, opens_answer]
    stdout  "" or why the source is no template, then for each chat {"text": ...} or {"refusal": ...}

Each is a line of JSON.
"""

from __future__ import annotations

import json
import resource
import sys
from datetime import datetime
from typing import Any, NoReturn

from jinja2 import Template, TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

CPU_S = 2
"""Processor time for one chat, and for reading the template."""
MEMORY_BYTES = 2**29
"""Address space of the process."""
MAX_CHARACTERS = 2**16
"""Of a chat that was written, beyond four times those of its turns."""


def main() -> None:
    """Answer line after line until there are no more. Whoever takes more than is allowed ends the process."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    source, variables = json.loads(sys.stdin.readline())
    _allow_cpu()
    try:
        template = environment().from_string(source)
    except (TemplateError, RecursionError) as error:
        _answer(str(error))
        return
    _answer("")
    for line in sys.stdin:
        messages, opens_answer = json.loads(line)
        given = {"messages": messages, "tools": None, "documents": None, "add_generation_prompt": opens_answer}
        _answer(_written(template, given | variables, most=MAX_CHARACTERS + 4 * len(line)))


def _written(template: Template, given: dict[str, Any], *, most: int) -> dict[str, str]:
    _allow_cpu()
    try:
        text = template.render(given)
    except MemoryError:
        raise
    except Exception as refusal:  # a template raises what any program can raise
        return {"refusal": str(refusal) or type(refusal).__name__}
    if len(text) > most:
        raise MemoryError
    return {"text": text}


def _allow_cpu() -> None:
    """`CPU_S` more seconds, at the end of which the kernel ends this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + 1 + CPU_S, most))


def _answer(found: str | dict[str, str]) -> None:
    print(json.dumps(found), flush=True)


def environment() -> ImmutableSandboxedEnvironment:
    """What templates of models are written for; the sandbox lets them only write text."""
    made = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _Generation])
    made.filters["tojson"] = _as_json
    made.globals["raise_exception"] = _refuse
    made.globals["strftime_now"] = _now
    return made


class _Generation(Extension):
    """`{% generation %}` marks the assistant's words for those who train on them; here it changes nothing."""

    tags = {"generation"}  # noqa: RUF012 (as jinja declares it)

    def parse(self, parser: Parser) -> nodes.Node:
        """The statements inside the mark."""
        line = next(parser.stream).lineno
        return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line)


def _as_json(value: Any, ensure_ascii: bool = False, **style: Any) -> str:
    """Without jinja's own, which writes letters of HTML otherwise."""
    return json.dumps(value, ensure_ascii=ensure_ascii, **style)


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)


def _now(form: str) -> str:
    return datetime.now().strftime(form)


if __name__ == "__main__":
    main()
