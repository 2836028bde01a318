// The page of a keepfit server: what it serves, a form to try a model, what it is doing, its searches.
// Everything shown comes from the server's own JSON and its figures for Prometheus; text is set as text, never as markup.

import { plot, sparkline } from "./plots.js";

const $ = (id) => document.getElementById(id);
const state = { token: sessionStorage.getItem("keepfit.token") ?? "", models: [], most: 100, turn: 0, chosen: null, search: null, board: [], shown: "" };
const TOO_MANY_INPUTS = 60;
const MORE = 100;

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

async function ask(path, options = {}) {
  const headers = { ...options.headers };
  if (state.token) headers.authorization = `Bearer ${state.token}`;
  const response = await fetch(path, { ...options, headers });
  if (response.ok) return response;
  if (response.status === 401) $("token-form").hidden = false;
  let words = `the server answered ${response.status}`;
  try {
    words = (await response.json()).error ?? words;
  } catch { /* what is no JSON has no words for us */ }
  throw new Error(words);
}

// Models

async function showModels() {
  const wanted = $("filter").value.trim();
  const turn = ++state.turn;
  let found = null;
  const problem = await shown(async () => { found = await entriesOf(wanted, state.most); });
  if (turn !== state.turn) return; // something else is looked for by now
  if (found) state.models = newest(found.entries);
  const rest = found ? found.total - found.entries.length : 0;
  const now = JSON.stringify([state.models, wanted, problem, rest]);
  if (now === state.shown) return; // nobody's click meets a row that is being replaced by its like
  state.shown = now;
  const focused = document.activeElement?.dataset?.model;
  $("model-list").replaceChildren(...state.models.map(rowOf));
  $("more").hidden = rest === 0;
  $("more").textContent = `Show more: ${rest.toLocaleString()} are left`;
  if (focused) document.querySelector(`[data-model="${CSS.escape(focused)}"]`)?.focus();
  if (problem) $("model-list").replaceChildren(make("li", { className: "problem", textContent: problem }));
  else if (!state.models.length) {
    const words = wanted ? "No model has that in its name or class." : "There are no models yet.";
    $("model-list").replaceChildren(make("li", { className: "hint", textContent: words }));
  }
  const named = decodeURIComponent(location.hash.slice(1));
  const again = state.models.find((one) => one.name === (state.chosen?.name ?? named));
  if (again && again.version !== state.chosen?.newest) choose(again, false);
}

/** Versions of models that have something in their name or class, part by part, up to a number; and how many there are. */
async function entriesOf(match, most) {
  const entries = [];
  let part = { next: 0, total: 0 };
  while (part.next !== null && entries.length < most) {
    const query = new URLSearchParams({ match, offset: part.next, limit: Math.min(most - entries.length, 1000) });
    part = await (await ask(`api/models?${query}`)).json();
    entries.push(...part.models);
  }
  return { entries, total: part.total };
}

/** A model by its name, whether it is in the list or not. */
async function modelNamed(name) {
  const listed = state.models.find((one) => one.name === name);
  return listed ?? newest((await entriesOf(name, 1000)).entries).find((one) => one.name === name);
}

/** One of each name, the newest, with all its versions. */
function newest(entries) {
  const byName = new Map();
  for (const one of entries.sort((a, b) => a.version.localeCompare(b.version, "en", { numeric: true }))) {
    byName.set(one.name, [...(byName.get(one.name) ?? []), one]);
  }
  return [...byName.values()].map((all) => ({ ...all.at(-1), all }));
}

function rowOf(model) {
  const type = model.signature?.type.split(".").at(-1) ?? "";
  const scores = Object.entries(model.metrics ?? {}).slice(0, 2).map(([name, value]) => `${name} ${short(value)}`);
  const button = make("button", { type: "button", className: "row" },
    model.name, make("small", { textContent: [type, `version ${model.version}`, ...scores].filter(Boolean).join(" · ") }),
    model.state === "READY" ? null : make("span", { className: "state", textContent: model.state.toLowerCase() }));
  button.dataset.model = model.name;
  button.setAttribute("aria-current", String(model.name === state.chosen?.name));
  button.addEventListener("click", () => choose(model, true));
  return make("li", {}, button);
}

