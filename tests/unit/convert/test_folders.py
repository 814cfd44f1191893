"""Whole checkpoints there and back: every byte of the weights, every side file, no half-written folder."""

from __future__ import annotations

import contextlib
import json
import pickle
import random
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lmm_r1_mega.convert.checkpoints import check_weight_files, compare, hf_to_megatron, megatron_to_hf
from lmm_r1_mega.convert.hf_folder import INDEX, HFReader, HFWriter
from lmm_r1_mega.convert.megatron_folder import MegatronReader, missing_files
from lmm_r1_mega.convert.safetensors_file import SafetensorsReader, SafetensorsWriter, TensorSpec
from lmm_r1_mega.errors import BadData
from lmm_r1_mega.families.weights import long_name
from tools.make_tiny_model import TinyShape, make_tiny_model


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    make_tiny_model(folder, TinyShape(layers=3, vocab=500, vision_depth=2, vision_hidden=64))
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def respelled(source: Path, folder: Path, *, dtype: torch.dtype) -> Path:
    """The same model as others would publish it: long names, two files, an index."""
    folder.mkdir()
    tensors = {long_name(name): tensor.to(dtype) for name, tensor in load_file(source / "model.safetensors").items()}
    halves = {"model-00001-of-00002.safetensors": {}, "model-00002-of-00002.safetensors": {}}
    for index, (name, tensor) in enumerate(tensors.items()):
        halves[list(halves)[index % 2]][name] = tensor
    for file, part in halves.items():
        save_file(part, folder / file, metadata={"format": "pt"})
    weight_map = {name: file for file, part in halves.items() for name in part}
    size = sum(tensor.nbytes for tensor in tensors.values())
    (folder / INDEX).write_text(json.dumps({"metadata": {"total_size": size}, "weight_map": weight_map}))
    for path in source.glob("*.json"):
        (folder / path.name).write_bytes(path.read_bytes().replace(b'"float32"', f'"{str(dtype)[6:]}"'.encode()))
    return folder


def test_there_and_back_gives_the_same_files(source, tmp_path):
    hf_to_megatron(source, tmp_path / "megatron")
    megatron_to_hf(tmp_path / "megatron", tmp_path / "hf")
    assert files(tmp_path / "hf") == files(source)
    found = compare(source, tmp_path / "megatron")
    assert found.different == () and found.num_tensors == len(load_file(source / "model.safetensors"))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_long_names_several_files_and_other_types_are_kept(source, tmp_path, dtype):
    published = respelled(source, tmp_path / "published", dtype=dtype)
    hf_to_megatron(published, tmp_path / "megatron")
    megatron_to_hf(tmp_path / "megatron", tmp_path / "hf")
    written, wanted = files(tmp_path / "hf"), files(published)
    assert json.loads(written.pop(INDEX)) == json.loads(wanted.pop(INDEX))
    assert written == wanted


def test_a_changed_tensor_is_found(source, tmp_path):
    hf_to_megatron(source, tmp_path / "megatron")
    changed = tmp_path / "changed"
    with HFReader(source) as hf, HFWriter(changed, hf.contents, source=source) as out:
        for name in hf.contents.specs:
            tensor = hf.tensor(name)
            if name == "model.layers.2.self_attn.k_proj.bias":
                tensor[5] = -0.0  # equal in value, not in bits
            out.write(name, tensor)
    assert compare(changed, tmp_path / "megatron").different == ("model.layers.2.self_attn.k_proj.bias",)


def test_a_checkpoint_of_another_model_is_refused(source, tmp_path):
    hf_to_megatron(source, tmp_path / "megatron")
    make_tiny_model(tmp_path / "other", TinyShape(layers=3, vocab=500, vision_depth=2, vision_hidden=64, intermediate=256))
    with pytest.raises(ValueError, match="of another model than its source"):
        megatron_to_hf(tmp_path / "megatron", tmp_path / "hf", source=tmp_path / "other")
    assert not (tmp_path / "hf").exists()


