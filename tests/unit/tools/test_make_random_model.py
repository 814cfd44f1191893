"""The tool that makes random weights of a published size."""

import torch
from transformers import AutoConfig, AutoTokenizer, Qwen2_5_VLForConditionalGeneration

from tools.make_random_model import main
from tools.make_tiny_model import TinyShape, make_tiny_model

SHAPE = TinyShape(hidden=64, layers=3, vocab=2100, vision_depth=1, vision_hidden=32)


def test_the_model_has_the_sizes_asked_for_and_the_tokens_of_its_tokenizer(tmp_path):
    make_tiny_model(tmp_path / "source", SHAPE)
    config = AutoConfig.from_pretrained(tmp_path / "source")
    config.image_token_id = config.text_config.eos_token_id = 7
    config.save_pretrained(tmp_path / "source")
    main(tmp_path / "source", tmp_path / "made", layers=2)
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(tmp_path / "made")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "made")
    assert model.dtype == torch.bfloat16
    assert len(model.model.language_model.layers) == 2 and model.config.text_config.hidden_size == 64
    assert model.config.image_token_id == tokenizer.convert_tokens_to_ids("<|image_pad|>")
    assert model.config.text_config.eos_token_id == tokenizer.convert_tokens_to_ids("<|im_end|>")
    with torch.no_grad():
        assert model(input_ids=torch.tensor([[1, 2, 3]])).logits.isfinite().all()
