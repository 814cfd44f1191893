"use strict";
// Draws the report. Whatever comes from a run reaches the page through text nodes, never as markup.

// Names come from runs too: without a prototype, "constructor" is a name like any other.
const isTable = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const bare = (_, value) => isTable(value) ? Object.assign(Object.create(null), value) : value;
const report = JSON.parse(document.getElementById("content").textContent, bare);
const SVG = "http://www.w3.org/2000/svg";
const GROUPS_AT_ONCE = 20;
const SAMPLES_AT_ONCE = 8; // of one prompt and run
const SMOOTH_FROM = 25; // points
const MAIN_METRICS = [
  /^eval\/.*\/accuracy$/, /^reward$/, /^rewards\/.*\/mean$/, /^completions\/(mean_length|clipped_ratio)$/, /^entropy$/, /^kl$/,
  /^grad_norm$/, /^loss$/, /^mismatch\/k3$/, /^time\/step$/,
];

// ---------- elements

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== null));
  return element;
}

const make = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
const draw = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

// Letters that nobody sees, or that turn the text after them around, by their names.
const UNSEEN = /([\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff])/u;
const MARKS = /(<\|[^|<>\s]{1,40}\|>)/;

function spoken(value) {
  const nodes = String(value ?? "").split(UNSEEN).map((piece, place) => {
    if (place % 2 === 0) return piece;
    return make("span", { class: "unseen" }, "U+" + piece.codePointAt(0).toString(16).toUpperCase().padStart(4, "0"));
  });
  return nodes.filter((piece) => piece !== "");
}

function spokenPrompt(text) {
  return String(text ?? "").split(MARKS).flatMap((piece, place) => {
    return place % 2 ? [make("span", { class: "mark" }, piece)] : spoken(piece);
  });
}

const plain = (value) => make("span", {}, ...spoken(value)).textContent;

function figure(value) {
  if (typeof value !== "number") return plain(value ?? "–");
  if (value === 0 || Number.isInteger(value)) return String(value);
  const size = Math.abs(value);
  return size >= 1e5 || size < 1e-3 ? value.toExponential(2) : String(Number(value.toPrecision(4)));
}

// Short: the labels of an axis.
const tickLabel = (value) => value !== 0 && Math.abs(value) < 1e-3 ? value.toExponential(1).replace(".0", "") : figure(value);

const runName = (run) => make("span", { class: `run run${run}` }, ...spoken(report.runs[run].name));
const choice = (label, control) => make("label", {}, make("span", {}, label), control);

// A menu of [value, label]; its first option is chosen.
function menu(options, onChoice) {
  const select = make("select", {}, ...options.map(([, label]) => make("option", {}, plain(label))));
  select.addEventListener("change", () => onChoice(options[select.selectedIndex][0]));
  return select;
}

// ---------- head

const setting = (run, name) => run.settings[name] ?? "";

function headline(run, number) {
  const words = [run.verb, run.verb === "train" ? setting(run, "algorithm.name") : "", setting(run, "model.path")];
  words.push(`step ${run.done} of ${setting(run, "run.steps") || "?"}`, run.finished ? "finished" : "not finished");
  return make("p", {}, runName(number), make("span", { class: "quiet" }, ...spoken(words.filter(Boolean).join(" · "))));
}

const known = (values) => values.filter((value) => value !== null);
const union = (lists) => [...new Set(lists.flat())];

function courseText({ course, best }) {
  if (!course) return ["–"];
  const [first, last] = course;
  const peak = best && best[1] > last ? make("span", { class: "quiet" }, ` best ${figure(best[1])} at step ${best[0]}`) : null;
  return [first === last ? figure(last) : `${figure(first)} → ${figure(last)}`, peak];
}

function overview() {
  const labels = union(report.runs.map((run) => Object.keys(run.overview)));
  if (!labels.length) return null;
  return make("table", { class: "overview" },
    make("thead", {}, make("tr", {}, make("th", {}, "first → last (means of five steps)"), ...report.runs.map((_, run) => make("th", {}, runName(run))))),
    make("tbody", {}, ...labels.map((label) => make("tr", {}, make("th", {}, ...spoken(label)),
      ...report.runs.map((run) => make("td", {}, ...courseText(run.overview[label] ?? {})))))));
}

// ---------- curves

const allMetrics = () => union(report.runs.map((run) => Object.keys(run.curves)));

