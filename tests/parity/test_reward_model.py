"""Reward models against transformers' own forward pass, a sample at a time."""

import json

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from lmm_r1_mega.data.chat.processor import Processor
from lmm_r1_mega.data.images.patches import join_images
from lmm_r1_mega.models.reward_model import RewardModel, kind_of, token_batches
from lmm_r1_mega.process.torchvision_shim import make_torchvision_importable
from lmm_r1_mega.schema import Completion, Prompt, PromptImages, Sample
from tools.make_tiny_model import TinyShape, make_tiny_model, sum_corpus, train_tokenizer

TURN = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
PICTURE = "<|vision_start|><|image_pad|><|vision_end|>"


def sample(question: str, response: str, *, num_images: int = 0, images: PromptImages | None = None, is_cut=False) -> Sample:
    prompt = Prompt(question, "file", TURN.format(PICTURE * num_images + question), (), (), images, None)
    return Sample(prompt, Completion((), torch.tensor([1]), torch.zeros(1), response, "length" if is_cut else "stop", 0))


TEXTS = [sample(f"How many? {i} + {i * i}", "so " * (i * 7 % 23) + str(i), is_cut=i % 3 == 0) for i in range(12)]
SIZES = [[(56, 84)], [(84, 56), (140, 112)], [(112, 112)]]
IMAGES = [tuple(Image.effect_noise(size, 90).convert("RGB") for size in sizes) for sizes in SIZES]


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """A random Qwen2 classifier whose scores differ well beyond the tolerance."""
    make_torchvision_importable()
    from transformers import Qwen2Config, Qwen2ForSequenceClassification

    folder = tmp_path_factory.mktemp("classifier")
    tokenizer = train_tokenizer(sum_corpus(), vocab_size=400)
    tokenizer.save_pretrained(folder)
    config = Qwen2Config(
        vocab_size=400,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=160,
        num_labels=1,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.2,
    )
    torch.manual_seed(0)
    Qwen2ForSequenceClassification(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def vision_model(tmp_path_factory):
    """A random Qwen2.5-VL with a value head among its weights."""
    folder = tmp_path_factory.mktemp("vision")
    make_tiny_model(folder, TinyShape(hidden=64, layers=2, vision_depth=2, vision_hidden=64, init_range=0.1))
    weights = load_file(folder / "model.safetensors")
    weights["score.weight"] = torch.randn(1, 64, generator=torch.Generator().manual_seed(3))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def close(found, expected):
    assert len(found) == len(expected)
    assert max(abs(one - other) for one, other in zip(found, expected, strict=True)) < 1e-5
    assert max(expected) - min(expected) > 0.1, "scores that are all alike would prove nothing"


@pytest.fixture(scope="module")
def classifier_scores(classifier) -> list[float]:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(classifier)
    model = AutoModelForSequenceClassification.from_pretrained(classifier).eval()
    ends = ["" if one.completion.finish_reason == "length" else "<|im_end|>" for one in TEXTS]
    texts = [one.prompt.text + one.completion.text + end for one, end in zip(TEXTS, ends, strict=True)]
    with torch.no_grad():
        return [model(**tokenizer(text, add_special_tokens=False, return_tensors="pt")).logits[0, 0].item() for text in texts]


@pytest.mark.parametrize("batch_tokens", [1, 150, 100_000])
def test_a_classifier_says_what_transformers_says_whatever_the_batches(classifier, classifier_scores, batch_tokens):
    close(RewardModel(classifier, precision="fp32", batch_tokens=batch_tokens).scores(TEXTS), classifier_scores)


def test_the_order_of_samples_is_kept(classifier, classifier_scores):
    model = RewardModel(classifier, precision="fp32", batch_tokens=200)
    close(model.scores(TEXTS[::-1]), classifier_scores[::-1])
    assert model.scores([]) == []


def test_a_classifier_without_a_pad_token_scores_one_at_a_time(classifier, classifier_scores, tmp_path):
    for path in classifier.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"pad_token_id": None}))
    close(RewardModel(tmp_path, precision="fp32", batch_tokens=100_000).scores(TEXTS), classifier_scores)


def test_a_sample_that_is_too_long_has_no_score(classifier):
    long = sample("?", "circles " * 200)
    found = RewardModel(classifier, precision="fp32", batch_tokens=1000).scores([TEXTS[0], long, TEXTS[1]])
    assert [one is None for one in found] == [False, True, False]


