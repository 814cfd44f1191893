"""Whether a run fits: on each GPU while it trains and while it generates, and in the memory of the machines."""

from __future__ import annotations

from dataclasses import dataclass

from lmm_r1_mega.config import Config
from lmm_r1_mega.planning.hardware import GIB, Hardware
from lmm_r1_mega.planning.memory import StageMemory
from lmm_r1_mega.planning.rollout import EngineMemory


@dataclass(frozen=True)
class Verdict:
    """Bytes needed at the worst place, and the reasons why they are too many."""

    training: int
    """On the fullest trainer GPU (on a CPU: the largest trainer process)."""
    generating: int
    """On a GPU with an engine, the trainer's resident part included where they share it."""
    host: int
    """In the memory of all machines together."""
    reasons: tuple[str, ...]

    @property
    def fits(self) -> bool:
        """Whether there is enough everywhere."""
        return not self.reasons


def judge(config: Config, stages: list[StageMemory], engine: EngineMemory, hardware: Hardware) -> Verdict:
    """Compare what is needed with what there is; memory that `hardware` does not give is not judged."""
    is_hybrid = config.cluster.placement == "hybrid"
    training = max(stage.peak for stage in stages)
    resident = max(stage.resident for stage in stages) if is_hybrid else 0
    generating = engine.budget + resident
    host = host_bytes(config, stages, engine, hardware)
    return Verdict(training, generating, host, tuple(_reasons(config, Verdict(training, generating, host, ()), engine, hardware)))


def host_bytes(config: Config, stages: list[StageMemory], engine: EngineMemory, hardware: Hardware) -> int:
    """Memory of all machines: on GPUs the reference and the weights of sleeping engines, on a CPU every process whole."""
    ranks_per_stage = config.layout.tensor * config.layout.data
    num_engine_ranks = config.rollout.engines * config.rollout.tensor
    snapshots = ranks_per_stage * sum(stage.snapshot for stage in stages)
    if hardware.device == "cpu":
        return snapshots + ranks_per_stage * sum(stage.peak for stage in stages) + num_engine_ranks * engine.budget
    asleep = num_engine_ranks * engine.weights if config.cluster.placement == "hybrid" else 0
    return snapshots + asleep


def _reasons(config: Config, need: Verdict, engine: EngineMemory, hardware: Hardware) -> list[str]:
    reasons = []
    longest = config.data.max_prompt_tokens + config.rollout.max_response_tokens
    if hardware.gpu_gib is not None:
        room = hardware.gpu_gib * GIB
        if need.training > room:
            reasons.append(f"training needs {need.training / GIB:.1f} GiB on a GPU of {hardware.gpu_gib:g} GiB")
        if need.generating > room:
            remedy = _gpu_memory_remedy(need, engine, room)
            reasons.append(f"generating needs {need.generating / GIB:.1f} GiB on a GPU of {hardware.gpu_gib:g} GiB: {remedy}")
    if engine.kv_tokens < longest:
        reasons.append(
            f"an engine has room for {engine.kv_tokens} tokens of keys and values and the longest sample has {longest}: raise "
            f"{'rollout.tensor or rollout.gpu_memory' if hardware.device == 'gpu' else 'rollout.kv_cache_gib'}"
        )
    if hardware.host_gib is not None and need.host > hardware.host_gib * GIB * config.cluster.nodes:
        there = hardware.host_gib * config.cluster.nodes
        reasons.append(f"the machines need {need.host / GIB:.1f} GiB of host memory and have {there:g}")
    return reasons


def _gpu_memory_remedy(need: Verdict, engine: EngineMemory, room: float) -> str:
    resident = need.generating - engine.budget
    share = int((room - resident) / room * 100) / 100
    if share <= 0:
        return f"the trainer keeps {resident / GIB:.1f} GiB of it, so split it over more ranks"
    return f"beside the trainer rollout.gpu_memory may be at most {share:g}"
