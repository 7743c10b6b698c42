// Shows a replay: the summary at once, the conversations when they are unpacked, steps when somebody looks at them.
// Recorded text is hostile: it is only ever set as text, never as HTML, and no address in it is followed or loaded.
"use strict";
(() => {
const SHOWN_AT_ONCE = 200;
const LONGEST_DIFF = 600;
const OUTCOMES = ["answered", "degraded", "handed over", "not answered"];
const COUNTS = new Intl.NumberFormat("en");
const head = JSON.parse(document.getElementById("head").textContent);
const isCompared = head.runs.length > 1;
const root = document.getElementById("report");
const conversations = [];
const byKey = new Map();

// --- building

function h(tag, properties, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat(9).filter(child => child !== null && child !== undefined && child !== false && child !== ""));
  return node;
}

function svg(tag, properties, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(properties ?? {})) node.setAttribute(name, String(value));
  node.append(...children.flat(9));
  return node;
}

const recorded = (tag, properties, text) => h(tag, {dir: "auto", ...properties}, text);
const slug = text => text.replaceAll(" ", "-");
const share = (count, all) => all ? `${(100 * count / all).toFixed(count === all || !count ? 0 : 1)} %` : "–";
const plural = (count, one, many) => `${COUNTS.format(count)} ${count === 1 ? one : many}`;
const milliseconds = value => value === null || value === undefined ? "–"
  : value >= 10_000 ? `${(value / 1000).toFixed(1)} s` : value >= 100 ? `${value.toFixed(0)} ms` : `${value.toFixed(1)} ms`;
const keyOf = (cell, id) => JSON.stringify([cell, id]);
const badge = (kind, text) => h("span", {class: `badge ${slug(kind)}`}, text ?? kind);

function figure(measure, value) {
  if (value === null || value === undefined) return "–";
  if (measure.isShare) return `${(100 * value).toFixed(1)} %`;
  return measure.unit === "ms" ? milliseconds(value) : value.toFixed(2);
}

function section(id, title, ...content) {
  return h("section", {id, "aria-labelledby": `${id}-title`}, h("h2", {id: `${id}-title`}, title), ...content);
}

// --- the summary

function facts() {
  const flat = (value, path) => value !== null && typeof value === "object" && !Array.isArray(value)
    ? Object.entries(value).flatMap(([name, inner]) => flat(inner, path ? `${path}.${name}` : name))
    : [[path, Array.isArray(value) ? value.map(each => typeof each === "object" ? JSON.stringify(each) : each).join(", ") : value]];
  return head.runs.map(run => h("details", {class: "facts"},
    h("summary", {}, isCompared ? `${run.name === "now" ? "New run" : "Base"}: ` : "Run: ", recorded("span", {}, run.folder)),
    h("dl", {}, flat(run.facts, "").filter(([name]) => name).map(([name, value]) =>
      [recorded("dt", {}, name), recorded("dd", {}, String(value ?? "–"))]))));
}

function verdict() {
  const crossed = head.thresholds.filter(each => each.crossed).length;
  return h("div", {class: `verdict ${head.passes ? "kept" : "crossed"}`},
    h("h2", {id: "verdict"}, head.passes ? "All thresholds are kept" : `${plural(crossed, "threshold is", "thresholds are")} crossed`),
    h("ul", {}, head.thresholds.toSorted((one, other) => other.crossed - one.crossed).map(each => h("li", {class: each.crossed ? "crossed" : "kept"},
      h("span", {class: "mark"}, each.crossed ? "crossed" : "kept"), " ", recorded("code", {}, each.threshold), " ", recorded("span", {class: "soft"}, each.seen)))));
}

function interval(measure) {
  if (measure.low === null || measure.low === undefined) return h("span", {class: "soft"}, "–");
  const change = measure.now - measure.before;
  const reach = Math.max(Math.abs(measure.low), Math.abs(measure.high), Math.abs(change)) || 1;
  const x = value => 80 + 72 * value / reach;
  const signed = value => (value > 0 ? "+" : "") + (measure.isShare ? `${(100 * value).toFixed(1)}` : value.toFixed(2));
  const told = `${signed(change)} (${signed(measure.low)} … ${signed(measure.high)})`;
  return [
    svg("svg", {class: `interval ${measure.verdict || "same"}`, viewBox: "0 0 160 18", width: 160, height: 18, "aria-hidden": "true"},
      svg("line", {class: "zero", x1: 80, x2: 80, y1: 1, y2: 17}),
      svg("line", {class: "reach", x1: x(measure.low), x2: x(measure.high), y1: 9, y2: 9}),
      svg("circle", {cx: x(change), cy: 9, r: 4})),
    h("span", {class: "number"}, told)];
}

