"""A model folder without weights, and images and data files to write into it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lmm_r1_mega.data.chat.processor import Processor
from lmm_r1_mega.process.torchvision_shim import make_torchvision_importable

TEMPLATE = """\
{%- if messages[0].role != "system" %}<|im_start|>system
You are a helpful assistant.<|im_end|>
{% endif %}
{%- for message in messages %}<|im_start|>{{ message.role }}
{% if message.content is string %}{{ message.content }}{% else %}{% for part in message.content %}
{%- if part.type == "image" %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part.text }}{% endif %}
{%- endfor %}{% endif %}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
SPECIAL = ("<|im_end|>", "<|endoftext|>", "<|im_start|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory) -> Path:
    """Tokenizer (letters are tokens), image processor and configuration as a Qwen2.5-VL folder has them."""
    make_torchvision_importable()
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("model")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({letter: number for number, letter in enumerate(alphabet)}, []))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=SPECIAL[0], pad_token=SPECIAL[1])
    tokenizer.add_special_tokens({"additional_special_tokens": list(SPECIAL[2:])})
    tokenizer.add_tokens(["<tool>"])
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    names = {"image_token_id": 5, "video_token_id": 6, "vision_start_token_id": 3, "vision_end_token_id": 4}
    ids = {name: tokenizer.convert_tokens_to_ids(SPECIAL[number]) for name, number in names.items()}
    config = ids | {"model_type": "qwen2_5_vl", "vision_config": {"spatial_merge_size": 2}, "text_config": {"vocab_size": 300}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": tokenizer.convert_tokens_to_ids(list(SPECIAL[:2]))}))
    processing = {
        "image_processor_type": "Qwen2VLImageProcessor",
        "processor_class": "Qwen2_5_VLProcessor",
        "min_pixels": 56 * 56,
        "max_pixels": 112 * 112,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(processing))
    return folder


@pytest.fixture(scope="session")
def processor(model_folder) -> Processor:
    return Processor.load(model_folder)


@pytest.fixture
def write_rows(tmp_path) -> Callable[..., Path]:
    """Write rows as JSON Lines."""

    def write(*rows: object, name: str = "rows.jsonl") -> Path:
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return write
