"""A model's chat template: turns to text, by a process of limited means (`template_process`)."""

from __future__ import annotations

import json
import subprocess
import sys
import weakref
from collections.abc import Mapping
from collections.abc import Sequence as Items
from typing import Any

from lmm_r1_mega.data.chat.messages import Turn
from lmm_r1_mega.errors import BadData

_ANSWER = "Forty-two."
_CPU_S = 2  # per chat, and for reading the template
_MEMORY_BYTES = 2**29  # address space of the process beyond what it has at start
_MAX_CHARACTERS = 2**16  # of a rendered chat, beyond four times those of its turns


class ChatTemplate:
    """Writes turns as the model is used to reading them, for one thread at a time."""

    def __init__(self, source: str, variables: Mapping[str, str]) -> None:
        """`variables` are what the template may name beside the turns: `eos_token` and the like.

        Raises: BadData if the source is no template, or one without end.
        """
        limits = map(str, (_CPU_S, _MEMORY_BYTES, _MAX_CHARACTERS))
        command = [sys.executable, "-P", "-m", "lmm_r1_mega.data.chat.template_process", *limits]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        weakref.finalize(self, _end, self._process)
        problem = self._ask([source, dict(variables)])
        if problem:
            raise BadData(f"the model's chat template cannot be read ({problem}): copy it again")

    def render(self, turns: Items[Turn], *, demonstration: str | None = None) -> tuple[str, str]:
        """Text of the prompt, and the text that the template writes after it for the assistant's answer.

        Raises: ValueError if the template refuses the turns, or writes the prompt of an answered chat differently, BadData if it does
        not come to an end.
        """
        messages = [{"role": turn.role, "content": _content(turn)} for turn in turns]
        prompt = self._render(messages, add_generation_prompt=True)
        if demonstration is None:
            return prompt, ""
        whole = self._render([*messages, {"role": "assistant", "content": demonstration}], add_generation_prompt=False)
        if not whole.startswith(prompt):
            raise ValueError("the chat template writes the prompt of an answered chat differently from an open one")
        return prompt, whole[len(prompt) :]

    def after_answer(self) -> str:
        """What the template writes after an answer; nothing if it does not take a chat of a question and its answer."""
        chat = [{"role": "user", "content": "question"}, {"role": "assistant", "content": _ANSWER}]
        answer = self._ask([chat, False])
        _, separator, after = answer.get("text", "").rpartition(_ANSWER)
        return after if separator else ""

    def _render(self, messages: list[dict[str, Any]], *, add_generation_prompt: bool) -> str:
        answer = self._ask([messages, add_generation_prompt])
        if "refusal" in answer:
            raise ValueError(f"the chat template refuses the turns: {answer['refusal']}")
        return answer["text"]

    def _ask(self, question: list[Any]) -> Any:
        """The process's answer. Raises: BadData if it was ended instead."""
        assert self._process.stdin and self._process.stdout
        try:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise BadData(
                f"the model's chat template does not come to an end: it takes more than {_CPU_S} s of processor time, "
                f"{_MEMORY_BYTES // 2**20} MiB of memory or {_MAX_CHARACTERS} characters for a chat; correct it in the folder of model.path"
            )
        return json.loads(answer)


def _end(process: subprocess.Popen[str]) -> None:
    process.communicate()


def _content(turn: Turn) -> str | list[dict[str, str]]:
    """A string if there is no image, as templates of text models want it."""
    if not turn.num_images:
        return turn.text
    return [{"type": "image"} if part is None else {"type": "text", "text": part} for part in turn.parts]