function measures() {
  const columns = isCompared ? ["measure", "before", "now", "change, with its 95 % interval", ""] : ["measure", "value"];
  const body = head.measures.map(each => h("tr", {class: each.verdict || null},
    h("th", {scope: "row"}, each.title, each.unit && each.unit !== "ms" ? h("span", {class: "soft"}, ` ${each.unit}`) : null),
    isCompared ? h("td", {class: "number"}, figure(each, each.before)) : null,
    h("td", {class: "number"}, figure(each, each.now)),
    isCompared ? h("td", {class: "change"}, interval(each)) : null,
    isCompared ? h("td", {}, each.verdict ? badge(each.verdict, each.word) : h("span", {class: "soft"}, "no clear change")) : null));
  return section("measures", "Measures", h("div", {class: "wide", tabindex: 0, role: "group", "aria-label": "Table of measures"},
    h("table", {}, h("thead", {}, h("tr", {}, columns.map(name => name
      ? h("th", {scope: "col"}, name) : h("th", {scope: "col"}, h("span", {class: "unseen"}, "verdict"))))), h("tbody", {}, body))),
    isCompared ? h("p", {class: "soft"}, "Worse and better: beyond chance by a paired bootstrap over conversations, corrected for the number of measures.") : null);
}

const NAMES = {now: isCompared ? "new" : "all turns", before: "base"};

function outcomePlot() {
  const rows = head.outcomes.map(run => {
    const all = OUTCOMES.reduce((sum, each) => sum + run.counts[each], 0);
    let left = 0;
    const bars = OUTCOMES.map(each => {
      const width = all ? 600 * run.counts[each] / all : 0;
      const bar = svg("rect", {class: `fill-${slug(each)}`, x: left, y: 0, width, height: 34}, svg("title", {}, `${each}: ${run.counts[each]}`));
      left += width;
      return bar;
    });
    const told = OUTCOMES.map(each => `${each} ${run.counts[each]}`).join(", ");
    return h("div", {class: "bar"}, h("span", {class: "soft"}, NAMES[run.name]),
      svg("svg", {viewBox: "0 0 600 34", preserveAspectRatio: "none", role: "img", "aria-label": `Outcomes, ${NAMES[run.name]}: ${told}`}, bars));
  });
  const legend = h("table", {class: "legend"},
    isCompared ? h("thead", {}, h("tr", {}, h("td"), head.outcomes.map(run => h("th", {scope: "col"}, NAMES[run.name])))) : null,
    h("tbody", {}, OUTCOMES.map(each => h("tr", {},
      h("th", {scope: "row"}, h("span", {class: `swatch back-${slug(each)}`}), each),
      head.outcomes.map(run => {
        const all = Object.values(run.counts).reduce((sum, count) => sum + count, 0);
        return h("td", {class: "number"}, COUNTS.format(run.counts[each]), h("span", {class: "soft"}, `  ${share(run.counts[each], all)}`));
      })))));
  return h("figure", {}, h("figcaption", {}, "What customers got"), rows, legend);
}

