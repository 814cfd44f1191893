"""Real vLLM against transformers, before and after weight updates, and what it refuses."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rollout_process import MAX_PROMPT_TOKENS, EngineProcess, Transformers
from safetensors.torch import load_file, save_file

from lmm_r1_mega.data.chat.processor import Processor
from lmm_r1_mega.data.images.patches import join_images
from lmm_r1_mega.rollout.sampling import Sampling
from lmm_r1_mega.rollout.transfer.client import (
    CorruptTensorError,
    MissingTensorError,
    TensorShapeError,
    UnknownTensorError,
    WeightSyncError,
)
from lmm_r1_mega.rollout.transfer.sender import SharedMemorySender
from lmm_r1_mega.schema import Prompt
from tools.make_tiny_model import TinyShape, make_tiny_model

BUCKET = 2**18  # the model is a dozen of them
SAMPLING = Sampling(max_response_tokens=24)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("rollout") / "model"
    make_tiny_model(folder, TinyShape(hidden=128, layers=2, vocab=500, vision_depth=2, vision_hidden=64, init_range=0.06))
    return folder


@pytest.fixture(scope="module")
def processor(folder) -> Processor:
    return Processor.load(folder)


@pytest.fixture(scope="module")
def transformers_model(folder, processor) -> Transformers:
    return Transformers(folder, processor)


@pytest.fixture(scope="module")
def engine(folder):
    engine = EngineProcess(folder)
    yield engine
    shared = engine.shared_files()
    assert engine.end() == 0
    assert [file for file in shared if file.exists()] == []


@pytest.fixture
def weights(folder) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


@pytest.fixture(scope="module")
def prompts(processor) -> list[Prompt]:
    """Text, one image, and two of unlike sizes."""
    return [
        _prompt(processor, "text", "What is 7 + 2 + 8 ?", []),
        _prompt(processor, "one", "How many dots ?", [(56, 56)]),
        _prompt(processor, "two", "Which has more ?", [(84, 56), (56, 112)]),
    ]


def _prompt(processor: Processor, name: str, text: str, sizes: list[tuple[int, int]]) -> Prompt:
    noise = np.random.default_rng(len(sizes))
    images = [Image.fromarray(noise.integers(0, 255, (height, width, 3), dtype=np.uint8)) for width, height in sizes]
    rendered = f"<|im_start|>user\n{'<|vision_start|><|image_pad|><|vision_end|>' * len(images)}{text}<|im_end|>\n<|im_start|>assistant\n"
    ids = processor.encode([rendered])[0]
    return Prompt(
        id=f"test:{name}",
        source="test",
        text=rendered,
        token_ids=tuple(ids),
        expanded_ids=processor.expand(ids, [processor.num_image_tokens(*size) for size in sizes]),
        images=join_images([processor.prompt_images(image) for image in images]) if images else None,
        answer=None,
    )


def send(engine: EngineProcess, weights: dict[str, torch.Tensor], *, version: int) -> None:
    sender = SharedMemorySender(weights.items, engine, bucket_bytes=BUCKET, deadline_s=60)
    try:
        sender.send(version)
    finally:
        sender.close()


@pytest.fixture
def fresh(engine, weights) -> EngineProcess:
    """The engine with the folder's weights, whatever the test before it did."""
    send(engine, weights, version=0)
    return engine


def largest_gap(engine, model: Transformers, prompts, sampling=SAMPLING) -> float:
    """Largest difference of a log-probability between vLLM and transformers."""
    groups = engine.generate(prompts, samples=3, sampling=sampling, seed=5)
    return max(
        (model.logprobs(prompt, completion, temperature=sampling.temperature) - completion.response_logprobs).abs().max().item()
        for prompt, group in zip(prompts, groups, strict=True)
        for completion in group
    )


def test_log_probabilities_are_those_of_transformers(engine, transformers_model, prompts):
    assert largest_gap(engine, transformers_model, prompts) <= 1e-4


def test_log_probabilities_are_of_the_sampling_temperature(engine, transformers_model, prompts):
    assert largest_gap(engine, transformers_model, prompts, replace(SAMPLING, temperature=0.7)) <= 1e-4


