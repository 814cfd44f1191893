"""Every setting of a run: one frozen tree, read from YAML and the command line.

Importing this module imports neither torch nor any engine, so `--help` and `--dry-run` answer at once.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Probability = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Amount = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]

HostName = Annotated[str, Field(pattern=r"^(https?://)?([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]+)?$")]
"""A host in lower case, the scheme before it and the port behind it where they are not the usual ones."""


def _server_address(text: str) -> str:
    """An http address without a secret in it."""
    parts = urlsplit(text)
    if parts.username is not None or parts.password is not None:
        raise ValueError(
            f"reward.remote.urls or reward.judge.urls: the address of {parts.hostname} holds a user or password, and settings are written "
            f"to disk: take it out and set LMM_R1_REWARD_TOKEN or LMM_R1_JUDGE_KEY in the environment"
        )
    is_address = parts.scheme in ("http", "https") and parts.hostname and not parts.fragment and not re.search(r"[^!-~]", text)
    if not is_address or parts.port == 0:  # reading the port raises ValueError where it is none
        raise ValueError(
            f"reward.remote.urls or reward.judge.urls: {text!r} is no address: write http://HOST:PORT/PATH or https://HOST/PATH"
        )
    return text


ServerAddress = Annotated[str, AfterValidator(_server_address)]

AlgorithmName = Literal["ppo", "grpo", "dr_grpo", "rloo", "reinforce", "reinforce_pp", "reinforce_baseline"]
Aggregation = Literal["token", "sequence", "constant"]
KLEstimator = Literal["k1", "k2", "k3"]
PolicyLossName = Literal["clip", "gspo", "cispo"]
RatioLevel = Literal["token", "sequence"]
Whitening = Literal["none", "batch", "group"]

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
    """Rows: JSON Lines, JSON, CSV, Parquet or Arrow files, folders that `datasets` saved, `hub:OWNER/NAME[/CONFIG][:SPLIT]`."""
    probabilities: tuple[Positive, ...] = ()
    """Mixing weights of the files of `train`; empty means in proportion to their size."""
    eval: dict[str, Path] = {}
    """Held-out files, like those of `train`, by name; accuracy is reported for each."""
    input_key: str = "message"
    """Column with the chat turns."""
    label_key: str = "answer"
    """Column with the gold answer."""
    image_roots: tuple[Path, ...] = ()
    """Folders that image paths may point into; the folder of a data file always counts."""
    url_hosts: tuple[HostName, ...] = ()
    """Hosts that images may be fetched from, as `host`, `host:port` or `http://host:port`; https unless it says http, never redirected."""
    image_workers: Count = 2
    """Threads that decode the images of the next step while this one generates and trains."""
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
    ahead: Annotated[int, Field(ge=0, le=1)] = 0
    """Steps that generation is ahead of training: with 1 it works while the trainer does, with weights that are one step old."""


class KLSettings(Section):
    """Distance to the reference policy."""

    coefficient: NonNegative = 0.0
    """Weight of the KL term; 0 means that no reference is kept."""
    estimator: KLEstimator = "k3"
    """k1 = d, k2 = d^2 / 2, k3 = exp(-d) - 1 + d with d = log pi - log reference."""
    place: Literal["loss", "reward"] = "loss"
    """A term of the loss, or a penalty inside the token rewards."""
    importance_weighted: bool = False
    """Multiply the loss term by the policy's ratio to the old one: its value and its gradient are then unbiased after an update too."""
    target: Positive | None = None
    """With a target the coefficient is adapted towards it."""
    horizon: Count = 10000
    """Samples over which the adaptive coefficient moves by its error."""

    @model_validator(mode="after")
    def _loss_has_a_gradient(self) -> KLSettings:
        if self.coefficient and self.place == "loss" and self.estimator == "k1" and not self.importance_weighted:
            raise ValueError(
                "algorithm.kl.estimator k1 has no gradient towards the reference inside the loss: use k2 or k3, set "
                "algorithm.kl.importance_weighted, or set algorithm.kl.place to reward"
            )
        return self


