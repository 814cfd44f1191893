"""Write a Megatron distributed checkpoint as a Hugging Face folder that transformers and vLLM load.

python tools/megatron_to_hf.py CHECKPOINT OUT [--source HF_FOLDER]
"""

from __future__ import annotations

from pathlib import Path

import tyro

from lmm_r1_mega.convert.checkpoints import megatron_to_hf


def main(checkpoint: tyro.conf.Positional[Path], out: tyro.conf.Positional[Path], *, source: Path | None = None) -> None:
    """Write a Megatron distributed checkpoint as a Hugging Face folder that transformers and vLLM load.

    Args:
        checkpoint: Megatron distributed checkpoint, of `hf_to_megatron.py` or of a training run.
        out: Folder to write; it must not exist.
        source: Hugging Face folder that the model came from; a checkpoint of a training run needs it, others remember it.
    """
    plan = megatron_to_hf(checkpoint, out, source=source)
    print(f"{sum(len(transfer.hf) for transfer in plan.transfers)} tensors in {out}")


if __name__ == "__main__":
    tyro.cli(main)
