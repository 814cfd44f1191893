"""The report of a run: what it takes from the folder, how small it stays, and that nothing in a sample ever runs (real Chromium)."""

import html
import json
import re
import shutil
import subprocess
from base64 import b64decode
from itertools import pairwise

import pytest

from lmm_r1_mega import cli
from lmm_r1_mega.errors import BadData
from lmm_r1_mega.record.folder import RunFolder
from lmm_r1_mega.record.report.content import Samples, coarse_to_fine, curves, embedded, read_content
from lmm_r1_mega.record.report.page import page, write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SWITCHES = ("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-sync", "disable-dev-shm-usage")
QUIET = [*SWITCHES, "disable-background-networking", "disable-component-update"]
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine")
BROWSER_ITSELF = "not an origin"
PNG = b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==")


def sample(step, **more):
    row = {"step": step, "prompt_id": "a:1", "source": "dots", "prompt": "How many?", "images": [], "answer": "3", "response": "3"}
    row |= {"finish_reason": "stop", "num_tokens": 4, "reward": 1.5, "parts": {"format": 1.0, "accuracy": 1.0}, "invalid": None}
    return row | more


def make_run(path, samples=(), metrics=(), config=""):
    run = RunFolder.create(path, config, verb="train")
    run.rollouts_file.write_text("".join(json.dumps(row) + "\n" for row in samples))
    for step, row in metrics:
        run.append_metrics(step, row)
    return run


def test_curves_by_hand():
    rows = [{"step": 1, "reward": 0.123456789}, {"step": 2, "reward": float("nan"), "eval/a/accuracy": 1}]
    assert curves(rows, max_points=9) == {"reward": [[1, 2], [0.12346, None]], "eval/a/accuracy": [[2], [1.0]]}
    many = [{"step": step, "reward": step} for step in range(1, 11)]
    assert curves(many, max_points=3) == {"reward": [[1, 5, 9, 10], [1.0, 5.0, 9.0, 10.0]]}


def test_every_beginning_of_the_steps_is_spread_over_all():
    assert coarse_to_fine(list(range(1, 9))) == [8, 1, 5, 3, 7, 2, 4, 6]
    steps = list(range(10, 1000, 10))
    assert sorted(coarse_to_fine(steps)) == steps
    for count in (2, 5, 17, 50):
        kept = sorted(coarse_to_fine(steps)[:count])
        assert max(after - before for before, after in pairwise(kept)) <= 4 * 990 / count


def test_runs_meet_in_the_same_question_and_not_in_the_same_id(tmp_path):
    one = make_run(tmp_path / "one", [sample(1), sample(1, response="4", parts={"accuracy": 0.5})])
    other = make_run(tmp_path / "other", [sample(2, prompt_id="b:7"), sample(2, prompt="How few?", parts={}, invalid="timeout")])
    found = read_content([one, other])
    assert sorted(prompt["prompt"] for prompt in found["prompts"]) == ["How few?", "How many?"]
    many = next(prompt["number"] for prompt in found["prompts"] if prompt["prompt"] == "How many?")
    assert [(s["run"], s["step"], s["right"]) for s in found["samples"] if s["prompt"] == many] == [
        (0, 1, True),
        (0, 1, False),
        (1, 2, True),
    ]
    assert [s["right"] for s in found["samples"] if s["prompt"] != many] == [None]


def test_without_images_the_id_tells_prompts_apart(tmp_path):
    rows = [{name: value for name, value in sample(1, prompt_id=name).items() if name != "images"} for name in ("a:1", "a:2")]
    assert len(read_content([make_run(tmp_path / "run", rows)])["prompts"]) == 2


def test_images_come_from_the_folder_of_images_only(tmp_path):
    run = make_run(tmp_path / "run")
    kept = run.keep_image(PNG)
    assert run.keep_image(PNG) == kept and (run.path / kept).read_bytes() == PNG
    (run.path / "secret.png").write_bytes(PNG)
    shown = Samples([run.path])
    shown.take([[sample(1, images=[kept, "secret.png", "images/../secret.png", "images/0123456789abcdef.png", "/etc/passwd"])]])
    assert list(shown.images) == [kept]
    assert b64decode(shown.images[kept].removeprefix("data:image/png;base64,")) == PNG


