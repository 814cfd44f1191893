"""A plan as a page for people, and as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from lmm_r1_mega.planning.hardware import GIB
from lmm_r1_mega.planning.plan import RankPlace, RunPlan

STYLES = {"error": "bold red", "warning": "yellow"}


def as_json(plan: RunPlan) -> dict[str, Any]:
    """The plan as plain dictionaries, sums included."""
    stages = [asdict(stage) | {"resident": stage.resident, "peak": stage.peak} for stage in plan.stages]
    engine = asdict(plan.engine) | {"kv_room": plan.engine.kv_room, "kv_tokens": plan.engine.kv_tokens}
    verdict = asdict(plan.verdict) | {"fits": plan.verdict.fits}
    models = [asdict(model) | {"scoring": model.scoring} for model in plan.reward_models]
    parts = {"stages": stages, "engine": engine, "reward_models": models, "verdict": verdict}
    return asdict(plan) | parts | {"is_valid": plan.is_valid}


def render(plan: RunPlan) -> Group:
    """The plan as tables: model and batch, grid of ranks, memory of each stage, engines, reward models, problems, verdict."""
    tables = [_facts(plan), _grid(plan), _memory(plan), _engines(plan), *([_reward_models(plan)] if plan.reward_models else [])]
    return Group(*(part for table in tables for part in (table, "")), *_problems(plan), _verdict(plan))


def _facts(plan: RunPlan) -> Table:
    model, batch = plan.model, plan.batch
    table = Table.grid(padding=(0, 2))
    table.add_row("model", f"{model.parameters / 1e9:.2f} B parameters, {model.vision_parameters / 1e9:.2f} B of them vision tower")
    table.add_row("", f"vocabulary padded to {model.padded_vocabulary}, {model.precision}")
    table.add_row("step", f"{batch.samples} samples; optimizer steps: {batch.optimizer_steps}, of {batch.samples_per_update} samples each")
    table.add_row("", f"{batch.samples_per_rank} samples a data rank, at most {batch.microbatches_per_rank} rows")
    table.add_row("processors", f"{plan.num_gpus} {'GPUs' if plan.hardware.device.is_gpu else 'trainer processes on CPUs'}")
    return table


def _grid(plan: RunPlan) -> Table:
    """Ranks by replica (down) and pipeline stage (across); a cell has the tensor-parallel ranks."""
    table = Table(title="trainer ranks", title_justify="left")
    table.add_column("data")
    for stage in plan.stages:
        table.add_column(f"stage {stage.stage}\n{stage.num_layers} layers")
    for data in sorted({place.data for place in plan.ranks}):
        row = [place for place in plan.ranks if place.data == data]
        table.add_row(str(data), *(_span(place for place in row if place.pipeline == stage.stage) for stage in plan.stages))
    return table


def _span(places: Iterable[RankPlace]) -> str:
    ranks = [place.rank for place in places]
    return str(ranks[0]) if len(ranks) == 1 else f"{ranks[0]}-{ranks[-1]}"


def _memory(plan: RunPlan) -> Table:
    title = f"memory of a trainer rank, GiB (rows with {plan.image_share:.0%} image tokens)"
    table = Table(title=title, title_justify="left")
    for name in (
        "stage",
        "parameters",
        "weights",
        "gradients",
        "optimizer",
        "critic",
        "activations",
        "vision",
        "logits",
        "runtime",
        "peak",
    ):
        table.add_column(name, justify="right")
    for stage in plan.stages:
        policy = stage.policy
        parts = (policy.weights, policy.gradients, policy.optimizer, stage.critic.total, stage.activations, stage.vision, stage.logits)
        table.add_row(
            str(stage.stage), f"{stage.num_parameters / 1e9:.3f} B", *(_gib(part) for part in (*parts, stage.runtime, stage.peak))
        )
    return table


def _engines(plan: RunPlan) -> Table:
    engine = plan.engine
    table = Table(title="memory of a rollout engine's processor, GiB", title_justify="left")
    for name in ("budget", "weights", "working", "KV cache", "tokens", "longest samples at once"):
        table.add_column(name, justify="right")
    sizes = (engine.budget, engine.weights, engine.working, engine.kv_room)
    table.add_row(*(_gib(size) for size in sizes), str(engine.kv_tokens), str(plan.concurrent_samples))
    return table


def _reward_models(plan: RunPlan) -> Table:
    is_gpu = plan.hardware.device.is_gpu
    where = "weights in host memory, on the GPU while they score" if is_gpu else "each a process in host memory"
    table = Table(title=f"memory of reward models, GiB ({where})", title_justify="left")
    for name in ("model", "place", "parameters", "weights", "activations", "runtime", "scoring"):
        table.add_column(name, justify="left" if name in ("model", "place") else "right")
    for model in plan.reward_models:
        sizes = (model.weights, model.activations, model.runtime, model.scoring)
        place = f"GPU of trainer rank {model.rank}" if is_gpu else "host"
        table.add_row(model.name, place, f"{model.num_parameters / 1e9:.3f} B", *(_gib(size) for size in sizes))
    return table


def _problems(plan: RunPlan) -> list[Text]:
    return [Text(f"{problem.level}: {problem.message}", style=STYLES[problem.level]) for problem in plan.problems]


def _verdict(plan: RunPlan) -> Group:
    verdict = plan.verdict
    scoring = f", {_gib(verdict.scoring)} to score" if plan.reward_models else ""
    needs = (
        f"needs {_gib(verdict.training)} GiB to train, {_gib(verdict.generating)} to generate{scoring}, {_gib(verdict.host)} of host memory"
    )
    lines = [Text(needs), *(Text(f"does not fit: {reason}", style=STYLES["error"]) for reason in verdict.reasons)]
    if plan.is_valid:
        lines.append(Text("fits", style="bold green"))
    if plan.advice:
        lines.append(Text(f"the smallest layout that fits: {plan.advice}"))
    return Group(*lines)


def _gib(size: int) -> str:
    return f"{size / GIB:.2f}"