function choose(model, moves) {
  state.chosen = { ...model, newest: model.all.at(-1).version };
  history.replaceState(null, "", `#${encodeURIComponent(model.name)}`);
  for (const row of document.querySelectorAll("[data-model]")) {
    row.setAttribute("aria-current", String(row.dataset.model === model.name));
  }
  $("model").hidden = false;
  $("model-title").textContent = model.name;
  $("versions").hidden = model.all.length < 2;
  $("version").replaceChildren(...model.all.map(({ version }) => make("option", { value: version, textContent: version })));
  $("version").value = model.version;
  const facts = [model.signature?.type, `version ${model.version}`, ...(model.aliases ?? []).map((alias) => `@${alias}`),
    `kept ${new Date(model.created_at).toLocaleString()}`];
  $("model-facts").textContent = facts.filter(Boolean).join(" · ");
  $("model-problem").hidden = !model.reason;
  $("model-problem").textContent = model.reason ?? "";
  $("model-details").replaceChildren(
    ...pairs("Metrics", model.metrics), ...pairs("Metadata", model.metadata, ["metrics"]),
    ...pairs("Parameters", model.parameters), ...pairs("Made with", model.versions));
  $("try").hidden = model.signature === null;
  if (model.signature !== null) showForm(model);
  if (moves) $("model").focus();
}

function pairs(title, values, without = []) {
  const rows = Object.entries(values ?? {}).filter(([name]) => !without.includes(name));
  if (!rows.length) return [];
  const list = make("dl", { className: "pairs" });
  for (const [name, value] of rows.slice(0, 60)) {
    list.append(make("dt", { textContent: name }), make("dd", { textContent: short(value) }));
  }
  return [make("details", { open: title === "Metrics" }, make("summary", { textContent: title }), list)];
}

function short(value) {
  if (typeof value === "number") return Number.isInteger(value) ? String(value) : value.toPrecision(5).replace(/\.?0+$/, "");
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text.length > 300 ? `${text.slice(0, 300)} …` : text;
}

// A form made of what the model takes

function fieldsOf(model) {
  const inputs = model.signature.inputs;
  if (inputs.length !== 1 || inputs[0].name !== "X") {
    return inputs.map((field) => ({ ...field, label: field.name }));
  }
  const [field] = inputs;
  if (field.shape.length === 1 || field.shape[1] < 0 || field.shape[1] > TOO_MANY_INPUTS) return [{ ...field, label: null }];
  return Array.from({ length: field.shape[1] }, (_, place) => ({ ...field, label: `x${place}`, categories: [] }));
}

function showForm(model) {
  const fields = fieldsOf(model);
  $("inputs").replaceChildren(...fields.map((field, place) => controlOf(field, place, model)));
  const names = model.signature.outputs.map((output) => output.name);
  const usual = new Set([...model.signature.defaults, ...names.filter((name) => name === "predict_proba")]);
  $("outputs").replaceChildren(make("legend", { textContent: "Answer with" }), ...names.map((name) =>
    make("label", {}, make("input", { type: "checkbox", name: "output", value: name, checked: usual.has(name) }), ` ${name}`)));
  $("answer").replaceChildren();
  showCurl();
}

function controlOf(field, place, model) {
  const id = `input-${place}`;
  if (field.label === null) {
    const isText = field.datatype === "BYTES";
    const words = isText ? "Text" : `Values, separated by commas or spaces${field.shape[1] > 0 ? ` (${field.shape[1]})` : ""}`;
    return make("label", { className: "all" }, words, make("textarea", { id, required: true }));
  }
  if (field.datatype === "BYTES" || field.categories?.length) {
    const options = make("datalist", { id: `${id}-known` }, ...(field.categories ?? []).map((value) => make("option", { value })));
    const input = make("input", { id, autocomplete: "off", value: field.categories?.[0] ?? "" });
    input.setAttribute("list", options.id);
    return make("label", {}, field.label, input, options);
  }
  return make("label", {}, field.label, make("input", { id, type: "number", step: "any", value: "0", required: true }));
}

function recordOf(model) {
  const fields = fieldsOf(model);
  const values = fields.map((field, place) => {
    const text = $(`input-${place}`).value;
    if (field.label === null) {
      return field.datatype === "BYTES" ? text : text.split(/[\s,;]+/).filter(Boolean).map(Number);
    }
    return field.datatype === "BYTES" ? text : text === "" ? null : Number(text);
  });
  if (fields.length === 1 && fields[0].label === null) return { X: values[0] };
  if (model.signature.inputs.length === 1 && model.signature.inputs[0].name === "X") return { X: values };
  return Object.fromEntries(fields.map((field, place) => [field.label, values[place]]));
}

function pathOf(model) {
  const chosen = [...document.querySelectorAll("[name=output]:checked")].map((box) => box.value);
  const wanted = new URLSearchParams(chosen.length ? { output: chosen.join(",") } : {});
  if (model.version !== model.newest) wanted.set("version", model.version);
  return `predict/${encodeURIComponent(model.name)}${wanted.size ? `?${wanted}` : ""}`;
}

function showCurl() {
  if (!state.chosen?.signature) return;
  const address = new URL(pathOf(state.chosen), location.href);
  const token = $("token-form").hidden ? "" : " -H 'Authorization: Bearer …'";
  const quoted = JSON.stringify(recordOf(state.chosen)).replaceAll("'", "'\\''");
  $("curl").textContent = `curl '${address}' -H 'Content-Type: application/json'${token} \\\n  -d '${quoted}'`;
}