const UNITS = [
  [/^time\//, "s"], [/tokens_per_s$/, "tokens/s"], [/^(completions\/(mean|min|max)_length|eval\/.*mean_length)/, "tokens"],
  [/tflops/, "TFLOP/s"], [/^(samples|invalid)\//, "samples"], [/^entropy$/, "nats a token"],
  [/^(perf\/utilisation\/|completions\/clipped_ratio|frac_|clip_ratio\/|eval\/.*\/(accuracy|greedy|pass_at_n|truncated)$)/, "share"],
];
const unitOf = (name) => UNITS.find(([pattern]) => pattern.test(name))?.[1] ?? "";

function ticks(low, high, count) {
  const rough = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const stride = [1, 2, 5, 10].find((factor) => factor * power >= rough) * power;
  const first = Math.ceil(low / stride - 1e-9);
  const last = Math.floor(high / stride + 1e-9);
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, place) => Number(((first + place) * stride).toPrecision(12)));
}

function smoothed(values, weight) {
  let mean = null;
  let mass = 0;
  return values.map((value) => {
    if (value === null) return null;
    mean = weight * (mean ?? 0) + (1 - weight) * value;
    mass = weight * mass + (1 - weight);
    return mean / mass;
  });
}

const BOX = { width: 360, height: 180, left: 46, right: 12, top: 8, bottom: 30 };
const INNER = { width: BOX.width - BOX.left - BOX.right, height: BOX.height - BOX.top - BOX.bottom };

function scales(curves, wantsLog) {
  const steps = curves.flatMap(([some]) => some);
  const values = known(curves.flatMap(([, some]) => some));
  const [first, last] = [Math.min(...steps), Math.max(...steps)];
  const isLog = wantsLog && values.length > 0 && Math.min(...values) > 0;
  const bend = isLog ? Math.log10 : (value) => value;
  let [low, high] = values.length ? [bend(Math.min(...values)), bend(Math.max(...values))] : [0, 1];
  const room = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1;
  [low, high] = [!isLog && low >= 0 && low - room < 0 ? 0 : low - room, high + room];
  const x = (step) => BOX.left + (last > first ? (step - first) / (last - first) : 0.5) * INNER.width;
  const y = (value) => BOX.height - BOX.bottom - ((bend(value) - low) / (high - low)) * INNER.height;
  return { x, y, first, last, low, high, isLog };
}

function path(steps, values, { x, y }) {
  let pen = "M";
  return steps.map((step, place) => {
    if (values[place] === null) { pen = "M"; return ""; }
    const piece = `${pen}${x(step).toFixed(1)} ${y(values[place]).toFixed(1)}`;
    pen = "L";
    return piece;
  }).join("");
}

// Of a logarithmic axis the powers of ten, or where they are fewer than two evenly spread values.
function valueTicks({ low, high, isLog }) {
  if (!isLog) return ticks(low, high, 5);
  const powers = ticks(low, high, 5).filter(Number.isInteger);
  return (powers.length > 1 ? powers : ticks(low, high, 4)).map((power) => 10 ** power);
}

// Whole steps, the last one among them.
function stepTicks({ first, last }) {
  const whole = ticks(first, last, 5).filter((step) => Number.isInteger(step) && last - step > (last - first) * 0.1);
  return [...whole, last];
}

function axes(scale) {
  const { x, y } = scale;
  return [
    ...valueTicks(scale).flatMap((value) => [
      draw("line", { class: "grid", x1: BOX.left, x2: BOX.width - BOX.right, y1: y(value), y2: y(value) }),
      draw("text", { class: "tick", x: BOX.left - 6, y: y(value) + 3.5, "text-anchor": "end" }, tickLabel(value)),
    ]),
    ...stepTicks(scale).map((step) => draw("text", { class: "tick", x: x(step), y: BOX.height - 16, "text-anchor": "middle" }, figure(step))),
    draw("text", { class: "tick", x: BOX.left + INNER.width / 2, y: BOX.height - 3, "text-anchor": "middle" }, "step"),
  ];
}

