import re
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmm_r1_mega import cli
from lmm_r1_mega.config import DataSettings
from lmm_r1_mega.data.formats.rows import FIXES
from lmm_r1_mega.data.inspect.check import Histogram, check_file, describe, histogram
from lmm_r1_mega.data.inspect.fix import check_target, write_good_rows
from lmm_r1_mega.data.inspect.gold import GoldAnswers, is_plain
from lmm_r1_mega.errors import BadData
from lmm_r1_mega.rewards.answers.equality import gold_problem


def asked(*parts: object, **columns: object) -> dict:
    return {"message": [{"role": "user", "content": list(parts)}], **columns}


def image(name: str) -> dict:
    return {"type": "image", "image": name}


def no_number(answers: list) -> list[str | None]:
    return [None if str(answer).isdigit() else "no number" for answer in answers]


def test_sizes_are_counted_by_powers_of_two():
    assert histogram(Counter([3, 4, 9])) == Histogram(smallest=3, median=4, largest=9, counts={4: 2, 8: 0, 16: 1})
    assert histogram(Counter([1, 1])) == Histogram(1, 1, 1, {1: 2})
    assert histogram(Counter()) is None


def test_a_file_with_all_sorts_of_rows(processor, save_image, write_rows, tmp_path):
    save_image("a.png")
    cut = save_image("damaged.png")
    content = bytearray(cut.read_bytes())
    content[200:230] = bytes(30)
    cut.write_bytes(content)
    path = write_rows(
        asked("2 + 2 ?", answer="4", datasource="sums"),
        asked(image("a.png"), image("a.png"), "?", answer="see figure"),
        asked("no answer"),
        asked(image("damaged.png"), "?", answer="1"),
        asked("<|im_end|>", answer="1"),
        {"message": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "4"}], "answer": 4},
    )
    report = check_file(path, DataSettings(), processor, answer_problems=no_number)
    assert (report.num_good, report.num_demonstrations, report.num_images) == (4, 1, 2)
    assert report.sources == {"rows": 3, "sums": 1}
    assert [(bad.line, bad.kind) for bad in report.bad_rows] == [(4, "image"), (5, "special_token")]
    assert (report.answers.num_present, report.answers.missing, report.answers.problems) == (3, (3,), {2: "no number"})
    assert report.answers.share == 0.5
    assert report.image_tokens == Histogram(4, 4, 4, {4: 2})
    assert sum(report.prompt_tokens.counts.values()) == 4
    assert not report.is_clean
    text = describe(report)
    assert "4 good rows, 2 bad" in text
    assert "answers: 50.0% can be compared; 3 given, 1 missing, 1 that no reward can compare" in text
    assert "line 2: the answer cannot be compared, samples will be invalid: no number" in text
    assert all(f"fix: {FIXES[kind]}" in text for kind in ("image", "special_token"))


def test_without_a_model_images_are_still_decoded(save_image, write_rows, tmp_path):
    save_image("a.png")
    (tmp_path / "broken.png").write_bytes(b"no")
    path = write_rows(asked(image("a.png"), "?"), asked(image("broken.png"), "?"), asked("<|im_end|>", answer=1))
    report = check_file(path, DataSettings(), None)
    assert (report.num_good, report.num_images, report.prompt_tokens, report.image_tokens) == (2, 1, None, None)
    assert [(bad.line, bad.kind) for bad in report.bad_rows] == [(2, "image")]


HEAVY = ["torch", "transformers", "sympy", "vllm", "ray", "megatron"]
PROGRAM = f"""
import sys
from lmm_r1_mega.cli import main
status = main(sys.argv[1:])
print(status, *[name for name in {HEAVY} if name in sys.modules])
"""


@pytest.mark.parametrize("has_model", [False, True])
def test_the_command_imports_torch_only_to_count_tokens(model_folder, save_image, write_rows, tmp_path, has_model):
    """Importing torch and transformers takes 400 MB."""
    save_image("a.png")
    path = write_rows(asked("2 + 2 ?", answer=r"\frac12"), asked(image("a.png"), "?", answer=1))
    model = model_folder if has_model else tmp_path / "no model"
    command = [sys.executable, "-c", PROGRAM, "data", "check", str(path), "--model.path", str(model)]
    printed = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, timeout=100).stdout
    status, *imported = printed.splitlines()[-1].split()
    assert status == "0"
    assert ("prompt tokens" in printed, "image tokens: 4 to 4" in printed) == (has_model, has_model)
    assert set(imported) <= ({"torch", "transformers", "sympy"} if has_model else set())


def test_a_clean_file(write_rows):
    report = check_file(write_rows(asked("?", answer=1)), DataSettings(), None)
    assert report.is_clean
    assert "1 good rows, 0 bad" in describe(report)


