"""Builds this rank's part of a model and fills it with weights."""

from __future__ import annotations

from pathlib import Path

from lmm_r1_mega.config import LayoutSettings, ModelSettings
from lmm_r1_mega.convert.hf_folder import HFReader
from lmm_r1_mega.data.chat.processor import load_pixel_scale
from lmm_r1_mega.families.registry import read_shape
from lmm_r1_mega.families.weights import OUTPUT
from lmm_r1_mega.models.device import training_device
from lmm_r1_mega.models.freeze import freeze
from lmm_r1_mega.models.load import load_hf_weights, mapping_of
from lmm_r1_mega.models.tower import build_tower
from lmm_r1_mega.models.transformer import transformer_config
from lmm_r1_mega.models.value_head import ValueHead
from lmm_r1_mega.models.vision_language import VisionLanguageModel
from lmm_r1_mega.schema import Role


def build_model(hf_path: Path, *, model: ModelSettings, layout: LayoutSettings, role: Role) -> VisionLanguageModel:
    """This rank's stage of the model in the folder `hf_path`, weights loaded and `model.freeze` applied, not wrapped for DDP.

    megatron.core's parallel state must be initialized for `layout`. A critic has a value head, at zero, for its output layer.
    """
    shape = read_shape(hf_path)
    padded_vocab = shape.padded_vocab(multiple=model.vocab_padding_multiple, tensor=layout.tensor)
    config = transformer_config(shape, model=model, layout=layout)
    stage = VisionLanguageModel(config, shape, padded_vocab=padded_vocab, tied=shape.tied and role == "policy")
    if stage.pre_process and shape.vision:
        stage.attach_tower(build_tower(hf_path, family=shape.family, dtype=config.params_dtype), load_pixel_scale(hf_path))
    if role == "critic" and stage.post_process:
        stage.output_layer = ValueHead(config)
    stage.to(training_device())
    load_hf_weights(stage, hf_path, fresh=frozenset([OUTPUT]) if role == "critic" else frozenset())
    with HFReader(hf_path) as hf:
        freeze(stage, mapping_of(hf, stage), shape, model.freeze)
    return stage