function timesPlot({title, edges, runs}) {
  const most = Math.max(1, ...runs.flatMap(run => run.counts));
  const width = 420, height = 140, top = 20, step = width / (edges.length - 1);
  const scale = Math.log(edges.at(-1) / edges[0]);
  const x = value => width * Math.log(Math.max(value, edges[0]) / edges[0]) / scale;
  const y = count => height - (height - top) * count / most;
  const drawn = [];
  for (const run of runs) {
    if (run.name === "now") {
      run.counts.forEach((count, place) => drawn.push(svg("rect", {
        class: "now", x: place * step + 0.5, y: y(count), width: step - 1, height: height - y(count)},
        svg("title", {}, `${milliseconds(edges[place])} to ${milliseconds(edges[place + 1])}: ${plural(count, "turn", "turns")}`))));
    } else {
      const points = run.counts.flatMap((count, place) => [`${place * step},${y(count)}`, `${(place + 1) * step},${y(count)}`]);
      drawn.push(svg("polyline", {class: "before", points: [`0,${height}`, ...points, `${width},${height}`].join(" ")}));
    }
  }
  const [now] = runs;
  let rightmost = -Infinity;
  for (const [name, label] of [["p50_ms", "half"], ["p95_ms", "95 %"]]) {
    const at = x(now.percentiles[name]);
    drawn.push(svg("line", {class: "mark", x1: at, x2: at, y1: 0, y2: height}));
    if (at - rightmost > 44) {
      const fits = at < width - 40;
      drawn.push(svg("text", {x: fits ? at + 4 : at - 4, y: 13, "text-anchor": fits ? "start" : "end"}, label));
      rightmost = at;
    }
  }
  const axis = [0, 0.33, 0.67, 1].map(part => svg("text", {
    x: part * width, y: height + 16, "text-anchor": part === 0 ? "start" : part === 1 ? "end" : "middle"},
    milliseconds(edges[0] * Math.exp(scale * part))));
  const told = runs.map(run => `${NAMES[run.name]}: half within ${milliseconds(run.percentiles.p50_ms)}, 95 % within ` +
    `${milliseconds(run.percentiles.p95_ms)}, 99 % within ${milliseconds(run.percentiles.p99_ms)}, longest ${milliseconds(run.percentiles.max_ms)}`);
  return h("figure", {}, h("figcaption", {}, title),
    svg("svg", {class: "latency", viewBox: `0 0 ${width} ${height + 20}`, role: "img", "aria-label": `${title}. ${told.join(". ")}`}, drawn, axis),
    told.map((line, place) => h("p", {class: "soft"},
      isCompared ? h("span", {class: `swatch ${runs[place].name === "now" ? "back-now" : "outline"}`}) : null, line)));
}

// What must not happen is to be seen at once, however seldom it was.
function heatOf(column, count, all) {
  if (!count) return "0";
  return Math.max(0.75 * count / all, column === "not answered" || column === "findings" ? 0.4 : 0).toFixed(3);
}

function heatMap() {
  const {columns, rows} = head.heat;
  if (rows.length < 2) return null;
  const totals = rows.map(row => row.counts.slice(0, OUTCOMES.length).reduce((sum, count) => sum + count, 0));
  const body = rows.map((row, place) => h("tr", {},
    h("th", {scope: "row"}, recorded("button", {
      type: "button", class: "plain", "aria-label": `Show conversations with ${row.fault}`, onclick: () => filterFault(row.fault)}, row.fault)),
    h("td", {class: "number"}, COUNTS.format(totals[place])),
    row.counts.map((count, column) => {
      const cell = h("td", {class: `number heat ${slug(columns[column])}`}, count ? COUNTS.format(count) : "·",
        h("span", {class: "soft"}, count ? ` ${share(count, totals[place])}` : ""));
      cell.style.setProperty("--heat", heatOf(columns[column], count, totals[place]));
      return cell;
    })));
  return section("faults", "Faults and what came of them",
    h("div", {class: "wide", tabindex: 0, role: "group", "aria-label": "Table of faults"}, h("table", {class: "heatmap"},
      h("thead", {}, h("tr", {}, ["fault", "turns", ...columns].map(name => h("th", {scope: "col"}, name)))), h("tbody", {}, body))));
}

function changes() {
  const title = isCompared ? "What got worse" : "What must not be";
  const moved = head.measures.filter(each => each.verdict === "worse");
  if (!head.changes.length && !moved.length) return section("changes", title, h("p", {}, isCompared ? "Nothing got worse." : "Nothing was found, and every turn has an answer."));
  const measured = moved.length ? h("ul", {class: "moved"}, moved.map(each => h("li", {}, badge("worse", each.word), ` ${each.title}: ${figure(each, each.now)}, ${figure(each, each.before)} before`))) : null;
  return section("changes", title, measured, head.changes.map((kind, place) => h("details", {open: place < 3},
    h("summary", {}, badge(kind.kind, head.titles[kind.kind]), ` ${plural(kind.turns, "turn", "turns")}`),
    h("ul", {class: "examples"}, kind.examples.slice(0, 20).map(each => h("li", {},
      h("a", {href: hashOf(each.cell, each.id, each.n)}, recorded("span", {}, each.id), `, turn ${each.n}`),
      each.cell ? h("span", {class: "soft"}, recorded("bdi", {}, ` ${each.cell}`)) : null, " ", recorded("span", {}, each.detail)))),
    kind.turns > 20 ? h("p", {class: "soft"}, "The conversations below can be filtered for all of them.") : null)));
}