def test_greedy_takes_the_likeliest_allowed_token(engine, transformers_model, processor, prompts):
    for prompt, (completion,) in zip(
        prompts, engine.generate(prompts, samples=1, sampling=replace(SAMPLING, temperature=0), seed=0), strict=True
    ):
        logits = transformers_model.logits(prompt, completion)
        logits[:, list(processor.forbidden_ids)] = -torch.inf
        assert logits.argmax(-1).tolist() == completion.response_ids.tolist()


def test_weight_updates_change_answers_to_those_of_the_new_weights(fresh, folder, processor, prompts, weights):
    model = Transformers(folder, processor)
    before = fresh.generate(prompts, samples=1, sampling=SAMPLING, seed=0)
    for version in (1, 2):
        noise = torch.Generator().manual_seed(version)
        for name, tensor in weights.items():
            tensor += 0.03 * torch.randn(tensor.shape, generator=noise)
            _parameter(model, name).data.copy_(tensor)
        send(fresh, weights, version=version)
        after = fresh.generate(prompts, samples=1, sampling=SAMPLING, seed=0)
        assert [group[0].weight_version for group in after] == [version] * len(prompts)
        assert all(not new[0].response_ids.equal(old[0].response_ids) for new, old in zip(after, before, strict=True))
        assert largest_gap(fresh, model, prompts) <= 1e-4


def test_a_head_tied_to_the_embedding_follows_it(tmp_path):
    """vLLM packs its own copy of the shared matrix for the head. The folder holds the head a second time, as some do."""
    folder = tmp_path / "tied"
    make_tiny_model(folder, TinyShape(layers=1, vocab=400, vision_depth=1, vision_hidden=32, init_range=0.06, tied=True))
    processor, weights = Processor.load(folder), load_file(folder / "model.safetensors")
    head = weights["model.embed_tokens.weight"].clone()
    save_file(weights | {"lm_head.weight": head}, folder / "model.safetensors", metadata={"format": "pt"})
    model, engine = Transformers(folder, processor), EngineProcess(folder)
    try:
        assert engine.packed_layers() == ["language_model.lm_head"], "nobody multiplies with the embedding"
        for name, tensor in weights.items():
            tensor += 0.03 * torch.randn(tensor.shape, generator=torch.Generator().manual_seed(1))
            _parameter(model, name).data.copy_(tensor)
        send(engine, weights, version=1)
        assert largest_gap(engine, model, [_prompt(processor, "text", "What is 7 + 2 + 8 ?", [])]) <= 1e-4
        assert engine.packed_layers() == ["language_model.lm_head"]
    finally:
        assert engine.end() == 0


def _parameter(model: Transformers, name: str) -> torch.nn.Parameter:
    """By its name on disk, which lacks the wrapper modules that transformers puts around."""
    inner = (
        name
        if name.startswith("lm_head")
        else name.replace("visual.", "model.visual.", 1)
        if name.startswith("visual.")
        else name.replace("model.", "model.language_model.", 1)
    )
    return model.model.get_parameter(inner)


