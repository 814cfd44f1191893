"""Reward models from Hugging Face folders, computed by transformers. Two kinds of folder are read:

* a classifier: `architectures` in config.json names one `...ForSequenceClassification`, with a single label. What
  `AutoModelForSequenceClassification` says is the score; images of the prompt are not seen.
* Qwen2.5-VL with a value head: `architectures` names `Qwen2_5_VLForConditionalGeneration`, and beside that model's weights the
  safetensors hold `score.weight` of shape [1, hidden], the name of a classifier's head too. The score is the head times the last
  token's hidden state after the final norm.

Both read the prompt as the policy's template wrote it, the response, and where the policy ended it their own end-of-turn token.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from lmm_r1_mega.config.device import PrecisionSetting
from lmm_r1_mega.convert.hf_folder import HFReader
from lmm_r1_mega.data.chat.processor import Processor
from lmm_r1_mega.data.images.patches import as_pil_images
from lmm_r1_mega.families.registry import read_shape
from lmm_r1_mega.families.shape import RewardShape
from lmm_r1_mega.models.device import keep_float32_exact, this_device, training_device
from lmm_r1_mega.process import stacks
from lmm_r1_mega.process.torchvision_shim import make_torchvision_importable
from lmm_r1_mega.schema import PromptImages, Sample

HEAD = "score.weight"
VISION_LANGUAGE = "Qwen2_5_VLForConditionalGeneration"
CLASSIFIER_SUFFIX = "ForSequenceClassification"
_LOADING: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
_WEIGHTS: dict[str, Any] = {**_LOADING, "use_safetensors": True, "output_loading_info": True}


class Scorer(Protocol):
    """One kind of reward model: tokens and images in, scores out."""

    module: torch.nn.Module
    max_tokens: int

    def encode(self, sample: Sample) -> list[int]:
        """Token ids of a prompt with its response, images expanded."""
        ...

    def forward(self, rows: list[list[int]], samples: list[Sample], device: torch.device) -> Float[Tensor, "samples"]:
        """Scores of a batch."""
        ...


class RewardModel:
    """A reward model in this process. On a GPU it is there only while it scores."""

    def __init__(self, folder: Path, *, precision: PrecisionSetting, batch_tokens: int) -> None:
        stacks.register(f"reward model {folder.name}")
        architecture = kind_of(folder)
        dtype = torch.float32 if this_device().precision(precision) == "fp32" else torch.bfloat16
        make_torchvision_importable()
        keep_float32_exact()
        self._scorer: Scorer = _Vision(folder, dtype) if architecture == VISION_LANGUAGE else _Classifier(folder, dtype)
        self._scorer.module.eval()
        self._batch_tokens = batch_tokens
        self._device = training_device()

    @torch.inference_mode()
    def scores(self, samples: Sequence[Sample]) -> list[float | None]:
        """One a sample, in order; None for one that is longer than the model reads."""
        rows = [self._scorer.encode(sample) for sample in samples]
        lengths = [len(row) for row in rows]
        found: list[float | None] = [None] * len(rows)
        readable = [index for index, length in enumerate(lengths) if length <= self._scorer.max_tokens]
        with _on(self._scorer.module, self._device):
            for batch in token_batches(readable, lengths, budget=self._batch_tokens):
                scores = self._scorer.forward([rows[i] for i in batch], [samples[i] for i in batch], self._device)
                for index, score in zip(batch, scores.float().tolist(), strict=True):
                    found[index] = score
        return found


def token_batches(indices: Sequence[int], lengths: Sequence[int], *, budget: int) -> Iterator[list[int]]:
    """Batches of like lengths whose padded size is within the budget; one that is longer by itself stands alone.

    Example: indices 0 1 2 of lengths 3, 8, 4 and budget 8 -> [1], [2, 0]
    """
    batch: list[int] = []
    for index in sorted(indices, key=lambda index: -lengths[index]):
        if batch and lengths[batch[0]] * (len(batch) + 1) > budget:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


class _Classifier:
    """`AutoModelForSequenceClassification` with one label."""

    def __init__(self, folder: Path, dtype: torch.dtype) -> None:
        from transformers import AutoModelForSequenceClassification, AutoTokenizer  # needs the shim first

        config = _classifier_config(folder)
        text = config.get_text_config()
        text.use_cache = False  # the KV cache of all layers, which nobody reads
        self._tokenizer = AutoTokenizer.from_pretrained(folder, **_LOADING)
        self.module, report = AutoModelForSequenceClassification.from_pretrained(folder, config=config, dtype=dtype, **_WEIGHTS)
        _refuse_missing(folder, report["missing_keys"])
        self._pad = text.pad_token_id
        self.max_tokens: int = text.max_position_embeddings

    def encode(self, sample: Sample) -> list[int]:
        return self._tokenizer(_text(sample, self._tokenizer.eos_token), add_special_tokens=False)["input_ids"]

    def forward(self, rows: list[list[int]], samples: list[Sample], device: torch.device) -> Float[Tensor, "samples"]:
        if self._pad is None:  # transformers finds the end of a padded row by the pad token: without one, a row at a time
            return torch.cat([self.module(input_ids=torch.tensor([row], device=device)).logits[:, 0] for row in rows])
        ids, mask = _padded(rows, self._pad, device)
        return self.module(input_ids=ids, attention_mask=mask).logits[:, 0]


class _Vision:
    """Qwen2.5-VL with a value head."""

    def __init__(self, folder: Path, dtype: torch.dtype) -> None:
        from transformers import Qwen2_5_VLForConditionalGeneration  # needs the shim first

        with HFReader(folder) as weights:
            head = weights.tensor(HEAD)
        model, report = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=dtype, **_WEIGHTS)
        _refuse_missing(folder, [name for name in report["missing_keys"] if name != "lm_head.weight"])
        text = model.config.get_text_config()
        if tuple(head.shape) != (1, text.hidden_size):
            raise ValueError(f"reward.models {folder}: {HEAD} has shape {list(head.shape)} instead of [1, {text.hidden_size}]")
        self.module = model.model
        self.module.register_buffer("value_head", head.float())
        self._processor = Processor.load(folder)
        self.max_tokens: int = text.max_position_embeddings

    def encode(self, sample: Sample) -> list[int]:
        [end, *_] = self._processor.eos_ids
        [ids] = self._processor.encode([_text(sample, "")])
        if sample.completion.finish_reason == "stop":
            ids = [*ids, end]
        return list(
            self._processor.expand(ids, [count for one in self._visions(sample) for count in self._processor.spec.num_tokens(one.grid_thw)])
        )

    def forward(self, rows: list[list[int]], samples: list[Sample], device: torch.device) -> Float[Tensor, "samples"]:
        ids, mask = _padded(rows, self._processor.eos_ids[0], device)
        seen = [one for sample in samples for one in self._visions(sample)]
        kinds = (ids == self._processor.spec.image_token_id).int()
        hidden = self.module(input_ids=ids, attention_mask=mask, mm_token_type_ids=kinds, use_cache=False, **self._images(seen, device))
        last = hidden.last_hidden_state[torch.arange(len(rows), device=device), mask.sum(dim=1) - 1]
        return torch.nn.functional.linear(last.float(), self.module.value_head)[:, 0]

    def _visions(self, sample: Sample) -> list[PromptImages]:
        """The sample's images as this model's own processor resizes them."""
        vision = sample.prompt.images
        images = as_pil_images(vision, merge_size=self._processor.spec.merge_size) if vision is not None else []
        return [self._processor.prompt_images(image) for image in images]

    def _images(self, seen: list[PromptImages], device: torch.device) -> dict[str, Tensor]:
        if not seen:
            return {}
        patches, grids = torch.cat([one.patches for one in seen]), torch.cat([one.grid_thw for one in seen])
        return {"pixel_values": self._processor.pixel_scale.pixel_values(patches.to(device)), "image_grid_thw": grids.to(device)}


def _text(sample: Sample, end: str | None) -> str:
    is_complete = sample.completion.finish_reason == "stop"
    return sample.prompt.text + sample.completion.text + ((end or "") if is_complete else "")


def _padded(rows: list[list[int]], pad: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Ids and mask of shape [rows, longest], padded on the right."""
    longest = max(map(len, rows))
    ids = torch.tensor([row + [pad] * (longest - len(row)) for row in rows], device=device)
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows], device=device)
    return ids, mask