function line(run, [steps, values], scale, { weight, dots }) {
  const places = steps.map((_, place) => place);
  const gaps = places.filter((place) => values[place] === null).map((place) =>
    draw("path", { class: "gap", d: `M${scale.x(steps[place]) - 3} ${BOX.height - BOX.bottom - 6}l6 6m0 -6l-6 6` }, draw("title", {}, "not a finite number")));
  const raw = draw("path", { class: `line run${run}${weight && !dots ? " faint" : ""}`, d: path(steps, values, scale) });
  if (dots) {
    return [raw, ...gaps, ...places.filter((place) => values[place] !== null).map((place) =>
      draw("circle", { class: `dot run${run}`, cx: scale.x(steps[place]), cy: scale.y(values[place]), r: 2.2 }))];
  }
  return [raw, ...gaps, ...(weight ? [draw("path", { class: `line run${run}`, d: path(steps, smoothed(values, weight), scale) })] : [])];
}

function nearest(steps, wanted) {
  return steps.reduce((best, step, place) => Math.abs(step - wanted) < Math.abs(steps[best] - wanted) ? place : best, 0);
}

// A run's value near a step; none before its first and after its last.
function valueAt([steps, values], step) {
  return step < steps[0] || step > steps[steps.length - 1] ? null : values[nearest(steps, step)];
}

function chart(name, view) {
  const found = report.runs.map((run, number) => [number, run.curves[name]]).filter(([, curve]) => curve);
  const curves = found.map(([, curve]) => curve);
  const scale = scales(curves, view.log);
  const steps = union(curves.map(([some]) => some)).sort((one, other) => one - other);
  const dots = Math.max(...curves.map(([, values]) => known(values).length)) <= SMOOTH_FROM;
  const marker = draw("line", { class: "marker", y1: BOX.top, y2: BOX.height - BOX.bottom, visibility: "hidden" });
  const svg = draw("svg", { viewBox: `0 0 ${BOX.width} ${BOX.height}`, role: "img" }, draw("title", {}, ...spoken(name), " by step"), ...axes(scale), marker,
    ...found.flatMap(([run, curve]) => line(run, curve, scale, { weight: view.weight, dots })));
  const reading = make("span", { class: "reading" });
  const read = (step) => {
    reading.replaceChildren(step === null ? "last" : `step ${step}`, ...found.flatMap(([run, curve]) =>
      [" ", make("b", { class: `value run${run}` }, figure(step === null ? curve[1][curve[1].length - 1] : valueAt(curve, step)))]));
  };
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const place = ((event.clientX - box.left) / box.width) * BOX.width;
    const step = steps[nearest(steps, scale.first + ((place - BOX.left) / INNER.width) * (scale.last - scale.first))];
    fill(marker, { x1: scale.x(step), x2: scale.x(step), visibility: "visible" }, []);
    read(step);
  });
  svg.addEventListener("pointerleave", () => { marker.setAttribute("visibility", "hidden"); read(null); });
  read(null);
  const title = make("span", { class: "name" }, ...spoken(name), make("span", { class: "unit" }, unitOf(name)));
  return make("figure", { class: "chart" }, make("figcaption", {}, title, reading), svg);
}

function picker(names, chosen, redraw) {
  const families = Map.groupBy(names, (name) => name.includes("/") ? name.split("/")[0] : "general");
  const boxes = names.map((name) => {
    const box = make("input", { type: "checkbox" });
    box.checked = chosen.has(name);
    box.addEventListener("change", () => { chosen[box.checked ? "add" : "delete"](name); redraw(); });
    return [name, make("label", { class: "pick" }, box, make("span", {}, ...spoken(name)))];
  });
  const labels = new Map(boxes);
  const search = make("input", { type: "search", placeholder: "find a metric" });
  search.addEventListener("input", () => labels.forEach((label, name) => {
    label.hidden = !name.toLowerCase().includes(search.value.toLowerCase());
  }));
  const title = make("summary", {});
  const retitle = () => title.replaceChildren(`Metrics: ${chosen.size} of ${names.length} shown`);
  const columns = [...families].map(([family, some]) => make("div", { class: "family" }, make("h3", {}, ...spoken(family)),
    ...some.map((name) => labels.get(name))));
  return [make("details", { class: "picker" }, title, search, make("div", { class: "families" }, ...columns)), retitle];
}

