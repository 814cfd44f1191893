"""Every setting of a run: one frozen tree, read from YAML and the command line.

Importing this module imports neither torch nor any engine, so `--help` and `--dry-run` answer at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Probability = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Amount = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]

AlgorithmName = Literal["ppo", "grpo", "dr_grpo", "rloo", "reinforce", "reinforce_pp", "reinforce_baseline"]
Aggregation = Literal["token", "sequence", "constant"]
KLEstimator = Literal["k1", "k2", "k3"]

GROUP_BASELINES: frozenset[AlgorithmName] = frozenset({"grpo", "dr_grpo", "rloo", "reinforce_baseline"})
"""Algorithms that compare a sample with the others of its prompt."""


class Section(BaseModel):
    """A group of settings: frozen, without unknown keys, documented in place."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, protected_namespaces=())


class ModelSettings(Section):
    """The policy: where its weights are and how it is computed."""

    path: Path = Path("model")
    """Hugging Face folder (config, weights, tokenizer, processor) that training starts from."""
    precision: Literal["auto", "fp32", "bf16", "fp8"] = "auto"
    """Arithmetic of the trainer and the rollout engines; auto is fp32 on a CPU and bf16 on a GPU, fp8 needs Transformer Engine."""
    freeze: tuple[str, ...] = ()
    """Patterns over Hugging Face parameter names that are not trained, for example `visual.*`."""
    recompute: Literal["none", "full"] = "none"
    """Recompute the activations of every decoder layer in backward to save memory."""
    vocab_padding_multiple: Count = 128
    """The vocabulary is padded to this multiple times `layout.tensor`; the padding never gets probability."""


class LayoutSettings(Section):
    """How one model is spread over trainer processes."""

    tensor: Count = 1
    """Tensor-parallel size: attention heads and feed-forward columns are split over this many ranks."""
    pipeline: Count = 1
    """Pipeline-parallel size: decoder layers are split over this many stages."""
    data: Count = 1
    """Data-parallel size: copies of the model, each with its own rows."""
    sequence_parallel: bool = True
    """Split norms and residuals along the sequence where `tensor` is above 1."""
    distributed_optimizer: bool = True
    """Split optimizer state over the data-parallel ranks."""
    row_tokens: Count = 8192
    """Token budget of a packed row; a row is a micro-batch."""

    @property
    def num_ranks(self) -> int:
        """Trainer processes of one model."""
        return self.tensor * self.pipeline * self.data


class DataSettings(Section):
    """Prompts: files, columns, images."""

    train: tuple[Path, ...] = ()
    """Files of training rows (JSON Lines, JSON or Parquet)."""
    probabilities: tuple[Positive, ...] = ()
    """Mixing weights of the files of `train`; empty means in proportion to their size."""
    eval: dict[str, Path] = {}
    """Held-out files by name; accuracy is reported for each."""
    input_key: str = "message"
    """Column with the chat turns."""
    label_key: str = "answer"
    """Column with the gold answer."""
    image_roots: tuple[Path, ...] = ()
    """Folders that image paths may point into; the folder of a data file always counts."""
    min_pixels: Count | None = None
    """Smallest image area after resizing; the processor's own value when left out."""
    max_pixels: Count | None = None
    """Largest image area after resizing; the processor's own value when left out."""
    max_image_bytes: Count = 32 * 2**20
    """Largest image file that is opened."""
    max_image_pixels: Count = 64 * 2**20
    """Largest image, by its header, that is decoded."""
    max_prompt_tokens: Count = 4096
    """Longest prompt, image tokens included; longer ones are bad rows."""
    bad_rows: Literal["drop", "refuse"] = "drop"
    """Whether a bad row is dropped and reported, or stops the run before training."""
    shuffle: bool = True
    """Visit the rows of an epoch in a random order that depends only on `run.seed` and the epoch."""
    system_prompt: str | None = None
    """System turn put before every prompt that has none."""


