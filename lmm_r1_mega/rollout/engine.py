"""One vLLM engine in this process: prompts in, completions out, new weights when the trainer has them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmm_r1_mega.config import RolloutSettings
from lmm_r1_mega.config.device import PlacementMode, PrecisionSetting
from lmm_r1_mega.data.chat.processor import Processor
from lmm_r1_mega.models.device import this_device
from lmm_r1_mega.process import stacks
from lmm_r1_mega.rollout.environment import prepare_process
from lmm_r1_mega.rollout.sampling import Sampling, request_seed
from lmm_r1_mega.rollout.transfer.client import WeightSyncError
from lmm_r1_mega.schema import Completion, Prompt

__all__ = ["PromptLimits", "RolloutEngine", "Sampling"]

_DTYPES = {"fp32": "float32", "bf16": "bfloat16"}


@dataclass(frozen=True)
class PromptLimits:
    """What an engine reserves memory for; the data side keeps the same."""

    max_tokens: int
    """Longest prompt, image tokens included."""
    max_images: int
    min_pixels: int | None = None
    max_pixels: int | None = None
    """Image area after resizing; the model's own processor settings when left out."""


class RolloutEngine:
    """A vLLM engine that lives in this process; also the `SyncClient` of itself."""

    def __init__(
        self,
        model_path: Path,
        *,
        settings: RolloutSettings,
        precision: PrecisionSetting,
        limits: PromptLimits,
        placement: PlacementMode,
        seed: int,
    ) -> None:
        """Load the model from its Hugging Face folder; weights have version 0 then.

        Raises ValueError where the model cannot take prompts and responses of these lengths.
        """
        stacks.register("rollout engine")
        prepare_process()
        from lmm_r1_mega.rollout import backend  # vLLM reads the environment when it is imported

        self._backend = backend
        self._limits = limits
        self._max_response_tokens = settings.max_response_tokens
        self._processor = Processor.load(model_path, min_pixels=limits.min_pixels, max_pixels=limits.max_pixels)
        self._sleeps = this_device().engines_sleep(placement)
        self._llm = backend.start(
            model_path,
            settings=settings,
            seed=seed,
            weight_transfer_config={"backend": this_device().weight_transfer(placement)},
            dtype=_DTYPES[this_device().serving_precision(precision)],
            max_model_len=limits.max_tokens + settings.max_response_tokens,
            limit_mm_per_prompt={"image": max(limits.max_images, 1), "video": 0},
            mm_processor_kwargs=image_arguments(self._processor),
            enable_sleep_mode=self._sleeps,
        )
        self._version = 0
        self._update_is_open = False

    @property
    def weight_version(self) -> int:
        """Of the weights that the next completion comes from."""
        return self._version

    def generate(self, prompts: list[Prompt], *, samples: int, sampling: Sampling, seed: int) -> list[list[Completion]]:
        """`samples` completions of every prompt, in the order of the prompts.

        Sample i of a prompt depends on the weights, on `seed`, the prompt's id and i, not on what else is generated with it.
        Raises ValueError for a prompt or response length beyond the engine's limits, and RuntimeError inside a weight update
        or when vLLM expands a prompt to other tokens than the data side.
        """
        self._require_complete_weights()
        if sampling.max_response_tokens > self._max_response_tokens:
            raise ValueError(
                f"sampling.max_response_tokens {sampling.max_response_tokens} is more than the engine was started for: "
                f"raise rollout.max_response_tokens {self._max_response_tokens}"
            )
        for prompt in prompts:
            _check_prompt(prompt, self._limits)
        params = [
            self._backend.sampling_params(sampling, samples=samples, seed=request_seed(seed, prompt.id), processor=self._processor)
            for prompt in prompts
        ]
        requests = [self._backend.request(prompt, merge_size=self._processor.spec.merge_size) for prompt in prompts]
        outputs = self._backend.generate(self._llm, requests, params)
        groups = [self._backend.completions(output, processor=self._processor, weight_version=self._version) for output in outputs]
        for prompt, group in zip(prompts, groups, strict=True):
            _check_expansion(prompt, group)
        return groups

    def init_weight_transfer_engine(self, init_info: dict[str, Any]) -> None:
        """Prepare vLLM's workers for weights; `init_info` is the transfer's own."""
        self._backend.on_workers(self._llm, "init_weight_transfer_engine", init_info)

    def start_weight_update(self) -> None:
        """Refuse to generate from here until a complete update."""
        if self._update_is_open:
            self._abandon_update()
        self._update_is_open = True
        self._backend.on_workers(self._llm, "start_weight_update")

    def update_weights(self, update_info: dict[str, Any]) -> None:
        """Load one bucket. Raises WeightSyncError for a tensor that is corrupt, unknown or of a wrong shape."""
        self._backend.on_workers(self._llm, "update_weights", update_info)

    def finish_weight_update(self, weight_version: int) -> None:
        """Serve the new weights as `weight_version`. Raises MissingTensorError where some have not come."""
        self._backend.on_workers(self._llm, "finish_weight_update")
        self._backend.reset_caches(self._llm)
        self._version = weight_version
        self._update_is_open = False

    def sleep(self) -> None:
        """Give the GPU's memory to the trainer: weights to the host, KV cache dropped. Nothing on a CPU."""
        if self._sleeps:
            self._llm.sleep(level=1)

    def wake(self) -> None:
        """Take the memory back. Inverse of `sleep`."""
        if self._sleeps:
            self._llm.wake_up()

    def close(self) -> None:
        """End vLLM and free its memory."""
        self._llm.llm_engine.engine_core.shutdown()

    def _abandon_update(self) -> None:
        """A worker closes an open update when a bucket is wrong, and only then: send one that is."""
        with suppress(ValueError, RuntimeError):
            self._backend.on_workers(self._llm, "update_weights", {})

    def _require_complete_weights(self) -> None:
        if self._update_is_open:
            raise WeightSyncError(
                f"the engine holds half of a weight update (version {self._version} was the last complete one): send all weights again"
            )


def image_arguments(processor: Processor) -> dict[str, Any]:
    """What vLLM's image processor is told: images come resized, and their area has these bounds, for which it reserves memory."""
    bounds = processor.image_settings
    return {"do_resize": False, "size": {"shortest_edge": bounds["min_pixels"], "longest_edge": bounds["max_pixels"]}}


def _check_prompt(prompt: Prompt, limits: PromptLimits) -> None:
    if len(prompt.expanded_ids) > limits.max_tokens:
        raise ValueError(
            f"prompt {prompt.id} has {len(prompt.expanded_ids)} tokens, data.max_prompt_tokens is {limits.max_tokens}: "
            f"raise it or leave the prompt out"
        )
    num_images = 0 if prompt.images is None else len(prompt.images.grid_thw)
    if num_images > limits.max_images:
        raise ValueError(f"prompt {prompt.id} has {num_images} images, the engine was started for {limits.max_images}: raise max_images")


def _check_expansion(prompt: Prompt, group: list[Completion]) -> None:
    found = group[0].prompt_ids
    if found != prompt.expanded_ids:
        raise RuntimeError(
            f"vLLM reads prompt {prompt.id} as {len(found)} tokens, the trainer as {len(prompt.expanded_ids)}, or as other ones: "
            f"the model folder of both must be the same, its preprocessor_config.json too"
        )
