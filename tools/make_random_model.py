"""Write random weights of a published size, to measure speed without the published weights.

python -m tools.make_random_model examples/models/Qwen2.5-VL-3B-Instruct OUT --layers 12
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch
import tyro
from transformers import Qwen2_5_VLConfig

from lmm_r1_mega.models.device import training_device
from lmm_r1_mega.process.torchvision_shim import make_torchvision_importable
from tools.make_tiny_model import TinyShape, processor_settings, sum_corpus, train_tokenizer


def main(source: tyro.conf.Positional[Path], out: tyro.conf.Positional[Path], *, layers: int | None = None, seed: int = 0) -> None:
    """Write a model of the sizes in a configuration: random weights in bf16, and a small tokenizer of its own.

    Args:
        source: Folder with a config.json.
        out: Folder to write.
        layers: Decoder layers; as in the configuration when left out.
        seed: Seed of the weights.
    """
    make_torchvision_importable()
    from transformers import Qwen2_5_VLForConditionalGeneration  # imports torchvision, which must be importable first

    tokenizer = train_tokenizer(sum_corpus(), vocab_size=2000)
    config = with_tokens_of(Qwen2_5_VLConfig.from_pretrained(source), tokenizer.convert_tokens_to_ids)
    if layers is not None:
        config.text_config.num_hidden_layers = layers
        config.text_config.layer_types = config.text_config.layer_types[:layers]
    torch.manual_seed(seed)
    with training_device():
        model = Qwen2_5_VLForConditionalGeneration(config).to(torch.bfloat16)
    end, pad = (tokenizer.convert_tokens_to_ids(token) for token in ("<|im_end|>", "<|endoftext|>"))
    model.generation_config.update(eos_token_id=[end, pad], pad_token_id=pad, bos_token_id=pad)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    (out / "preprocessor_config.json").write_text(json.dumps(processor_settings(TinyShape()), indent=2) + "\n", encoding="utf-8")
    print(f"{sum(parameter.numel() for parameter in model.parameters()) / 1e9:.2f} billion parameters in {out}")


def with_tokens_of(config: Qwen2_5_VLConfig, token_id: Callable[[str], int]) -> Qwen2_5_VLConfig:
    """The configuration with the ids that another tokenizer has for its special tokens."""
    config.image_token_id, config.video_token_id = token_id("<|image_pad|>"), token_id("<|video_pad|>")
    config.vision_start_token_id, config.vision_end_token_id = token_id("<|vision_start|>"), token_id("<|vision_end|>")
    config.text_config.bos_token_id = config.text_config.pad_token_id = token_id("<|endoftext|>")
    config.text_config.eos_token_id = token_id("<|im_end|>")
    return config


if __name__ == "__main__":
    tyro.cli(main)
