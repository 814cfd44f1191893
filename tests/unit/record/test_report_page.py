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
from lmm_r1_mega.report.content import read_content
from lmm_r1_mega.report.curves import course, highest, points_by_name, thinned
from lmm_r1_mega.report.embed import embedded
from lmm_r1_mega.report.page import page, write_report
from lmm_r1_mega.report.samples import Samples, coarse_to_fine

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
    rows = [{"step": 1, "reward": 0.123456789}, {"step": 2, "reward": float("nan"), "eval/a/accuracy": 1, "huge": 10**400, "text": "x"}]
    assert points_by_name(rows) == {"reward": [(1, 0.12346), (2, None)], "eval/a/accuracy": [(2, 1.0)], "huge": [(2, None)]}
    points = list(enumerate([1.0, 9, 2, 3, 0, 4, 5], start=1))
    assert thinned(points, 7) == points
    assert thinned(points, 5) == [(1, 1.0), (2, 9), (5, 0), (7, 5)]


def test_of_a_long_curve_every_peak_and_gap_stays():
    points = [(step, step % 7 / 7) for step in range(1, 10_001)]
    points[4321], points[7000], points[9000] = (4322, 50.0), (7001, None), (9001, -3.0)
    kept = thinned(points, 500)
    assert len(kept) <= 500 and kept == sorted(kept, key=lambda point: point[0])
    assert {points[0], points[-1], points[4321], points[7000], points[9000]} <= set(kept)
    assert thinned([(step, None) for step in range(100)], 10)[0] == (0, None)


def test_the_overview_is_of_all_steps_and_not_of_those_that_are_drawn(tmp_path):
    values = [1, 9, 1, 9, 5, *[100] * 5000, 2, 2, 2, 4, 5]
    metrics = [(0, {"eval/held/out/accuracy": 0.25}), (5, {"eval/held/out/accuracy": 0.75}), (9, {"eval/held/out/accuracy": 0.5})]
    run = make_run(tmp_path / "run", metrics=metrics)
    with run.metrics_file.open("a") as file:
        file.write("".join(json.dumps({"step": step, "reward": value}) + "\n" for step, value in enumerate(values, start=1)))
    [found] = read_content([run])["runs"]
    assert len(found["curves"]["reward"][0]) < 1000 and found["done"] == 5010
    assert found["overview"] == {
        "held/out, held-out accuracy": {"course": (0.25, 0.5), "best": (5, 0.75)},
        "reward": {"course": (5, 3)},
    }
    assert course([(1, None)]) is highest([(1, None)]) is None


def test_every_beginning_of_the_steps_is_spread_over_all():
    assert coarse_to_fine(list(range(1, 9))) == [8, 1, 5, 3, 7, 2, 4, 6]
    steps = list(range(10, 1000, 10))
    assert sorted(coarse_to_fine(steps)) == steps
    for count in (2, 5, 17, 50):
        kept = sorted(coarse_to_fine(steps)[:count])
        assert max(after - before for before, after in pairwise(kept)) <= 4 * 990 / count


def test_runs_meet_in_the_same_question_and_not_in_the_same_id(tmp_path):
    one = make_run(tmp_path / "one", [sample(1), sample(1, response="4", parts={"format": 1, "accuracy": 0})])
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


@pytest.mark.parametrize(
    ("parts", "right"),
    [
        ({"format": 1, "accuracy": 1}, True),
        ({"iou": 0.6}, True),
        ({"iou": 0.4, "format": 1}, False),
        ({"sokoban": 2.0, "solved": 0}, False),
        ({"accuracy": float("nan")}, False),
        ({"format": 1}, None),
        ({}, None),
    ],
)
def test_right_is_what_the_run_measures(tmp_path, parts, right):
    [found] = read_content([make_run(tmp_path / "run", [sample(1, parts=parts)])])["samples"]
    assert found["right"] is right


def test_without_images_the_id_tells_prompts_apart(tmp_path):
    rows = [{name: value for name, value in sample(1, prompt_id=name).items() if name != "images"} for name in ("a:1", "a:2")]
    assert len(read_content([make_run(tmp_path / "run", rows)])["prompts"]) == 2


