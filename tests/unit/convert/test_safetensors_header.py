"""Headers of safetensors files: what is not whole is refused, judged by the safetensors library."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from lmm_r1_mega.convert.hf_folder import INDEX, HFReader
from lmm_r1_mega.convert.safetensors_file import SafetensorsReader
from lmm_r1_mega.errors import BAD_DATA, BadData, exit_status

TENSORS = {
    "a": torch.arange(6, dtype=torch.float32).reshape(2, 3),
    "b": torch.arange(4, dtype=torch.int16),
    "c": torch.zeros(0, 2),
    "d": torch.tensor([True, False, True, True]),
}


@pytest.fixture
def whole(tmp_path) -> Path:
    path = tmp_path / "model.safetensors"
    save_file(TENSORS, path, metadata={"format": "pt"})
    return path


def header_of(path: Path) -> tuple[dict, bytes]:
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + size]), content[8 + size :]


def write(path: Path, header: object, data: bytes) -> None:
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    path.write_bytes(len(encoded).to_bytes(8, "little") + encoded + data)


def read(path: Path) -> dict[str, torch.Tensor]:
    with SafetensorsReader(path) as reader:
        return {name: reader.tensor(name) for name in reader.specs}


def equal(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> bool:
    return found.keys() == expected.keys() and all(
        found[name].dtype == tensor.dtype and torch.equal(found[name], tensor) for name, tensor in expected.items()
    )


def test_a_whole_file_is_read_as_the_library_reads_it(whole):
    assert equal(read(whole), TENSORS)


def test_a_file_cut_anywhere_or_too_long_is_refused(whole):
    content = whole.read_bytes()
    for cut in (*(content[:length] for length in range(len(content))), content + b"\0"):
        whole.write_bytes(cut)
        with pytest.raises(BadData, match=r"model\.safetensors"):
            read(whole)


@pytest.mark.parametrize(
    ("name", "entry", "message"),
    [
        ("a", {"dtype": "F32", "shape": [2, 3]}, "data_offsets"),
        ("a", {"dtype": "F32", "shape": [2, 3], "data_offsets": [0]}, "not enough values"),
        ("a", {"dtype": "F32", "shape": [2, 3], "data_offsets": [-24, 0]}, "-24 is no size"),
        ("a", {"dtype": "F32", "shape": [2, 3], "data_offsets": [24, 0]}, "lie at bytes 24 to 0"),
        ("a", {"dtype": "F32", "shape": [2, 3], "data_offsets": [0.0, 24]}, "0.0 is no size"),
        ("a", {"dtype": "F32", "shape": [2, 4], "data_offsets": [0, 24]}, "a is said to lie at bytes 0 to 24, and its place is 0 to 32"),
        ("a", {"dtype": "F32", "shape": 6, "data_offsets": [0, 24]}, "not iterable"),
        ("a", {"dtype": "F99", "shape": [2, 3], "data_offsets": [0, 24]}, "F99"),
        ("a", ["F32", [2, 3], [0, 24]], "list indices"),
        ("b", {"dtype": "I16", "shape": [4], "data_offsets": [0, 8]}, "a is said to lie at bytes 0 to 24, and its place is 8 to 32"),
        ("b", {"dtype": "I16", "shape": [4], "data_offsets": [22, 30]}, "lie at bytes 22 to 30, and its place is 24 to 32"),
        ("b", {"dtype": "I16", "shape": [4], "data_offsets": [26, 34]}, "lie at bytes 26 to 34, and its place is 24 to 32"),
        ("d", {"dtype": "BOOL", "shape": [8], "data_offsets": [32, 40]}, "bytes instead of"),
        ("d", None, "bytes instead of"),
    ],
)
def test_missing_overlapping_and_outer_ranges_are_refused_with_the_tensor(tmp_path, name, entry, message):
    path = tmp_path / "x.safetensors"
    header = {
        "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
        "b": {"dtype": "I16", "shape": [4], "data_offsets": [24, 32]},
        "d": {"dtype": "BOOL", "shape": [4], "data_offsets": [32, 36]},
    }
    write(path, header, bytes(36))
    assert set(read(path)) == {"a", "b", "d"}
    changed = {**header, name: entry} if entry else {key: value for key, value in header.items() if key != name}
    write(path, changed, bytes(36))
    with pytest.raises(BadData, match=message) as caught:
        read(path)
    assert exit_status(caught.value) == BAD_DATA and str(path) in str(caught.value)


@pytest.mark.parametrize("header", [b"[]", b"1", b'"a"', b"null", b"{", b"\xff\xff", b"[" * 100_000])
def test_a_header_of_another_shape_is_refused(tmp_path, header):
    write(tmp_path / "x.safetensors", header, b"")
    with pytest.raises(BadData, match="is not a safetensors file"):
        read(tmp_path / "x.safetensors")


def test_no_changed_header_is_read_that_the_library_refuses(whole):
    """Some 600 headers with one or two bytes changed, deleted or doubled."""
    original, draw, num_read = whole.read_bytes(), random.Random(0), 0
    size = int.from_bytes(original[:8], "little")
    for _ in range(600):
        content = bytearray(original)
        for _ in range(draw.randint(1, 2)):
            content[draw.randrange(8, 8 + size)] = draw.choice(b'0123456789[]{},":abcdFI \xff')
        whole.write_bytes(content)
        try:
            found = read(whole)
        except BadData:
            continue
        num_read += 1
        try:
            assert equal(found, load_file(whole))
        except SafetensorError as error:
            pytest.fail(f"read, but {error}: {bytes(content)!r}")
    assert num_read > 5, "changed names are read"


@pytest.mark.parametrize("index", ["{", "[]", "{}", '{"weight_map": []}', '{"weight_map": {"a": 1}}'])
def test_an_index_of_another_shape_is_refused(whole, index):
    (whole.parent / INDEX).write_text(index)
    with pytest.raises(BadData, match="has no `weight_map` from tensors to files"):
        HFReader(whole.parent)
