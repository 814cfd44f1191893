"""Public training sets, as they are published, to rows of `message` and `answer`: a table with one line a set."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lmm_r1_mega.data.chat.messages import parse_chat
from lmm_r1_mega.data.formats.columns import format_of
from lmm_r1_mega.data.formats.rows import BadRow, RawRow, RowRefused

SYSTEM_PROMPT = (
    "You solve problems. Think first, then answer. Write your reasoning between <think> and </think> and your answer between <answer> "
    "and </answer>: the output begins with <think> and ends with </answer>, with nothing outside of the two. The final answer is in "
    "LaTeX, inside $...$, and wrapped in \\boxed{}. Example: <think> 1 + 1 is 2, so the answer is $2$. </think><answer> The answer is "
    "$\\boxed{2}$. </answer>"
)
PLACEHOLDER = "<image>"
GEOMETRY_FOLDERS = frozenset({"geometry3k", "geoqa+", "geos", "unigeo"})
"""Folders of MathV360K's images that hold geometry, in lower case."""
FINAL_ANSWER = re.compile(r"the answer is:?\s*(.*)", re.IGNORECASE | re.DOTALL)
SUFFIXES = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"RIFF": ".webp"}


@dataclass(frozen=True)
class SourceProblem:
    """A question with its gold answer; `question` has a place `<image>` for each image, or none of them, which is at the beginning."""

    question: str
    answer: str
    images: tuple[str | bytes, ...] = ()
    """Paths as they are published, or the files themselves."""
    source: str | None = None
    named_parts: int = 1
    """How many parts at the end of an image's path tell it from all others."""


@dataclass(frozen=True)
class SourceImages:
    """Where the images of a set are found, and where those that lie inside its rows are written."""

    root: Path
    folder: Path
    found: dict[str, str] = field(default_factory=dict)
    """Files so far -> the published path that each was found for."""

    def find(self, published: str, named_parts: int = 1) -> str:
        """The file that a published path means: the longest of its ends, of `named_parts` at least, that exists below the root.

        Example: /home/someone/set/images/1.png with the root data -> data/images/1.png

        Raises: RowRefused where there is none, or it was found for another path.
        """
        parts = [part for part in Path(published.removeprefix("file://")).parts if part not in ("/", "..")]
        ends = (self.root.joinpath(*parts[start:]) for start in range(len(parts) - named_parts + 1))
        end = next((end for end in ends if end.is_file()), None)
        if end is None:
            raise RowRefused("image", f"no image {published} below {self.root}: give the folder that it lies in with --images")
        file = str(end.resolve())
        other = self.found.setdefault(file, published)
        if other != published:
            raise RowRefused("image", f"{file} would be both {other} and {published}: give the folder that holds both with --images")
        return file

    def write(self, content: bytes, name: str) -> str:
        """Write an image under a name, its suffix by its content, and return the path relative to the rows' file."""
        suffix = next((suffix for magic, suffix in SUFFIXES.items() if content.startswith(magic)), None)
        if suffix is None:
            raise RowRefused("image", "an image is neither PNG, JPEG nor WebP")
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / f"{name}{suffix}").write_bytes(content)
        return f"{self.folder.name}/{name}{suffix}"


@dataclass
class SourceReport:
    """What became no row of a file, up to now."""

    num_others: int = 0
    """Rows that are of another part of the set."""
    bad_rows: list[BadRow] = field(default_factory=list)


def prepared_rows(name: str, source: Path, images: SourceImages, outcome: SourceReport) -> Iterator[dict[str, Any]]:
    """Rows of our format for those of a published file, one by one; `outcome` counts along.

    Raises: ValueError for a set that is not in the table, or a file that cannot be read.
    """
    if name not in PUBLIC_SETS:
        raise ValueError(f"no set {name}: use one of {', '.join(PUBLIC_SETS)}")
    for raw in format_of(source).read(source):
        if isinstance(raw, BadRow):
            outcome.bad_rows.append(raw)
            continue
        try:
            problem = _problem(raw, PUBLIC_SETS[name])
            if problem is None:
                outcome.num_others += 1
                continue
            row = as_row(problem, f"{raw.line:06d}", images, source=problem.source or name)
        except RowRefused as refusal:
            outcome.bad_rows.append(BadRow(source, raw.line, refusal.kind, str(refusal)))
            continue
        yield row


