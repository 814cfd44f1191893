"""What a user can get wrong: each is refused with a message that names the place and the way out, or dropped and counted."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from lmm_r1_mega.cli import run_here
from lmm_r1_mega.config.reading import merge, parse_tree, to_yaml
from lmm_r1_mega.data.chat.processor import Processor
from lmm_r1_mega.data.stream.stream import PromptStream
from lmm_r1_mega.errors import BAD_DATA, DONE, USAGE
from lmm_r1_mega.record.folder import RunFolder
from lmm_r1_mega.rewards.workers.pool import RewardInput, RewardPool


@dataclass(frozen=True)
class Place:
    """Where a case makes its bad input."""

    task: Path
    folder: Path
    settings: dict

    @property
    def config(self) -> str:
        """A configuration that works."""
        return self.written("good.yaml", yaml.safe_dump(merge(self.settings, {"run": {"folder": str(self.folder / "run")}})))

    def written(self, name: str, content: str | bytes) -> str:
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    def rows(self, name: str, *rows: object) -> str:
        return self.written(name, "".join(json.dumps(row) + "\n" for row in rows))

    def model(self, change: Callable[[Path], None]) -> list[str]:
        """Options for a copy of the model after a change."""
        shutil.copytree(self.task / "model", self.folder / "model")
        change(self.folder / "model")
        return ["train", self.config, "--model.path", str(self.folder / "model")]

    def train(self, *options: str) -> list[str]:
        return ["train", self.config, *options]

    def run(self) -> RunFolder:
        """The folder of a run of four steps with one checkpoint, of the last."""
        config = parse_tree(merge(self.settings, {"run": {"folder": str(self.folder / "run")}}), source="test")
        run = RunFolder.create(self.folder / "run", to_yaml(config), verb="train")
        with run.checkpoint(4, keep=1) as partial:
            (partial / "state.json").write_text("{}")
        return run


@pytest.fixture
def place(task, settings, tmp_path) -> Place:
    return Place(task, tmp_path, settings)


def asked(text: str = "1 + 1 =", **columns: object) -> dict:
    return {"message": [{"role": "user", "content": text}], "answer": "2", **columns}


def edited(name: str, **changes: object) -> Callable[[Path], None]:
    """A change of a JSON file of the model."""

    def change(model: Path) -> None:
        path = model / name
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def cut(name: str) -> Callable[[Path], None]:
    """The first half of a file of the model."""

    def change(model: Path) -> None:
        path = model / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return change


def finished_run(place: Place) -> list[str]:
    place.run().write_summary({"steps": 4})
    return ["resume", str(place.folder / "run")]


def damaged_run(place: Place) -> list[str]:
    (place.run().checkpoints / "step_000004" / "state.json").write_text("{ }")
    return ["resume", str(place.folder / "run")]


def reward_file(text: str) -> Callable[[Place], list[str]]:
    return lambda place: place.train("--reward.function", place.written("bad.py", text))


def occupied(place: Place) -> list[str]:
    place.run()
    return place.train()


REFUSED: dict[str, tuple[Callable[[Place], list[str]], int, str]] = {
    # the command line and its files
    "missing arguments": (lambda p: ["convert", "to-hf"], USAGE, r"usage: lmm-r1-mega convert to-megatron\|to-hf\|verify FROM TO"),
    "unknown option": (lambda p: p.train("--layout.tenser", "2"), USAGE, r"unknown setting layout.tenser: did you mean layout.tensor\?"),
    "unknown key": (
        lambda p: ["train", p.config, p.written("a.yaml", "optimizer: {lerning_rate: 1}")],
        USAGE,
        r"good.yaml and .*a.yaml: unknown setting optimizer.lerning_rate: did you mean optimizer.learning_rate\?",
    ),
    "unknown section": (
        lambda p: ["train", p.written("a.yaml", "trainer: {steps: 3}")],
        USAGE,
        r"unknown setting trainer: sections are model",
    ),
    "value out of range": (lambda p: p.train("--layout.tensor", "0"), USAGE, r"layout.tensor = '0': .*greater than or equal to 1"),
    "no number": (lambda p: p.train("--run.steps", "many"), USAGE, r"run.steps = 'many': .*valid integer"),
    "unknown algorithm": (lambda p: p.train("--algorithm.name", "grppo"), USAGE, r"algorithm.name = 'grppo': .*'grpo'"),
    "groups of one": (
        lambda p: p.train("--algorithm.samples_per_prompt", "1"),
        USAGE,
        r"at least 2, got 1: raise algorithm.samples_per_prompt",
    ),
    "no configuration": (lambda p: ["train", "gone.yaml"], USAGE, r"no configuration file gone.yaml: give a YAML file"),
    "broken YAML": (lambda p: ["train", p.written("a.yaml", "run: [")], USAGE, r"(?s)a.yaml is not YAML: .*line 1"),
    "binary YAML": (lambda p: ["train", p.written("a.yaml", b"\xff\xfe\x00")], USAGE, r"a.yaml is not YAML"),
    "list as configuration": (lambda p: ["train", p.written("a.yaml", "- run")], USAGE, r"a.yaml holds list, not sections"),
    # the model
    "no model": (lambda p: p.train("--model.path", "gone"), USAGE, r"model.path gone has no config.json: give a Hugging Face folder"),
    "another family": (
        lambda p: p.model(edited("config.json", model_type="llama")),
        USAGE,
        r"config.json: model_type 'llama' is not supported: there are Qwen2.5 ",
    ),
    "broken config.json": (lambda p: p.model(cut("config.json")), BAD_DATA, r"model/config.json is not JSON .*: copy it again"),
    "broken tokenizer": (
        lambda p: p.model(cut("tokenizer.json")),
        BAD_DATA,
        r"model.path .*model: tokenizer.json cannot be read",
    ),
    "no weights": (
        lambda p: p.model(lambda model: (model / "model.safetensors").unlink()),
        USAGE,
        r"model lacks model.safetensors: give a complete Hugging Face folder",
    ),
    "cut weights": (
        lambda p: p.model(cut("model.safetensors")),
        BAD_DATA,
        r"model.safetensors has \d+ bytes instead of \d+: .*copy it again",
    ),
    "text as weights": (
        lambda p: p.model(lambda model: (model / "model.safetensors").write_text("version https://git-lfs.github.com")),
        BAD_DATA,
        r"model.safetensors is not a safetensors file: .*copy it again",
    ),
    "unknown parameters frozen": (
        lambda p: p.train("--model.freeze", "vision.*"),
        USAGE,
        r"model.freeze 'vision.\*' matches no parameter: .*visual",
    ),
    # the layout
    "odd tensor size": (lambda p: p.train("--layout.tensor", "3"), USAGE, r"layout.tensor 3 does not divide .*: use "),
    "odd pipeline size": (
        lambda p: p.train("--layout.pipeline", "5"),
        USAGE,
        r"layout.pipeline 5 does not divide the model's \d+ layers: use ",
    ),
    "short rows": (
        lambda p: p.train("--layout.max_tokens_per_microbatch", "32"),
        USAGE,
        r"layout.max_tokens_per_microbatch 32: raise layout.max_tokens_per_microbatch to 75",
    ),
    "too many engines": (
        lambda p: p.train("--rollout.engines", "3"),
        USAGE,
        r"need 3 GPUs and share the trainer's 1: lower rollout.engines to 1",
    ),
    # the data
    "no data": (lambda p: p.train("--data.train"), USAGE, r"data.train is empty: name at least one file"),
    "missing data file": (
        lambda p: p.train("--data.train", "gone.jsonl"),
        USAGE,
        r"data file gone.jsonl does not exist: check .*data.train",
    ),
    "missing held-out file": (
        lambda p: p.train("--data.eval", "sums", "gone.jsonl", "--reward.weights", "accuracy", "1"),
        USAGE,
        r"data file gone.jsonl does not exist: check .*data.eval",
    ),
    "probabilities for other files": (
        lambda p: p.train("--data.probabilities", "1"),
        USAGE,
        r"data.probabilities has 1 entries, data.train has 2",
    ),
    "no image folder": (
        lambda p: p.train("--data.image_roots", "gone"),
        USAGE,
        r"data.image_roots has gone, which is no folder: correct the path",
    ),
    "crossed pixel bounds": (
        lambda p: p.train("--data.min_pixels", "9999"),
        USAGE,
        r"data.min_pixels 9999 is above data.max_pixels 3136: lower",
    ),
    "broken JSON": (
        lambda p: p.train("--data.train", p.written("a.json", "[{]")),
        BAD_DATA,
        r"(?s)fix the list at this place.*a.json:1: broken_list: .*, near '\[\{\]': what is before it was read",
    ),
    "broken Parquet": (
        lambda p: p.train("--data.train", p.written("a.parquet", "PAR1")),
        BAD_DATA,
        r"a.parquet is not readable as Parquet",
    ),
    "bad rows refused": (
        lambda p: p.train("--data.bad_rows", "refuse", "--data.train", p.rows("a.jsonl", asked(), {"text": "?"})),
        BAD_DATA,
        r"(?s)1 rows cannot be used:.*a.jsonl:2: row: no column 'message'",
    ),
    "no usable row": (
        lambda p: p.train("--data.train", p.rows("a.jsonl", {}, 3)),
        BAD_DATA,
        r"no usable row in .*a.jsonl: `lmm-r1-mega data check",
    ),
    "no usable held-out row": (
        lambda p: ["eval", str(p.task / "model"), p.rows("a.jsonl", {}), p.config, "--reward.weights", "accuracy", "1"],
        BAD_DATA,
        r"no usable row in .*a.jsonl",
    ),
    "the same id twice": (
        lambda p: p.train("--data.train", p.rows("a.jsonl", asked(id="x"), asked(id="x"))),
        BAD_DATA,
        r"(?s)duplicate_id: give every row .*a.jsonl:2: duplicate_id: id 'a:x' is the one of line 1",
    ),
    # the rewards
    "unknown reward": (
        lambda p: p.train("--reward.weights", "acuracy", "1"),
        USAGE,
        r"reward.weights has no component 'acuracy', fix: use format, accuracy",
    ),
    "no reward file": (lambda p: p.train("--reward.function", "gone.py"), USAGE, r"reward.function .*gone.py is not a file"),
    "reward file that fails": (reward_file("import gone"), USAGE, r"(?s)bad.py cannot be imported:.*line 1.*No module named 'gone'"),
    "reward file without its function": (
        reward_file("x = 1"),
        USAGE,
        r"bad.py has no function reward_func\(queries, prompts, labels\), fix: define it",
    ),
    "reward file that always raises": (
        reward_file("def reward_func(queries, prompts, labels): return [1.0] * len(quries)"),
        USAGE,
        r"the rewards score none of 4 right answers to records of data.train \(4 x function: raised NameError\): fix",
    ),
    "dead reward server": (
        lambda p: p.train("--reward.remote.urls", "http://127.0.0.1:9/", "--reward.remote.timeout_s", "0.3"),
        USAGE,
        r"the rewards score none of 4 .* \(4 x remote: connection failed\): fix",
    ),
    "dead judge": (
        lambda p: p.train("--reward.judge.urls", "http://127.0.0.1:9/v1", "--reward.judge.model", "m", "--reward.remote.timeout_s", "0.3"),
        USAGE,
        r"the rewards score none of 4 .* \(4 x judge: connection failed\): fix",
    ),
    "rewards that pay nothing": (
        lambda p: p.train("--reward.weights", "function", "0"),
        USAGE,
        r"reward.weights are all 0, so that nothing pays and nothing is trained",
    ),
    "no gold answer that can be judged": (
        lambda p: p.train("--data.train", p.rows("a.jsonl", *([asked(answer="see the figure")] * 8)), "--reward.weights", "accuracy", "1"),
        BAD_DATA,
        r"data.train: none of 8 gold answers can be scored by accuracy, function \(8 x unparsable gold answer.*\), fix: set data.label_key",
    ),
    "held-out answers that cannot be judged": (
        lambda p: [
            *("eval", str(p.task / "model"), p.rows("a.jsonl", asked(answer="see the figure")), p.config),
            *("--reward.weights", "accuracy", "1"),
        ],
        BAD_DATA,
        r"held-out file a: none of 1 gold answers can be scored",
    ),
    "responses of which none has a reward": (
        lambda p: ["reward", "try", p.rows("a.jsonl", {"response": "3", "answer": None}), "--reward.weights", "accuracy", "1"],
        BAD_DATA,
        r"none of 1 responses of .*a.jsonl has a reward \(1 x missing gold answer\)",
    ),
    "evaluation without accuracy": (
        lambda p: ["eval", str(p.task / "model"), str(p.task / "data" / "fre.jsonl"), p.config],
        USAGE,
        r"evaluation needs one of accuracy, .* in reward.weights, which has function, fix: add it",
    ),
    "unreadable rows to score": (lambda p: ["reward", "try", p.written("a.jsonl", "{")], BAD_DATA, r"a.jsonl:1 is not JSON"),
    "no response to score": (lambda p: ["reward", "try", p.rows("a.jsonl", {"answer": 1})], BAD_DATA, r"a.jsonl:1 has no text `response`"),
    # runs and checkpoints
    "occupied run folder": (occupied, USAGE, r"run.folder .*run is not empty: go on with `lmm-r1-mega resume .*run`, or choose another"),
    "a file as run folder": (
        lambda p: p.train("--run.folder", p.written("file", "") + "/run"),
        USAGE,
        r"run.folder .*file/run cannot be made: Not a directory",
    ),
    "no run to resume": (lambda p: ["resume", str(p.folder)], USAGE, r"is not the folder of a run: it has no readable run.json"),
    "finished run": (finished_run, USAGE, r"run is at step 4 of run.steps 4: raise it with --run.steps"),
    "damaged checkpoint": (damaged_run, BAD_DATA, r"step_000004 cannot be used .*state.json .*: bring its files back, or delete"),
    "no checkpoint to convert": (
        lambda p: ["convert", "to-hf", str(p.folder), str(p.folder / "hf")],
        USAGE,
        r"is not a complete Megatron checkpoint: give the folder of one",
    ),
    "occupied output": (
        lambda p: ["convert", "to-megatron", str(p.task / "model"), str(p.folder)],
        USAGE,
        r"exists already: remove it or choose",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_before_a_process_starts(place, capsys, name):
    build, status, message = REFUSED[name]
    arguments = build(place)
    before = sorted(path.name for path in place.folder.iterdir())
    assert run_here(arguments[0], arguments[1:]) == status
    printed = capsys.readouterr().err
    assert re.search(message, printed), printed
    assert "Traceback" not in printed or "bad.py" in printed
    assert sorted(path.name for path in place.folder.iterdir()) == before, "nothing is written, nothing deleted"


def save_image(path: Path, *, size: int = 28) -> Path:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (size, size, 3), dtype=np.uint8)).save(path)
    return path


def shown(image: str) -> dict:
    return {"message": [{"role": "user", "content": [{"type": "image", "image": image}, {"type": "text", "text": "?"}]}], "answer": "1"}


BAD_ROWS: dict[str, tuple[object, str]] = {
    "no object": (7, "row: a row must be an object, got int"),
    "no question": ({"answer": "2"}, "row: no column 'message' (data.input_key); the row has answer"),
    "a string that is no chat": ({"message": "1 + 1"}, "message: the message is a string that is not JSON"),
    "an unknown role": ({"message": [{"role": "human", "content": "?"}]}, "message: turn 1 has the role 'human': use one of"),
    "an answered question": (
        {"message": [*asked()["message"], {"role": "assistant", "content": "2"}, {"role": "system", "content": "?"}]},
        "message: turn 3 is the system's",
    ),
    "a boolean as answer": (asked(answer=True), "answer: answer must be a string, a number or a list, got bool"),
    "a forged token": (asked("<|im_end|>"), "special_token: the text has the model's special token '<|im_end|>'"),
    "a missing image": (shown("gone.png"), "image: image "),
    "text as image": (shown("text.png"), "cannot be read as an image"),
    "half an image": (shown("half.png"), "cannot be read as an image"),
    "too many bytes": (shown("heavy.png"), "more than data.max_image_bytes 2000: shrink it, or raise the setting"),
    "too many pixels": (
        shown("large.png"),
        "has 400 x 400 pixels, more than data.max_image_pixels 100000: shrink it, or raise the setting",
    ),
    "a web address": (
        shown("https://example.com/a.png"),
        "images are not fetched from URLs: download it, or list its host in data.url_hosts",
    ),
    "an image from elsewhere": (shown("/etc/hostname"), "lies outside the folders that may be read"),
    "too long a prompt": (asked("1 + " * 400), "too_long: the prompt has"),
}


@pytest.fixture
def bad_file(place) -> Path:
    """All bad rows between two good ones."""
    save_image(place.folder / "heavy.png", size=60)
    Image.new("RGB", (400, 400)).save(place.folder / "large.png")
    half = save_image(place.folder / "half.png").read_bytes()
    (place.folder / "half.png").write_bytes(half[: len(half) // 2])
    place.written("text.png", "no image")
    return Path(place.rows("rows.jsonl", asked(), *(row for row, _ in BAD_ROWS.values()), asked("2 + 2 =")))


LIMITS = {"data": {"max_image_bytes": 2000, "max_image_pixels": 100000, "max_prompt_tokens": 64}}


def test_every_bad_row_is_named_with_what_mends_it(place, capsys, bad_file):
    limits = place.written("limits.yaml", yaml.safe_dump(LIMITS))
    assert run_here("data", ["check", str(bad_file), place.config, limits]) == BAD_DATA
    printed = capsys.readouterr().out
    for line, (name, (_, reason)) in enumerate(BAD_ROWS.items(), start=2):
        [found] = re.findall(rf"line {line}: (.*)\n    fix: \w", printed)
        assert reason in found, name
    assert f"2 good rows, {len(BAD_ROWS)} bad" in printed


def test_bad_rows_are_dropped_and_counted_in_training(place, bad_file, caplog):
    data = {"data": {"train": [str(bad_file)], "min_pixels": None, "max_pixels": None}}
    config = parse_tree(merge(merge(place.settings, LIMITS), data), source="test")
    stream = PromptStream(config.data, Processor.load(config.model.path), seed=0)
    assert len(stream) == 2
    assert [bad.line for bad in stream.bad_rows] == list(range(2, len(BAD_ROWS) + 2))
    assert f"{len(BAD_ROWS)} bad rows are left out" in caplog.text
    assert {prompt.id for prompt in stream.take(4)} == {"rows:0", f"rows:{len(BAD_ROWS) + 1}"}


REWARD = """
import os, time

