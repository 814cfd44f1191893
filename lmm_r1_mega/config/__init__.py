"""Every setting of a run: one frozen tree, read from YAML and the command line.

Importing this module imports neither torch nor any engine, so `--help` and `--dry-run` answer at once.
"""

from __future__ import annotations

from pydantic import model_validator

from lmm_r1_mega.config.learning import (
    GROUP_BASELINES,
    Aggregation,
    AlgorithmName,
    AlgorithmSettings,
    CriticSettings,
    DynamicSamplingSettings,
    KLEstimator,
    KLSettings,
    OptimizerSettings,
    PolicyLossName,
    RatioLevel,
    SFTSettings,
    Whitening,
)
from lmm_r1_mega.config.renamed import RENAMED
from lmm_r1_mega.config.rewards import (
    JudgeSettings,
    RemoteSettings,
    RewardSettings,
)
from lmm_r1_mega.config.running import (
    ClusterSettings,
    DataSettings,
    LayoutSettings,
    ModelSettings,
    RolloutSettings,
    RunSettings,
)
from lmm_r1_mega.config.section import (
    Section,
)

__all__ = [
    "GROUP_BASELINES",
    "RENAMED",
    "Aggregation",
    "AlgorithmName",
    "AlgorithmSettings",
    "ClusterSettings",
    "Config",
    "CriticSettings",
    "DataSettings",
    "DynamicSamplingSettings",
    "JudgeSettings",
    "KLEstimator",
    "KLSettings",
    "LayoutSettings",
    "ModelSettings",
    "OptimizerSettings",
    "PolicyLossName",
    "RatioLevel",
    "RemoteSettings",
    "RewardSettings",
    "RolloutSettings",
    "RunSettings",
    "SFTSettings",
    "Section",
    "Whitening",
]


class Config(Section):
    """The whole of a run."""

    model: ModelSettings = ModelSettings()
    layout: LayoutSettings = LayoutSettings()
    data: DataSettings = DataSettings()
    rollout: RolloutSettings = RolloutSettings()
    algorithm: AlgorithmSettings = AlgorithmSettings()
    critic: CriticSettings = CriticSettings()
    reward: RewardSettings = RewardSettings()
    optimizer: OptimizerSettings = OptimizerSettings()
    sft: SFTSettings = SFTSettings()
    run: RunSettings = RunSettings()
    cluster: ClusterSettings = ClusterSettings()

    @model_validator(mode="after")
    def _fields_agree(self) -> Config:
        samples = self.algorithm.prompts_per_step * self.algorithm.samples_per_prompt
        if self.algorithm.optimizer_steps > samples:
            raise ValueError(
                f"algorithm.optimizer_steps {self.algorithm.optimizer_steps} is more than the {samples} samples of a step: "
                f"lower it, or raise algorithm.prompts_per_step"
            )
        if self.algorithm.old_logprobs == "rollout" and (self.rollout.top_p < 1 or self.rollout.top_k > 0):
            raise ValueError(
                f"algorithm.old_logprobs rollout needs log-probabilities of the whole distribution, and rollout.top_p {self.rollout.top_p} "
                f"or rollout.top_k {self.rollout.top_k} cuts it: set them to 1 and -1, or algorithm.old_logprobs to trainer"
            )
        if self.data.probabilities and len(self.data.probabilities) != len(self.data.train):
            raise ValueError(
                f"data.probabilities has {len(self.data.probabilities)} entries, data.train has {len(self.data.train)}: give one a file"
            )
        return self