// --- the conversations

const hashOf = (cell, id, turn) => `#${new URLSearchParams({cell, conversation: id, turn: String(turn ?? 1)})}`;

const search = h("input", {type: "search", id: "search", placeholder: "words, article, tool, id …", autocomplete: "off", spellcheck: "false"});
const kindFilter = h("select", {id: "kind-filter"});
const faultFilter = h("select", {id: "fault-filter"});
const count = h("p", {class: "soft", role: "status", "aria-live": "polite"}, "Unpacking the conversations …");
const list = h("ul", {class: "list", "aria-label": "Conversations"});
const more = h("button", {type: "button", class: "more", hidden: true, onclick: () => showMore()}, "Show more");
const chat = h("article", {class: "chat", tabindex: -1, "aria-label": "Conversation"},
  h("p", {class: "empty soft"}, "Choose a conversation."));
let matching = [];
let listed = 0;
let opened = null;

function browser() {
  const leftOut = head.turns - head.shown.turns;
  return section("conversations", "Conversations",
    leftOut > 0 ? h("p", {class: "note"}, `Shown are the ${plural(head.shown.turns, "turn", "turns")} of ${plural(head.shown.conversations, "conversation", "conversations")} ` +
      `in which most went wrong; ${plural(leftOut, "turn", "turns")} of ${plural(head.conversations - head.shown.conversations, "other conversation", "other conversations")} ` +
      "are left out here, and are in the figures above and in turns.jsonl.") : null,
    h("form", {class: "filters", role: "search", onsubmit: event => event.preventDefault()},
      h("label", {for: "search"}, "Search ", h("kbd", {}, "/")), search,
      h("label", {for: "kind-filter"}, "Only with"), kindFilter,
      head.heat.rows.length > 1 ? [h("label", {for: "fault-filter"}, "Fault"), faultFilter] : null),
    count, h("div", {class: "browser"}, h("nav", {"aria-label": "Conversations"}, list, more), chat));
}

function fillFilters() {
  const kinds = [["", "anything"], ...(isCompared ? [["worse", "any change for the worse"]] : []), ["finding", head.titles.finding],
    ...(isCompared ? Object.entries(head.titles).filter(([kind]) => kind !== "finding").map(([kind, title]) => [`change ${kind}`, title]) : []),
    ...OUTCOMES.map(each => [`outcome ${each}`, `outcome: ${each}`])];
  kindFilter.append(...kinds.map(([value, text]) => h("option", {value}, text)));
  faultFilter.append(h("option", {value: ""}, "any"), ...head.heat.rows.map(row => h("option", {value: row.fault}, row.fault)));
}