def test_images_come_from_the_folder_of_images_only(tmp_path):
    run = make_run(tmp_path / "run")
    kept = run.keep_image(PNG)
    assert run.keep_image(PNG) == kept and (run.path / kept).read_bytes() == PNG
    (run.path / "secret.png").write_bytes(PNG)
    shown = Samples([run.path])
    shown.add(0, [sample(1, images=[kept, "secret.png", "images/../secret.png", "images/0123456789abcdef.png", "/etc/passwd"])])
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
    [found] = read_content([make_run(tmp_path / "settings", config=f"a: {{b: {'x' * 3000}}}\n")])["runs"]
    assert found["settings"]["a.b"] == "x" * 2000 + " … 1000 more letters"
    [found] = read_content([make_run(tmp_path / "run", [sample(1, response="x" * 3_000_000)])])["samples"]
    assert found["response"] == "x" * 20_000 + " … 2980000 more letters"


@pytest.mark.parametrize(
    ("name", "line", "problem"),
    [
        ("metrics.jsonl", "nonsense", "is no JSON"),
        ("metrics.jsonl", "", "is no JSON"),
        ("metrics.jsonl", "[1]", "has no integer `step`"),
        ("rollouts.jsonl", '{"step": "1"}', "has no integer `step`"),
        ("rollouts.jsonl", "[" * 100_000, "is no JSON"),
        ("rollouts.jsonl", json.dumps(sample(1, parts=[1])), "has `parts` that are no numbers by name"),
        ("rollouts.jsonl", json.dumps(sample(1, parts={"accuracy": None})), "has `parts` that are no numbers by name"),
        ("rollouts.jsonl", json.dumps(sample(1, images="x.png")), "has `images` that are no list of files"),
        ("rollouts.jsonl", json.dumps(sample(1, images=[3])), "has `images` that are no list of files"),
    ],
)
def test_a_damaged_line_is_named(tmp_path, name, line, problem):
    run = make_run(tmp_path / "run")
    (run.path / name).write_text('{"step": 1}\n' + line + "\n")
    with pytest.raises(BadData, match=rf"{name}:2 {problem}.*: delete the line"):
        page([run])


