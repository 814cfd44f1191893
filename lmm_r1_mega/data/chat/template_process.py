"""A process that renders chats with a template that nobody trusts, by transformers' own `render_jinja_template` (5.19).

A template comes with the model and is a program: that nested loops and doubled strings come to an end cannot be told from its text, and
Jinja's sandbox keeps it from reaching out, not from working. So the kernel bounds processor time and memory of this process.

    arguments  seconds of processor time per chat, bytes of memory, characters of a rendered chat beyond four times those of its turns
    stdin      [source, variables], then per chat [messages, add_generation_prompt]
    stdout     "" or why the source is no template, then per chat {"text": ...} or {"refusal": ...}

Each line is JSON.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

from transformers.utils.chat_template_utils import render_jinja_template  # a second of imports; torch is not among them


def main() -> None:
    """Answer line after line until there are no more. Whatever takes more than is allowed ends the process."""
    cpu_s, memory_bytes, max_characters = map(int, sys.argv[1:])
    _allow_memory(memory_bytes)
    source, variables = json.loads(sys.stdin.readline())
    _allow_cpu(cpu_s)
    try:
        render_jinja_template([], chat_template=source)  # compiles it
    except MemoryError:
        raise
    except Exception as error:  # jinja's own, and whatever its compiler does not foresee
        _answer(str(error))
        return
    _answer("")
    for line in sys.stdin:
        _allow_cpu(cpu_s)
        _answer(_render(source, variables, line, max_characters=max_characters + 4 * len(line)))


def _render(source: str, variables: dict[str, str], line: str, *, max_characters: int) -> dict[str, str]:
    messages, add_generation_prompt = json.loads(line)
    try:
        [text], _ = render_jinja_template([messages], chat_template=source, add_generation_prompt=add_generation_prompt, **variables)
    except MemoryError:
        raise
    except Exception as refusal:  # a template raises what any program can raise
        return {"refusal": str(refusal) or type(refusal).__name__}
    if len(text) > max_characters:
        raise MemoryError
    return {"text": text}


def _allow_memory(num_bytes: int) -> None:
    """As many bytes of address space beyond what the imports took, which grows with the number of processors."""
    num_pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limit = num_pages * resource.getpagesize() + num_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _allow_cpu(cpu_s: int) -> None:
    """As many seconds more, at the end of which the kernel ends this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _, hard_limit = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(usage.ru_utime + usage.ru_stime) + 1 + cpu_s, hard_limit))


def _answer(answer: str | dict[str, str]) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
