"""Write a Hugging Face folder as a Megatron distributed checkpoint that loads at any layout.

python tools/hf_to_megatron.py HF_FOLDER OUT
"""

from __future__ import annotations

from pathlib import Path

import tyro

from lmm_r1_mega.convert.checkpoints import hf_to_megatron


def main(source: tyro.conf.Positional[Path], out: tyro.conf.Positional[Path], *, vocab_multiple: int = 128) -> None:
    """Write a Hugging Face folder as a Megatron distributed checkpoint that loads at any layout.

    Args:
        source: Hugging Face folder of a Qwen2.5-VL.
        out: Folder to write; it must not exist.
        vocab_multiple: The vocabulary is padded to this multiple; loading at another tensor-parallel size pads anew.
    """
    plan = hf_to_megatron(source, out, vocab_multiple=vocab_multiple)
    print(f"{len(plan.transfers)} parameters in {out}")


if __name__ == "__main__":
    tyro.cli(main)