class DynamicSamplingSettings(Section):
    """Groups whose rewards are all equal teach nothing: DAPO replaces them."""

    enabled: bool = False
    """Train only groups whose rewards differ, and ask further prompts until there are `algorithm.prompts_per_step` of them."""
    oversampling: Annotated[float, Field(ge=1)] = 1.0
    """Prompts that are asked, at first and in a refill, as a multiple of the groups that are missing."""
    max_refills: Amount = 10
    """Times in a step that missing groups are asked for again; the step then trains those that it has."""


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
    policy_loss: PolicyLossName = "clip"
    """PPO's clipped ratio of tokens, GSPO's of whole responses, or CISPO's log-likelihood with a clipped weight."""
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
    whitening: Whitening | None = None
    """Advantages are shifted and scaled over all tokens of a step, over those of a prompt, or not; the algorithm's own when left out."""
    entropy_coefficient: NonNegative = 0.0
    """Weight of the entropy bonus."""
    entropy_target: Positive | None = None
    """With a target (in nats a token) the weight of the entropy bonus is adapted towards it."""
    reward_clip: tuple[float, float] | None = None
    """Raw rewards are clipped into this range before anything else."""
    old_logprobs: Literal["trainer", "rollout"] = "trainer"
    """Whose log-probabilities are the old ones: the trainer's before its first update, or the rollout engine's, which need no pass."""
    importance_cap: Positive | None = None
    """Cap of the truncated importance weight between rollout engine and trainer; left out: no cap."""
    importance_bounds: tuple[NonNegative, Positive] | None = None
    """Tokens whose importance weight is outside train nothing, the others keep theirs (IcePop); left out: all train."""
    importance_level: RatioLevel = "token"
    """Whether a token's importance weight is its own or that of its whole response."""
    bootstrap_truncated: bool = True
    """PPO: a response cut by the length limit is continued by the critic's value instead of ending with 0."""
    kl: KLSettings = KLSettings()
    """Distance to the reference policy."""
    dynamic_sampling: DynamicSamplingSettings = DynamicSamplingSettings()
    """Groups whose rewards are all equal are replaced."""

    @model_validator(mode="after")
    def _groups_are_large_enough(self) -> AlgorithmSettings:
        compares = {f"algorithm.name {self.name}": self.name in GROUP_BASELINES, "algorithm.whitening group": self.whitening == "group"}
        for setting, is_set in compares.items():
            if is_set and self.samples_per_prompt < 2:
                raise ValueError(
                    f"{setting} compares samples of a prompt and needs at least 2, got {self.samples_per_prompt}: "
                    f"raise algorithm.samples_per_prompt"
                )
        return self

    @model_validator(mode="after")
    def _losses_agree(self) -> AlgorithmSettings:
        if self.policy_loss == "cispo" and self.dual_clip is not None:
            raise ValueError("algorithm.dual_clip bounds a clipped ratio, which algorithm.policy_loss cispo has not: leave it out")
        weighs = {"algorithm.importance_cap": self.importance_cap, "algorithm.importance_bounds": self.importance_bounds}
        weighing = [setting for setting, value in weighs.items() if value is not None]
        if self.old_logprobs == "rollout" and weighing:
            raise ValueError(
                f"{weighing[0]} weighs the trainer's old log-probabilities against the engine's, and with algorithm.old_logprobs rollout "
                f"the engine's are the old ones: leave it out, or set algorithm.old_logprobs to trainer"
            )
        if self.importance_bounds is not None and self.importance_bounds[0] >= self.importance_bounds[1]:
            low, high = self.importance_bounds
            raise ValueError(f"algorithm.importance_bounds {low} and {high} hold nothing: give the lower one first")
        if self.entropy_target is not None and not self.entropy_coefficient:
            raise ValueError(
                f"algorithm.entropy_target {self.entropy_target} needs a weight to adapt, got 0: "
                f"set algorithm.entropy_coefficient, or leave the target out"
            )
        if self.dynamic_sampling.enabled and self.samples_per_prompt < 2:
            raise ValueError(
                f"algorithm.dynamic_sampling trains groups whose rewards differ and needs at least 2 samples, got "
                f"{self.samples_per_prompt}: raise algorithm.samples_per_prompt"
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
    normalise_returns: bool = False
    """The critic learns returns that are shifted and scaled by their running mean and deviation."""
    warmup_steps: Amount = 0
    """Steps in which only the critic learns."""


class RemoteSettings(Section):
    """Reward servers; their token comes from the environment (LMM_R1_REWARD_TOKEN)."""

    urls: tuple[ServerAddress, ...] = ()
    """Equal servers that share the responses and stand in for each other: component `remote`, of weight 1 unless `weights` names it."""
    timeout_s: Positive = 60
    """Time limit of one request to a server or judge."""
    budget_s: Positive = 300
    """Time limit of a server's or judge's answers to all responses of a step, retries included; what is missing then is invalid."""


class JudgeSettings(Section):
    """A language model behind an OpenAI-compatible interface that grades responses; its key comes from LMM_R1_JUDGE_KEY."""

    urls: tuple[ServerAddress, ...] = ()
    """Equal endpoints, each up to `/v1`, under the limits of `reward.remote`: component `judge`, of weight 1 unless `weights` names it."""
    model: str = ""
    """The judge's name at its endpoints."""
    prompt: str | None = None
    """What the judge is asked, with places for {prompt}, {response} and {answer}; left out: for a grade from 0 to 1."""

    @model_validator(mode="after")
    def _can_be_asked(self) -> JudgeSettings:
        if self.urls and not self.model:
            raise ValueError("reward.judge.urls is set, but reward.judge.model is empty: give the judge's name at its endpoint")
        if self.prompt is not None and "{response}" not in self.prompt:
            raise ValueError("reward.judge.prompt has no place for the response: write {response} where it shall stand")
        return self


class RewardSettings(Section):
    """Rewards: rules, the user's function, servers, a judge and reward models."""

    weights: dict[str, float] = {"format": 0.5, "accuracy": 1.0}
    """Named components and their weights in the sum."""
    function: Path | None = None
    """A Python file with `reward_func(queries, prompts, labels)`: component `function`, of weight 1 unless `weights` names it."""
    overlong: tuple[Amount, Count] | None = None
    """Component `overlong` is 0 up to the first number of response tokens and falls to -1 at the second (DAPO's soft buffer)."""
    repetition_ngram: Count = 3
    """Component `repetition` is minus the share of sequences of this many words that occurred before in the response."""
    mask_truncated: bool = False
    """A response that the length limit cut is invalid: counted, in no statistic of rewards, not trained."""
    workers: Count = 2
    """Processes that score responses."""
    timeout_s: Positive = 1.0
    """Processor time of one response, for a user's function time by the clock; past it the score is invalid."""
    memory_mib: Count = 2048
    """Address space of one worker beyond what it has at start."""
    models: dict[str, Path] = {}
    """Hugging Face folders of reward models by name: components `model/NAME`, of weight 1 unless `weights` names them."""
    normalize: bool = False
    """Reward models' scores less their running mean, divided by their running standard deviation."""
    remote: RemoteSettings = RemoteSettings()
    """Reward servers."""
    judge: JudgeSettings = JudgeSettings()
    """A language model that grades."""

    @model_validator(mode="after")
    def _overlong_has_its_numbers(self) -> RewardSettings:
        if "overlong" in self.weights and self.overlong is None:
            raise ValueError(
                "reward.weights names `overlong`, but reward.overlong is not set: give it two numbers of tokens, as [3072, 4096]"
            )
        if self.overlong and self.overlong[0] >= self.overlong[1]:
            raise ValueError(
                f"reward.overlong {list(self.overlong)} does not rise: the second number of tokens is where the penalty is full"
            )
        return self


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
    trackers: tuple[Literal["tensorboard", "wandb"], ...] = ()
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