function curvesSection() {
  const names = allMetrics();
  const rank = (name) => MAIN_METRICS.findIndex((pattern) => pattern.test(name));
  const main = names.filter((name) => rank(name) >= 0).sort((one, other) => rank(one) - rank(other));
  const chosen = new Set(main.length ? main : names.slice(0, 9));
  const grid = make("div", { class: "charts" });
  const view = { weight: 0.6, log: false };
  const [metrics, retitle] = picker(names, chosen, () => redraw());
  const redraw = () => { retitle(); grid.replaceChildren(...[...chosen].map((name) => chart(name, view))); };
  const set = (name) => (value) => { view[name] = value; redraw(); };
  const smoothing = menu([[0.6, "some"], [0.9, "much"], [0, "none"]], set("weight"));
  const scale = menu([[false, "linear"], [true, "logarithmic"]], set("log"));
  redraw();
  const legend = report.runs.length > 1 ? make("span", {}, ...report.runs.map((_, run) => runName(run))) : null;
  return make("section", {}, make("div", { class: "bar" }, make("h2", {}, "Curves"), choice("smoothing", smoothing), choice("scale", scale), legend),
    ...(names.length ? [metrics, grid] : [make("p", { class: "quiet" }, "No metrics yet: the first row is written after the first step.")]));
}

// ---------- samples

const VERDICTS = [["", "all"], ["right", "right"], ["wrong", "wrong"], ["unscored", "without verdict"]];
const ENDS = [["", "all"], ["length", "truncated"], ["stop", "finished"]];
const ORDERS = [["new", "newest first"], ["old", "oldest first"]];

function verdict(sample) {
  if (sample.invalid !== null) return "unscored";
  return sample.right === null ? "" : sample.right ? "right" : "wrong";
}

function sampleCard(sample) {
  const state = verdict(sample);
  const parts = Object.entries(sample.parts).map(([name, value]) => make("span", { class: "part" }, ...spoken(name), make("b", {}, figure(value))));
  const facts = [
    make("span", { class: "quiet" }, `step ${sample.step}`), make("span", { class: "quiet" }, `${figure(sample.num_tokens)} tokens`),
    sample.finish_reason === "length" ? make("span", { class: "badge" }, "truncated") : null,
    sample.invalid === null ? null : make("span", { class: "badge" }, ...spoken(`no verdict: ${sample.invalid}`)),
  ];
  const reward = make("span", { class: "reward", title: "reward" }, figure(sample.reward));
  return make("article", { class: `sample ${state}` },
    make("header", {}, reward, ...parts, make("span", { class: "push" }), ...facts), make("pre", {}, ...spoken(sample.response)));
}

function column(samples, run) {
  const judged = samples.filter((sample) => ["right", "wrong"].includes(verdict(sample)));
  const right = judged.filter((sample) => sample.right).length;
  const score = judged.length ? `${right} of ${judged.length} right` : "";
  const empty = samples.length ? null : make("p", { class: "quiet" }, "no sample of this prompt");
  return make("div", { class: "column" },
    make("p", { class: "columnhead" }, report.runs.length > 1 ? runName(run) : null, make("span", { class: "quiet" }, score)),
    empty, ...samples.slice(0, SAMPLES_AT_ONCE).map(sampleCard), rest(samples.slice(SAMPLES_AT_ONCE)));
}

function rest(samples) {
  if (!samples.length) return null;
  const button = make("button", { type: "button" }, `${samples.length} more samples of this prompt`);
  button.addEventListener("click", () => button.replaceWith(...samples.map(sampleCard)));
  return button;
}

function picture(name) {
  const data = report.images[name];
  return data ? make("img", { src: data, alt: "image of the prompt, as the model saw it", title: "as the model saw it" })
    : make("span", { class: "quiet" }, "image not kept");
}

function group(prompt, samples) {
  const images = prompt.images.length ? make("div", { class: "pictures" }, ...prompt.images.map(picture)) : null;
  const facts = make("dl", {}, make("dt", {}, "answer"), make("dd", {}, ...spoken(prompt.answer ?? "none")),
    make("dt", {}, "source"), make("dd", {}, ...spoken(prompt.source)));
  const columns = report.runs.map((_, run) => column(samples.filter((sample) => sample.run === run), run));
  return make("div", { class: "group" }, make("div", { class: "prompt" }, images, make("pre", {}, ...spokenPrompt(prompt.prompt)), facts),
    make("div", { class: "columns" }, ...columns));
}

