"""Hugging Face folders on disk: tensors are read one at a time, and written without holding more than one."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType

from safetensors import safe_open
from torch import Tensor

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"


class HFReader(AbstractContextManager["HFReader"]):
    """The weights of a Hugging Face folder, memory-mapped: a tensor's bytes are read when they are used."""

    def __init__(self, folder: Path) -> None:
        self._stack = ExitStack()
        files = {name: Path(folder) / name for name in weight_files(folder)}
        self._handles = {name: self._stack.enter_context(safe_open(path, framework="pt")) for name, path in files.items()}
        self._file_of = {key: name for name, handle in self._handles.items() for key in handle.keys()}  # noqa: SIM118

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every tensor, by name."""
        return {key: tuple(self._handles[name].get_slice(key).get_shape()) for key, name in self._file_of.items()}

    def tensor(self, name: str) -> Tensor:
        """The whole tensor `name`."""
        return self._handles[self._file_of[name]].get_tensor(name)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()


def weight_files(folder: Path) -> list[str]:
    """Names of the safetensors files of a folder, from its index where it has one."""
    folder = Path(folder)
    if (folder / INDEX).is_file():
        names = sorted(set(json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].values()))
    else:
        names = [SINGLE]
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise ValueError(f"model.path {folder} lacks {', '.join(missing)}: give a complete Hugging Face folder with safetensors weights")
    return names
