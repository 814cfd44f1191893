"""What the plan counts of reward models is what transformers loads, and what their forward passes take."""

import weakref
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from test_reward_model import shown
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lmm_r1_mega.data.chat.processor import Processor
from lmm_r1_mega.models.reward_model import RewardModel, reward_shape
from lmm_r1_mega.planning.reward_models import decoder_bytes, image_bytes, tower_bytes
from lmm_r1_mega.process.torchvision_shim import make_torchvision_importable
from tools.make_tiny_model import TinyShape, make_tiny_model, sum_corpus, train_tokenizer

SIZES = {"hidden_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4, "num_labels": 1, "vocab_size": 400}
WIDTHS = {"fp32": 4, "bf16": 2}
ACCURACY = {"rel": 0.1}


def make_classifier(folder: Path, family: str, **changes) -> Path:
    make_torchvision_importable()
    import transformers

    tokenizer = train_tokenizer(sum_corpus(), vocab_size=400)
    tokenizer.save_pretrained(folder)
    config = getattr(transformers, f"{family}Config")(**SIZES | {"pad_token_id": tokenizer.pad_token_id} | changes)
    getattr(transformers, f"{family}ForSequenceClassification")(config).save_pretrained(folder)
    return folder


def make_vision_model(folder: Path, **changes) -> Path:
    make_tiny_model(folder, TinyShape(hidden=256, layers=2, vision_depth=2, **changes))
    weights = load_file(folder / "model.safetensors")
    save_file(weights | {"score.weight": torch.zeros(1, 256)}, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def check_count(folder: Path) -> None:
    """The count from config.json is that of the model as it is loaded from weights, in either precision."""
    for precision, width in WIDTHS.items():
        module = RewardModel(folder, precision=precision, batch_tokens=1000)._scorer.module
        held = [*module.parameters(), *(buffer for name, buffer in module.named_buffers() if name == "value_head")]
        assert {tensor.element_size() for tensor in module.parameters()} == {width}
        num_loaded = sum(tensor.numel() for tensor in held)
        assert reward_shape(folder).num_parameters == num_loaded
    for file in folder.glob("*.safetensors"):
        file.unlink()
    assert reward_shape(folder).num_parameters == num_loaded


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("Qwen2", {"num_key_value_heads": 2, "intermediate_size": 344}),
        ("Llama", {"num_key_value_heads": 4, "intermediate_size": 344, "attention_bias": True}),
        ("Gemma2", {"num_key_value_heads": 1, "intermediate_size": 344, "head_dim": 48}),
        ("Bert", {"intermediate_size": 512}),
        ("OPT", {"ffn_dim": 512, "word_embed_proj_dim": 64}),
    ],
)
def test_parameters_of_classifiers(tmp_path, family, changes):
    check_count(make_classifier(tmp_path, family, **changes))
    assert (reward_shape(tmp_path).hidden_size, reward_shape(tmp_path).ffn_size) == (128, changes.get("intermediate_size", 512))


@pytest.mark.parametrize("tied", [True, False])
def test_parameters_of_a_vision_model_without_its_output_layer(tmp_path, tied):
    check_count(make_vision_model(tmp_path / "model", tied=tied))


class LiveBytes(TorchDispatchMode):
    """The most bytes that tensors made inside hold at one time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self._known: dict[int, int] = {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for storage in (leaf.untyped_storage() for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)):
            if storage._cdata not in self._known:
                self._known[storage._cdata] = storage.nbytes()
                self.now += storage.nbytes()
                weakref.finalize(storage, self._drop, storage._cdata)
        self.most = max(self.most, self.now)
        return result

    def _drop(self, key: int) -> None:
        self.now -= self._known.pop(key)


def batch_bytes(model: RewardModel, rows: list[list[int]], samples: list) -> int:
    with torch.inference_mode(), LiveBytes() as live:
        model._scorer.forward(rows, samples, torch.device("cpu"))
    return live.most


@pytest.mark.parametrize("precision", WIDTHS)
def test_activations_of_a_classifier(tmp_path, precision):
    folder = make_classifier(tmp_path, "Qwen2", num_key_value_heads=2, intermediate_size=512, max_position_embeddings=4096)
    rows = [[5] * (1000 - 30 * number) for number in range(4)]
    found = batch_bytes(RewardModel(folder, precision=precision, batch_tokens=4000), rows, [None] * 4)
    planned = 4000 * decoder_bytes(reward_shape(folder), longest=1000, width=WIDTHS[precision])
    assert planned == pytest.approx(found, **ACCURACY)


@pytest.mark.parametrize(("size", "vision_hidden"), [(224, 64), (448, 320)])
def test_activations_of_a_vision_model(tmp_path, size, vision_hidden):
    """Few images, where the decoder is the widest place, and many for a wide tower."""
    folder = make_vision_model(tmp_path / "model", vision_hidden=vision_hidden)
    processor, image = Processor.load(folder), Image.effect_noise((size, size), 90).convert("RGB")
    samples = [shown(processor, (image, image), "What is it? " * 20, "a circle " * (100 + number)) for number in range(4)]
    model = RewardModel(folder, precision="bf16", batch_tokens=100_000)
    rows = [model._scorer.encode(one) for one in samples]
    num_patches, longest, shape = sum(len(one.prompt.images.patches) for one in samples), max(map(len, rows)), reward_shape(folder)
    decoder = longest * len(rows) * decoder_bytes(shape, longest=longest, width=2)
    tower = num_patches * tower_bytes(shape.vision, width=2)
    assert (tower > decoder) == (vision_hidden == 320)
    planned = num_patches * image_bytes(shape.vision, width=2) + max(decoder, tower)
    assert planned == pytest.approx(batch_bytes(model, rows, samples), **ACCURACY)
