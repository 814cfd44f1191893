"""Small random models of every family in Hugging Face layout, for the quickstart, the tests and the benchmarks.

python -m tools.make_tiny_model OUT --hidden 256 --layers 8 --vocab 2048
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import tyro
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from lmm_r1_mega.process.torchvision_shim import make_torchvision_importable

HEAD_DIM = 32
"""The smallest that vLLM's attention takes on a CPU."""
MROPE_SECTION = (4, 6, 6)
"""Rotary frequencies for time, height and width; they sum to half of `HEAD_DIM`."""
PATCH, MERGE = 14, 2
"""Pixels along a patch, patches along a merged one."""
SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
CHAT_TEMPLATE = """\
{%- for turn in messages -%}
<|im_start|>{{ turn.role }}
{% if turn.content is string -%}
{{ turn.content }}
{%- else -%}
{%- for part in turn.content -%}
{%- if part.type in ("image", "image_url") -%}
<|vision_start|><|image_pad|><|vision_end|>
{%- elif part.type == "text" -%}
{{ part.text }}
{%- endif -%}
{%- endfor -%}
{%- endif -%}
<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}
<|im_start|>assistant
{% endif -%}
"""
"""Qwen's turns; unlike Qwen's own template it adds no system turn to a chat that has none."""


Family = Literal["qwen2", "qwen3", "qwen2_vl", "qwen2_5_vl"]
CLASSES: dict[Family, str] = {
    "qwen2": "Qwen2",
    "qwen3": "Qwen3",
    "qwen2_vl": "Qwen2VL",
    "qwen2_5_vl": "Qwen2_5_VL",
}
"""How the classes of a family begin in transformers."""
HEAD_DIMS: dict[Family, int] = {"qwen3": 64}
"""Of families whose heads have a width of their own."""