async function unpacked(node) {
  const bytes = Uint8Array.from(atob(node.textContent), letter => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

async function load() {
  if (!("DecompressionStream" in window)) {
    count.textContent = "This browser cannot unpack the conversations; any of the last three years can.";
    return;
  }
  for (const [block, node] of [...document.querySelectorAll("script.texts")].entries()) {
    for (const [place, each] of (await unpacked(node)).entries()) {
      Object.assign(each, {block, place, ...tagsOf(each)});
      conversations.push(each);
      byKey.set(keyOf(each.cell, each.id), each);
    }
    node.remove();
  }
  applyFilters();
  openFromAddress();
}

function tagsOf(conversation) {
  const tags = new Set();
  const faults = new Set(conversation.cell ? [conversation.cell] : []);
  const words = [conversation.id, conversation.cell];
  for (const turn of conversation.turns) {
    const now = turn.now ?? {};
    words.push(turn.customer, turn.recorded, now.reply, now.error, now.status, ...(now.citations ?? []), ...(now.degraded ?? []), ...(turn.newFindings ?? []));
    words.push(...(now.tools ?? []).flat(), ...(now.findings ?? []).flat(), ...(turn.changes ?? []).map(([, detail]) => detail));
    if (now.outcome) tags.add(`outcome ${now.outcome}`);
    if (isCompared ? turn.newFindings : now.findings) tags.add("finding").add("worse");
    for (const [kind] of turn.changes ?? []) {
      tags.add(`change ${kind}`);
      if (kind !== "reply") tags.add("worse");
    }
    for (const fault of conversation.cell ? [] : now.faults?.length ? now.faults : ["no fault"]) faults.add(fault);
  }
  return {tags, faults, words: words.filter(Boolean).join("\n").toLowerCase()};
}

function applyFilters() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const kind = kindFilter.value, fault = faultFilter.value;
  matching = conversations.filter(each => words.every(word => each.words.includes(word))
    && (!kind || each.tags.has(kind)) && (!fault || each.faults.has(fault)));
  listed = 0;
  list.replaceChildren();
  showMore();
  count.textContent = `${plural(matching.length, "conversation", "conversations")} of ${COUNTS.format(conversations.length)}`;
}

function showMore() {
  const next = matching.slice(listed, listed + SHOWN_AT_ONCE);
  list.append(...next.map(entry));
  listed += next.length;
  more.hidden = listed >= matching.length;
}

function entry(conversation) {
  const first = conversation.turns[0];
  const marks = isCompared ? Object.keys(head.titles).filter(kind => kind === "finding" ? conversation.tags.has("finding") : conversation.tags.has(`change ${kind}`)).slice(0, 2)
    : conversation.tags.has("finding") ? ["finding"] : [];
  const outcomes = isCompared ? [] : OUTCOMES.slice(1).filter(each => conversation.tags.has(`outcome ${each}`));
  const button = h("button", {type: "button", "aria-current": opened === conversation ? "true" : null,
    onclick: () => { location.hash = hashOf(conversation.cell, conversation.id); }},
    recorded("span", {class: "said"}, (first?.customer ?? "").slice(0, 160) || "–"),
    h("span", {class: "under"}, recorded("span", {class: "soft"}, conversation.id), h("span", {class: "soft"}, plural(conversation.turns.length, "turn", "turns")),
      conversation.cell ? recorded("span", {class: "soft"}, conversation.cell) : null,
      marks.map(each => badge(each, head.titles[each])), outcomes.map(each => badge(each))));
  conversation.button = button;
  return h("li", {}, button);
}

function filterFault(fault) {
  faultFilter.value = fault;
  applyFilters();
  document.getElementById("conversations").scrollIntoView();
  search.focus({preventScroll: true});
}

function openFromAddress() {
  const wanted = new URLSearchParams(location.hash.slice(1));
  if (!wanted.has("conversation")) return;
  const found = byKey.get(keyOf(wanted.get("cell") ?? "", wanted.get("conversation")));
  if (!found) {
    chat.replaceChildren(h("p", {class: "empty"}, "This conversation is not among those that the report shows."));
    return;
  }
  if (found !== opened) open(found);
  const turn = [...chat.querySelectorAll("[data-turn]")].find(each => each.dataset.turn === wanted.get("turn"));
  chat.focus({preventScroll: true});
  (wanted.get("turn") === "1" ? chat : turn ?? chat).scrollIntoView({block: "start"});
}

function open(conversation) {
  opened?.button?.removeAttribute("aria-current");
  opened = conversation;
  conversation.button?.setAttribute("aria-current", "true");
  chat.setAttribute("aria-label", `Conversation ${conversation.id}`);
  chat.replaceChildren(
    h("header", {}, recorded("h3", {}, conversation.id), conversation.cell ? recorded("p", {class: "soft"}, conversation.cell) : null),
    ...conversation.turns.map((turn, place) => turnNode(conversation, turn, place)));
}

function turnNode(conversation, turn, place) {
  const {now, before} = turn;
  const findings = (now?.findings ?? []).map(([rule, detail]) => `${rule}: ${detail}`);
  const isNew = detail => !isCompared || turn.newFindings?.includes(detail);
  const problems = [...findings.filter(isNew).map(detail => ["finding", head.titles.finding, detail]),
    ...(isCompared ? turn.changes ?? [] : []).filter(([kind]) => kind !== "reply").map(([kind, detail]) => [kind, head.titles[kind], detail]),
    ...findings.filter(detail => !isNew(detail)).map(detail => ["old", "finding, as before", detail])];
  const isSame = now && before && now.reply === before.reply && now.error === before.error && !(turn.changes ?? []).length;
  const sides = !isCompared || isSame ? [answerNode(now ?? before, isSame ? "the same in both runs" : null, null)]
    : [before ? answerNode(before, "base", now) : missing("base"), now ? answerNode(now, "new", before) : missing("new")];
  return h("section", {class: "turn", "data-turn": turn.n, "aria-label": `Turn ${turn.n}`},
    recorded("div", {class: "bubble customer"}, turn.customer),
    problems.map(([kind, title, detail]) => h("p", {class: "problem"}, badge(kind, title), " ", recorded("span", {}, detail))),
    h("div", {class: sides.length > 1 ? "sides" : "one"}, sides),
    turn.recorded ? h("details", {class: "recording"}, h("summary", {}, "What was answered when it was recorded",
      now?.overlap !== undefined ? h("span", {class: "soft"}, `: ${(100 * now.overlap).toFixed(0)} % of the words are shared`) : null),
      recorded("div", {class: "bubble old"}, turn.recorded),
      turn.recordedTools ? h("p", {class: "soft"}, "tools: ", recorded("span", {}, turn.recordedTools.join(", "))) : null) : null,
    h("details", {class: "steps", ontoggle: event => explain(event.currentTarget, conversation, place)}, h("summary", {}, "Why it was answered like this")));
}

const asWords = name => (name ?? "").replaceAll("_", " ");
const missing = name => h("div", {class: "side"}, h("p", {class: "soft"}, name), h("p", {class: "bubble failed"}, "There is no such turn in this run."));

function answerNode(answer, label, other) {
  const text = answer.error ?? answer.reply ?? "";
  const shown = other && !answer.error && !other.error ? marked(other.reply ?? "", text, label === "new") : text;
  return h("div", {class: "side"},
    label ? h("p", {class: "soft"}, label) : null,
    recorded("div", {class: `bubble agent ${answer.error ? "failed" : ""}`}, shown || "(empty)"),
    h("p", {class: "meta"}, badge(answer.outcome), asWords(answer.status) === answer.outcome ? null : h("span", {}, asWords(answer.status)),
      answer.error ? null : h("span", {}, milliseconds(answer.ms ?? 0)), answer.tokens ? h("span", {}, plural(answer.tokens, "token", "tokens")) : null,
      answer.brain ? h("span", {}, answer.brain) : null),
    answer.tools ? h("ul", {class: "chips", "aria-label": "Tools"}, answer.tools.map(([tool, status, error]) =>
      recorded("li", {class: status === "succeeded" ? "" : "bad"}, `${tool} ${status}${error ? ` (${error})` : ""}`))) : null,
    answer.citations ? h("ul", {class: "chips cited", "aria-label": "Cited articles"}, answer.citations.map(each => recorded("li", {}, each))) : null,
    answer.degraded ? h("p", {class: "meta"}, "without ", recorded("span", {}, answer.degraded.join(", "))) : null,
    answer.faults ? h("p", {class: "meta"}, "faults: ", recorded("span", {}, answer.faults.join(", "))) : null);
}

const words = text => text.match(/\s*\S+|\s+$/g) ?? [];

// The text with those words marked that the other does not have there; long texts are left as they are.
function marked(before, now, isNew) {
  const mine = words(now), theirs = words(before);
  if (mine.length > LONGEST_DIFF || theirs.length > LONGEST_DIFF) return now;
  const lengths = Array.from({length: mine.length + 1}, () => new Uint16Array(theirs.length + 1));
  for (let i = mine.length - 1; i >= 0; i--) {
    for (let j = theirs.length - 1; j >= 0; j--) {
      lengths[i][j] = mine[i] === theirs[j] ? lengths[i + 1][j + 1] + 1 : Math.max(lengths[i + 1][j], lengths[i][j + 1]);
    }
  }
  const pieces = [];
  for (let i = 0, j = 0; i < mine.length; i++) {
    while (j < theirs.length && mine[i] !== theirs[j] && lengths[i][j + 1] >= lengths[i + 1][j]) j++;
    const isShared = j < theirs.length && mine[i] === theirs[j];
    if (isShared) j++;
    const last = pieces.at(-1);
    if (last?.isShared === isShared) last.text += mine[i];
    else pieces.push({isShared, text: mine[i]});
  }
  return pieces.map(each => each.isShared ? each.text : h(isNew ? "ins" : "del", {}, each.text));
}

// --- steps

const lastDetails = {block: null, content: null};

async function explain(node, conversation, place) {
  if (!node.open || node.childElementCount > 1) return;
  const told = h("div", {}, h("p", {class: "soft"}, "Unpacking …"));
  node.append(told);
  if (lastDetails.block !== conversation.block) {
    lastDetails.content = unpacked(document.getElementById(`details-${conversation.block}`));
    lastDetails.block = conversation.block;
  }
  const details = (await lastDetails.content)[conversation.place][place];
  const runs = [["now", isCompared ? "new" : ""], ["before", "base"]].filter(([name]) => Object.keys(details[name] ?? {}).length);
  told.replaceChildren(...(runs.length ? runs.flatMap(([name, title]) => [
    title ? h("h4", {}, title) : "",
    details[name].steps?.length ? h("ol", {class: "explained"}, details[name].steps.map(stepNode)) : "",
    ...(details[name].tools ?? []).map(tool => h("details", {}, h("summary", {}, recorded("code", {}, tool.tool), " asked and answered"),
      recorded("pre", {}, JSON.stringify({args: tool.args, result: tool.result}, null, 2))))])
    : [h("p", {class: "soft"}, "Nothing was kept of this turn's steps.")]));
}

const fact = value => typeof value === "string" ? value : JSON.stringify(value);
const isTable = value => Array.isArray(value) && value.length > 0 && value.every(row => row !== null && typeof row === "object" && !Array.isArray(row));
const isNothing = value => value === null || value === "" || (typeof value === "object" && !Object.keys(value).length);
const pairs = facts => Object.entries(facts).filter(([, value]) => !isNothing(value)).map(([name, value]) =>
  h("span", {class: "fact"}, h("span", {class: "soft"}, `${name} `), recorded("span", {}, fact(value))));

function stepNode(step) {
  const {kind, at_ms: at, ...facts} = step;
  const tables = Object.entries(facts).filter(([, value]) => isTable(value));
  const rest = Object.fromEntries(Object.entries(facts).filter(([, value]) => !isTable(value)));
  return h("li", {}, h("span", {class: "at number"}, at === undefined ? "" : milliseconds(at)), h("b", {}, String(kind ?? "step").replaceAll("_", " ")), pairs(rest),
    tables.map(([name, rows]) => h("ul", {}, rows.map(row => h("li", {}, h("span", {class: "soft"}, `${name}: `), pairs(row))))));
}

// --- keyboard

document.addEventListener("keydown", event => {
  const isTyping = event.target.matches("input, select, textarea");
  if (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    search.focus();
    search.select();
  } else if (event.key === "Escape" && event.target === search && search.value) {
    search.value = "";
    applyFilters();
  } else if (event.key === "ArrowDown" && event.target === search) {
    event.preventDefault();
    list.querySelector("button")?.focus();
  } else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && list.contains(event.target)) {
    const entry = event.target.closest("li");
    const next = event.key === "ArrowDown" ? entry.nextElementSibling : entry.previousElementSibling;
    event.preventDefault();
    (next?.querySelector("button") ?? (event.key === "ArrowUp" ? search : more.hidden ? event.target : more)).focus();
  }
});

let typing;
search.addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(applyFilters, 120); });
for (const each of [kindFilter, faultFilter]) each.addEventListener("change", applyFilters);
addEventListener("hashchange", openFromAddress);

fillFilters();
root.append(
  h("header", {class: "top"}, h("h1", {}, isCompared ? "Replay compared" : "Replay report"),
    h("p", {class: "soft"}, `${plural(head.conversations, "conversation", "conversations")}, ${plural(head.turns, "customer turn", "customer turns")}`), facts()),
  verdict(), changes(), h("div", {class: "plots"}, outcomePlot(), head.times.map(timesPlot)), ...[measures(), heatMap(), browser()].filter(Boolean));
load();
})();
