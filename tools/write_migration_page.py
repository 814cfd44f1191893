"""Write docs/migration.md, with the table of `train_ppo_ray`'s flags from migration/flags.py.

python tools/write_migration_page.py
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lmm_r1_mega.migration.flags import ADDED, FLAGS, RENAMED, Flag

PAGE = Path(__file__).resolve().parents[1] / "docs" / "migration.md"
KINDS = {"switch": "switch", "int": "integer", "float": "number", "text": "text"}
OPENING = """\
# Coming from LMM-R1 or OpenRLHF

Written by `tools/write_migration_page.py` from `lmm_r1_mega/migration/flags.py`; change it there and run it again.

    lmm-r1-mega migrate train_fre_text.sh --rows 40315 > my_run.yaml
    lmm-r1-mega migrate --pretrain models/Qwen2.5-VL-3B-Instruct --prompt_data rows.jsonl ... > my_run.yaml
    lmm-r1-mega plan my_run.yaml            # does it fit
    lmm-r1-mega train my_run.yaml

`migrate` finds the first `openrlhf.cli.train_ppo_ray` command that a shell script would start, or takes its flags. The script is
not run: a grammar of bash (tree-sitter) parses it, and assignments, arrays, functions, loops, branches and expansions are followed
in their order, as bash would where `migrate` is called: with the same environment, and with the arguments behind the script's name.
What is rare in launch scripts is not followed, and is an error with the line: `getopts`, `mapfile`, `let`, `pushd`, `shopt`,
`declare -i` and `-n`, `${!name}`, patterns such as `@(a|b)` and `[[:digit:]]`, bit operations and `?:` in arithmetic, commands in a
text that `ssh` or `tmux` gets. The value of braces (`{a,b}`, `{1..8}`), of `=~` and of `for ((...))` counts as one that the text does
not tell.

    MODEL=models/mine lmm-r1-mega migrate train.sh first_argument --rows 40315 > my_run.yaml

What the text does not tell is an error with the line, and never a default: what a program prints (`$(nproc)`), a variable that is
not set anywhere, names of files that match a pattern, what a file sets that is not here. It is one only if a setting follows
from it. If a branch or a loop depends on such a value, what is set in it is not known from there on. A
decision on a variable that is not set (`${GPUS:-8}`, `[ -z "$GPUS" ]`) is taken as bash takes it then, and a note says so. Notes
also say that a comment or a missing `\\` cuts the command off, that it stands in a loop, or runs in another folder.

Every mapped flag is written down, given or not, because a default there need not be one here. The first lines of the file say what
there is to know, which flags were dropped and why, and which have no counterpart although they change the run; those, and flags
that `train_ppo_ray` does not have, are printed as errors, too. A flag with an empty text (`--use_wandb ''`) counts as not given, as
there.

The steps of a run follow from the rows of its data there. Where the files are not on this machine, `--rows N` says how many they are.
`OWNER/NAME` that is no folder here is a data set of the hub, `hub:OWNER/NAME:SPLIT`; `--pretrain` has to be a folder.

## The same data, the same rewards

Rows stay as they are: `message` as a list of turns or as JSON in a string, `answer`, and `datasource` where there is one. Images
are read below the data file's folder and below `data.image_roots`, nowhere else. The reward server beside the training is not
needed: the rules of `math_verifier` and `sokoban_verifier` are built in (`reward.weights`), and stand in for the server if the
script starts one of the two and asks nobody else. Servers of your own are `reward.remote.urls`, a file with
`reward_func(queries, prompts, labels)` is `reward.function`, reward models are `reward.models` (`model_1`, `model_2`, ...).
`lmm-r1-mega data check rows.jsonl` and `lmm-r1-mega reward try rows.jsonl` look at both before a GPU is spent.

## What is meant to differ

* Advantages are scaled over the batch there for all estimators but `group_norm` and `dr_grpo`, `rloo` too: `algorithm.whitening`
  says so. With `--no_advantage_std_norm` it is `none`; the mean over the batch, which is taken off there all the same, stays then.
* KL inside the loss with `k1` is an error: it has no gradient towards the reference there. `algorithm.kl.importance_weighted` gives it
  one, which is another run.
* Reward models are normalized by the mean and deviation of the run so far, there by those in the model's `config.json`.
* The loss is a mean over tokens there whatever the estimator, so `algorithm.aggregation` is `token`; the published GRPO and Dr. GRPO
  have others, see [settings](configuration.md).
* `grpo` gives exactly 0 where all rewards of a group are equal.
* Rewards are clipped before they are compared with the group, there after.
* The mean is over all tokens of an optimizer step, there over micro-batches of unequal length.
* A gold answer that cannot be read makes a sample invalid; there it earned 1.
* `--freeze_prefix` holds for the critic too, there for the policy alone.
* An adaptive KL coefficient moves by its whole error at most where a step has more samples than `--kl_horizon`, there by more.
* Each data rank is one GPU in the migrated layout. `plan` says whether that fits and which layout does; `layout.tensor` and
  `layout.pipeline` change no result.

## The flags

"""


NEWER = """## Flags with dots

Since 2026 OpenRLHF's flags have dots (`--actor.adam.lr`). A command that has one is read by that version's defaults. It has these
flags beside the older ones:
"""
RENAMED_BEGIN = """The others are older flags under new names:
"""


def render() -> str:
    """The page as Markdown."""
    mapped = sum(bool(flag.settings) for flag in FLAGS.values())
    missed = sum(flag.is_missed for flag in FLAGS.values())
    counts = (
        f"Of the {len(FLAGS)} flags {mapped} become settings and {len(FLAGS) - mapped} are dropped; "
        f"{missed} of those, marked **changes the run**, have no counterpart."
    )
    tables = [counts, "", *_table(FLAGS), "", NEWER, *_table(ADDED), "", RENAMED_BEGIN, "| flag | is |", "|---|---|"]
    renamed = [f"| `--{name}` | `--{older}` |" for name, older in RENAMED.items()]
    return OPENING + "\n".join([*tables, *renamed]) + "\n"


def _table(flags: Mapping[str, Flag]) -> list[str]:
    return ["| flag | takes | default there | here |", "|---|---|---|---|", *(_row(name, flag) for name, flag in flags.items())]


def _row(name: str, flag: Flag) -> str:
    here = ", ".join(f"`{setting}`" for setting in flag.settings)
    dropped = f"{'**changes the run**' if flag.is_missed else 'dropped'}: {flag.reason}"
    takes = {"one": "", "pair": "two of: ", "many": "several of: "}[flag.values] + KINDS[flag.kind]
    return f"| `--{name}` | {takes} | {_default(flag.default)} | {here or dropped} |"


def _default(value: Any) -> str:
    if value is None:
        return "none"
    return f"`{' '.join(map(str, value)) if isinstance(value, list) else value}`"


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
    print(f"written: {PAGE}")
