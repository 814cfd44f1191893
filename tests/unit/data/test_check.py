from lmm_r1_mega.config import DataSettings
from lmm_r1_mega.data.check import Histogram, check_file, describe, histogram
from lmm_r1_mega.data.rows import FIXES


def asked(*parts: object, **columns: object) -> dict:
    return {"message": [{"role": "user", "content": list(parts)}], **columns}


def image(name: str) -> dict:
    return {"type": "image", "image": name}


def no_number(answers: list) -> list[str | None]:
    return [None if str(answer).isdigit() else "no number" for answer in answers]


def test_sizes_are_counted_by_powers_of_two():
    assert histogram([3, 4, 9]) == Histogram(smallest=3, median=4, largest=9, counts={4: 2, 8: 0, 16: 1})
    assert histogram([1]) == Histogram(1, 1, 1, {1: 1})
    assert histogram([]) is None


def test_a_file_with_all_sorts_of_rows(processor, picture, write_rows, tmp_path):
    picture("a.png")
    cut = picture("damaged.png")
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
    assert (report.answers.given, report.answers.missing, report.answers.problems) == (3, (3,), {2: "no number"})
    assert report.image_tokens == Histogram(4, 4, 4, {4: 2})
    assert sum(report.prompt_tokens.counts.values()) == 4
    assert not report.is_clean
    text = describe(report)
    assert "4 good rows, 2 bad" in text
    assert "line 2: the answer cannot be compared, samples will be invalid: no number" in text
    assert all(f"mend it: {FIXES[kind]}" in text for kind in ("image", "special_token"))


def test_without_a_model_images_are_still_decoded(picture, write_rows, tmp_path):
    picture("a.png")
    (tmp_path / "broken.png").write_bytes(b"no")
    path = write_rows(asked(image("a.png"), "?"), asked(image("broken.png"), "?"), asked("<|im_end|>", answer=1))
    report = check_file(path, DataSettings(), None)
    assert (report.num_good, report.num_images, report.prompt_tokens, report.image_tokens) == (2, 1, None, None)
    assert [(bad.line, bad.kind) for bad in report.bad_rows] == [(2, "image")]


def test_a_clean_file(write_rows):
    report = check_file(write_rows(asked("?", answer=1)), DataSettings(), None)
    assert report.is_clean
    assert "1 good rows, 0 bad" in describe(report)