def test_forbidden_tokens_are_never_sampled_however_likely(fresh, processor, prompts, weights, folder):
    forbidden = list(processor.forbidden_ids)
    loud = 300 * torch.randn(len(forbidden) // 2, weights["lm_head.weight"].shape[1], generator=torch.Generator().manual_seed(0))
    weights["lm_head.weight"][forbidden[: 2 * len(loud)]] = torch.cat([loud, -loud])  # of two opposite rows one is always loud
    send(fresh, weights, version=1)
    model = Transformers(folder, processor)
    model.model.lm_head.weight.data.copy_(weights["lm_head.weight"])
    groups = fresh.generate(prompts, samples=4, sampling=replace(SAMPLING, ignore_eos=True), seed=1)
    for prompt, group in zip(prompts, groups, strict=True):
        for completion in group:
            probability = model.logits(prompt, completion).softmax(-1)[:, forbidden].sum(-1)
            assert probability.min() > 0.99
            assert not set(completion.response_ids.tolist()) & set(forbidden)


def test_samples_depend_on_seed_and_prompt_and_not_on_their_company(fresh, prompts):
    together = fresh.generate(prompts, samples=3, sampling=SAMPLING, seed=7)
    alone = fresh.generate(prompts[1:2], samples=3, sampling=SAMPLING, seed=7)
    other = fresh.generate(prompts[1:2], samples=3, sampling=SAMPLING, seed=8)
    assert [c.response_ids.tolist() for c in together[1]] == [c.response_ids.tolist() for c in alone[0]]
    assert len({tuple(c.response_ids.tolist()) for c in (*alone[0], *other[0])}) == 6


def test_responses_end_with_an_end_token_or_at_the_limit(fresh, processor, prompts):
    groups = fresh.generate(prompts[:1], samples=64, sampling=Sampling(32), seed=3)
    reasons = {completion.finish_reason for completion in groups[0]}
    for completion in groups[0]:
        stopped = completion.finish_reason == "stop"
        assert stopped == (int(completion.response_ids[-1]) in processor.eos_ids)
        assert stopped or len(completion.response_ids) == 32
        assert not set(completion.response_ids[:-1].tolist()) & set(processor.eos_ids)
        assert completion.text == processor.decode(completion.response_ids.tolist())
    assert reasons == {"stop", "length"}


def test_ignoring_the_end_makes_every_response_as_long_as_asked(fresh, prompts):
    groups = fresh.generate(prompts, samples=8, sampling=Sampling(32, ignore_eos=True), seed=3)
    assert {len(completion.response_ids) for group in groups for completion in group} == {32}


def test_a_stop_string_ends_the_response_and_stays_in_it(fresh, prompts):
    free = fresh.generate(prompts[:1], samples=1, sampling=Sampling(32, ignore_eos=True), seed=4)[0][0]
    stop = free.text[len(free.text) // 2 :][:2]
    (cut,) = fresh.generate(prompts[:1], samples=1, sampling=Sampling(32, ignore_eos=True, stop=(stop,)), seed=4)[0]
    assert cut.finish_reason == "stop"
    assert stop in cut.text
    assert cut.response_ids.equal(free.response_ids[: len(cut.response_ids)])
    assert len(cut.response_ids) < len(free.response_ids)
    assert len(cut.response_logprobs) == len(cut.response_ids)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_any_number_of_prompts(fresh, prompts, count):
    asked = [replace(prompts[0], id=f"test:{i}") for i in range(count)]
    groups = fresh.generate(asked, samples=2, sampling=Sampling(2), seed=0)
    assert [len(group) for group in groups] == [2] * count


def test_more_prompt_tokens_than_a_step_takes_in(fresh, prompts):
    numbers = np.random.default_rng(0).integers(10, 300, (100, MAX_PROMPT_TOKENS)).tolist()
    asked = [replace(prompts[0], id=f"test:{i}", token_ids=tuple(ids), expanded_ids=tuple(ids)) for i, ids in enumerate(numbers)]
    groups = fresh.generate(asked, samples=2, sampling=Sampling(2), seed=0)
    alone = fresh.generate(asked[-1:], samples=2, sampling=Sampling(2), seed=0)
    assert [c.response_ids.tolist() for c in groups[-1]] == [c.response_ids.tolist() for c in alone[0]]


def test_caches_that_vllm_keeps_are_an_error_and_no_silence(fresh, prompts):
    with pytest.raises(RuntimeError, match="vLLM kept the KV cache of the old weights"):
        fresh.reset_during_a_request(prompts[0])


def test_a_prompt_that_is_too_long_is_named(fresh, prompts):
    long = replace(prompts[0], id="file:long", expanded_ids=prompts[0].expanded_ids * 9)
    with pytest.raises(ValueError, match=rf"file:long has \d+ tokens, data.max_prompt_tokens is {MAX_PROMPT_TOKENS}"):
        fresh.generate([long], samples=1, sampling=SAMPLING, seed=0)


def test_a_prompt_with_too_many_images_is_named(fresh, prompts):
    with pytest.raises(ValueError, match="file:many has 3 images"):
        fresh.generate(
            [replace(prompts[1], id="file:many", images=join_images([prompts[1].images] * 3))], samples=1, sampling=SAMPLING, seed=0
        )


def test_a_prompt_that_the_trainer_expands_otherwise_is_named(fresh, prompts):
    with pytest.raises(RuntimeError, match="reads prompt file:other"):
        fresh.generate(
            [replace(prompts[1], id="file:other", expanded_ids=prompts[1].expanded_ids[1:])], samples=1, sampling=SAMPLING, seed=0
        )


def test_a_response_limit_beyond_the_engines_is_refused(fresh, prompts):
    with pytest.raises(ValueError, match=r"raise rollout\.max_response_tokens 32"):
        fresh.generate(prompts, samples=1, sampling=Sampling(33), seed=0)


def without_last(weights):
    del weights[list(weights)[-1]]


def with_unknown(weights):
    weights["model.layers.9.mlp.up_proj.weight"] = torch.zeros(3, 3)


def with_wrong_shape(weights):
    weights["lm_head.weight"] = weights["lm_head.weight"].t()


@pytest.mark.parametrize(
    ("spoil", "error", "name"),
    [
        (without_last, MissingTensorError, "1 of"),
        (with_unknown, UnknownTensorError, "model.layers.9"),
        (with_wrong_shape, TensorShapeError, "lm_head.weight"),
    ],
)
def test_a_wrong_update_is_refused_and_not_served_until_a_right_one(fresh, prompts, weights, spoil, error, name):
    expected = fresh.generate(prompts, samples=1, sampling=SAMPLING, seed=0)
    wrong = {key: tensor + 0.1 for key, tensor in weights.items()}
    spoil(wrong)
    with pytest.raises(error, match=name):
        send(fresh, wrong, version=1)
    with pytest.raises(WeightSyncError, match="half of a weight update"):
        fresh.generate(prompts, samples=1, sampling=SAMPLING, seed=0)
    send(fresh, weights, version=2)
    assert_same_answers(fresh.generate(prompts, samples=1, sampling=SAMPLING, seed=0), expected)


class Saboteur:
    """Passes calls on to an engine; damages a byte of the second bucket, or stops there as a trainer does that dies."""

    def __init__(self, engine: EngineProcess, *, dies: bool) -> None:
        self._engine = engine
        self._dies = dies
        self._count = 0

    def update_weights(self, update_info):
        self._count += 1
        if self._count == 2 and self._dies:
            raise ConnectionError("the trainer is gone")
        if self._count == 2:
            with open(update_info["path"], "r+b") as memory:
                memory.seek(update_info["entries"][0]["offset"] + 5)
                memory.write(b"\x55")
        self._engine.update_weights(update_info)

    def init_weight_transfer_engine(self, init_info):
        self._engine.init_weight_transfer_engine(init_info)

    def start_weight_update(self):
        self._engine.start_weight_update()

    def finish_weight_update(self, weight_version):
        self._engine.finish_weight_update(weight_version)


@pytest.mark.parametrize(("dies", "error"), [(False, CorruptTensorError), (True, ConnectionError)])
def test_an_update_that_is_damaged_or_dies_is_not_served_and_the_next_one_is(fresh, prompts, weights, dies, error):
    expected = fresh.generate(prompts, samples=1, sampling=SAMPLING, seed=0)
    with pytest.raises(error):
        send(Saboteur(fresh, dies=dies), {key: tensor + 0.1 for key, tensor in weights.items()}, version=1)
    with pytest.raises(WeightSyncError, match="half of a weight update"):
        fresh.generate(prompts, samples=1, sampling=SAMPLING, seed=0)
    send(fresh, weights, version=2)
    assert_same_answers(fresh.generate(prompts, samples=1, sampling=SAMPLING, seed=0), expected)


def assert_same_answers(found, expected):
    for new, old in zip(found, expected, strict=True):
        assert new[0].response_ids.equal(old[0].response_ids)
        assert torch.equal(new[0].response_logprobs, old[0].response_logprobs)
