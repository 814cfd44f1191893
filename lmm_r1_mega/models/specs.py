"""Layer specs of the language model: megatron.core's local layers with our norm and attention, or Transformer Engine's."""

from __future__ import annotations

from megatron.core.models.gpt.gpt_layer_specs import get_gpt_layer_local_spec
from megatron.core.transformer.spec_utils import ModuleSpec
from megatron.core.transformer.transformer_block import TransformerBlockSubmodules, get_num_layers_to_build
from megatron.core.transformer.transformer_config import TransformerConfig

from lmm_r1_mega.models.attention import PackedAttention
from lmm_r1_mega.models.norm import RMSNorm


def decoder_spec(config: TransformerConfig) -> TransformerBlockSubmodules:
    """Layers of this rank's pipeline stage, of the kind that `config.transformer_impl` names."""
    if config.transformer_impl == "transformer_engine":
        from lmm_r1_mega.models import engine_layers  # Transformer Engine is a GPU extra

        layer, norm = engine_layers.layer_spec(has_qk_norm=config.qk_layernorm), engine_layers.FINAL_NORM
    else:
        layer, norm = _local_layer(has_qk_norm=config.qk_layernorm), RMSNorm
    return TransformerBlockSubmodules(layer_specs=[layer] * get_num_layers_to_build(config), layer_norm=norm)


def _local_layer(*, has_qk_norm: bool) -> ModuleSpec:
    layer = get_gpt_layer_local_spec(normalization="RMSNorm", qk_layernorm=has_qk_norm)
    layer.submodules.input_layernorm = layer.submodules.pre_mlp_layernorm = RMSNorm
    attention = layer.submodules.self_attention.submodules
    attention.core_attention = PackedAttention
    if has_qk_norm:
        attention.q_layernorm = attention.k_layernorm = RMSNorm
    return layer
