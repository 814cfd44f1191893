"""megatron.core's TransformerConfig for a model, a layout and a precision."""

from __future__ import annotations

from typing import Any

import torch
from megatron.core.transformer.transformer_config import TransformerConfig

from lmm_r1_mega.config import LayoutSettings, ModelSettings
from lmm_r1_mega.config.device import Precision
from lmm_r1_mega.families.shape import ModelShape
from lmm_r1_mega.models.device import this_device

_PRECISION: dict[Precision, dict[str, Any]] = {
    "fp32": {"params_dtype": torch.float32},
    "bf16": {"params_dtype": torch.bfloat16, "bf16": True},
    "fp8": {"params_dtype": torch.bfloat16, "bf16": True, "fp8": "hybrid", "fp8_recipe": "tensorwise"},
}
_RECOMPUTE: dict[str, dict[str, Any]] = {
    "none": {},
    "full": {"recompute_granularity": "full", "recompute_method": "uniform", "recompute_num_layers": 1},
}


def transformer_config(shape: ModelShape, *, model: ModelSettings, layout: LayoutSettings) -> TransformerConfig:
    """Settings of the language model on this rank. Weights are left uninitialized: they are read from a checkpoint."""
    device = this_device()
    precision = device.precision(model.precision)
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
        mrope_section=list(shape.mrope_section or (shape.head_dim // 2, 0, 0)),
        gated_linear_unit=True,
        activation_func=torch.nn.functional.silu,
        add_bias_linear=False,
        add_qkv_bias=shape.has_qkv_bias,
        qk_layernorm=shape.has_qk_norm,
        hidden_dropout=0.0,
        attention_dropout=0.0,
        tensor_model_parallel_size=layout.tensor,
        pipeline_model_parallel_size=layout.pipeline,
        sequence_parallel=layout.sequence_parallel and layout.tensor > 1,
        pipeline_dtype=settings["params_dtype"],
        variable_seq_lengths=True,
        moe_token_dispatcher_type="alltoall",  # megatron.core 0.16.1 refuses variable lengths without it
        transformer_impl=device.layer_spec(precision),
        use_cpu_initialization=not device.is_gpu,
        perform_initialization=False,
        gradient_accumulation_fusion=False,
        masked_softmax_fusion=False,
        bias_activation_fusion=False,
        bias_dropout_fusion=False,
        apply_rope_fusion=False,
        **settings,
    )
