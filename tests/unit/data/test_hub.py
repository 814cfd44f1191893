import sys
from pathlib import Path

import pyarrow.parquet
import pytest

from lmm_r1_mega.config import DataSettings
from lmm_r1_mega.data.formats.columns import format_of, set_name
from lmm_r1_mega.data.formats.hub import HubName, is_hub_name, parse_hub_name
from lmm_r1_mega.data.stream.prompts import Record, check_names, read_rows


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("hub:openai/gsm8k", HubName("openai/gsm8k", None, "train")),
        ("hub:openai/gsm8k/main", HubName("openai/gsm8k", "main", "train")),
        ("hub:openai/gsm8k:test", HubName("openai/gsm8k", None, "test")),
        ("hub:a.b/c-d_e/main:val.1", HubName("a.b/c-d_e", "main", "val.1")),
    ],
)
def test_a_name_has_configuration_and_split(written, name):
    [path] = DataSettings(train=(written,)).train
    assert is_hub_name(path)
    assert parse_hub_name(path) == name


@pytest.mark.parametrize("written", ["hub:gsm8k", "hub:a/b/c/d", "hub:/a/b", "hub:a/b:c:d", "hub:../b", "hub:a/b "])
def test_other_names_are_refused(written):
    with pytest.raises(ValueError, match="is no name of the hub: write hub:OWNER/NAME"):
        parse_hub_name(Path(written))


def test_splits_of_one_set_have_ids_of_their_own():
    train, test = Path("hub:a/b:train"), Path("hub:a/b:test")
    check_names([train, test])
    assert set_name(train) == "a/b:train"


def test_without_the_library_the_way_to_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ValueError, match=r"hub:a/b needs the library datasets: install it with `pip install lmm-r1-mega\[hub\]`"):
        list(format_of(Path("hub:a/b")).read(Path("hub:a/b")))


@pytest.fixture
def cached_set(tmp_path, monkeypatch) -> None:
    """A set with images in the library's cache, as if it had been fetched from the hub."""
    # three seconds, in a fixture so that collecting the tests stays quick
    datasets = pytest.importorskip("datasets", reason="requirements/extras.txt is not installed")

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    parts = [{"type": "image", "image": {"bytes": b"image", "path": None}}, {"type": "text", "text": "?"}]
    rows = [{"message": [{"role": "user", "content": parts}], "answer": str(number)} for number in range(3)]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "rows.parquet")
    made = datasets.load_dataset("parquet", data_files={"train": str(tmp_path / "rows.parquet")})
    folder = Path(made["train"].cache_files[0]["filename"]).parent
    target = tmp_path / "cache" / "someone___images" / "default" / "0.0.0" / ("a" * 40)
    target.parent.mkdir(parents=True)
    folder.rename(target)
    for file in target.glob("parquet-*"):
        file.rename(target / file.name.replace("parquet-", "images-"))


def test_a_cached_set_is_read_without_a_network(cached_set):
    rows = list(read_rows(Path("hub:someone/images"), DataSettings(), purpose="prompts"))
    assert [(row.id, row.answer) for row in rows if isinstance(row, Record)] == [
        (f"someone/images:{number}", str(number)) for number in range(3)
    ]
    assert rows[0].images == ("data:image/any;base64,aW1hZ2U=",)
    with pytest.raises(ValueError, match="hub:someone/images:test cannot be had"):
        list(format_of(Path("hub:someone/images:test")).read(Path("hub:someone/images:test")))
    with pytest.raises(ValueError, match=r"hub:someone/other cannot be had .*without a network it has to be in the cache"):
        list(format_of(Path("hub:someone/other")).read(Path("hub:someone/other")))
