"""Whether a run fits: on each GPU while it trains and while it generates, and in the memory of the machines."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from lmm_r1_mega.config import Config
from lmm_r1_mega.planning.hardware import GIB, Hardware
from lmm_r1_mega.planning.memory import StageMemory
from lmm_r1_mega.planning.reward_models import RewardModelMemory
from lmm_r1_mega.planning.rollout import EngineMemory

DRIVER_BYTES = GIB
"""An assumption: the driver and what Ray runs beside it, on machines whose memory all processes share."""


@dataclass(frozen=True)
class MemoryCheck:
    """Bytes needed at the worst place, and the reasons why they are too many."""

    training: int
    """On the fullest trainer GPU (on a CPU: the largest trainer process)."""
    generating: int
    """On a GPU with an engine, the trainer's resident part included where they share it."""
    scoring: int
    """On the fullest GPU with reward models, the trainer's resident part included (on a CPU: the largest of them); 0 without any."""
    host: int
    """In the memory of all machines together."""
    reasons: tuple[str, ...]

    @property
    def fits(self) -> bool:
        """Whether there is enough everywhere."""
        return not self.reasons


@dataclass(frozen=True)
class Memories:
    """Memory of all processes of a run."""

    stages: tuple[StageMemory, ...]
    engine: EngineMemory
    reward_models: tuple[RewardModelMemory, ...]


def check_memory(config: Config, memories: Memories, hardware: Hardware) -> MemoryCheck:
    """Compare what is needed with what there is; memory that `hardware` does not give is not judged."""
    stages, engine = memories.stages, memories.engine
    is_hybrid = config.cluster.placement == "hybrid"
    idle, scoring = _beside_stages(config, memories, hardware)
    training = max(stage.peak + idle[stage.stage] for stage in stages)
    resident = max(stage.resident + idle[stage.stage] for stage in stages) if is_hybrid else 0
    needs = MemoryCheck(training, engine.budget + resident, scoring, host_bytes(config, memories, hardware), ())
    return replace(needs, reasons=tuple(_reasons(config, needs, engine, hardware)))


def _beside_stages(config: Config, memories: Memories, hardware: Hardware) -> tuple[Counter[int], int]:
    """What reward models keep on the fullest GPU of each stage all the time, and what the fullest GPU needs while they score.

    On a CPU processes share nothing: zeros, and the largest reward model.
    """
    if not hardware.device.is_gpu:
        return Counter(), max((model.scoring for model in memories.reward_models), default=0)
    idle: Counter[int] = Counter()
    scoring = 0
    for rank in {model.rank for model in memories.reward_models}:
        beside = [model for model in memories.reward_models if model.rank == rank]
        stage = rank // (config.layout.tensor * config.layout.data)
        idle[stage] = max(idle[stage], sum(model.runtime for model in beside))
        scoring = max(scoring, memories.stages[stage].resident + sum(model.scoring for model in beside))
    return idle, scoring


def host_bytes(config: Config, memories: Memories, hardware: Hardware) -> int:
    """Memory of all machines: on GPUs the reference and the weights of what sleeps there, on a CPU every process whole."""
    stages, engine, models = memories.stages, memories.engine, memories.reward_models
    ranks_per_stage = config.layout.tensor * config.layout.data
    num_engine_ranks = config.rollout.engines * config.rollout.tensor
    snapshots = ranks_per_stage * sum(stage.snapshot for stage in stages)
    if not hardware.device.is_gpu:
        processes = ranks_per_stage * sum(stage.peak for stage in stages) + num_engine_ranks * engine.budget
        return snapshots + processes + sum(model.scoring for model in models) + DRIVER_BYTES
    asleep = num_engine_ranks * engine.weights if config.cluster.placement == "hybrid" else 0
    return snapshots + asleep + sum(model.weights for model in models)


def _reasons(config: Config, need: MemoryCheck, engine: EngineMemory, hardware: Hardware) -> list[str]:
    reasons = []
    longest = config.data.max_prompt_tokens + config.rollout.max_response_tokens
    if hardware.gpu_gib is not None:
        room = hardware.gpu_gib * GIB
        if need.training > room:
            reasons.append(f"training needs {need.training / GIB:.1f} GiB on a GPU of {hardware.gpu_gib:g} GiB")
        if need.generating > room:
            remedy = _gpu_memory_remedy(need, engine, room)
            reasons.append(f"generating needs {need.generating / GIB:.1f} GiB on a GPU of {hardware.gpu_gib:g} GiB: {remedy}")
        if need.scoring > room:
            reasons.append(
                f"scoring needs {need.scoring / GIB:.1f} GiB on a GPU of {hardware.gpu_gib:g} GiB: split the trainer over more ranks, each "
                f"of which has less itself and gets fewer of reward.models, or use smaller ones"
            )
    if engine.kv_tokens < longest:
        reasons.append(
            f"an engine has room for {engine.kv_tokens} tokens of KV cache and the longest sample has {longest}: raise "
            f"{'rollout.tensor or rollout.gpu_memory' if hardware.device.is_gpu else 'rollout.kv_cache_gib'}"
        )
    if hardware.host_gib is not None and need.host > hardware.host_gib * GIB * config.cluster.nodes:
        there = hardware.host_gib * config.cluster.nodes
        reasons.append(f"the machines need {need.host / GIB:.1f} GiB of host memory and have {there:g}")
    return reasons


def _gpu_memory_remedy(need: MemoryCheck, engine: EngineMemory, room: float) -> str:
    resident = need.generating - engine.budget
    share = int((room - resident) / room * 100) / 100
    if share <= 0:
        return f"the trainer keeps {resident / GIB:.1f} GiB of it, so split it over more ranks"
    return f"beside the trainer rollout.gpu_memory may be at most {share:g}"
