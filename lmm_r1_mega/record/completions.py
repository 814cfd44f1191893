"""Completions in a safetensors file: the samples of a checkpoint that are generated and not trained yet. Nothing is pickled."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from lmm_r1_mega.convert.safetensors_file import SafetensorsReader, SafetensorsWriter, TensorSpec
from lmm_r1_mega.schema import Completion


def write_completions(path: Path, completions: list[Completion]) -> None:
    """Write completions bit by bit; `read_completions` is the inverse."""
    prompts, responses = [torch.tensor(one.prompt_ids) for one in completions], [one.response_ids for one in completions]
    texts = [one.text.encode("utf-8", "surrogatepass") for one in completions]
    tensors = {
        "prompt_ids": torch.cat(prompts),
        "prompt_lengths": _lengths(prompts),
        "response_ids": torch.cat(responses),
        "response_lengths": _lengths(responses),
        "response_logprobs": torch.cat([one.response_logprobs for one in completions]),
        "text": torch.tensor(list(b"".join(texts)), dtype=torch.uint8),
        "text_lengths": _lengths(texts),
        "is_truncated": torch.tensor([one.finish_reason == "length" for one in completions]),
        "weight_versions": torch.tensor([one.weight_version for one in completions]),
    }
    specs = {name: TensorSpec(tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()}
    with SafetensorsWriter(path, specs) as writer:
        for name, tensor in tensors.items():
            writer.write(name, tensor)


def read_completions(path: Path) -> list[Completion]:
    """The inverse of `write_completions`. Raises BadData where the file is damaged."""
    with SafetensorsReader(path) as reader:
        tensors = {name: reader.tensor(name) for name in reader.specs}
    columns = zip(
        _cut(tensors["prompt_ids"], tensors["prompt_lengths"]),
        _cut(tensors["response_ids"], tensors["response_lengths"]),
        _cut(tensors["response_logprobs"], tensors["response_lengths"]),
        _cut(tensors["text"], tensors["text_lengths"]),
        tensors["is_truncated"].tolist(),
        tensors["weight_versions"].tolist(),
        strict=True,
    )
    return [
        Completion(
            prompt_ids=tuple(prompt_ids.tolist()),
            response_ids=response_ids,
            response_logprobs=logprobs,
            text=bytes(text.tolist()).decode("utf-8", "surrogatepass"),
            finish_reason="length" if is_truncated else "stop",
            weight_version=weight_version,
        )
        for prompt_ids, response_ids, logprobs, text, is_truncated, weight_version in columns
    ]


def _lengths(parts: Iterable[Tensor | bytes]) -> Tensor:
    return torch.tensor([len(one) for one in parts])


def _cut(joined: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
    return joined.split(lengths.tolist())
