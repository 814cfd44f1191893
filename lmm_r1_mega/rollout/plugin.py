"""Entry point `vllm.general_plugins`: vLLM calls `register` in every one of its processes before a model is built."""

from __future__ import annotations

import importlib

import torch

from lmm_r1_mega.families.registry import FAMILIES
from lmm_r1_mega.models.device import this_device
from lmm_r1_mega.process.torchvision_shim import make_torchvision_importable

SHM_BACKEND = "shm"


def register() -> None:
    """Make the `shm` weight transfer known to vLLM and, without CUDA, its model classes. Safe to call many times.

    vLLM inspects model classes in a child process that cannot import this machine's torchvision; a class that is registered
    itself needs no inspection there, and the engine starts in 5 s instead of 20.
    """
    make_torchvision_importable()
    from vllm.distributed.weight_transfer.factory import WeightTransferEngineFactory

    if SHM_BACKEND not in WeightTransferEngineFactory._registry:
        WeightTransferEngineFactory.register_engine(SHM_BACKEND, "lmm_r1_mega.rollout.transfer.receiver", "SharedMemoryReceiver")
    if not this_device().is_gpu:
        _register_model_classes()
        _pack_no_embedding()


def _register_model_classes() -> None:
    from vllm import ModelRegistry

    for facts in FAMILIES.values():
        module, _, name = facts.vllm_class.partition(":")
        ModelRegistry.register_model(name, getattr(importlib.import_module(module), name))


def _pack_no_embedding() -> None:
    """vLLM 0.32 on a CPU packs a copy of the embedding to multiply with, as large as itself; only output layers multiply."""
    from vllm.model_executor.layers import vocab_parallel_embedding as layers

    pack = layers.UnquantizedEmbeddingMethod.process_weights_after_loading
    if pack.__module__ != layers.__name__:
        return

    def pack_output_layer(self: layers.UnquantizedEmbeddingMethod, layer: torch.nn.Module) -> None:
        if isinstance(layer, layers.ParallelLMHead):
            pack(self, layer)

    layers.UnquantizedEmbeddingMethod.process_weights_after_loading = pack_output_layer
