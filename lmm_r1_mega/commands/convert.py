"""`lmm-r1-mega convert to-megatron|to-hf|verify FROM TO [--source HF_FOLDER]`"""

from __future__ import annotations

from pathlib import Path

from lmm_r1_mega.commands.arguments import take_positional, take_value
from lmm_r1_mega.commands.verbs import VERBS
from lmm_r1_mega.config.reading import model_folder
from lmm_r1_mega.errors import BAD_DATA, DONE


def run(arguments: list[str]) -> int:
    """Convert or compare checkpoints, one tensor at a time."""
    source, rest = take_value(arguments, "--source")
    (action, start, end), rest = take_positional(rest, 3, verb="convert")
    if rest or action not in ("to-megatron", "to-hf", "verify") or (source is not None and action != "to-hf"):
        raise ValueError(VERBS["convert"].usage)
    if action == "verify":
        return _verify(model_folder(Path(start)), Path(end))
    from lmm_r1_mega.convert.checkpoints import hf_to_megatron, megatron_to_hf  # torch takes seconds that a wrong argument need not

    if action == "to-megatron":
        hf_to_megatron(model_folder(Path(start)), Path(end))
    else:
        megatron_to_hf(Path(start), Path(end), source=model_folder(Path(source)) if source is not None else None)
    print(f"written: {end}")
    return DONE


def _verify(source: Path, checkpoint: Path) -> int:
    from lmm_r1_mega.convert.checkpoints import compare  # see run

    found = compare(source, checkpoint)
    for name in found.different:
        print(f"different: {name}")
    print(f"{found.num_tensors - len(found.different)} of {found.num_tensors} tensors are equal bit by bit")
    return BAD_DATA if found.different else DONE
