import json
from pathlib import Path

import pytest

from examples.quickstart.make_data import write_cold_start, write_training_data


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> Path:
    """All the data files of the quickstart."""
    folder = tmp_path_factory.mktemp("quickstart")
    write_training_data(folder)
    write_cold_start(folder)
    return folder


@pytest.fixture(scope="session")
def rows(data):
    """Rows of a data file by its stem."""
    files = {path.stem: [json.loads(line) for line in path.read_text().splitlines()] for path in data.glob("*.jsonl")}
    return files.__getitem__