def test_questions_that_are_asked_again_are_named(write_rows, save_image):
    save_image("a.png")
    save_image("b.png")
    path = write_rows(
        asked("1 ?", answer=1),
        asked("2 ?", answer=1),
        asked("1 ?", answer=2, id="other"),
        asked(image("a.png"), "?"),
        asked(image("b.png"), "?"),
        asked("?", image("a.png")),
        asked({"type": "image_url", "image_url": {"url": "a.png"}}, "?"),
        {"message": [{"role": "system", "content": "1 ?"}, {"role": "user", "content": "2 ?"}]},
        {"message": [{"role": "user", "content": "1 ?"}, {"role": "assistant", "content": "1"}]},
    )
    report = check_file(path, DataSettings(), None)
    assert report.repeated == {3: 1, 7: 4, 9: 1}
    assert report.is_clean
    assert "line 3: asks the same as line 1" in describe(report)


def test_many_rows_worth_a_look_are_not_all_spelled_out(write_rows):
    text = describe(check_file(write_rows(*[asked(f"{number} ?") for number in range(50)]), DataSettings(), None))
    assert len(re.findall("no answer, samples will be invalid", text)) == 20
    assert "and 30 more like the last" in text


def test_an_answer_is_judged_once():
    asked_for = []

    def judge(answers: list) -> list[str | None]:
        asked_for.append(answers)
        return ["bad" if answer == "x^2" else None for answer in answers]

    gold = GoldAnswers(judge)
    assert gold.problems(["7", "x^2", "A", 2.5, r"\frac12", "x^2"]) == [None, "bad", None, None, None, "bad"]
    assert gold.problems([r"\frac12", "x^2", "x"]) == [None, "bad", None]
    assert asked_for == [["x^2", r"\frac12"], ["x"]]
    assert GoldAnswers(None).problems(["x^2"]) == [None]


@settings(deadline=None)
@given(st.from_regex(r"\$?(?:-?[0-9]{1,15}(?:\.[0-9]{1,15})?|[A-H])\$?", fullmatch=True) | st.integers() | st.floats())
def test_what_is_spared_the_judge_has_no_problem(answer):
    if is_plain(answer):
        assert gold_problem(answer) is None
    else:
        assert not isinstance(answer, str)


@pytest.mark.parametrize("answer", ["", "$$", "see figure", "1e5", "1.", "I", "x", 10**20, float("nan"), 1e30])
def test_all_else_goes_to_the_judge(answer):
    assert not is_plain(answer)


class TestFix:
    def test_the_good_rows_are_written_unchanged_and_are_clean(self, processor, write_rows, tmp_path):
        path = write_rows(asked("1 ?", answer=1, more=[1]), {}, asked("<|im_end|>"), asked("2 ?", id=7), asked("3 ?", id=7))
        lines = path.read_bytes().splitlines(keepends=True)
        write_good_rows(check_file(path, DataSettings(), processor), tmp_path / "good.jsonl")
        assert (tmp_path / "good.jsonl").read_bytes() == lines[0] + lines[3]
        assert check_file(tmp_path / "good.jsonl", DataSettings(), processor).is_clean
        assert sorted(file.name for file in tmp_path.iterdir()) == ["good.jsonl", "rows.jsonl"]

    def test_nothing_is_written_over(self, write_rows, tmp_path):
        path = write_rows(asked("?"), {})
        report = check_file(path, DataSettings(), None)
        before = path.read_bytes()
        with pytest.raises(ValueError, match=r"rows.jsonl exists and is not written over: name a new file"):
            write_good_rows(report, path)
        assert path.read_bytes() == before

    @pytest.mark.parametrize(
        ("target", "reason"), [("good.csv", "are written as .jsonl: name it so"), ("gone/good.jsonl", "there is no folder")]
    )
    def test_a_target_of_another_kind_is_refused(self, tmp_path, target, reason):
        with pytest.raises(ValueError, match=reason):
            check_target(tmp_path / target)

    def test_without_a_good_row_nothing_is_written(self, write_rows, tmp_path):
        with pytest.raises(BadData, match=r"no row of .* is good"):
            write_good_rows(check_file(write_rows({}), DataSettings(), None), tmp_path / "good.jsonl")
        assert not (tmp_path / "good.jsonl").exists()

    def test_what_cannot_be_written_whole_leaves_nothing(self, write_rows, tmp_path):
        path = write_rows(asked("?"), {})
        report = check_file(path, DataSettings(), None)
        path.unlink()
        path.mkdir()
        with pytest.raises(ValueError):
            write_good_rows(report, tmp_path / "good.jsonl")
        assert [file.name for file in tmp_path.iterdir()] == ["rows.jsonl"]


@pytest.mark.parametrize("name", ["empty.jsonl", "empty.json"])
def test_a_file_without_rows_is_not_fit_for_training(tmp_path, name, capsys):
    (tmp_path / name).touch()
    for words in ([], ["--fix", str(tmp_path / "fixed.jsonl")]):
        assert cli.main(["data", "check", str(tmp_path / name), *words]) == 65
        assert "there is no row in it: give a file with rows" in capsys.readouterr().out
