"""Qwen2 and Qwen2.5: text, biases on query, key and value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lmm_r1_mega.families.facts import FamilyFacts
from lmm_r1_mega.families.shape import ModelShape, decoder_fields, plain_rope


def read(config: Mapping[str, Any]) -> ModelShape:
    """The shape from config.json."""
    plain_rope(config)
    return ModelShape(**decoder_fields(config, config), has_qkv_bias=True)


QWEN2 = FamilyFacts(name="Qwen2.5", read=read, vllm_class="vllm.model_executor.models.qwen2:Qwen2ForCausalLM")
