"""The verbs of the command line: what each takes and does. Their modules are imported when they run."""

from __future__ import annotations

from dataclasses import dataclass

SETTINGS = "[CONFIG.yaml ...] [--section.field VALUE ...]"


@dataclass(frozen=True)
class Verb:
    """One command: module `commands.<name>` with `run(arguments) -> exit status`."""

    name: str
    arguments: str
    summary: str
    details: tuple[str, ...] = ()
    """Lines of help about arguments that are no settings."""
    starts_processes: bool = False
    """Whether it starts Ray, which runs below a parent process of ours."""

    @property
    def usage(self) -> str:
        """How it is called."""
        return f"usage: lmm-r1-mega {self.name} {self.arguments}".rstrip()

    @property
    def takes_settings(self) -> bool:
        """Whether settings may follow."""
        return "--section.field" in self.arguments


DRY_RUN = "--dry-run  print the plan and stop; 2 where it cannot work"
VERBS = {
    verb.name: verb
    for verb in (
        Verb("train", f"{SETTINGS} [--dry-run]", "reinforcement learning: PPO, GRPO, RLOO, ...", (DRY_RUN,), starts_processes=True),
        Verb(
            "sft",
            f"{SETTINGS} [--dry-run]",
            "supervised cold start with the same engine and data format",
            (DRY_RUN,),
            starts_processes=True,
        ),
        Verb(
            "resume",
            "RUN [--section.field VALUE ...] [--allow-change]",
            "go on from the newest complete checkpoint of a run",
            (
                "RUN  folder of the run; its own settings hold where no option says otherwise",
                "--allow-change  though options change the seed, the model, the data, the algorithm or the rewards",
            ),
            starts_processes=True,
        ),
        Verb(
            "eval",
            f"MODEL_OR_RUN DATA {SETTINGS} [--json]",
            "accuracy on a data file, generated with vLLM",
            (
                "MODEL_OR_RUN  Hugging Face folder or folder of a finished run",
                "DATA  file of held-out rows",
                "--json  print one JSON object",
            ),
            starts_processes=True,
        ),
        Verb(
            "plan",
            f"{SETTINGS} [--json] [--gpu-gib N] [--host-gib N]",
            "layout, batch arithmetic and memory a rank, for hardware that need not be here",
            ("--gpu-gib N  plan for GPUs of N GiB", "--host-gib N  host memory of a machine", "--json  print one JSON object"),
        ),
        Verb(
            "convert",
            "to-megatron|to-hf|verify FROM TO [--source HF_FOLDER]",
            "checkpoints between Hugging Face and Megatron, and the proof that they agree",
            (
                "to-megatron  Hugging Face folder FROM as the Megatron checkpoint TO, which loads at any layout",
                "to-hf        Megatron checkpoint FROM as the Hugging Face folder TO; one saved in training needs --source",
                "verify       that the Hugging Face folder FROM and the Megatron checkpoint TO are equal bit by bit; 65 where they are not",
            ),
        ),
        Verb(
            "migrate",
            "SCRIPT.sh [ARGUMENT ...]|FLAG ... [--rows N]",
            "the configuration for a train_ppo_ray command of LMM-R1 or OpenRLHF",
            (
                "SCRIPT.sh  shell script with the command, read as bash would run it here; nothing of it is run",
                "FLAG ...   or the command's flags themselves, `--pretrain model ...`",
                "--rows N   rows of its data, where the files are not here",
            ),
        ),
        Verb(
            "data",
            f"check FILE [--fix OUT] {SETTINGS}",
            "look at a data file before any GPU is spent; 65 where it has bad rows",
            (
                "FILE  rows as .jsonl, .json, .csv, .parquet or .arrow, a folder that `datasets` saved, or hub:OWNER/NAME[/CONFIG][:SPLIT]",
                "--fix OUT  write the good rows to a new .jsonl file, and end with 0",
            ),
        ),
        Verb(
            "reward",
            f"try FILE|serve [options] {SETTINGS}",
            "score rows of `response` and `answer`, or whatever a client posts",
            (
                "try FILE  score JSON Lines with `response`, `answer` and optionally `prompt`",
                "--json    print one JSON object a row",
                "serve     answer POST of {query, prompts, labels} with {rewards, ...}, and GET /health, until SIGTERM",
                "--host H  address to listen at (default: 127.0.0.1); any other needs a token in LMM_R1_REWARD_TOKEN",
                "--port P  (default: 5000; 0 takes a free one)",
                "--response-after TEXT  what opens the response in a query that does not begin with its prompt (default: Qwen's turn)",
            ),
        ),
        Verb(
            "report",
            "RUN [--against RUN2] [--out FILE.html]",
            "one HTML page of a run: curves and samples, or two runs side by side",
            (
                "RUN  folder of a run, in progress or finished",
                "--against RUN2  a second run, its curves and samples beside those of the first",
                "--out FILE.html  where to write it; report.html in RUN otherwise",
            ),
        ),
        Verb("doctor", "", "versions, devices, what is missing and the command that fixes it"),
    )
}


def help_text(verb: Verb) -> str:
    """What `lmm-r1-mega VERB --help` prints."""
    lines = [verb.usage, "", verb.summary, *(f"  {line}" for line in verb.details)]
    if verb.takes_settings:
        from lmm_r1_mega.config.reading import describe_settings  # pydantic takes a moment that the other verbs need not

        lines += ["", "settings, in a YAML file as `section: {field: value}`; of two values the later one counts", describe_settings()]
    return "\n".join(lines)
