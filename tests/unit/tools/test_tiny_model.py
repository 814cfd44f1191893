import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoTokenizer, Qwen2_5_VLForConditionalGeneration

from tools.make_tiny_model import TinyShape, make_tiny_model, train_tokenizer

SHAPE = TinyShape(hidden=64, layers=2, vocab=384, vision_depth=1, vision_hidden=32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("model")
    make_tiny_model(path, SHAPE, seed=3)
    return path


@pytest.fixture(scope="module")
def tokenizer(folder):
    return AutoTokenizer.from_pretrained(folder)


def test_transformers_reads_an_image_prompt(folder, tokenizer):
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    turns = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "How many circles?"}]}]
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (56, 84, 3), dtype=np.uint8))
    pixels = AutoImageProcessor.from_pretrained(folder)(images=[image], return_tensors="pt")
    assert pixels["image_grid_thw"].tolist() == [[1, 4, 6]]

    def logits(pixel_values):
        ids = torch.tensor([tokenizer(text.replace("<|image_pad|>", "<|image_pad|>" * 6)).input_ids])
        with torch.no_grad():
            kinds = (ids == model.config.image_token_id).int()
            return model(input_ids=ids, mm_token_type_ids=kinds, pixel_values=pixel_values, image_grid_thw=pixels["image_grid_thw"]).logits

    seen, blank = logits(pixels["pixel_values"]), logits(torch.zeros_like(pixels["pixel_values"]))
    assert seen.shape[-1] == 384
    assert (seen[0, -1] - blank[0, -1]).abs().max() > 1e-4  # the image reaches the answer


def test_the_number_of_parameters_is_that_of_the_weights(folder, tmp_path):
    assert make_tiny_model(tmp_path, SHAPE, seed=3) == sum(
        parameter.numel() for parameter in Qwen2_5_VLForConditionalGeneration.from_pretrained(folder).parameters()
    )


def test_the_seed_decides_the_weights(folder, tmp_path):
    def weights(path):
        return (path / "model.safetensors").read_bytes()

    make_tiny_model(tmp_path / "again", SHAPE, seed=3)
    make_tiny_model(tmp_path / "other", SHAPE, seed=4)
    assert weights(tmp_path / "again") == weights(folder)
    assert weights(tmp_path / "other") != weights(folder)


def test_the_callers_random_numbers_are_left_alone(tmp_path):
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    make_tiny_model(tmp_path, SHAPE)
    assert torch.equal(torch.rand(3), expected)


def test_tied_weights_are_stored_once(folder, tmp_path):
    make_tiny_model(tmp_path, TinyShape(hidden=64, layers=2, vocab=384, vision_depth=1, vision_hidden=32, tied=True))
    untied = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder)
    tied = Qwen2_5_VLForConditionalGeneration.from_pretrained(tmp_path)
    assert tied.lm_head.weight is tied.get_input_embeddings().weight
    assert not torch.equal(untied.lm_head.weight, untied.get_input_embeddings().weight)


def test_the_template_writes_qwens_turns(tokenizer):
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "image"}, {"type": "image"}, {"type": "text", "text": "Compare\n"}]},
        {"role": "assistant", "content": "<think> a </think>"},
        {"role": "user", "content": "More"},
    ]
    assert tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n"
        "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|><|vision_start|><|image_pad|><|vision_end|>Compare\n<|im_end|>\n"
        "<|im_start|>assistant\n<think> a </think><|im_end|>\n"
        "<|im_start|>user\nMore<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


@pytest.mark.parametrize("text", ["What is 7 + 12 ?", "naïve 数学 $\\frac{1}{2}$\n\n\t<think>", "<|im_start|>user\nhi<|im_end|>"])
def test_tokens_turn_back_into_the_text(tokenizer, text):
    assert tokenizer.decode(tokenizer(text).input_ids) == text


def test_digits_stand_alone(tokenizer):
    assert tokenizer.tokenize("1234 56") == ["1", "2", "3", "4", "Ġ5", "6"]


def test_the_end_of_turn_ends_a_response(folder, tokenizer):
    ends = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder).generation_config.eos_token_id
    assert tokenizer.convert_ids_to_tokens(ends) == ["<|im_end|>", "<|endoftext|>"]


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"hidden": 100}, "hidden 100 is not a multiple of the head's 32 dimensions: take 96"),
        ({"vision_hidden": 16}, "vision_hidden 16 is not a multiple .* take 32"),
        ({"hidden": 128, "kv": 3}, "kv 3 does not divide the 4 heads of hidden 128"),
    ],
)
def test_impossible_shapes_are_named(sizes, message):
    with pytest.raises(ValueError, match=message):
        TinyShape(**sizes)


def test_a_vocabulary_without_room_for_all_bytes_is_named():
    with pytest.raises(ValueError, match="vocab 200 is too small for 256 bytes and 8 special tokens: take 264 or more"):
        train_tokenizer(["a"], vocab_size=200)


def test_a_tokenizer_larger_than_the_embedding_is_named(tmp_path, tokenizer):
    with pytest.raises(ValueError, match=f"vocab 300 is smaller than the tokenizer's {len(tokenizer)} tokens"):
        make_tiny_model(tmp_path, TinyShape(vocab=300), tokenizer=tokenizer)