def reward_func(queries, prompts, labels):
    query = "".join(queries)
    if "raise" in query:
        raise KeyError("weight")
    if "hang" in query:
        time.sleep(60)
    if "die" in query:
        os._exit(3)
    if "memory" in query:
        bytearray(64 * 2**30)
    if "short" in query:
        return [1.0] * (len(queries) - 1)
    if "text" in query:
        return ["good"] * len(queries)
    if "nan" in query:
        return [float("nan")] * len(queries)
    return [0.25] * len(queries)
"""

UNSCORABLE = {
    "raise": "function: raised KeyError",
    "hang": "function: timeout",
    "die": "function: worker died",
    "memory": "function: memory limit",
    "short": "function: wrong length: `rewards` has 0 entries for 1 responses",
    "text": "function: `rewards` is not a list of numbers",
    "nan": "function: not a finite number",
}


def test_a_reward_that_fails_costs_its_own_response_only(place, capsys):
    file = place.rows("a.jsonl", *({"response": word, "answer": 1} for word in ("good", *UNSCORABLE, "good too")))
    function = place.written("reward.py", REWARD)
    options = ["--reward.function", function, "--reward.weights", "function", "2", "--reward.timeout_s", "0.5", "--reward.workers", "1"]
    assert run_here("reward", ["try", file, "--json", *options]) == DONE
    first, *failed, last = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert [row["reward"] for row in (first, last)] == [0.5, 0.5]
    assert {word: row["invalid"] for word, row in zip(UNSCORABLE, failed, strict=True)} == UNSCORABLE
    assert all(row["reward"] is None for row in failed)


GOLD_ANSWERS = {"": "empty gold answer", "see figure": "unparsable gold answer", None: "missing gold answer"}


def test_a_gold_answer_that_nothing_can_equal_is_invalid_and_never_wrong(place):
    settings = parse_tree({"reward": {"weights": {"accuracy": 1}, "workers": 1}}, source="test").reward
    with RewardPool(settings) as rewards:
        scores = rewards.score([RewardInput("the answer is 3", answer) for answer in (*GOLD_ANSWERS, 3)])
    assert [score.invalid for score in scores] == [*GOLD_ANSWERS.values(), None]
    assert [score.reward for score in scores] == [None, None, None, 1.0]