def shown(processor: Processor, images: tuple[Image.Image, ...], question: str, response: str, **more) -> Sample:
    joined = join_images([processor.prompt_images(image) for image in images])
    return sample(question, response, num_images=len(images), images=joined, **more)


@pytest.fixture(scope="module")
def asked(vision_model) -> list[tuple[tuple[Image.Image, ...], Sample]]:
    """Samples beside their images."""
    processor = Processor.load(vision_model)
    samples = [
        shown(processor, IMAGES[0], "What is it?", "a circle"),
        shown(processor, IMAGES[1], "And these?", "two " * 9, is_cut=True),
        shown(processor, IMAGES[2], "Is it?", "yes"),
    ]
    return [*zip(IMAGES, samples, strict=True), *(((), text) for text in TEXTS[:4])]


@pytest.fixture(scope="module")
def vision_scores(vision_model, asked) -> list[float]:
    from transformers import AutoImageProcessor, Qwen2_5_VLForConditionalGeneration

    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(vision_model, dtype=torch.float32).eval()
    head = load_file(vision_model / "model.safetensors")["score.weight"]
    image_processor, processor, found = AutoImageProcessor.from_pretrained(vision_model), Processor.load(vision_model), []
    for images, one in asked:
        text = one.prompt.text + one.completion.text + ("" if one.completion.finish_reason == "length" else "<|im_end|>")
        seen = dict(image_processor(list(images), return_tensors="pt")) if images else {}
        [ids] = processor.encode([text])
        counts = [int(grid.prod()) // 4 for grid in seen.get("image_grid_thw", [])]
        ids = torch.tensor([processor.expand(ids, counts)])
        kinds = (ids == model.config.image_token_id).int()
        with torch.no_grad():
            hidden = model(input_ids=ids, mm_token_type_ids=kinds, output_hidden_states=True, **seen).hidden_states[-1]
        found.append((hidden[0, -1] @ head[0]).item())
    return found


@pytest.mark.parametrize("batch_tokens", [1, 100_000])
def test_a_vision_model_with_a_value_head_sees_the_images(vision_model, asked, vision_scores, batch_tokens):
    close(RewardModel(vision_model, precision="fp32", batch_tokens=batch_tokens).scores([one for _, one in asked]), vision_scores)


def test_another_image_gets_another_score(vision_model):
    model, processor = RewardModel(vision_model, precision="fp32", batch_tokens=1000), Processor.load(vision_model)
    white = Image.new("RGB", IMAGES[0][0].size, "white")
    [first, second] = model.scores([shown(processor, images, "What is it?", "a circle") for images in (IMAGES[0], (white,))])
    assert abs(first - second) > 1e-3


def test_batches_by_hand():
    assert list(token_batches([0, 1, 2], [3, 8, 4], budget=8)) == [[1], [2, 0]]
    assert list(token_batches([0, 1, 2], [3, 8, 4], budget=1)) == [[1], [2], [0]]
    assert list(token_batches([], [], budget=8)) == []


def test_folders_that_are_no_reward_model_are_named(classifier, vision_model, tmp_path):
    def opened(**changes):
        config = json.loads((classifier / "config.json").read_text()) | changes
        (tmp_path / "config.json").write_text(json.dumps(config))
        return RewardModel(tmp_path, precision="fp32", batch_tokens=10)

    with pytest.raises(ValueError, match=r"has no config.json"):
        RewardModel(tmp_path, precision="fp32", batch_tokens=10)
    for path in classifier.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(ValueError, match=r"is a Qwen2ForCausalLM: give a \.\.\.ForSequenceClassification"):
        opened(architectures=["Qwen2ForCausalLM"])
    with pytest.raises(ValueError, match="has 3 labels"):
        opened(id2label={"0": "a", "1": "b", "2": "c"}, label2id={"a": 0, "b": 1, "c": 2})
    weights = load_file(tmp_path / "model.safetensors")
    save_file({name: weights[name] for name in weights if name != "score.weight"}, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"lacks score.weight"):
        opened()


def test_a_vision_model_without_a_head_is_named_before_it_is_loaded(vision_model, tmp_path):
    for path in vision_model.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    weights = load_file(tmp_path / "model.safetensors")
    save_file({name: weights[name] for name in weights if name != "score.weight"}, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"has no score.weight of shape \[1, hidden\]"):
        kind_of(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"lacks model.safetensors"):
        kind_of(tmp_path)
