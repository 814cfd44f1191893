"""Settings of model, layout, data, generation, run and cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from lmm_r1_mega.config.device import PlacementMode, PrecisionSetting
from lmm_r1_mega.config.section import NonNegativeInt, PositiveFloat, PositiveInt, Section

HostName = Annotated[str, Field(pattern=r"^(https?://)?([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]+)?$")]
"""A host in lower case, the scheme before it and the port behind it where they are not the usual ones."""


class ModelSettings(Section):
    """The policy: where its weights are and how it is computed."""

    path: Path = Path("model")
    """Hugging Face folder (config, weights, tokenizer, processor) that training starts from, or a run that exported one."""
    precision: PrecisionSetting = "auto"
    """Arithmetic of the trainer and the rollout engines; auto is fp32 on a CPU and bf16 on a GPU, fp8 needs Transformer Engine."""
    freeze: tuple[str, ...] = ()
    """Patterns over Hugging Face parameter names that are not trained, for example `visual.*`."""
    recompute: Literal["none", "full"] = "none"
    """Recompute the activations of every decoder layer in backward to save memory."""
    vocab_padding_multiple: PositiveInt = 128
    """The vocabulary is padded to this multiple times `layout.tensor`; the padding never gets probability."""


class LayoutSettings(Section):
    """How one model is spread over trainer processes."""

    tensor: PositiveInt = 1
    """Tensor-parallel size: attention heads and feed-forward columns are split over this many ranks."""
    pipeline: PositiveInt = 1
    """Pipeline-parallel size: decoder layers are split over this many stages."""
    data: PositiveInt = 1
    """Data-parallel size: copies of the model, each with its own samples."""
    sequence_parallel: bool = True
    """Split norms and residuals along the sequence where `tensor` is above 1."""
    distributed_optimizer: bool = True
    """Split optimizer state over the data-parallel ranks."""
    max_tokens_per_microbatch: PositiveInt = 8192
    """Token budget of one micro-batch: packed sequences without padding."""

    @property
    def num_ranks(self) -> int:
        """Trainer processes of one model."""
        return self.tensor * self.pipeline * self.data


class DataSettings(Section):
    """Prompts: files, columns, images."""

    train: tuple[Path, ...] = ()
    """Rows: JSON Lines, JSON, CSV, Parquet or Arrow files, folders that `datasets` saved, `hub:OWNER/NAME[/CONFIG][:SPLIT]`."""
    probabilities: tuple[PositiveFloat, ...] = ()
    """Mixing weights of the files of `train`; empty means in proportion to their size."""
    eval: dict[str, Path] = Field(default={})
    """Held-out files, like those of `train`, by name; accuracy is reported for each."""
    input_key: str = "message"
    """Column with the chat turns."""
    label_key: str = "answer"
    """Column with the gold answer."""
    image_roots: tuple[Path, ...] = ()
    """Folders that image paths may point into; the folder of a data file always counts."""
    url_hosts: tuple[HostName, ...] = ()
    """Hosts that images may be fetched from, as `host`, `host:port` or `http://host:port`; https unless it says http, never redirected."""
    image_workers: PositiveInt = 2
    """Threads that decode the images of the next step while this one generates and trains."""
    min_pixels: PositiveInt | None = None
    """Smallest image area after resizing; the processor's own value when left out."""
    max_pixels: PositiveInt | None = None
    """Largest image area after resizing; the processor's own value when left out."""
    max_image_bytes: PositiveInt = 32 * 2**20
    """Largest image file that is opened."""
    max_image_pixels: PositiveInt = 64 * 2**20
    """Largest image, by its header, that is decoded."""
    max_prompt_tokens: PositiveInt = 4096
    """Longest prompt, image tokens included; longer ones are bad rows."""
    bad_rows: Literal["drop", "refuse"] = "drop"
    """Whether a bad row is dropped and reported, or stops the run before training."""
    shuffle: bool = True
    """Visit the rows of an epoch in a random order that depends only on `run.seed` and the epoch."""
    system_prompt: str | None = None
    """System turn put before every prompt that has none."""


class RolloutSettings(Section):
    """Generation with vLLM."""

    engines: PositiveInt = 1
    """Number of vLLM engines; prompts are shared among them."""
    tensor: PositiveInt = 1
    """Tensor-parallel size of one engine."""
    max_response_tokens: PositiveInt = 1024
    """Longest response; a longer one is cut and counted as truncated."""
    temperature: PositiveFloat = 1.0
    """Sampling temperature; the trainer divides its logits by it too."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Nucleus sampling; below 1 the rollout log-probabilities are of the cut distribution."""
    top_k: Annotated[int, Field(ge=-1)] = -1
    """Sample among this many tokens; -1 is all."""
    stop: tuple[str, ...] = ()
    """Strings that end a response beside the end-of-turn token."""
    max_sequences: PositiveInt = 256
    """Sequences that one engine runs at the same time."""
    prefix_caching: bool = True
    """Share the prompt's KV cache among its samples."""
    gpu_memory: Annotated[float, Field(gt=0, le=1)] = 0.6
    """Share of a GPU's memory that an engine may take."""
    kv_cache_gib: PositiveFloat = 1.0
    """Memory of the KV cache of one engine on a CPU, in GiB."""
    enforce_eager: bool = False
    """No CUDA graphs; always so on a CPU."""
    bucket_mib: PositiveInt = 512
    """Weights travel to the engines in pieces of this size."""
    verify_weights: Literal["auto", "always", "never"] = "auto"
    """Digest of every tensor checked after a transfer; auto is always on a CPU and never on a GPU."""
    max_staleness: Annotated[int, Field(ge=0, le=1)] = 0
    """Largest age of the weights that sample, in steps: 0 generates and trains in turn, 1 generates while the trainer works."""


class RunSettings(Section):
    """Length, folder and rhythm of a run."""

    folder: Path = Path("runs/run")
    """Everything a run writes lies here."""
    steps: PositiveInt = 100
    """Rollout steps (`train`) or optimizer steps (`sft`)."""
    seed: NonNegativeInt = 0
    """Seed of the data order, the sampling and the initialization of new weights."""
    save_every: NonNegativeInt = 20
    """Steps between checkpoints; 0 saves only at the end."""
    keep_checkpoints: PositiveInt = 2
    """Newest checkpoints that are kept."""
    eval_every: NonNegativeInt = 0
    """Steps between evaluations on `data.eval`; 0 never."""
    eval_samples: PositiveInt = 4
    """Responses for each held-out prompt."""
    trackers: tuple[Literal["tensorboard", "trackio", "wandb"], ...] = ()
    """Where metrics go beside `metrics.jsonl`."""
    record_samples: NonNegativeInt = 16
    """Samples a step written to `rollouts.jsonl`."""
    export_hf: bool = True
    """Write the final model as a Hugging Face folder."""


class ClusterSettings(Section):
    """Where the processes run."""

    placement: PlacementMode = "hybrid"
    """Trainer and rollout engines on the same GPUs in turn, or each on their own."""
    address: str | None = None
    """Ray cluster to join; a private one on this machine when left out."""
    nodes: PositiveInt = 1
    """Machines of the cluster, for the plan."""
    gpus_per_node: NonNegativeInt | None = None
    """GPUs of a machine; found out when left out."""
    start_timeout_s: PositiveFloat = 600
    """Deadline for every process to be ready."""
    step_timeout_s: PositiveFloat = 3600
    """Deadline for any single call to a process."""