def as_row(problem: SourceProblem, name: str, images: SourceImages, *, source: str) -> dict[str, Any]:
    """The row of a problem: system prompt, question with its images at their places, answer."""
    answer = problem.answer.strip()
    if not answer:
        raise RowRefused("answer", "the answer is empty")
    texts = problem.question.split(PLACEHOLDER)
    if len(texts) == 1:
        texts = [""] * len(problem.images) + texts
    if len(texts) != len(problem.images) + 1:
        raise RowRefused("image", f"the question has {len(texts) - 1} places for {len(problem.images)} images")
    paths = [
        images.find(image, problem.named_parts) if isinstance(image, str) else images.write(image, f"{name}_{place}")
        for place, image in enumerate(problem.images)
    ]
    content: list[dict[str, str]] = []
    for text, path in zip(texts, [*paths, None], strict=True):
        content += [{"type": "text", "text": text.strip()}] if text.strip() else []
        content += [{"type": "image", "image": path}] if path is not None else []
    message = [{"role": "system", "content": SYSTEM_PROMPT}, {"role": "user", "content": content}]
    return {"id": name, "message": message, "answer": answer, "datasource": source}


def _problem(raw: RawRow, read: Callable[[Mapping[str, Any]], SourceProblem | None]) -> SourceProblem | None:
    if not isinstance(raw.value, dict):
        raise RowRefused("row", f"a row must be an object, got {type(raw.value).__name__}")
    try:
        return read(raw.value)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        columns = ", ".join(map(str, raw.value))
        raise RowRefused("row", f"not a row of this set ({type(error).__name__} {error}); it has {columns}") from None


def _gsm8k(row: Mapping[str, Any]) -> SourceProblem:
    """question; answer = worked solution, `#### `, number with commas."""
    _, marker, answer = row["answer"].rpartition("####")
    if not marker:
        raise RowRefused("answer", "the solution has no line `#### ANSWER`")
    return SourceProblem(_question(row["question"]), answer.replace(",", ""))


def _deepscaler(row: Mapping[str, Any]) -> SourceProblem:
    """problem, answer (and solution) as first published; or LMM-R1's rows with message."""
    return _from_message(row) if "message" in row else SourceProblem(_question(row["problem"]), _text(row["answer"]))


def _from_message(row: Mapping[str, Any]) -> SourceProblem:
    """LMM-R1's rows: message with a system and a user turn, answer. The system prompt is put in place of theirs."""
    chat = parse_chat(row["message"])
    roles = [turn.role for turn in chat.turns if turn.role != "system"]
    if roles != ["user"]:
        raise RowRefused("message", f"a question is one turn of the user, and the turns are by {', '.join(roles) or 'the system alone'}")
    question = "".join(PLACEHOLDER if part is None else part for part in chat.turns[-1].parts)
    return SourceProblem(question, _text(row["answer"]), chat.images, source=row.get("datasource"))


def _mathv360k_geometry(row: Mapping[str, Any]) -> SourceProblem | None:
    """image = folder of the original set/...; conversations = human's question with `<image>`, gpt's `The answer is ...`."""
    parts = Path(row["image"]).parts
    place = next((place for place, part in enumerate(parts) if part.lower() in GEOMETRY_FOLDERS), None)
    if place is None:
        return None
    question, reply = (turn["value"] for turn in row["conversations"][:2])
    final = FINAL_ANSWER.search(reply)
    answer = (final[1] if final else reply).strip().rstrip(".")
    # The sets number their images alike, so the set's folder has to be in the path.
    return SourceProblem(_question(question), answer, (row["image"],), source=parts[place], named_parts=len(parts) - place)


def _geometry3k(row: Mapping[str, Any]) -> SourceProblem:
    """problem with `<image>`; images = list of files in bytes, or of their paths; answer in LaTeX."""
    return SourceProblem(_question(row["problem"]), _text(row["answer"]), tuple(_image(image) for image in row["images"]))


def _question(text: Any) -> str:
    if not isinstance(text, str) or not text.strip():
        raise RowRefused("row", f"the question must be a text, got {text!r:.60}")
    return text


def _image(image: Mapping[str, Any]) -> str | bytes:
    found = image["bytes"] or image["path"]
    if not isinstance(found, str | bytes):
        raise RowRefused("image", "an image has neither bytes nor path")
    return found


def _text(answer: Any) -> str:
    if isinstance(answer, bool) or not isinstance(answer, str | int | float):
        raise RowRefused("answer", f"the answer must be a string or a number, got {type(answer).__name__}")
    return str(answer)


PUBLIC_SETS: dict[str, Callable[[Mapping[str, Any]], SourceProblem | None]] = {
    "deepscaler": _deepscaler,
    "vermulti": _from_message,
    "mathv360k_geometry": _mathv360k_geometry,
    "gsm8k": _gsm8k,
    "geometry3k": _geometry3k,
}
"""A set's name -> how a row of its is read; None for a row of another part of the set."""
