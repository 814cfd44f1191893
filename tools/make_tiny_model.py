"""Write a small random Qwen2.5-VL that transformers and vLLM load.

python tools/make_tiny_model.py OUT --hidden 256 --layers 8 --vocab 2048
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from lmm_r1_mega.tiny_model import TinyShape, make_tiny_model

DEFAULT = TinyShape()


def main(out: tyro.conf.Positional[Path], shape: Annotated[TinyShape, tyro.conf.arg(name="")] = DEFAULT, *, seed: int = 0) -> None:
    """Write a small random Qwen2.5-VL.

    Args:
        out: Folder to write.
        shape: Sizes of the model.
        seed: Seed of the weights.
    """
    parameters = make_tiny_model(out, shape, seed=seed)
    print(f"{parameters / 1e6:.1f}M parameters in {out}")


if __name__ == "__main__":
    tyro.cli(main)
