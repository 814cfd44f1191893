"""megatron.core's TransformerConfig for a model, a layout and a precision."""

from __future__ import annotations

import importlib.util
from typing import Any, Literal

import torch
from megatron.core.transformer.transformer_config import TransformerConfig

from lmm_r1_mega.config import LayoutSettings, ModelSettings
from lmm_r1_mega.convert.shape import ModelShape
from lmm_r1_mega.models.device import Precision, resolve_precision

_PRECISION: dict[Precision, dict[str, Any]] = {
    "fp32": {"params_dtype": torch.float32},
    "bf16": {"params_dtype": torch.bfloat16, "bf16": True},
    "fp8": {"params_dtype": torch.bfloat16, "bf16": True, "fp8": "hybrid", "fp8_recipe": "tensorwise"},
}
_RECOMPUTE: dict[str, dict[str, Any]] = {
    "none": {},
    "full": {"recompute_granularity": "full", "recompute_method": "uniform", "recompute_num_layers": 1},
}


def layer_kind(precision: Precision) -> Literal["local", "transformer_engine"]:
    """Transformer Engine on GPUs where it is installed, the local layers elsewhere; `ValueError` for fp8 without it."""
    has_engine = torch.cuda.is_available() and importlib.util.find_spec("transformer_engine") is not None
    if precision == "fp8" and not has_engine:
        raise ValueError("model.precision fp8 needs Transformer Engine: install the extra `gpu`, or choose bf16")
    return "transformer_engine" if has_engine and precision != "fp32" else "local"


def transformer_config(shape: ModelShape, *, model: ModelSettings, layout: LayoutSettings) -> TransformerConfig:
    """Settings of the language model on this rank. Weights are left uninitialised: they are read from a checkpoint."""
    precision = resolve_precision(model.precision)
    settings = _PRECISION[precision] | _RECOMPUTE[model.recompute]
    return TransformerConfig(
        num_layers=shape.num_layers,
        hidden_size=shape.hidden_size,
        ffn_hidden_size=shape.ffn_size,
        num_attention_heads=shape.num_heads,
        num_query_groups=shape.num_kv_heads,
        kv_channels=shape.head_dim,
        layernorm_epsilon=shape.norm_eps,
        normalization="RMSNorm",
        mrope_section=list(shape.mrope_section),
        gated_linear_unit=True,
        activation_func=torch.nn.functional.silu,
        add_bias_linear=False,
        add_qkv_bias=True,
        hidden_dropout=0.0,
        attention_dropout=0.0,
        tensor_model_parallel_size=layout.tensor,
        pipeline_model_parallel_size=layout.pipeline,
        sequence_parallel=layout.sequence_parallel and layout.tensor > 1,
        pipeline_dtype=settings["params_dtype"],
        variable_seq_lengths=True,
        moe_token_dispatcher_type="alltoall",  # megatron.core 0.16.1 refuses variable lengths without it
        transformer_impl=layer_kind(precision),
        use_cpu_initialization=not torch.cuda.is_available(),
        perform_initialization=False,
        gradient_accumulation_fusion=False,
        masked_softmax_fusion=False,
        bias_activation_fusion=False,
        bias_dropout_fusion=False,
        apply_rope_fusion=False,
        **settings,
    )