function matches(sample, wanted) {
  const prompt = report.prompts[sample.prompt];
  return (wanted.step === "" || sample.step === wanted.step)
    && (wanted.source === "" || prompt.source === wanted.source)
    && (wanted.verdict === "" || (verdict(sample) || "unscored") === wanted.verdict)
    && (wanted.end === "" || sample.finish_reason === wanted.end)
    && (wanted.text === "" || `${prompt.prompt}\n${sample.response}`.toLowerCase().includes(wanted.text.toLowerCase()));
}

function groupsOf(wanted) {
  const some = report.samples.filter((sample) => matches(sample, wanted));
  if (wanted.order === "new") some.sort((one, other) => other.step - one.step);
  const found = Map.groupBy(some, (sample) => sample.prompt);
  const inBoth = (samples) => new Set(samples.map((sample) => sample.run)).size > 1;
  return [...found].filter(([, samples]) => !wanted.both || inBoth(samples));
}

function filters(wanted, redraw) {
  const set = (name) => (value) => { wanted[name] = value; redraw(); };
  const options = (values) => [["", "all"], ...[...new Set(values)].map((value) => [value, value])];
  const text = make("input", { type: "search", placeholder: "in prompt or response" });
  text.addEventListener("input", () => set("text")(text.value));
  const both = make("input", { type: "checkbox" });
  both.addEventListener("change", () => set("both")(both.checked));
  return [
    choice("step", menu(options(report.samples.map((sample) => sample.step)), set("step"))),
    choice("source", menu(options(report.prompts.map((prompt) => prompt.source)), set("source"))),
    choice("answer", menu(VERDICTS, set("verdict"))),
    choice("end", menu(ENDS, set("end"))),
    choice("text", text),
    choice("order", menu(ORDERS, set("order"))),
    report.runs.length > 1 ? choice("prompts of both runs only", both) : null,
  ];
}

function samplesSection() {
  const wanted = { step: "", source: "", verdict: "", end: "", text: "", order: "new", both: false };
  const list = make("div", { class: "groups" });
  const count = make("p", { class: "quiet" });
  const more = make("button", { type: "button" }, "Show more");
  let limit = GROUPS_AT_ONCE;
  const redraw = () => {
    const groups = groupsOf(wanted);
    const number = groups.reduce((sum, [, samples]) => sum + samples.length, 0);
    const left = report.recorded - report.samples.length;
    const note = left ? `; ${left} more are recorded, which this page has no room for` : "";
    count.replaceChildren(`${number} samples of ${groups.length} prompts${note}`);
    list.replaceChildren(...groups.slice(0, limit).map(([prompt, samples]) => group(report.prompts[prompt], samples)));
    if (!groups.length) list.append(make("p", { class: "quiet" }, "No sample is as the filters above ask."));
    more.hidden = groups.length <= limit;
  };
  more.addEventListener("click", () => { limit += GROUPS_AT_ONCE; redraw(); });
  redraw();
  const bar = filters(wanted, () => { limit = GROUPS_AT_ONCE; redraw(); });
  return make("section", {}, make("div", { class: "bar sticky" }, make("h2", {}, "Samples"), ...bar), count, list, more);
}

function withoutSamples() {
  const why = "None is recorded: run.record_samples says how many a step are, and the first come with the first step.";
  return make("section", {}, make("h2", {}, "Samples"), make("p", { class: "quiet" }, why));
}

// ---------- settings

function settingsSection() {
  const names = [...new Set(report.runs.flatMap((run) => Object.keys(run.settings)))];
  const differs = (name) => new Set(report.runs.map((run) => run.settings[name])).size > 1;
  const row = (name) => make("tr", { class: differs(name) ? "differs" : "" }, make("th", {}, ...spoken(name)),
    ...report.runs.map((run) => make("td", {}, ...spoken(run.settings[name] ?? "–"))));
  const table = (some) => make("table", { class: "settings" }, make("tbody", {}, ...some.map(row)));
  const different = names.filter(differs);
  const all = make("details", {}, make("summary", {}, "All settings"), table(names));
  if (!names.length) return null;
  return make("section", {}, make("h2", {}, "Settings"), ...(different.length ? [make("p", { class: "quiet" }, "different in the two runs"), table(different)] : []), all);
}

document.body.append(make("main", {},
  make("header", {}, make("h1", {}, "Run report"), ...report.runs.map(headline), overview()),
  curvesSection(), report.samples.length ? samplesSection() : withoutSamples(), settingsSection()));
