"""Qwen3: text, norms on query and key, heads of a width of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lmm_r1_mega.families.facts import FamilyFacts
from lmm_r1_mega.families.shape import ModelShape, decoder_fields, plain_rope


def read(config: Mapping[str, Any]) -> ModelShape:
    """The shape from config.json."""
    plain_rope(config)
    return ModelShape(**decoder_fields(config, config), has_qkv_bias=config.get("attention_bias", False), has_qk_norm=True)


QWEN3 = FamilyFacts(name="Qwen3", read=read, vllm_class="vllm.model_executor.models.qwen3:Qwen3ForCausalLM")