class RolloutSettings(Section):
    """Generation with vLLM."""

    engines: Count = 1
    """Number of vLLM engines; prompts are shared among them."""
    tensor: Count = 1
    """Tensor-parallel size of one engine."""
    max_response_tokens: Count = 1024
    """Longest response; a longer one is cut and counted as truncated."""
    temperature: Positive = 1.0
    """Sampling temperature; the trainer divides its logits by it too."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Nucleus sampling; below 1 the rollout log-probabilities are of the cut distribution."""
    top_k: Annotated[int, Field(ge=-1)] = -1
    """Sample among this many tokens; -1 is all."""
    stop: tuple[str, ...] = ()
    """Strings that end a response beside the end-of-turn token."""
    max_sequences: Count = 256
    """Sequences that one engine runs at the same time."""
    prefix_caching: bool = True
    """Share the prompt's keys and values among its samples."""
    gpu_memory: Probability = 0.6
    """Share of a GPU's memory that an engine may take."""
    kv_cache_gib: Positive = 1.0
    """Memory for keys and values of one engine on a CPU."""
    enforce_eager: bool = False
    """No CUDA graphs; always so on a CPU."""
    bucket_mib: Count = 512
    """Weights travel to the engines in pieces of this size."""
    verify_weights: Literal["auto", "always", "never"] = "auto"
    """Digest of every tensor checked after a transfer; auto is always on a CPU and never on a GPU."""


class KLSettings(Section):
    """Distance to the reference policy."""

    coefficient: NonNegative = 0.0
    """Weight of the KL term; 0 means that no reference is kept."""
    estimator: KLEstimator = "k3"
    """k1 = d, k2 = d^2 / 2, k3 = exp(-d) - 1 + d with d = log pi - log reference."""
    place: Literal["loss", "reward"] = "loss"
    """A term of the loss, or a penalty inside the token rewards."""
    target: Positive | None = None
    """With a target the coefficient is adapted towards it."""
    horizon: Count = 10000
    """Samples over which the adaptive coefficient moves by its error."""

    @model_validator(mode="after")
    def _loss_has_a_gradient(self) -> KLSettings:
        if self.coefficient and self.place == "loss" and self.estimator == "k1":
            raise ValueError(
                "algorithm.kl.estimator k1 has no gradient towards the reference inside the loss: use k2 or k3, or set "
                "algorithm.kl.place to reward"
            )
        return self


class AlgorithmSettings(Section):
    """The estimator and its loss."""

    name: AlgorithmName = "grpo"
    """Row of the table in `algorithms/`."""
    prompts_per_step: Count = 128
    """Prompts of one step."""
    samples_per_prompt: Count = 8
    """Responses sampled for each prompt (a group)."""
    optimizer_steps: Count = 1
    """Optimizer steps into which one epoch over a step's samples is cut."""
    epochs: Count = 1
    """Passes over a step's samples."""
    clip_low: Positive = 0.2
    """The ratio's lower bound is 1 - clip_low."""
    clip_high: Positive = 0.2
    """The ratio's upper bound is 1 + clip_high."""
    dual_clip: Annotated[float, Field(gt=1)] | None = None
    """Bound on the loss of samples with a negative advantage."""
    aggregation: Aggregation | None = None
    """Mean of the loss over tokens, over sequences, or sum over a constant; the algorithm's own when left out."""
    gamma: Probability = 1.0
    """Discount."""
    lam: Probability = 1.0
    """GAE's lambda."""
    entropy_coefficient: NonNegative = 0.0
    """Weight of the entropy bonus."""
    reward_clip: tuple[float, float] | None = None
    """Raw rewards are clipped into this range before anything else."""
    importance_cap: Positive | None = None
    """Cap of the truncated importance weight between rollout engine and trainer; left out: no weight."""
    bootstrap_truncated: bool = True
    """PPO: a response cut by the length limit is continued by the critic's value instead of ending with 0."""
    kl: KLSettings = KLSettings()
    """Distance to the reference policy."""

    @model_validator(mode="after")
    def _groups_are_large_enough(self) -> AlgorithmSettings:
        if self.name in GROUP_BASELINES and self.samples_per_prompt < 2:
            raise ValueError(
                f"algorithm.name {self.name} compares samples of a prompt and needs at least 2, got {self.samples_per_prompt}: "
                f"raise algorithm.samples_per_prompt"
            )
        return self


