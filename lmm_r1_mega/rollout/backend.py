"""vLLM 0.32 behind four functions: start it, ask it, read its answers, give it calls for all of its workers.

Imported only after `environment.prepare_process`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from vllm import LLM, RequestOutput, SamplingParams
from vllm.logprobs import FlatLogprobs
from vllm.sampling_params import RequestOutputKind

from lmm_r1_mega.config import RolloutSettings
from lmm_r1_mega.data.chat.processor import Processor
from lmm_r1_mega.data.images.patches import as_pil_images
from lmm_r1_mega.models.device import this_device
from lmm_r1_mega.planning.rollout import HOST_STEP_TOKENS
from lmm_r1_mega.rollout.plugin import register
from lmm_r1_mega.rollout.sampling import Sampling
from lmm_r1_mega.schema import Completion, Prompt

HOST_BLOCK_TOKENS = 32  # small enough that short prompts share blocks, and what vLLM's attention kernel is fast at


def start(model_path: Path, *, settings: RolloutSettings, max_model_len: int, seed: int, **arguments: Any) -> LLM:
    """A vLLM engine in this process; `arguments` are vLLM's own that depend on more than the settings."""
    register()
    return LLM(
        str(model_path),
        seed=seed,
        tensor_parallel_size=settings.tensor,
        max_num_seqs=settings.max_sequences,
        enable_prefix_caching=settings.prefix_caching,
        logprobs_mode="processed_logprobs",
        max_model_len=max_model_len,
        use_tqdm_on_load=False,
        **(_gpu_arguments(settings) if this_device().is_gpu else _host_arguments(settings, max_model_len)),
        **arguments,
    )


def _gpu_arguments(settings: RolloutSettings) -> dict[str, Any]:
    return {
        "gpu_memory_utilization": settings.gpu_memory,
        "enforce_eager": settings.enforce_eager,
        "distributed_executor_backend": "mp" if settings.tensor > 1 else "uni",
    }


def _host_arguments(settings: RolloutSettings, max_model_len: int) -> dict[str, Any]:
    """Prompts are never cut: vLLM 0.32 rewinds a seeded request's random numbers after a cut, which torch cannot do on a CPU."""
    return {
        "kv_cache_memory_bytes": int(settings.kv_cache_gib * 2**30),
        "gpu_memory_utilization": 0.1,  # vLLM checks this share of the host's memory to be free, though the line above decides
        "enforce_eager": True,
        "block_size": HOST_BLOCK_TOKENS,
        "enable_chunked_prefill": False,
        "max_num_batched_tokens": max(max_model_len, HOST_STEP_TOKENS),
    }


def request(prompt: Prompt, *, merge_size: int) -> dict[str, Any]:
    """A prompt as vLLM takes it: unexpanded ids and images."""
    ids = {"prompt_token_ids": list(prompt.token_ids)}
    if prompt.images is None:
        return ids
    return ids | {"multi_modal_data": {"image": as_pil_images(prompt.images, merge_size=merge_size)}}


def sampling_params(sampling: Sampling, *, samples: int, seed: int, processor: Processor) -> SamplingParams:
    """`samples` responses of one prompt, sample i with random numbers of `seed` + i."""
    return SamplingParams(
        n=samples,
        seed=seed,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        max_tokens=sampling.max_response_tokens,
        stop=list(sampling.stop),
        include_stop_str_in_output=True,
        stop_token_ids=[] if sampling.ignore_eos else list(processor.eos_ids),
        ignore_eos=sampling.ignore_eos,
        logit_bias=dict.fromkeys(processor.forbidden_ids, -torch.inf),
        logprobs=0,  # of the sampled token and no other
        flat_logprobs=True,
        detokenize=bool(sampling.stop),
        output_kind=RequestOutputKind.FINAL_ONLY,
    )


def generate(llm: LLM, requests: list[dict[str, Any]], params: Sequence[SamplingParams]) -> list[RequestOutput]:
    """vLLM's answers in the order of the requests."""
    return llm.generate(requests, params, use_tqdm=False)


def completions(output: RequestOutput, *, processor: Processor, weight_version: int) -> list[Completion]:
    """The samples of one prompt."""
    prompt_ids = tuple(output.prompt_token_ids)
    return [
        Completion(
            prompt_ids=prompt_ids,
            response_ids=torch.tensor(sample.token_ids, dtype=torch.int64),
            response_logprobs=torch.tensor(_sampled_logprobs(sample.logprobs), dtype=torch.float32),
            text=processor.decode(sample.token_ids),
            finish_reason="length" if sample.finish_reason == "length" else "stop",
            weight_version=weight_version,
        )
        for sample in output.outputs
    ]


def _sampled_logprobs(logprobs: FlatLogprobs) -> list[float]:
    return [logprobs.logprobs[start] for start in logprobs.start_indices]


def on_workers(llm: LLM, method: str, *arguments: Any) -> None:
    """Call a method of every worker process of the engine."""
    llm.llm_engine.collective_rpc(method, args=arguments)


def reset_caches(llm: LLM) -> None:
    """Drop keys, values and image features that old weights computed.

    Raises: RuntimeError where vLLM keeps them, as it does while a request is under way: an internal error.
    """
    if not llm.reset_prefix_cache():
        raise RuntimeError("vLLM kept the KV cache of the old weights, because a request still uses them: nothing may be generated")
    llm.reset_mm_cache()
    llm.llm_engine.reset_encoder_cache()
