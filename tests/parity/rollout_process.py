"""A rollout engine in a process of its own, as in a run, and the same model in transformers to compare it with."""

from __future__ import annotations

import multiprocessing
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lmm_r1_mega.config import RolloutSettings
from lmm_r1_mega.data.chat.processor import Processor
from lmm_r1_mega.data.images.patches import as_pil_images
from lmm_r1_mega.rollout.sampling import Sampling
from lmm_r1_mega.schema import Completion, Prompt

SETTINGS = RolloutSettings(max_response_tokens=32, kv_cache_gib=0.1)
MAX_PROMPT_TOKENS = 96


def text_prompt(processor: Processor) -> Prompt:
    """A prompt without images."""
    text = "<|im_start|>user\nWhat is 7 + 2 + 8 ?<|im_end|>\n<|im_start|>assistant\n"
    ids = tuple(processor.encode([text])[0])
    return Prompt(id="test:text", source="test", text=text, token_ids=ids, expanded_ids=ids, images=None, answer=None)


class EngineProcess:
    """Calls on a `RolloutEngine` in a child process; an error there is raised here."""

    def __init__(self, model: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(model, theirs), daemon=True)
        self._process.start()
        theirs.close()
        self._answer()

    def __getattr__(self, method: str) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            self._connection.send((method, arguments, named))
            return self._answer()

        return call

    def shared_files(self) -> list[Path]:
        """Named shared memory that the process has mapped."""
        lines = Path(f"/proc/{self._process.pid}/maps").read_text(encoding="utf-8").splitlines()
        return [Path(line.split(maxsplit=5)[5].removesuffix(" (deleted)")) for line in lines if "/dev/shm/" in line]

    def end(self) -> int | None:
        """Exit code of the process after an orderly end."""
        self._connection.send(None)
        self._process.join(30)
        code = self._process.exitcode
        self._process.kill()
        return code

    def _answer(self) -> Any:
        result, error = self._connection.recv()
        if error is not None:
            raise error
        return result


def _reset_during_a_request(engine: Any, prompt: Prompt) -> None:
    """`reset_caches` while vLLM computes a request, which ends afterwards."""
    vllm, backend = engine._llm.llm_engine, engine._backend
    params = backend.sampling_params(Sampling(max_response_tokens=24), samples=1, seed=0, processor=engine._processor)
    vllm.add_request("under way", backend.request(prompt, merge_size=2), params)
    vllm.step()
    try:
        backend.reset_caches(engine._llm)
    finally:
        vllm.abort_request(["under way"])


def _packed_layers(engine: Any) -> list[str]:
    """Layers of the embedding's kind that hold a packed copy of their weights."""
    kinds = ("VocabParallelEmbedding", "ParallelLMHead")

    def find(model: torch.nn.Module) -> list[str]:
        return [name for name, layer in model.named_modules() if type(layer).__name__ in kinds and hasattr(layer, "cpu_linear")]

    [names] = engine._llm.apply_model(find)
    return names


INSIDE = {"reset_during_a_request": _reset_during_a_request, "packed_layers": _packed_layers}
"""Calls on the engine's own parts, by the name under which the test's side has them."""


def _serve(model: Path, connection: Connection) -> None:
    from lmm_r1_mega.rollout.engine import PromptLimits, RolloutEngine

    limits = PromptLimits(max_tokens=MAX_PROMPT_TOKENS, max_images=2)
    engine = RolloutEngine(model, settings=SETTINGS, precision="fp32", limits=limits, placement="hybrid", seed=0)
    connection.send((None, None))
    while (message := connection.recv()) is not None:
        method, arguments, named = message
        try:
            call = partial(INSIDE[method], engine) if method in INSIDE else getattr(engine, method)
            connection.send((call(*arguments, **named), None))
        except (RuntimeError, ValueError) as error:
            connection.send((None, error))
    engine.close()


class Transformers:
    """Log-probabilities of completions by transformers."""

    def __init__(self, model: Path, processor: Processor) -> None:
        from transformers import AutoImageProcessor, Qwen2_5_VLForConditionalGeneration

        self._image_processor = AutoImageProcessor.from_pretrained(model)
        self.model = Qwen2_5_VLForConditionalGeneration.from_pretrained(model, dtype=torch.float32).eval()
        self._forbidden = list(processor.forbidden_ids)

    @torch.no_grad()
    def logits(self, prompt: Prompt, completion: Completion) -> Tensor:
        """[response, vocabulary], of every response token's place."""
        ids = torch.cat([torch.tensor(prompt.expanded_ids), completion.response_ids])[None]
        seen = [] if prompt.images is None else as_pil_images(prompt.images, merge_size=2)
        images = self._image_processor(seen, do_resize=False, return_tensors="pt") if seen else {}
        kinds = (ids == self.model.config.image_token_id).int()
        return self.model(input_ids=ids, mm_token_type_ids=kinds, **images).logits[0, len(prompt.expanded_ids) - 1 : -1]

    def logprobs(self, prompt: Prompt, completion: Completion, *, temperature: float = 1.0) -> Tensor:
        """Of the response tokens among those that may be sampled."""
        logits = self.logits(prompt, completion) / temperature
        logits[:, self._forbidden] = -torch.inf
        return logits.log_softmax(-1).gather(1, completion.response_ids[:, None])[:, 0]
