"""Transformer Engine layers for GPUs (bf16, FP8); importable only where Transformer Engine is installed."""

from __future__ import annotations

from typing import Any

from megatron.core.extensions.transformer_engine import TEDotProductAttention, TENorm
from megatron.core.models.gpt.gpt_layer_specs import get_gpt_layer_with_transformer_engine_spec
from megatron.core.packed_seq_params import PackedSeqParams
from megatron.core.transformer.enums import AttnMaskType
from megatron.core.transformer.spec_utils import ModuleSpec
from torch import Tensor

from lmm_r1_mega.models.attention import PackedSequences

FINAL_NORM = TENorm


class EngineAttention(TEDotProductAttention):
    """Transformer Engine's packed attention behind token-by-token rotary embeddings.

    megatron.core hands over [tokens, 1, heads, dim], because `PackedSequences` keeps it from its own packed rotary path; Transformer
    Engine takes [tokens, heads, dim] and the bounds of whole sequences: where prompts are borrowed, each is put before its users.
    """

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: None,
        *,
        packed_seq_params: PackedSequences,
        **_: Any,
    ) -> Tensor:
        packed = PackedSeqParams(
            qkv_format="thd",
            cu_seqlens_q=packed_seq_params.cu_seqlens_q,
            cu_seqlens_kv=packed_seq_params.cu_seqlens_kv,
            max_seqlen_q=packed_seq_params.max_seqlen_q,
            max_seqlen_kv=packed_seq_params.max_seqlen_kv,
        )
        whole = packed_seq_params.whole
        rows = [part[:, 0].index_select(0, whole.positions) if whole.is_shared else part[:, 0].contiguous() for part in (query, key, value)]
        attended = super().forward(*rows, None, AttnMaskType.padding_causal, packed_seq_params=packed)
        attended = attended.index_select(0, whole.slots) if whole.is_shared else attended
        return attended.reshape(attended.shape[0], 1, -1)


def layer_spec(*, has_qk_norm: bool) -> ModuleSpec:
    """One decoder layer: norms fused into the linear layers that follow them."""
    layer = get_gpt_layer_with_transformer_engine_spec(qk_layernorm=has_qk_norm)
    layer.submodules.self_attention.submodules.core_attention = EngineAttention
    return layer
