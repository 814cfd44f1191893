"""transformers as the judge: a tiny model that tells every mistake, sequences of every kind, and what they should give."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from lmm_r1_mega.batching.sharing import num_new_tokens
from lmm_r1_mega.data.chat.vision_spec import VisionSpec, vision_spec_of
from lmm_r1_mega.data.images.patches import as_pil_images
from lmm_r1_mega.families.weights import short_name
from lmm_r1_mega.schema import PromptImages, Sequence
from tools.make_tiny_model import TinyShape, make_tiny_model


def tiny(folder: Path, **shape) -> Path:
    """A tiny model in which no two tensors are alike: norms and biases are random too."""
    make_tiny_model(folder, TinyShape(layers=4, vocab=500, vision_depth=2, vision_hidden=64, init_range=0.08, **shape))
    weights = load_file(folder / "model.safetensors")
    noise = torch.Generator().manual_seed(1)
    for tensor in weights.values():
        if tensor.dim() == 1:
            tensor += 0.2 * torch.randn(tensor.shape, generator=noise)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def sequence(spec: VisionSpec | None, seed: int, *, text: int, grids: list[tuple[int, int, int]]) -> Sequence:
    """Random text around random images."""
    noise = torch.Generator().manual_seed(seed)
    pieces = [part.tolist() for part in torch.randint(0, 300, (text,), generator=noise).tensor_split(len(grids) + 1)]
    ids = pieces[0]
    for (t, h, w), piece in zip(grids, pieces[1:], strict=True):
        ids += [spec.vision_start_token_id, *[spec.image_token_id] * (t * h * w // 4), spec.vision_end_token_id, *piece]
    patches = sum(t * h * w for t, h, w in grids)
    vision = (
        PromptImages(torch.randint(256, (patches, 3 * 14 * 14), generator=noise, dtype=torch.uint8), torch.tensor(grids)) if grids else None
    )
    return Sequence(torch.tensor(ids), len(ids) // 2, vision)


def cases(spec: VisionSpec | None) -> dict[str, list[Sequence]]:
    """Batches of every kind; those with images for a model that sees them."""
    text = {
        "text": [sequence(spec, 1, text=41, grids=[]), sequence(spec, 2, text=7, grids=[]), sequence(spec, 3, text=90, grids=[])],
        "samples of a prompt": samples(sequence(spec, 11, text=21, grids=[]), lengths=(9, 30, 2)),
    }
    return text if spec is None else text | _with_images(spec)


def _with_images(spec: VisionSpec) -> dict[str, list[Sequence]]:
    return {
        "one image": [sequence(spec, 4, text=12, grids=[(1, 8, 8)])],
        "several images": [sequence(spec, 5, text=20, grids=[(1, 4, 4), (1, 12, 10), (1, 2, 6)])],
        "mixed": [
            sequence(spec, 6, text=25, grids=[(1, 4, 8)]),
            sequence(spec, 7, text=30, grids=[]),
            sequence(spec, 8, text=9, grids=[(1, 6, 6), (1, 8, 4)]),
        ],
        "samples of two prompts": [
            *samples(sequence(spec, 9, text=31, grids=[(1, 4, 8), (1, 6, 4)]), lengths=(5, 40, 1)),
            *samples(sequence(spec, 10, text=16, grids=[]), lengths=(9, 30)),
        ],
    }


def samples(prompt: Sequence, *, lengths: tuple[int, ...]) -> list[Sequence]:
    """Random responses to one prompt: a row computes it once."""
    noise = torch.Generator().manual_seed(sum(lengths))
    responses = [torch.randint(0, 300, (length,), generator=noise) for length in lengths]
    return [Sequence(torch.cat([prompt.token_ids, response]), len(prompt.token_ids), prompt.images) for response in responses]


@dataclass(frozen=True)
class Oracle:
    """What transformers says about batches of sequences, each computed alone, and a loss of random weights x log-probs.

    One entry a place of the batch's row: a prompt that is borrowed there is in no entry and no loss here.
    """

    logprobs: list[torch.Tensor]
    hidden: list[torch.Tensor]
    logit_gradients: list[torch.Tensor]
    gradients: dict[str, torch.Tensor]


def transformers_model(path: Path) -> torch.nn.Module:
    """The model of a folder as transformers has it, in float32."""
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    kind = AutoModelForCausalLM if vision_spec_of(path) is None else AutoModelForImageTextToText
    return kind.from_pretrained(path, dtype=torch.float32)


def oracle(path: Path, batches: list[list[Sequence]]) -> Oracle:
    from transformers import AutoImageProcessor

    image_processor = AutoImageProcessor.from_pretrained(path) if vision_spec_of(path) else None
    model = transformers_model(path)
    noise = torch.Generator().manual_seed(0)
    logprobs, hidden, logit_gradients = [], [], []
    for batch in batches:
        outputs = [_run(model, image_processor, item) for item in batch]
        places = num_new_tokens(batch)
        labels = torch.cat([item.token_ids[-count:] for item, count in zip(batch, places, strict=True)])
        logits = torch.cat([output.logits[0, -count:] for output, count in zip(outputs, places, strict=True)])
        logits.retain_grad()
        picked = logits.log_softmax(-1).gather(1, labels[:, None])[:, 0]
        (picked * torch.randn(len(picked), generator=noise)).sum().backward()
        logprobs.append(picked.detach())
        hidden.append(torch.cat([output.hidden_states[-1][0, -count:] for output, count in zip(outputs, places, strict=True)]).detach())
        logit_gradients.append(logits.grad)
    gradients = {short_name(name) if vision_spec_of(path) else name: parameter.grad for name, parameter in model.named_parameters()}
    return Oracle(logprobs, hidden, logit_gradients, gradients)


def _run(model, image_processor, item: Sequence):
    ids = item.token_ids[None, :-1]
    images = {} if item.images is None else image_processor(as_pil_images(item.images, merge_size=2), do_resize=False, return_tensors="pt")
    if image_processor is not None:
        images["mm_token_type_ids"] = (ids == model.config.image_token_id).int()
    return model(input_ids=ids, attention_mask=torch.ones_like(ids), output_hidden_states=True, **images)
