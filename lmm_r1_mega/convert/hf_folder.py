"""Hugging Face folders: weights tensor by tensor, and the files beside them (config, tokenizer, processor, chat template)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import torch
from torch import Tensor

from lmm_r1_mega.convert.extents import Extent
from lmm_r1_mega.convert.safetensors_file import SafetensorsReader, SafetensorsWriter, TensorSpec
from lmm_r1_mega.errors import BadData
from lmm_r1_mega.families.shape import is_tied
from lmm_r1_mega.families.weights import long_name

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
CONFIG = "config.json"
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
_SIDE_SUFFIXES = frozenset({".json", ".jinja", ".txt", ".model"})


@dataclass(frozen=True)
class HFContents:
    """Which tensors a Hugging Face folder has, and in which of its files."""

    specs: dict[str, TensorSpec]
    file_of: dict[str, str]

    def __post_init__(self) -> None:
        """Raises ValueError for a file name that is a path: an index may not send a reader or a writer out of its folder."""
        strange = sorted({file for file in self.file_of.values() if file in ("", ".", "..") or Path(file).name != file})
        if strange:
            raise ValueError(f"the checkpoint's index names {strange[0]!r}, which is no plain file name: do not trust this folder")

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every tensor."""
        return {name: spec.shape for name, spec in self.specs.items()}

    def cast(self, dtype: torch.dtype) -> HFContents:
        """The same tensors stored as `dtype`."""
        return HFContents({name: TensorSpec(dtype, spec.shape) for name, spec in self.specs.items()}, self.file_of)


class HFReader(AbstractContextManager["HFReader"]):
    """The weights of a Hugging Face folder; `contents` lists them.

    A tied model's output layer that is stored a second time is not among them.
    """

    def __init__(self, folder: Path) -> None:
        """Raises: BadData where a file is damaged, or a tied output layer is not the embedding."""
        self._stack = ExitStack()
        self._files = {name: self._stack.enter_context(SafetensorsReader(Path(folder) / name)) for name in weight_files(folder)}
        file_of = {name: file for file, reader in self._files.items() for name in reader.specs}
        self.contents = HFContents({name: self._files[file].specs[name] for name, file in file_of.items()}, file_of)
        self._leave_out_tied_head(Path(folder))

    def tensor(self, name: str) -> Tensor:
        """The whole tensor `name`, in memory."""
        return self._files[self.contents.file_of[name]].tensor(name)

    def extent(self, name: str) -> Extent:
        """Where the tensor `name` lies."""
        return self._files[self.contents.file_of[name]].extent(name)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()

    def _leave_out_tied_head(self, folder: Path) -> None:
        specs, files = self.contents.specs, self.contents.file_of
        embedding = next((name for name in (EMBEDDING, long_name(EMBEDDING)) if name in specs), None)
        if HEAD not in specs or embedding is None or not is_tied(json.loads((folder / CONFIG).read_text(encoding="utf-8"))):
            return
        if specs[HEAD] != specs[embedding] or not torch.equal(self.tensor(HEAD), self.tensor(embedding)):
            self._stack.close()
            raise BadData(
                f"{folder}: config.json says tie_word_embeddings true, and {HEAD} differs from {embedding}: say false there if it is the "
                f"model's own output layer, else take it out of the weights"
            )
        self.contents = HFContents(
            {name: spec for name, spec in specs.items() if name != HEAD}, {name: file for name, file in files.items() if name != HEAD}
        )


class HFWriter(AbstractContextManager["HFWriter"]):
    """Writes a folder with the tensors of `contents`, which come in any order, and copies of `source`'s side files.

    The folder appears under its name when the context ends well with every tensor written. One that is there already is an
    error, or with `replace` makes way then and not before. config.json states the type of the weights that are written.
    """

    def __init__(self, folder: Path, contents: HFContents, *, source: Path, replace: bool = False) -> None:
        self._folder, self._contents = Path(folder), contents
        self._partial = partial_folder(self._folder, replace=replace)
        copy_side_files(source, self._partial)
        _state_dtype(self._partial / CONFIG, next(iter(contents.specs.values())).dtype)
        self._missing = set(contents.specs)
        self._stack = ExitStack()
        self._files = {name: self._stack.enter_context(self._open(name)) for name in sorted(set(contents.file_of.values()))}

    def write(self, name: str, tensor: Tensor) -> None:
        """Store the tensor `name` (the source's spelling)."""
        self._files[self._contents.file_of[name]].write(name, tensor)
        self._missing.discard(name)

    def copy(self, name: str, extents: Iterable[Extent]) -> None:
        """Store the tensor `name`, all of whose bytes lie in other files."""
        self._files[self._contents.file_of[name]].copy(name, extents)
        self._missing.discard(name)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()
        if error is not None:
            shutil.rmtree(self._partial)
            return
        if self._missing:
            raise ValueError(f"{self._partial} lacks {sorted(self._missing)[:10]}: every tensor has to be written")
        if list(self._files) != [SINGLE]:
            self._write_index()
        replaced = self._folder.with_name(f"{self._folder.name}.replaced")
        shutil.rmtree(replaced, ignore_errors=True)
        if self._folder.exists():
            self._folder.rename(replaced)
        self._partial.rename(self._folder)
        shutil.rmtree(replaced, ignore_errors=True)

    def _open(self, file: str) -> SafetensorsWriter:
        specs = {name: spec for name, spec in self._contents.specs.items() if self._contents.file_of[name] == file}
        return SafetensorsWriter(self._partial / file, specs)

    def _write_index(self) -> None:
        size = sum(spec.num_bytes for spec in self._contents.specs.values())
        index = {"metadata": {"total_size": size}, "weight_map": dict(sorted(self._contents.file_of.items()))}
        (self._partial / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def weight_files(folder: Path) -> list[str]:
    """Names of the safetensors files of a folder, from its index where it has one; `ValueError` where it or one of them cannot be read."""
    folder = Path(folder)
    names = _indexed_files(folder / INDEX) if (folder / INDEX).is_file() else [SINGLE]
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise ValueError(f"{folder} lacks {', '.join(missing)}: give a complete Hugging Face folder with safetensors weights")
    return names


def _indexed_files(index: Path) -> list[str]:
    try:
        files = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        if not all(isinstance(file, str) for file in files):
            raise ValueError("a file name is no string")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise BadData(f"{index} has no `weight_map` from tensors to files ({error}): copy it again") from None
    return sorted(files)


def copy_side_files(source: Path, folder: Path) -> None:
    """Copy config, tokenizer, processor and chat template, everything but weights and their index, into `folder`."""
    for path in sorted(Path(source).iterdir()):
        if path.is_file() and path.suffix in _SIDE_SUFFIXES and path.name != INDEX:
            shutil.copyfile(path, folder / path.name)


def partial_folder(folder: Path, *, replace: bool = False) -> Path:
    """An empty folder beside `folder` to write into before it gets its name; `ValueError` where `folder` is taken, without `replace`."""
    if folder.exists() and not replace:
        raise ValueError(f"{folder} exists already: remove it or choose another output folder")
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    return partial


def _state_dtype(path: Path, dtype: torch.dtype) -> None:
    config = json.loads(path.read_text(encoding="utf-8"))
    stated = str(dtype).removeprefix("torch.")
    sections = [config, *(part for part in config.values() if isinstance(part, dict))]
    wrong = [(section, key) for section in sections for key in ("dtype", "torch_dtype") if section.get(key, stated) != stated]
    for section, key in wrong:
        section[key] = stated
    if wrong:
        path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
