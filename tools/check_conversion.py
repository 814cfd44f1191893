"""Prove that a Hugging Face folder and a Megatron distributed checkpoint hold the same tensors, bit by bit.

python tools/check_conversion.py HF_FOLDER CHECKPOINT
"""

from __future__ import annotations

import sys
from pathlib import Path

import tyro

from lmm_r1_mega.convert.checkpoints import compare


def main(source: tyro.conf.Positional[Path], checkpoint: tyro.conf.Positional[Path]) -> None:
    """Prove that a Hugging Face folder and a Megatron distributed checkpoint hold the same tensors, bit by bit.

    Args:
        source: Hugging Face folder.
        checkpoint: Megatron distributed checkpoint.
    """
    found = compare(source, checkpoint)
    for name in found.different:
        print(f"different: {name}")
    print(
        f"{found.num_tensors - len(found.different)} of {found.num_tensors} tensors ({found.num_bytes / 1e6:.1f} MB) are equal bit by bit"
    )
    sys.exit(1 if found.different else 0)


if __name__ == "__main__":
    tyro.cli(main)