class CriticSettings(Section):
    """PPO's value model."""

    path: Path | None = None
    """Hugging Face folder that the critic starts from; the policy's when left out."""
    learning_rate: Positive = 9e-6
    """Peak learning rate of the critic."""
    value_clip: Positive = 0.2
    """Range of the value's change in one step."""
    warmup_steps: Amount = 0
    """Steps in which only the critic learns."""


class RewardSettings(Section):
    """Rule rewards and their workers."""

    weights: dict[str, float] = {"format": 0.5, "accuracy": 1.0}
    """Named components and their weights in the sum."""
    function: Path | None = None
    """A Python file with `reward_func(queries, prompts, labels)`: component `function`, of weight 1 unless `weights` names it."""
    workers: Count = 2
    """Processes that score responses."""
    timeout_s: Positive = 1.0
    """Time limit of one response; past it the score is invalid."""
    memory_mib: Count = 2048
    """Address space of one worker beyond what it has at start."""


class OptimizerSettings(Section):
    """AdamW and its schedule."""

    learning_rate: Positive = 1e-6
    """Peak learning rate."""
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """Decay after the warm-up."""
    warmup_steps: Amount = 0
    """Optimizer steps of linear warm-up."""
    final_ratio: Probability = 0.1
    """Learning rate at the end as a share of the peak."""
    beta1: Probability = 0.9
    """Decay of the first moment."""
    beta2: Probability = 0.95
    """Decay of the second moment."""
    eps: Positive = 1e-8
    """Added to the root of the second moment."""
    weight_decay: NonNegative = 0.0
    """Decoupled weight decay of matrices; norms and biases have none."""
    grad_clip: NonNegative = 1.0
    """Largest gradient norm; 0 is no limit."""


class SFTSettings(Section):
    """Supervised cold start (`sft` verb)."""

    batch_size: Count = 64
    """Rows of one optimizer step."""


class RunSettings(Section):
    """Length, folder and rhythm of a run."""

    folder: Path = Path("runs/run")
    """Everything a run writes lies here."""
    steps: Count = 100
    """Rollout steps (`train`) or optimizer steps (`sft`)."""
    seed: Amount = 0
    """Seed of the data order, the sampling and the initialisation of new weights."""
    save_every: Amount = 20
    """Steps between checkpoints; 0 saves only at the end."""
    keep_checkpoints: Count = 2
    """Newest checkpoints that are kept."""
    eval_every: Amount = 0
    """Steps between evaluations on `data.eval`; 0 never."""
    eval_samples: Count = 4
    """Responses for each held-out prompt."""
    trackers: tuple[Literal["tensorboard", "wandb", "trackio"], ...] = ()
    """Where metrics go beside `metrics.jsonl`."""
    record_samples: Amount = 16
    """Samples a step written to `rollouts.jsonl`."""
    export_hf: bool = True
    """Write the final model as a Hugging Face folder."""


class ClusterSettings(Section):
    """Where the processes run."""

    placement: Literal["hybrid", "disaggregated"] = "hybrid"
    """Trainer and rollout engines on the same GPUs in turn, or each on their own."""
    address: str | None = None
    """Ray cluster to join; a private one on this machine when left out."""
    nodes: Count = 1
    """Machines of the cluster, for the plan."""
    gpus_per_node: Amount | None = None
    """GPUs of a machine; found out when left out."""
    start_timeout_s: Positive = 600
    """Deadline for every process to be ready."""
    step_timeout_s: Positive = 3600
    """Deadline for any single call to a process."""


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
        if self.data.probabilities and len(self.data.probabilities) != len(self.data.train):
            raise ValueError(
                f"data.probabilities has {len(self.data.probabilities)} entries, data.train has {len(self.data.train)}: give one a file"
            )
        return self
