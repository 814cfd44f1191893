"""A model's chat template: turns to text, by a process of limited means (`data.template_process`)."""

from __future__ import annotations

import json
import subprocess
import sys
import weakref
from collections.abc import Mapping
from collections.abc import Sequence as Items
from pathlib import Path
from typing import Any

from lmm_r1_mega.data.chat.messages import Turn
from lmm_r1_mega.data.chat.model_files import read_settings
from lmm_r1_mega.data.chat.template_process import CPU_S, MAX_CHARACTERS, MEMORY_BYTES
from lmm_r1_mega.errors import BadData

_FILE = "chat_template.jinja"
_ANSWER = "Forty-two."


class ChatTemplate:
    """Writes turns as the model is used to reading them, for one thread at a time."""

    def __init__(self, source: str, variables: Mapping[str, str]) -> None:
        """`variables` are what the template may name beside the turns: `eos_token` and the like.

        Raises: BadData where the source is no template, or one without end.
        """
        command = [sys.executable, "-P", "-m", "lmm_r1_mega.data.chat.template_process"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        weakref.finalize(self, _end, self._process)
        problem = self._ask([source, dict(variables)])
        if problem:
            raise BadData(f"the model's chat template cannot be read ({problem}): copy it again")

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

        Raises: ValueError where the template refuses the turns, or writes the prompt of an answered chat differently, BadData where it
        does not come to an end.
        """
        messages = [{"role": turn.role, "content": _content(turn)} for turn in turns]
        prompt = self._write(messages, opens_answer=True)
        if demonstration is None:
            return prompt, ""
        whole = self._write([*messages, {"role": "assistant", "content": demonstration}], opens_answer=False)
        if not whole.startswith(prompt):
            raise ValueError("the chat template writes the prompt of an answered chat differently from an open one")
        return prompt, whole[len(prompt) :]

    def after_answer(self) -> str:
        """What the template writes after an answer; nothing where it does not take a chat of a question and its answer."""
        chat = [{"role": "user", "content": "question"}, {"role": "assistant", "content": _ANSWER}]
        answer = self._ask([chat, False])
        _, found, after = answer.get("text", "").rpartition(_ANSWER)
        return after if found else ""

    def _write(self, messages: list[dict[str, Any]], *, opens_answer: bool) -> str:
        answer = self._ask([messages, opens_answer])
        if "refusal" in answer:
            raise ValueError(f"the chat template refuses the turns: {answer['refusal']}")
        return answer["text"]

    def _ask(self, question: list[Any]) -> Any:
        """The process's answer. Raises: BadData where it was ended instead."""
        assert self._process.stdin and self._process.stdout
        try:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise BadData(
                f"the model's chat template does not come to an end: it takes more than {CPU_S} s of processor time, "
                f"{MEMORY_BYTES // 2**20} MiB of memory or {MAX_CHARACTERS} characters for a chat; correct it in the folder of model.path"
            )
        return json.loads(answer)


def _end(process: subprocess.Popen[str]) -> None:
    process.communicate()


def _default(found: str | list[dict[str, str]]) -> str | None:
    """The template itself, or the one named `default` of several."""
    return found if isinstance(found, str) else {one["name"]: one["template"] for one in found}.get("default")


def _content(turn: Turn) -> str | list[dict[str, str]]:
    """A string where there is no image, as templates of text models want it."""
    if not turn.num_images:
        return turn.text
    return [{"type": "image"} if part is None else {"type": "text", "text": part} for part in turn.parts]