@contextmanager
def _on(module: torch.nn.Module, device: torch.device) -> Iterator[None]:
    """The module on a device for a while: GPUs are shared with the trainer."""
    module.to(device)
    try:
        yield
    finally:
        if device.type == "cuda":
            module.to("cpu")
            torch.cuda.empty_cache()


def kind_of(folder: Path) -> str:
    """Name of the architecture in a folder, whose weights are looked at no further than their headers.

    Raises: ValueError where it is no reward model of the two kinds, or a file of it is missing or cut.
    """
    name = _architecture(folder)
    with HFReader(folder) as weights:
        if name == VISION_LANGUAGE and HEAD not in weights.contents.specs:
            raise ValueError(f"reward.models {folder} has no {HEAD} of shape [1, hidden]: give a model with a value head")
    return name


def reward_shape(folder: Path) -> RewardShape:
    """Dimensions of the model in a folder, from its config.json alone: it is built without storage.

    Raises: ValueError where it is no reward model of the two kinds.
    """
    name = _architecture(folder)
    make_torchvision_importable()
    from transformers import AutoModelForSequenceClassification, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    if name == VISION_LANGUAGE:
        config, vision = Qwen2_5_VLConfig.from_pretrained(folder, **_LOADING), read_shape(folder).vision
        with torch.device("meta"):
            module = Qwen2_5_VLForConditionalGeneration(config).model
    else:
        config, vision = _classifier_config(folder), None
        with torch.device("meta"):
            module = AutoModelForSequenceClassification.from_config(config, trust_remote_code=False)
    text = config.get_text_config()
    num_parameters = sum(parameter.numel() for parameter in module.parameters()) + (text.hidden_size if vision else 0)
    ffn_size = text.to_dict().get("intermediate_size") or 4 * text.hidden_size  # the families that name it otherwise have four times
    return RewardShape(num_parameters, text.hidden_size, ffn_size, vision)


def _architecture(folder: Path) -> str:
    path = Path(folder) / "config.json"
    if not path.is_file():
        raise ValueError(f"reward.models {folder} has no config.json: give the Hugging Face folder of a reward model")
    [name, *_] = json.loads(path.read_text(encoding="utf-8")).get("architectures") or ["model without a name"]
    if name != VISION_LANGUAGE and not name.endswith(CLASSIFIER_SUFFIX):
        raise ValueError(
            f"reward.models {folder} is a {name}: give a ...{CLASSIFIER_SUFFIX} with one label, or a {VISION_LANGUAGE} with {HEAD}"
        )
    return name


def _classifier_config(folder: Path) -> Any:
    """The configuration of a classifier, which has to have one label."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(folder, **_LOADING)
    if config.num_labels != 1:
        raise ValueError(f"reward.models {folder} has {config.num_labels} labels: a reward model has one")
    return config


def _refuse_missing(folder: Path, missing: Sequence[str]) -> None:
    """transformers fills missing weights with random numbers and a warning."""
    if missing:
        raise ValueError(
            f"reward.models {folder} lacks {', '.join(sorted(missing)[:5])}: give the complete folder of a trained reward model"
        )