def test_a_long_run_with_long_answers_stays_under_five_megabytes(tmp_path):
    samples = [sample(step, prompt_id=f"a:{step}", prompt=f"{step} <?", response=f"<{step}" * 600) for step in range(1, 2001) for _ in "ab"]
    run = make_run(tmp_path / "run", samples, config="a: {b: 1}\n")
    rows = [{"step": step, **{f"metric/{name}": step / 7 for name in range(60)}} for step in range(1, 3001)]
    run.metrics_file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = page([run, run])
    assert 3_000_000 < len(text.encode()) < 5_000_000
    content = json.loads(re.search(r'id="content">(.*?)</script>', text)[1])
    steps = sorted({one["step"] for one in content["samples"]})
    assert content["recorded"] == 8000 and {1, 2000} <= set(steps)
    assert max(after - before for before, after in pairwise(steps)) <= 16


def test_a_huge_text_is_cut_and_says_so(tmp_path):
    [found] = read_content([make_run(tmp_path / "run", [sample(1, response="x" * 3_000_000)])])["samples"]
    assert found["response"] == "x" * 20_000 + " … 2980000 more letters"


def test_a_damaged_file_is_named(tmp_path):
    run = make_run(tmp_path / "run")
    run.metrics_file.write_text('{"step": 1}\nnonsense\n')
    with pytest.raises(BadData, match=r"metrics\.jsonl has a line that is no JSON"):
        page([run])
    run.metrics_file.write_text("[1]\n")
    with pytest.raises(BadData, match="without a whole number `step`"):
        page([run])


def test_no_markup_is_left_in_embedded_data():
    text = embedded({"a": "</script><!--<script>", "b": "\ud800"}).encode(errors="backslashreplace").decode()
    assert "<" not in text
    assert json.loads(text) == {"a": "</script><!--<script>", "b": "\ud800"}