async function predict(event) {
  event.preventDefault();
  const model = state.chosen;
  const button = $("try").querySelector("button");
  button.disabled = true;
  try {
    const started = performance.now();
    const response = await ask(pathOf(model), {
      method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(recordOf(model)),
    });
    const answer = await response.json();
    const took = `version ${response.headers.get("keepfit-model-version") ?? model.version}, ${short(performance.now() - started)} ms`;
    $("answer").replaceChildren(...Object.entries(answer).flatMap(answered), make("p", { className: "hint", textContent: took }));
  } catch (error) {
    $("answer").replaceChildren(make("p", { className: "problem", textContent: error.message }));
  } finally {
    button.disabled = false;
  }
}

function answered([name, value]) {
  const isByClass = value !== null && typeof value === "object" && !Array.isArray(value);
  if (!isByClass) {
    return [make("p", { className: "hint", textContent: name }), make("p", { className: "answer", textContent: short(value) })];
  }
  const bars = make("div", { className: "bars" });
  const rows = Object.entries(value).sort((one, other) => other[1] - one[1]).slice(0, 20);
  for (const [label, share] of rows) {
    const isShare = name === "predict_proba";
    bars.append(make("span", { textContent: label }), isShare ? make("meter", { value: share, ariaLabel: label }) : make("span"),
      make("span", { textContent: isShare ? share.toFixed(4) : short(share) }));
  }
  return [make("p", { className: "hint", textContent: name }), bars];
}

// Uploads

function upload(event) {
  event.preventDefault();
  const name = $("upload-name").value;
  const request = new XMLHttpRequest(); // fetch does not tell how far it is
  request.open("POST", `v2/repository/models/${encodeURIComponent(name)}/load`);
  request.setRequestHeader("content-type", "application/octet-stream");
  if (state.token) request.setRequestHeader("authorization", `Bearer ${state.token}`);
  request.upload.onprogress = (progress) => { $("upload-progress").value = progress.loaded / (progress.total || 1); };
  request.onloadend = () => {
    $("upload-progress").hidden = true;
    $("upload-form").querySelector("button").disabled = false;
    let answer = {};
    try { answer = JSON.parse(request.responseText); } catch { /* no answer, or none in JSON */ }
    const worked = request.status === 200;
    $("upload-result").className = worked ? "good" : "problem";
    $("upload-result").textContent = worked ? `kept as ${answer.name}, version ${answer.version}`
      : request.status ? `not kept: ${answer.error ?? `the server answered ${request.status}`}` : "not kept: the server did not answer";
    if (worked) showModels().then(() => modelNamed(answer.name)).then((model) => model && choose(model, true));
  };
  $("upload-result").textContent = "";
  $("upload-progress").hidden = false;
  $("upload-form").querySelector("button").disabled = true;
  request.send($("upload-file").files[0]);
}

// What the server is doing, from its figures for Prometheus

const history_ = { at: 0, total: 0, buckets: new Map(), rates: [], medians: [] };

async function showActivity() {
  const text = await (await ask("metrics")).text();
  const now = { at: performance.now(), total: 0, failed: 0, workers: 0, buckets: new Map() };
  for (const line of text.split("\n")) {
    const found = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (!found) continue;
    const [, name, labels = "", value] = found;
    if (name === "keepfit_predictions_total") {
      now.total += Number(value);
      if (!/status="2\d\d"/.test(labels)) now.failed += Number(value);
    } else if (name === "keepfit_workers" || name === "keepfit_jails") now.workers += Number(value);
    else if (name === "keepfit_prediction_seconds_bucket") {
      const bound = Number(/le="([^"]+)"/.exec(labels)[1].replace("+Inf", "Infinity"));
      now.buckets.set(bound, (now.buckets.get(bound) ?? 0) + Number(value));
    }
  }
  if (history_.at) {
    const rate = Math.max(0, now.total - history_.total) / ((now.at - history_.at) / 1000);
    const median = quantile(now.buckets, history_.buckets, 0.5);
    keep(history_.rates, rate);
    keep(history_.medians, median ?? history_.medians.at(-1) ?? 0);
    $("rate").textContent = short(rate);
    $("p50").textContent = inMs(median ?? quantile(now.buckets, new Map(), 0.5));
    $("p99").textContent = inMs(quantile(now.buckets, history_.buckets, 0.99) ?? quantile(now.buckets, new Map(), 0.99));
    sparkline($("rate-line"), history_.rates);
    sparkline($("latency-line"), history_.medians);
  }
  $("failed").textContent = String(now.failed);
  $("workers").textContent = String(now.workers);
  Object.assign(history_, now);
}

