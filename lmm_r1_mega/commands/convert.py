"""`lmm-r1-mega convert to-megatron|to-hf|verify FROM TO [--source HF_FOLDER]`"""

from __future__ import annotations

from pathlib import Path

from lmm_r1_mega.commands.arguments import take_positional, take_value
from lmm_r1_mega.convert.checkpoints import compare, hf_to_megatron, megatron_to_hf

USAGE = "convert to-megatron|to-hf|verify FROM TO [--source HF_FOLDER]"
HELP = f"""usage: lmm-r1-mega {USAGE}

  to-megatron  Hugging Face folder FROM as the Megatron checkpoint TO, which loads at any layout
  to-hf        Megatron checkpoint FROM as the Hugging Face folder TO; one saved in training needs --source
  verify       that the Hugging Face folder FROM and the Megatron checkpoint TO are equal bit by bit; 65 where they are not"""


def run(arguments: list[str]) -> int:
    """Convert or compare checkpoints, one tensor at a time."""
    if "--help" in arguments or "-h" in arguments:
        print(HELP)
        return 0
    source, rest = take_value(arguments, "--source")
    (verb, start, end), rest = take_positional(rest, "verb", "FROM", "TO", usage=USAGE)
    if rest or verb not in ("to-megatron", "to-hf", "verify") or (source is not None and verb != "to-hf"):
        raise ValueError(f"usage: lmm-r1-mega {USAGE}")
    if verb == "verify":
        return _verify(Path(start), Path(end))
    if verb == "to-megatron":
        hf_to_megatron(Path(start), Path(end))
    else:
        megatron_to_hf(Path(start), Path(end), source=Path(source) if source is not None else None)
    print(f"written: {end}")
    return 0


def _verify(source: Path, checkpoint: Path) -> int:
    found = compare(source, checkpoint)
    for name in found.different:
        print(f"different: {name}")
    print(f"{found.num_tensors - len(found.different)} of {found.num_tensors} tensors are equal bit by bit")
    return 65 if found.different else 0
