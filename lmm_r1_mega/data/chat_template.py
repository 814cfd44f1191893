"""A model's chat template: turns to text. The only owner of jinja2, which it sets up as transformers 5.19 does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from collections.abc import Sequence as Items
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from lmm_r1_mega.data.chat import Turn
from lmm_r1_mega.data.model_files import read_settings
from lmm_r1_mega.errors import BadData

_FILE = "chat_template.jinja"


class ChatTemplate:
    """Writes turns as the model is used to reading them."""

    def __init__(self, source: str, variables: Mapping[str, str]) -> None:
        """`variables` are what the template may name beside the turns: `eos_token` and the like.

        Raises: BadData where the source is no template.
        """
        try:
            self._template = _environment().from_string(source)
        except TemplateError as error:
            raise BadData(f"the model's chat template cannot be read ({error}): copy it again") from error
        self._variables = dict(variables)

    @classmethod
    def load(cls, folder: Path, variables: Mapping[str, str]) -> ChatTemplate:
        """Find and read the template of a model folder.

        A `chat_template.json`, which transformers 4 wrote for the whole processor, goes before the template in
        `tokenizer_config.json`, which in Qwen2.5-VL knows no images.

        Raises: ValueError where there is none, BadData where it is broken.
        """
        if (folder / _FILE).is_file():
            return cls((folder / _FILE).read_text(encoding="utf-8"), variables)
        named = [read_settings(folder, name).get("chat_template") for name in ("chat_template.json", "tokenizer_config.json")]
        source = next((_default(found) for found in named if found is not None), None)
        if source is None:
            raise ValueError(f"model.path {folder} has a tokenizer without a chat template: add {_FILE}")
        return cls(source, variables)

    def render(self, turns: Items[Turn], *, demonstration: str | None = None) -> tuple[str, str]:
        """Text of the prompt, and the text that the template writes after it for the assistant's answer.

        Raises: ValueError where the template refuses the turns, or writes the prompt of an answered chat differently.
        """
        messages = [{"role": turn.role, "content": _content(turn)} for turn in turns]
        prompt = self._write(messages, opens_answer=True)
        if demonstration is None:
            return prompt, ""
        whole = self._write([*messages, {"role": "assistant", "content": demonstration}], opens_answer=False)
        if not whole.startswith(prompt):
            raise ValueError("the chat template writes the prompt of an answered chat differently from an open one")
        return prompt, whole[len(prompt) :]

    def _write(self, messages: list[dict[str, Any]], *, opens_answer: bool) -> str:
        given = {"messages": messages, "tools": None, "documents": None, "add_generation_prompt": opens_answer}
        try:
            return self._template.render(given | self._variables)
        except TemplateError as error:
            raise ValueError(f"the chat template refuses the turns: {error}") from error


def _default(found: str | list[dict[str, str]]) -> str | None:
    """The template itself, or the one named `default` of several."""
    return found if isinstance(found, str) else {one["name"]: one["template"] for one in found}.get("default")


def _content(turn: Turn) -> str | list[dict[str, str]]:
    """A string where there is no image, as templates of text models want it."""
    if not turn.num_images:
        return turn.text
    return [{"type": "image"} if part is None else {"type": "text", "text": part} for part in turn.parts]


def _environment() -> ImmutableSandboxedEnvironment:
    """What templates of models are written for. They come with the model and are not trusted: the sandbox lets them only write text."""
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _Generation])
    environment.filters["tojson"] = _as_json
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = _now
    return environment


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