def test_an_interrupted_write_leaves_no_folder(source, tmp_path):
    with pytest.raises(RuntimeError, match="stop"), HFReader(source) as hf, HFWriter(tmp_path / "out", hf.contents, source=source):
        raise RuntimeError("stop")
    assert list(tmp_path.iterdir()) == []


def test_a_forgotten_tensor_is_an_error(source, tmp_path):
    def write_all_but_one() -> None:
        with HFReader(source) as hf, HFWriter(tmp_path / "out", hf.contents, source=source) as out:
            for name in hf.contents.specs:
                if name != "lm_head.weight":
                    out.write(name, hf.tensor(name))

    with pytest.raises(ValueError, match=r"lacks \['lm_head.weight'\]"):
        write_all_but_one()
    assert not (tmp_path / "out").exists()


def test_an_existing_folder_is_not_overwritten(source, tmp_path):
    with pytest.raises(ValueError, match="exists already"):
        hf_to_megatron(source, tmp_path)


def test_the_library_reads_what_we_write_and_the_other_way_round(tmp_path):
    tensors = {"a": torch.randn(3, 5), "b": torch.randn(7).bfloat16(), "c": torch.tensor([True, False]), "d": torch.arange(4).reshape(2, 2)}
    specs = {name: TensorSpec(tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()}
    with SafetensorsWriter(tmp_path / "ours", specs) as out:
        for name in reversed(tensors):
            out.write(name, tensors[name])
    save_file(tensors, tmp_path / "theirs")
    loaded = load_file(tmp_path / "ours")
    with SafetensorsReader(tmp_path / "theirs") as theirs:
        assert all(torch.equal(loaded[name], tensors[name]) and torch.equal(theirs.tensor(name), tensors[name]) for name in tensors)


def test_a_tensor_of_another_shape_and_a_file_cut_short_are_refused(tmp_path):
    specs = {"a": TensorSpec(torch.float32, (4,))}
    with SafetensorsWriter(tmp_path / "file", specs) as out, pytest.raises(ValueError, match="a was announced as"):
        out.write("a", torch.zeros(5))
    with pytest.raises(BadData, match=r"file has \d+ bytes instead of \d+: it was not written or copied completely"):
        SafetensorsReader(tmp_path / "file")


def test_an_index_that_would_run_code_is_refused(source, tmp_path):
    hf_to_megatron(source, tmp_path / "megatron")

    class Harm:
        def __reduce__(self):
            return print, ("harm",)

    (tmp_path / "megatron" / ".metadata").write_bytes(pickle.dumps(Harm()))
    with pytest.raises(ValueError, match=r"builtins\.print"):
        MegatronReader(tmp_path / "megatron")


def test_a_damaged_index_is_refused_with_its_name(source, tmp_path):
    """Cut at many places, with bytes changed, empty, another object, missing: BadData, or it reads as an index."""
    hf_to_megatron(source, tmp_path / "megatron")
    index, draw = tmp_path / "megatron" / ".metadata", random.Random(0)
    whole = index.read_bytes()
    cuts = [whole[: draw.randrange(len(whole))] for _ in range(100)]
    changed = [whole[:at] + bytes([draw.randrange(256)]) + whole[at + 1 :] for at in (draw.randrange(len(whole)) for _ in range(200))]
    for content in [b"", pickle.dumps([]), pickle.dumps({"a": 1}), b"{}", *cuts]:
        index.write_bytes(content)
        with pytest.raises(BadData, match=r"megatron/\.metadata"):
            MegatronReader(index.parent)
    for content in changed:
        index.write_bytes(content)
        with contextlib.suppress(BadData):
            MegatronReader(index.parent)
    index.unlink()
    with pytest.raises(BadData, match="cannot be read"):
        missing_files(index.parent)


@pytest.mark.parametrize("outside", ["../stolen.safetensors", "{folder}/stolen.safetensors"])
def test_an_index_cannot_send_the_writer_out_of_its_folder(source, tmp_path, outside):
    hf_to_megatron(source, tmp_path / "megatron")
    index = tmp_path / "megatron" / "hf_files" / "weights.index"
    index.write_text(index.read_text().replace("model.safetensors", outside.format(folder=tmp_path)))
    with pytest.raises(ValueError, match="no plain file name"):
        megatron_to_hf(tmp_path / "megatron", tmp_path / "hf")
    assert not (tmp_path / "stolen.safetensors").exists()


def test_a_folder_is_replaced_when_the_new_one_is_complete_and_only_where_asked(source, tmp_path):
    out = tmp_path / "out"
    with HFReader(source) as hf:
        with pytest.raises(RuntimeError, match="stop"), HFWriter(out, hf.contents, source=source):
            raise RuntimeError("stop")
        out.mkdir()
        (out / "earlier").touch()
        with pytest.raises(ValueError, match="exists already"), HFWriter(out, hf.contents, source=source):
            pass
        with pytest.raises(RuntimeError, match="stop"), HFWriter(out, hf.contents, source=source, replace=True):
            raise RuntimeError("stop")
        assert [path.name for path in tmp_path.iterdir()] == ["out"] and (out / "earlier").exists()
        with HFWriter(out, hf.contents, source=source, replace=True) as writer:
            for name in hf.contents.specs:
                writer.write(name, hf.tensor(name))
    assert files(out) == files(source) and [path.name for path in tmp_path.iterdir()] == ["out"]


def test_files_that_were_written_elsewhere_are_missed(source, tmp_path):
    folder = tmp_path / "megatron"
    hf_to_megatron(source, folder)
    assert missing_files(folder) == []
    part = next(folder.glob("*.distcp"))
    part.unlink()
    assert missing_files(folder) == [part.name]
    assert missing_files(tmp_path) == ["metadata.json"]


@pytest.fixture(scope="module")
def tied(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tied")
    make_tiny_model(folder, TinyShape(layers=2, vocab=500, vision_depth=1, vision_hidden=32, tied=True))
    return folder


@pytest.mark.parametrize("spell", [str, long_name], ids=["short", "long"])
def test_a_tied_models_second_output_layer_is_left_out(tied, tmp_path, spell):
    twice = copied(tied, tmp_path / "twice")
    weights = {spell(name): tensor for name, tensor in load_file(tied / "model.safetensors").items()}
    embedding = weights[spell("model.embed_tokens.weight")]
    save_file(weights | {"lm_head.weight": embedding.clone()}, twice / "model.safetensors", metadata={"format": "pt"})
    hf_to_megatron(twice, tmp_path / "megatron")
    assert compare(twice, tmp_path / "megatron").different == ()
    megatron_to_hf(tmp_path / "megatron", tmp_path / "hf")
    found = load_file(tmp_path / "hf" / "model.safetensors")
    assert found.keys() == weights.keys() and all(torch.equal(found[name], weights[name]) for name in weights)


@pytest.mark.parametrize("change", [lambda head: head + 1, lambda head: head[:-1].clone(), lambda head: head.double()])
def test_a_tied_models_output_layer_that_is_another_is_an_error(tied, tmp_path, change):
    other = copied(tied, tmp_path / "other")
    weights = load_file(tied / "model.safetensors")
    weights["lm_head.weight"] = change(weights["model.embed_tokens.weight"].clone())
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        BadData, match=r"tie_word_embeddings true, and lm_head.weight differs from model.embed_tokens.weight: say false there"
    ):
        check_weight_files(other)
    config = json.loads((other / "config.json").read_text())
    config["tie_word_embeddings"] = config["text_config"]["tie_word_embeddings"] = False
    (other / "config.json").write_text(json.dumps(config))
    if weights["lm_head.weight"].shape == weights["model.embed_tokens.weight"].shape:
        check_weight_files(other)  # it is the model's own


def copied(source: Path, folder: Path) -> Path:
    return Path(shutil.copytree(source, folder))