@dataclass(frozen=True)
class TinyShape:
    """Sizes of a small model. Heads have 32 dimensions, so `hidden` and `vision_hidden` are multiples of 32."""

    family: Family = "qwen2_5_vl"
    """`model_type` of the model."""
    hidden: int = 128
    """Width of the decoder."""
    layers: int = 4
    """Decoder layers."""
    intermediate: int | None = None
    """Width of the decoder's feed-forward layer; three times `hidden` when left out."""
    vocab: int = 512
    """Rows of the embedding; the tokenizer may use fewer."""
    kv: int | None = None
    """Key/value heads; half of the heads when left out."""
    tied: bool = False
    """One matrix for embedding and output."""
    rope_theta: float = 1e6
    """Base of the decoder's rotary frequencies."""
    vision_depth: int = 4
    """Blocks of the vision tower; the last one attends over the whole image."""
    vision_hidden: int = 128
    """Width of the vision tower."""
    init_range: float = 0.02
    """Standard deviation of the random weights."""
    min_pixels: int = 56 * 56
    """Smallest image area after resizing."""
    max_pixels: int = 28 * 28 * 256
    """Largest image area after resizing."""

    def __post_init__(self) -> None:
        for name, width in (("hidden", self.hidden), ("vision_hidden", self.vision_hidden)):
            if width < HEAD_DIM or width % HEAD_DIM:
                raise ValueError(
                    f"{name} {width} is not a multiple of the head's {HEAD_DIM} dimensions: take {max(1, width // HEAD_DIM) * HEAD_DIM}"
                )
        if self.heads % self.kv_heads:
            raise ValueError(f"kv {self.kv_heads} does not divide the {self.heads} heads of hidden {self.hidden}: take a divisor")

    @property
    def heads(self) -> int:
        """Attention heads of the decoder."""
        return self.hidden // HEAD_DIM

    @property
    def kv_heads(self) -> int:
        """Key/value heads of the decoder."""
        return self.kv or max(1, self.heads // 2)


def sum_corpus() -> list[str]:
    """A little text about counting, for the tokenizer of a model that only has to run."""
    return [
        f"How many circles? {i} + {j} = {i + j}. <think> so {i * j} </think><answer> $\\boxed{{{i + j}}}$ </answer>"
        for i in range(60)
        for j in range(60)
    ]


def train_tokenizer(corpus: Iterable[str], *, vocab_size: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE of at most `vocab_size` tokens with Qwen's special tokens and chat template.

    Digits stand alone and words keep their leading space, so a tag such as `</think>` is one token where the corpus has it often.
    Raises ValueError where the 256 bytes and the special tokens do not fit.
    """
    room, least = vocab_size - len(SPECIAL_TOKENS), 256 + len(SPECIAL_TOKENS)
    if vocab_size < least:
        raise ValueError(f"vocab {vocab_size} is too small for 256 bytes and {len(SPECIAL_TOKENS)} special tokens: take {least} or more")
    tokenizer = Tokenizer(models.BPE())
    words = pre_tokenizers.Split(Regex(r" ?\d| ?[^\s\d]+|\s+"), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([words, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=room, min_frequency=1, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(corpus, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(SPECIAL_TOKENS),
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def make_tiny_model(
    folder: Path, shape: TinyShape | None = None, *, tokenizer: PreTrainedTokenizerFast | None = None, seed: int = 0
) -> int:
    """Write a random model (config, fp32 safetensors, tokenizer, processor, generation settings); returns its number of parameters.

    The weights depend only on the shape, the size of the tokenizer and the seed. transformers and vLLM load the folder.
    """
    shape = shape or TinyShape()
    tokenizer = tokenizer or train_tokenizer(sum_corpus(), vocab_size=min(shape.vocab, 2000))
    if len(tokenizer) > shape.vocab:
        raise ValueError(f"vocab {shape.vocab} is smaller than the tokenizer's {len(tokenizer)} tokens: raise it")
    config = _config(shape, {token: tokenizer.convert_tokens_to_ids(token) for token in SPECIAL_TOKENS})
    kind = "ForConditionalGeneration" if _sees(shape) else "ForCausalLM"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _class(shape, kind)(config).float()
    end, pad = (tokenizer.convert_tokens_to_ids(token) for token in ("<|im_end|>", "<|endoftext|>"))
    model.generation_config.update(eos_token_id=[end, pad], pad_token_id=pad, bos_token_id=pad)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if _sees(shape):
        Path(folder, "preprocessor_config.json").write_text(json.dumps(processor_settings(shape), indent=2) + "\n", encoding="utf-8")
    return sum(parameter.numel() for parameter in model.parameters())


def _sees(shape: TinyShape) -> bool:
    return shape.family in ("qwen2_vl", "qwen2_5_vl")


def _class(shape: TinyShape, kind: str) -> Any:
    make_torchvision_importable()  # which transformers imports with its models
    return getattr(importlib.import_module("transformers"), CLASSES[shape.family] + kind)


def _config(shape: TinyShape, ids: dict[str, int]) -> Any:
    """The configuration of a shape; `ids` are those of the special tokens."""
    common = {"tie_word_embeddings": shape.tied, "initializer_range": shape.init_range}
    if not _sees(shape):
        return _class(shape, "Config")(**_text_settings(shape, ids), **common)
    tokens = {
        "image_token_id": ids["<|image_pad|>"],
        "video_token_id": ids["<|video_pad|>"],
        "vision_start_token_id": ids["<|vision_start|>"],
        "vision_end_token_id": ids["<|vision_end|>"],
    }
    text = _text_settings(shape, ids) | common
    return _class(shape, "Config")(text_config=text, vision_config=_vision_settings(shape), **tokens, **common)


def _text_settings(shape: TinyShape, ids: dict[str, int]) -> dict[str, Any]:
    rope = {"rope_type": "default", "rope_theta": shape.rope_theta} | ({"mrope_section": list(MROPE_SECTION)} if _sees(shape) else {})
    head_dim = {"head_dim": HEAD_DIMS[shape.family]} if shape.family in HEAD_DIMS else {}
    return head_dim | {
        "vocab_size": shape.vocab,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate or 3 * shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "max_position_embeddings": 4096,
        "rope_parameters": rope,
        "bos_token_id": ids["<|endoftext|>"],
        "eos_token_id": ids["<|im_end|>"],
        "pad_token_id": ids["<|endoftext|>"],
    }


def _vision_settings(shape: TinyShape) -> dict[str, Any]:
    common = {
        "depth": shape.vision_depth,
        "num_heads": shape.vision_hidden // HEAD_DIM,
        "patch_size": PATCH,
        "spatial_merge_size": MERGE,
        "initializer_range": shape.init_range,
    }
    if shape.family == "qwen2_vl":  # its width is `embed_dim`, and `hidden_size` that of its output
        return common | {"embed_dim": shape.vision_hidden, "hidden_size": shape.hidden, "mlp_ratio": 2}
    return common | {
        "hidden_size": shape.vision_hidden,
        "intermediate_size": 2 * shape.vision_hidden,
        "out_hidden_size": shape.hidden,
        "fullatt_block_indexes": [shape.vision_depth - 1],
        "window_size": 112,
    }


def processor_settings(shape: TinyShape) -> dict[str, object]:
    """Contents of `preprocessor_config.json`; both spellings of the pixel bounds, for both readers."""
    return {
        "image_processor_type": "Qwen2VLImageProcessor",
        "processor_class": f"{CLASSES[shape.family]}Processor",
        "do_normalize": True,
        "patch_size": PATCH,
        "merge_size": MERGE,
        "temporal_patch_size": 2,
        "min_pixels": shape.min_pixels,
        "max_pixels": shape.max_pixels,
        "size": {"shortest_edge": shape.min_pixels, "longest_edge": shape.max_pixels},
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
    }


DEFAULT = TinyShape()


def main(out: tyro.conf.Positional[Path], shape: Annotated[TinyShape, tyro.conf.arg(name="")] = DEFAULT, *, seed: int = 0) -> None:
    """Write a small random model.

    Args:
        out: Folder to write.
        shape: Sizes of the model.
        seed: Seed of the weights.
    """
    parameters = make_tiny_model(out, shape, seed=seed)
    print(f"{parameters / 1e6:.1f}M parameters in {out}")


if __name__ == "__main__":
    tyro.cli(main)