def test_the_verb_writes_where_it_is_told(tmp_path, capsys):
    make_run(tmp_path / "run", [sample(1)], [(1, {"reward": 0.5})])
    make_run(tmp_path / "other", [sample(1)])
    assert cli.main(["report", str(tmp_path / "run")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "run" / "report.html")
    assert cli.main(["report", str(tmp_path / "run"), "--against", str(tmp_path / "other"), "--out", str(tmp_path / "two.html")]) == 0
    assert "<title>run and other</title>" in (tmp_path / "two.html").read_text()
    assert cli.main(["report", str(tmp_path / "run"), "--out", str(tmp_path / "no" / "two.html")]) == 2
    assert cli.main(["report", str(tmp_path)]) == 2


def opened(file, profile):
    """The page as the browser has it after its scripts ran, and the URLs that it asked for; no name resolves, so nothing is reached."""
    log = profile.with_name("requests.json")
    options = [f"--user-data-dir={profile}", "--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=3000", f"--log-net-log={log}"]
    command = [CHROMIUM, *(f"--{switch}" for switch in QUIET), *options, "--dump-dom", file.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    requests = [event["params"] for event in json.loads(log.read_text())["events"] if "initiator" in event.get("params", {})]
    return done.stdout, {one["url"] for one in requests if one["initiator"] != BROWSER_ITSELF}


def hostile_texts():
    ran = "document.documentElement.setAttribute('data-ran',1);document.title='ran'"
    bait = "http://bait.example/bait"
    return [
        f"<script>{ran}</script>",
        f"</script><script>{ran}</script>",
        f"<!--<script>{ran}</script>-->",
        f'<img src="{bait}" onerror="{ran}">',
        f'<svg onload="{ran}"><image href="{bait}"/></svg>',
        f'<iframe src="javascript:{ran}"></iframe><iframe srcdoc="<script>{ran}</script>"></iframe>',
        f'<a href="javascript:{ran}">x</a>',
        f'<link rel=stylesheet href="http://bait.example/a.css"><meta http-equiv=refresh content="0;url={bait}">',
        f"<style>@import '{bait}';*{{background:url({bait})}}</style>",
        f'"><body onload="{ran}"><base href="{bait}/">',
        f"`;{ran};`${{{ran}}}' + {ran} + '\";{ran};//",
        f"\\u003cscript\\u003e{ran}\\u003c/script\\u003e &lt;script&gt;{ran}&lt;/script&gt;",
        "\u202egnp.exe\u2066 lone \ud800 and \udfff, \u2028 \u2029 \u0000 \ufeff",
        "__proto__",
        "constructor",
        "<b>" * 100_000,
    ]


@needs_browser
def test_no_text_of_a_sample_runs_or_asks_for_anything(tmp_path):
    texts = hostile_texts()
    fields = ("prompt", "response", "answer", "source", "invalid", "finish_reason", "reward", "num_tokens", "prompt_id")
    samples = [sample(1, **dict.fromkeys(fields, text), images=[text], parts={text: 1.0, "__proto__": 2.0}) for text in texts]
    metrics = [(1, {text[:300]: 0.5 for text in texts if text.isprintable()})]
    config = json.dumps({"data": {"train": texts[:9]}, texts[0]: texts[1], "__proto__": 1})
    run = make_run(tmp_path / "a<svg onload=alert(1)>", samples, metrics, config)
    write_report([run, run], tmp_path / "report.html")
    dom, requests = opened(tmp_path / "report.html", tmp_path / "profile")
    assert requests == set()
    head, body = dom.split("<main>")
    assert "data-ran" not in head.partition("<script")[0]
    assert f"<title>{html.escape('a<svg onload=alert(1)>', quote=False)} and" in head
    assert re.findall(r"<script\b", dom) == ["<script", "<script"]
    assert not re.search(r"<(?:script|iframe|img|link|meta|base|style|object|embed|a)\b", body)
    assert not re.search(r"<[^<>]*\s(?:on\w+|style|href|src)=", body)
    assert dom.count('<article class="sample unscored">') == 2 * len(texts)
    assert html.escape(texts[0], quote=False) in body
    assert all(f'<span class="unseen">U+{name}</span>' in body for name in ("202E", "2066", "D800", "DFFF", "2028", "0000", "FEFF"))


@needs_browser
def test_the_same_texts_do_run_and_ask_where_nothing_keeps_them_from_it(tmp_path):
    (tmp_path / "naive.html").write_text("<!doctype html><html><title>t</title>" + "".join(hostile_texts()[:5]), encoding="utf-8")
    dom, requests = opened(tmp_path / "naive.html", tmp_path / "profile")
    assert 'data-ran="1"' in dom
    assert requests == {"http://bait.example/bait"}


CHOOSE = """
const found = [];
for (const wanted of %s) {
  for (const label of document.querySelectorAll(".sticky label")) {
    const control = label.querySelector("select, input");
    const value = wanted[label.firstChild.textContent] ?? "";
    if (control.type === "checkbox") control.checked = Boolean(value);
    else control.value = control.tagName === "SELECT" ? value || "all" : value;
    control.dispatchEvent(new Event(control.type === "search" ? "input" : "change"));
  }
  found.push([...document.querySelectorAll(".column")].map((one) => [...one.querySelectorAll("pre")].map((text) => text.textContent)));
}
document.body.setAttribute("data-found", JSON.stringify(found));
"""
CASES = [
    ({}, [["one", "two"], ["three", "four"], [], ["five"]]),
    ({"step": "2"}, [[], ["three", "four"]]),
    ({"source": "sums"}, [[], ["five"]]),
    ({"answer": "right"}, [["one"], ["three"], [], ["five"]]),
    ({"answer": "wrong"}, [["two"], []]),
    ({"answer": "without verdict"}, [[], ["four"]]),
    ({"end": "truncated"}, [["two"], ["four"]]),
    ({"end": "truncated", "step": "1"}, [["two"], []]),
    ({"text": "FIV"}, [[], ["five"]]),
    ({"prompts of both runs only": "yes"}, [["one", "two"], ["three", "four"]]),
    ({"prompts of both runs only": "yes", "end": "finished", "step": "3"}, []),
]
"""What is chosen, and the responses of each column: two columns a prompt."""


@needs_browser
def test_filters_and_runs_side_by_side(tmp_path):
    wrong = {"format": 1.0, "accuracy": 0.0}
    one = [sample(1, response="one"), sample(1, response="two", parts=wrong, finish_reason="length")]
    two = [sample(2, response="three"), sample(2, response="four", parts={}, reward=None, invalid="timeout", finish_reason="length")]
    two.append(sample(3, response="five", source="sums", prompt="1 + 1"))
    runs = [
        make_run(tmp_path / "a", one, [(1, {"reward": 1.0})]),
        make_run(tmp_path / "b", two, [(1, {"reward": 3.0}), (2, {"reward": 2.0})]),
    ]
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page(runs))  # which would refuse the script of this test
    (tmp_path / "page.html").write_text(
        text.replace("</body>", f"<script>{CHOOSE % json.dumps([wanted for wanted, _ in CASES])}</script></body>")
    )
    dom, _ = opened(tmp_path / "page.html", tmp_path / "profile")
    assert json.loads(html.unescape(re.search(r'data-found="([^"]*)"', dom)[1])) == [found for _, found in CASES]
    assert len(re.findall(r'<path class="line run[01]"', dom)) == 2
    assert len(re.findall(r'<circle class="dot run1"', dom)) == 2