function keep(values, value) {
  values.push(value);
  if (values.length > 60) values.shift();
}

function quantile(buckets, before, share) {
  const counts = [...buckets].map(([bound, count]) => [bound, count - (before.get(bound) ?? 0)]).sort((one, other) => one[0] - other[0]);
  const total = counts.at(-1)?.[1] ?? 0;
  if (!total) return null;
  return counts.find(([, count]) => count >= share * total)[0];
}

const inMs = (seconds) => (seconds === null ? "–" : seconds === Infinity ? "longer" : `${short(seconds * 1000)} ms`);

// Searches

async function showSearches() {
  const found = await (await ask("api/searches")).json();
  $("searches").hidden = !found.length;
  $("search-list").replaceChildren(...found.slice(0, 50).map((one) => {
    const done = one.reused + one.computed;
    const words = [`${done.toLocaleString()} of ${one.task_count.toLocaleString()} fits`, one.state,
      one.failed ? `${one.failed} failed` : "", one.best_score === null ? "" : `best ${one.scorer ?? "score"} ${short(one.best_score)}`];
    const button = make("button", { type: "button", className: "row" }, `${one.id} · ${one.model}`,
      make("small", { textContent: words.filter(Boolean).join(" · ") }));
    button.setAttribute("aria-current", String(one.id === state.search));
    button.addEventListener("click", () => showSearch(one));
    return make("li", {}, button);
  }));
}

async function showSearch(search) {
  state.search = search.id;
  state.board = await (await ask(`api/searches/${search.id}`)).json();
  $("search").hidden = false;
  $("search-title").textContent = `Search ${search.id}: ${search.model}${search.scorer ? ` by ${search.scorer}` : ""}, and others on the same data`;
  $("board").replaceChildren(...state.board.slice(0, 30).map((line) => make("tr", {},
    ...[line.rank, line.model, short(line.mean_score ?? "none"), line.split_count, `${short(line.duration_s)} s`, inWords(line.parameters)]
      .map((value) => make("td", { textContent: String(value) })))));
  const numeric = new Set(state.board.flatMap((line) => Object.entries(line.parameters ?? {})
    .filter(([, value]) => typeof value === "number").map(([name]) => name)));
  $("axis").replaceChildren(make("option", { value: "", textContent: "rank" }),
    ...[...numeric].sort().map((name) => make("option", { value: name, textContent: name })));
  if (numeric.size) $("axis").value = [...numeric].sort()[0];
  showPlot();
  await showSearches();
  $("search").focus();
}

const inWords = (parameters) => (parameters !== null && typeof parameters === "object"
  ? Object.entries(parameters).map(([name, value]) => `${name}=${short(value)}`).join(" ") || "as it is" : String(parameters));

function showPlot() {
  const axis = $("axis").value;
  const points = state.board.filter((line) => line.mean_score !== null).map((line) => ({
    x: axis ? line.parameters?.[axis] : line.rank, y: line.mean_score, group: line.model, label: `${short(line.mean_score)}: ${inWords(line.parameters)}`,
  })).filter((point) => typeof point.x === "number");
  plot($("plot"), $("legend"), points, axis || "rank");
}

// The page

/** Runs something and shows whether the server is there; gives the words of what went wrong. */
async function shown(act) {
  try {
    await act();
    $("health").textContent = "ready";
    $("health").className = "good";
    return "";
  } catch (error) {
    $("health").textContent = error instanceof TypeError ? "the server does not answer" : error.message;
    $("health").className = "problem";
    return error.message;
  }
}

async function refresh() {
  if (document.hidden) return;
  await shown(showActivity);
}

$("filter").addEventListener("input", showModels);
$("more").addEventListener("click", () => {
  state.most += MORE;
  showModels();
});
$("try").addEventListener("submit", predict);
$("try").addEventListener("input", showCurl);
$("version").addEventListener("change", () => {
  const { all } = state.chosen;
  choose({ ...all.find((one) => one.version === $("version").value), all }, false);
});
$("upload-form").addEventListener("submit", upload);
$("axis").addEventListener("change", showPlot);
addEventListener("resize", showPlot);
$("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  state.token = $("token").value.trim();
  sessionStorage.setItem("keepfit.token", state.token);
  begin();
});

async function begin() {
  await showModels();
  const named = decodeURIComponent(location.hash.slice(1));
  if (named && !state.chosen) {
    await shown(async () => {
      const model = await modelNamed(named);
      if (model) choose(model, false);
    });
  }
  await shown(async () => {
    const server = await (await ask("api/server")).json();
    $("token-form").hidden = !server.has_tokens;
    $("upload-form").hidden = !server.takes_uploads;
    if (server.has_searches) await showSearches();
    await showActivity();
  });
}

await begin();
setInterval(refresh, 2000);
setInterval(() => document.hidden || showModels(), 10000);