def test_a_run_in_progress_and_one_that_lost_files_have_a_page(tmp_path):
    run = make_run(tmp_path / "run", [sample(1)], [(1, {"reward": 0.5})])
    for file in (run.rollouts_file, run.metrics_file):
        with file.open("a") as opened:
            opened.write('{"step": 2, "rew')
    run.config_file.unlink()
    found = read_content([run])
    assert found["recorded"] == 1 and found["runs"][0]["done"] == 1 and found["runs"][0]["settings"] == {}
    for file in (run.rollouts_file, run.metrics_file):
        file.unlink()
    assert read_content([run])["runs"][0]["curves"] == {}


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
    for out in (tmp_path / "no" / "two.html", tmp_path / "run", tmp_path / "run" / "metrics.jsonl" / "two.html", "/proc/two.html"):
        capsys.readouterr()
        assert cli.main(["report", str(tmp_path / "run"), "--out", str(out)]) == 2
        assert f"--out {out}" in capsys.readouterr().err
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
    else control.value = control.tagName === "SELECT" ? value || control.options[0].text : value;
    control.dispatchEvent(new Event(control.type === "search" ? "input" : "change"));
  }
  found.push([...document.querySelectorAll(".column")].map((one) => [...one.querySelectorAll("pre")].map((text) => text.textContent)));
}
"""
CASES = [
    ({"order": "oldest first"}, [["one", "two"], ["three", "four"], [], ["five", "six"]]),
    ({}, [[], ["five", "six"], ["one", "two"], ["three", "four"]]),
    ({"step": "2"}, [[], ["three", "four"]]),
    ({"source": "sums"}, [[], ["five", "six"]]),
    ({"answer": "right"}, [[], ["five"], ["one"], ["three"]]),
    ({"answer": "wrong"}, [["two"], []]),
    ({"answer": "without verdict"}, [[], ["six"], [], ["four"]]),
    ({"end": "truncated"}, [["two"], ["four"]]),
    ({"end": "truncated", "step": "1"}, [["two"], []]),
    ({"text": "FIV"}, [[], ["five"]]),
    ({"prompts of both runs only": "yes"}, [["one", "two"], ["three", "four"]]),
    ({"prompts of both runs only": "yes", "end": "finished", "step": "3"}, []),
]
"""What is chosen, and the responses of each column: two columns a prompt."""


def run_on(text, script, folder):
    """The page after a script, and what that put into `found`."""
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)  # which would refuse the script of a test
    keep = 'document.body.setAttribute("data-found", JSON.stringify(found));'
    (folder / "page.html").write_text(text.replace("</body>", f"<script>{script}{keep}</script></body>"))
    dom, _ = opened(folder / "page.html", folder / "profile")
    return dom, json.loads(html.unescape(re.search(r'data-found="([^"]*)"', dom)[1]))


@needs_browser
def test_filters_and_runs_side_by_side(tmp_path):
    wrong = {"format": 1.0, "accuracy": 0.0}
    one = [sample(1, response="one"), sample(1, response="two", parts=wrong, finish_reason="length")]
    two = [sample(2, response="three"), sample(2, response="four", parts={}, reward=None, invalid="timeout", finish_reason="length")]
    two += [sample(3, response="five", source="sums", prompt="1 + 1"), sample(3, response="six", source="sums", prompt="1 + 1", parts={})]
    runs = [
        make_run(tmp_path / "a", one, [(1, {"reward": 1.0})]),
        make_run(tmp_path / "b", two, [(1, {"reward": 3.0}), (2, {"reward": 2.0})]),
    ]
    dom, found = run_on(page(runs), CHOOSE % json.dumps([wanted for wanted, _ in CASES]), tmp_path)
    assert found == [found for _, found in CASES]
    assert len(re.findall(r'<path class="line run[01]"', dom)) == 2
    assert len(re.findall(r'<circle class="dot run1"', dom)) == 2


READ = """
const found = [];
const texts = (chart, what) => [...chart.querySelectorAll(what)].map((one) => one.textContent);
for (const label of ["linear", "logarithmic"]) {
  const [, scale] = document.querySelectorAll(".bar select");
  scale.value = label;
  scale.dispatchEvent(new Event("change"));
  for (const chart of document.querySelectorAll(".chart")) {
    const svg = chart.querySelector("svg");
    const box = svg.getBoundingClientRect();
    const readings = [0, 0.5, 1].map((share) => {
      svg.dispatchEvent(new PointerEvent("pointermove", { clientX: box.left + box.width * share }));
      return chart.querySelector(".reading").textContent;
    });
    svg.dispatchEvent(new PointerEvent("pointerleave"));
    const [name, last] = [...texts(chart, ".name"), ...texts(chart, ".reading")];
    found.push([name, last, readings, texts(chart, ".gap").length, texts(chart, ".tick")]);
  }
}
"""


@needs_browser
def test_curves_are_read_at_a_step_and_only_where_a_run_has_one(tmp_path):
    one = make_run(tmp_path / "a", metrics=[(step, {"time/step": 10.0**-step, "kl": -step}) for step in range(1, 6)])
    two = make_run(tmp_path / "b", metrics=[(step, {"time/step": float("nan") if step == 9 else 2.0}) for step in range(3, 12)])
    _, found = run_on(page([one, two]), READ, tmp_path)
    steps = ["2", "4", "6", "8", "11", "step"]
    readings = ["step 1 0.1 \u2013", "step 5 1.00e-5 2", "step 11 \u2013 2"]
    assert found[0] == [
        "kl",
        "last -5",
        ["step 1 -1", "step 3 -3", "step 5 -5"],
        0,
        ["-5", "-4", "-3", "-2", "-1", "1", "2", "3", "4", "5", "step"],
    ]
    assert found[1] == ["time/steps", "last 1.00e-5 2", readings, 1, ["0", "0.5", "1", "1.5", "2", *steps]]
    assert found[2] == found[0], "a curve below 0 has no logarithmic scale"
    assert found[3] == ["time/steps", "last 1.00e-5 2", readings, 1, ["1e-4", "0.01", "1", *steps]]


@needs_browser
def test_a_page_without_metrics_and_samples_says_so(tmp_path):
    make_run(tmp_path / "run")
    write_report([RunFolder.open(tmp_path / "run")], tmp_path / "report.html")
    dom, _ = opened(tmp_path / "report.html", tmp_path / "profile")
    assert "No metrics yet" in dom and "None is recorded" in dom and "step 0 of ?" in dom
