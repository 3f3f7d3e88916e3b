// The pages of a task instance and of a run; whichever page it is, this begins it.

import { assetLink, listAssets, showAsset } from "./assets.js";
import { heat, histogram, leftOut, line } from "./charts.js";
import { ask, bytes, count, h, latest, lines, placeIn, plural, problem, table, url } from "./dom.js";
import { BLOCK, Grid } from "./grid.js";
import { arrangement } from "./loaded.js";
import { pictureOf, shapesOf } from "./pictures.js";
import { storage } from "./storage.js";

const MOST_MARKS = 1000; // places that are marked in a text
const MOST_NAMES = 10; // columns that are named in a sentence

const main = document.getElementById("main");

/** Return the ids in the address; `{MAP_INDEX}` stays as it is where a task is not mapped. */
function place() {
  const parts = location.pathname.split("/page/")[1].split("/").map(decodeURIComponent);
  const [, dag, , run, , task, index] = parts;
  return { dag, run, task, index: /^\d+$/.test(index || "") ? Number(index) : -1 };
}

/** Return the path of something of a task instance. */
function of(at, what) {
  const [dag, run, task] = [at.dag, at.run, at.task].map(encodeURIComponent);
  return `api/dags/${dag}/runs/${run}/tasks/${task}/${at.index}/${what}`;
}

/** Return what a value, or a part of it, is, and of a table the first cells. */
function describe(at, path = undefined) {
  return ask(of(at, "value"), { key: at.key, ...BLOCK, ...(path && { path }) });
}

function definitions(facts) {
  const shown = Object.entries(facts).filter(([, fact]) => fact !== undefined && fact !== null && fact !== "");
  return h("dl", {}, ...shown.flatMap(([name, fact]) => [h("dt", { textContent: name }), h("dd", {}, fact)]));
}

function sizeOf(row) {
  return typeof row.bytes === "number" ? bytes(row.bytes) : "";
}

const STATES = { row: "in the database", store: "in the store", hidden: "hidden", retired: "retired", unreadable: "unreadable" };

/** List XComs; a choice of one shows it below. */
async function list(at) {
  const ofRun = !at.task;
  const path = ofRun ? `api/dags/${encodeURIComponent(at.dag)}/runs/${encodeURIComponent(at.run)}/xcoms` : of(at, "xcoms");
  const { xcoms, more } = await ask(path);
  const detail = h("section", { "aria-live": "polite", "aria-label": "Value" });
  const buttons = [];
  const show = (row, button, described) => {
    buttons.forEach((each) => each.setAttribute("aria-current", each === button));
    const chosen = h("div"); // what comes late of a choice before is not shown
    detail.replaceChildren(chosen);
    showValue(chosen, { ...at, task: row.task_id, index: row.map_index, key: row.key }, ofRun, described);
  };
  const rows = xcoms.map((row) => {
    const button = h("button", { type: "button", textContent: row.key, onclick: () => show(row, button) });
    buttons.push(button);
    const where = ofRun ? [row.task_id + (row.map_index < 0 ? "" : ` [${row.map_index}]`)] : [];
    const facts = [row.type || "", Array.isArray(row.shape) ? row.shape.map(count).join(" × ") : "", sizeOf(row)];
    const state = STATES[row.state] + (row.error ? `: ${row.error}` : "") + (row.inexact ? ", not exact" : "");
    return h("tr", {}, ...where.map((text) => h("td", { textContent: text })), h("td", {}, button),
      ...facts.map((text) => h("td", { textContent: text })), h("td", {}, state, row.asset ? " " : "", row.asset ? assetLink(row.asset) : ""));
  });
  const total = xcoms.reduce((sum, row) => sum + (typeof row.bytes === "number" ? row.bytes : 0), 0);
  const heads = [...(ofRun ? ["Task"] : []), "Key", "Type", "Shape", "Size", "Where"];
  main.replaceChildren(
    h("h1", { textContent: ofRun ? "Values of this run" : "Values of this task" }),
    h("p", { className: "quiet", textContent: `${plural(xcoms.length, "value")}, ${bytes(total)}${more ? "; there are more, which are not listed" : ""}` }),
    xcoms.length ? table("Values", heads, rows) : h("p", { textContent: "Nothing was pushed here." }),
    detail);
  const first = xcoms.findIndex((row) => row.key === "return_value" && row.state !== "hidden");
  const result = first >= 0 && !ofRun ? ask(of(at, "result"), BLOCK) : null; // which is on its way with the page
  if (!ofRun && xcoms.length) show(xcoms[Math.max(0, first)], buttons[Math.max(0, first)], result);
}

/** Show one value in `element`; `described` is what it is, if that is asked for already. */
async function showValue(element, at, ofRun, described) {
  try {
    const facts = (await described) ?? (await describe(at));
    const read = h("span", { className: "quiet" });
    const meter = { bytes: 0, add(found) {
      this.bytes += found.read || 0;
      const part = this.bytes < facts.size ? `${bytes(this.bytes)} of ` : "all of ";
      read.textContent = facts.size ? `${part}${bytes(facts.size)} read` : "from the row";
    } };
    meter.add(facts);
    element.append(
      h("h2", { textContent: at.title ?? (ofRun ? `${at.task} · ${at.key}` : at.key) }),
      h("p", {}, h("strong", { textContent: facts.type || "" }), " ", h("span", { textContent: shape(facts) }), " ", read),
      facts.inexact ? inexact(facts.inexact) : "",
      facts.problem ? h("p", { className: "problem", textContent: `${facts.problem}. Below is how it is stored.` }) : "",
      Object.keys(facts.summary || {}).length ? definitions(facts.summary) : "",
      actions(at, facts, ""),
      body(at, facts, "", meter), at.title ? "" : overTime(at, facts), where(facts));
  } catch (error) {
    element.append(h("h2", { textContent: at.title ?? at.key }), problem(error));
  }
}

function inexact({ count: many, places }) {
  const where = places.length ? ` They are at ${places.join(", ")}${many > places.length ? ", …" : ""}.` : "";
  return h("p", { className: "problem", textContent: `${plural(many, "part")} of this value came back as Airflow itself would store them, not as the task returned them.${where}` });
}

function shape(facts) {
  if (facts.kind === "table") return `${plural(facts.rows, "row")} × ${plural(facts.width - facts.index_width, "column")}`;
  if (facts.kind === "array") return `${facts.shape.map(count).join(" × ") || "no axes"} of ${facts.dtype}`;
  if (facts.kind === "picture") return facts.text;
  return "";
}

function body(at, facts, path, meter) {
  if (facts.kind === "table") return tableOf(at, facts, path, meter);
  if (facts.kind === "array") return arrayOf(at, facts, path, meter);
  if (facts.kind === "tree") return treeOf(at, path, meter);
  if (facts.kind === "picture") return pictureOf((index) => ask(of(at, "picture"), { key: at.key, path, index }), 1, meter);
  if (facts.kind === "shape") return shapesOf((row) => ask(of(at, "shapes"), { key: at.key, path, row, rows: 1 }), 1, meter);
  if (facts.kind === "json" || facts.kind === "text") {
    const cut = facts.length > facts.text.length ? `The first ${count(facts.text.length)} of ${count(facts.length)} characters. ` : "";
    return h("div", {}, cut && h("p", { textContent: `${cut}${facts.kind === "json" ? "Download" : "Pull"} it to see all.` }),
      searched(facts.text));
  }
  return h("p", { textContent: "Its content is not shown: the option or hint preview says so." });
}

/** Return a text with a field that finds words in it. */
function searched(text) {
  const content = h("pre", { tabIndex: 0, textContent: text });
  const status = h("span", { role: "status", className: "quiet" });
  let marks = [];
  let current = -1;
  const find = () => {
    const wanted = field.value.toLowerCase();
    const low = text.toLowerCase();
    const parts = [];
    let from = 0;
    marks = [];
    // Letters whose lower case is longer would shift positions; such a text is searched as it is.
    const where = low.length === text.length ? low : text;
    for (let at = wanted ? where.indexOf(wanted) : -1; at >= 0 && marks.length < MOST_MARKS; at = where.indexOf(wanted, from)) {
      marks.push(h("mark", { textContent: text.slice(at, at + wanted.length) }));
      parts.push(text.slice(from, at), marks[marks.length - 1]);
      from = at + wanted.length;
    }
    content.replaceChildren(...parts, text.slice(from));
    current = -1;
    status.textContent = wanted ? `${marks.length === MOST_MARKS ? "The first " : ""}${plural(marks.length, "place")}` : "";
    if (marks.length) next();
  };
  const next = () => {
    marks[current]?.classList.remove("current");
    current = (current + 1) % marks.length;
    marks[current].classList.add("current");
    marks[current].scrollIntoView({ block: "nearest" });
    status.textContent = `${count(current + 1)} of ${status.textContent.replace(/^.* of /, "")}`;
  };
  const field = h("input", { type: "search", id: "search", className: "text", oninput: find,
    onkeydown: (event) => event.key === "Enter" && marks.length && next() });
  return h("div", {}, h("div", { className: "actions" }, h("label", { htmlFor: "search", textContent: "Search" }), field, status), content);
}

// -- what can be done with a value ---------------------------------------------------------------------------

/** Save a file; before Airflow 3.3 the frame may not, but the page around it may. */
function save(event, address, name) {
  let page = document;
  try {
    page = window.parent.document;
  } catch {
    return; // not a frame of Airflow's
  }
  event.preventDefault();
  const link = page.createElement("a");
  link.href = address;
  link.download = name;
  page.body.append(link);
  link.click();
  link.remove();
}

function actions(at, facts, path) {
  const links = facts.downloads.map((kind) => {
    const address = url(of(at, `download/${kind}`), { key: at.key, path }).href;
    return h("a", { className: "button", href: address, download: "", textContent: `Download ${kind.toUpperCase()}`,
      onclick: (event) => save(event, address, `${at.dag}.${at.task}.${at.key}.${kind}`) });
  });
  const result = h("span", { role: "status" });
  const button = facts.where && facts.where.digest && h("button", {
    type: "button", textContent: "Verify digest", onclick: () => verify(at, result) });
  const note = facts.has_bytes && facts.downloads.includes("csv")
    && h("span", { className: "quiet", textContent: "A CSV has bytes, geometries and objects as <N bytes>." });
  return h("div", { className: "actions" }, ...links, button, result, note);
}

async function verify(at, result) {
  result.className = "";
  try {
    await lines(of(at, "verify"), { key: at.key }, (found) => {
      result.textContent = `${bytes(found.done)} of ${bytes(found.size)}`;
      if (found.matches === undefined) return;
      result.className = found.matches ? "good" : "bad";
      result.textContent = found.matches ? "The digest is that of what was written." : "The digest differs: the blob is damaged.";
    });
  } catch (error) {
    result.className = "bad";
    result.textContent = error.message;
  }
}

function where(facts) {
  const found = facts.where;
  const codecs = Object.entries(found.codecs || {}).map(([tag, from]) => `${tag} (${from})`).join(", ");
  const python = (facts.python || []).join("\n");
  const status = h("span", { role: "status" });
  const copy = h("button", { type: "button", textContent: "Copy", onclick: async () => {
    try {
      await navigator.clipboard.writeText(python);
      status.textContent = "Copied.";
    } catch {
      status.textContent = "The browser does not allow it; select the text.";
    }
  } });
  return h("div", {},
    h("h3", { textContent: "In Python" }), h("pre", { tabIndex: 0, textContent: python }), h("p", {}, copy, " ", status),
    h("details", {}, h("summary", { textContent: "Where it is" }), definitions({
      Place: found.place, Store: found.store && `${found.store} (${found.url})`, Path: found.path,
      Size: found.bytes !== undefined && found.bytes !== null ? plural(found.bytes, "byte") : "", Format: found.format,
      Digest: found.digest, Tag: facts.tag, "Written by": facts.writer, "Written on": found.host, Codecs: codecs,
      Expires: found.expires ? new Date(found.expires * 1000).toISOString() : "" })));
}

// -- over time -----------------------------------------------------------------------------------------------

function overTime(at, facts) {
  const content = h("div");
  const element = h("details", { ontoggle: async () => {
    if (!element.open || content.children.length) return;
    try {
      content.replaceChildren(...runsOf(at, facts, await ask(of(at, "history"), { key: at.key })));
    } catch (error) {
      content.replaceChildren(problem(error));
    }
  } }, h("summary", { textContent: "This and earlier runs" }), content);
  return element;
}

function runsOf(at, facts, { runs, more }) {
  const beside = h("section", { "aria-live": "polite", "aria-label": "Comparison" });
  const isTable = facts.kind === "table" && facts.preview === "rows";
  const rows = runs.map((run) => {
    const other = isTable && run.run_id !== at.run && ["row", "store"].includes(run.state);
    return h("tr", {}, h("td", { textContent: run.run_id }), h("td", { textContent: run.written }),
      h("td", { textContent: Array.isArray(run.shape) ? run.shape.map(count).join(" × ") : "" }), h("td", { textContent: sizeOf(run) }),
      h("td", { textContent: nullsOf(run) }), h("td", { textContent: run.text ?? run.number ?? STATES[run.state] + (run.error ? `: ${run.error}` : "") }),
      h("td", {}, other ? h("button", { type: "button", textContent: "Compare", "aria-label": `Compare with ${run.run_id}`,
        onclick: () => compare(beside, `${run.run_id} → ${at.run}`, of(at, `compare/${encodeURIComponent(run.run_id)}`), { key: at.key }) }) : ""));
  });
  const known = runs.map((run) => run.number ?? (Array.isArray(run.shape) ? run.shape[0] : null)).reverse();
  const isDrawn = known.filter((value) => typeof value === "number").length > 1;
  const name = runs.some((run) => run.number !== undefined) ? "Value" : "Length";
  return [
    more ? h("p", { textContent: "There are more runs, which are not listed." }) : "",
    isDrawn ? h("div", {}, h("h3", { textContent: `${name}, run by run, the oldest first` }), line(known.map((value) => (typeof value === "number" ? [value, value] : null)), 0, known.length)) : "",
    table("Runs", ["Run", "Written", "Shape", "Size", "Nulls, without NaN", "Value or place", ""], rows), beside];
}

/** Return the nulls of the columns that have some, as the row tells them. */
function nullsOf({ nulls, shape: lengths }) {
  if (!nulls) return "";
  return nulls.map(([name, many]) => `${name}: ${share(many, lengths?.[0])}`).join(", ") || "none counted";
}

async function compare(element, title, path, query) {
  const note = h("p", { className: "quiet", role: "status" });
  element.replaceChildren(h("h3", { textContent: title }), note);
  element.stop?.abort();
  const controller = element.stop = new AbortController();
  const cells = {};
  try {
    await lines(path, query, (found) => {
      if (found.columns) element.append(...outlineOf(found, cells));
      if (found.statistics) fillStatistics(cells[found.column], found.statistics);
      if (found.of) note.textContent = `${Math.floor((100 * found.done) / found.of)} % compared`;
      if (found.differing) element.append(...differencesOf(found.differing));
    }, controller.signal);
  } catch (error) {
    if (error.name !== "AbortError") element.append(problem(error));
  }
}

const SIDES = [["nulls", "Nulls"], ["nans", "Not a number"], ["distinct", "Distinct"], ["min", "Least"], ["max", "Greatest"], ["mean", "Mean"]];

/** Return what differs in the outline of two tables, and a row for each column, to be filled. */
function outlineOf(found, cells) {
  const [before, after] = found.rows;
  const rows = found.columns.map(({ name, types }) => {
    const type = types[0] === types[1] ? types[0] : `${types[0] ?? "missing"} → ${types[1] ?? "missing"}`;
    cells[name] = SIDES.map(() => h("td"));
    return h("tr", {}, h("th", { scope: "row", textContent: name }), h("td", { className: types[0] === types[1] ? "" : "bad", textContent: type }), ...cells[name]);
  });
  return [
    h("p", { textContent: before === after ? plural(before, "row") : `${plural(before, "row")} → ${plural(after, "row")}` }),
    found.left_out ? h("p", { className: "bad", textContent: `${plural(found.left_out, "column")} more are not compared.` }) : "",
    found.repeated ? h("p", { className: "bad", textContent: `${plural(found.repeated, "column")} ${found.repeated === 1 ? "has" : "have"} a name that another column has before; of each name, only the first column is compared.` }) : "",
    table("Columns of both", ["Column", "Type", ...SIDES.map(([, title]) => title)], rows)];
}

function fillStatistics(cells, [before, after]) {
  SIDES.forEach(([name], at) => {
    const texts = [before, after].map((facts) => (name === "distinct" && facts.distinct === null ? "many" : String(facts[name] ?? "")));
    cells[at].textContent = texts[0] === texts[1] ? texts[0] : `${texts[0] || "none"} → ${texts[1] || "none"}`;
    cells[at].className = texts[0] === texts[1] ? "" : "bad";
    if (!before.complete || !after.complete) cells[at].textContent += " (not of all rows)";
  });
}

function differencesOf({ rows, partial, counts, first }) {
  const differing = Object.entries(counts).map(([name, many]) => `${name}: ${plural(many, "row")}`).join(", ");
  const short = Object.entries(partial);
  const some = short.slice(0, MOST_NAMES).map(([name, many]) => `${name}: ${count(many)}`).join(", ");
  const title = short.length
    ? `The time was over: of ${plural(short.length, "column")}, not all of the ${plural(rows, "row")} were compared (${some}${short.length > MOST_NAMES ? ", …" : ""}). `
    : `All ${plural(rows, "row")} compared by position. `;
  const shown = first.flatMap(({ row, cells }) => Object.entries(cells).map(([name, [before, after]]) =>
    h("tr", {}, h("td", { textContent: count(row) }), h("td", { textContent: name }), h("td", { textContent: before ?? "null" }), h("td", { textContent: after ?? "null" }))));
  return [h("p", { className: short.length ? "bad" : "", textContent: `${title}${differing ? `They differ in ${differing}.` : "None differs in a column that both have and that is not masked."}` }),
    shown.length ? table("First differing rows", ["Row", "Column", "Before", "After"], shown) : ""];
}

// -- tables --------------------------------------------------------------------------------------------------

function tableOf(at, facts, path, meter) {
  const beside = h("section", { "aria-live": "polite", "aria-label": "Column or cell" });
  const problems = h("div");
  const grid = new Grid({
    rows: facts.preview === "rows" ? facts.rows : 0, width: facts.width, index: facts.index_width, label: `Table of ${shape(facts)}`, first: facts.first,
    fetch: async (row, rows, column, columns, signal) => {
      const found = await ask(of(at, "cells"), { key: at.key, path, row, rows, column, columns }, signal);
      meter.add(found);
      return found;
    },
    onColumn: (column) => !column.masked && facts.preview === "rows" && statistics(beside, at, path, column, meter, facts.rows),
    onCell: (row, column) => wholeCell(beside, at, path, row, column),
    onProblem: (error) => problems.replaceChildren(problem(error)),
  });
  const jump = h("input", { type: "number", min: 0, max: facts.rows - 1, onchange: () => grid.activate(grid.order ? grid.order.indexOf(Number(jump.value)) : Number(jump.value), grid.active.column) });
  return h("div", {}, problems, grid.element,
    h("div", { className: "actions" }, h("label", {}, "Go to row ", jump),
      h("span", { className: "quiet", textContent: "Choose a column's name for its statistics, a cell twice for all of it." })),
    facts.preview === "rows" ? arrangement(grid) : "", beside,
    facts.preview === "rows" && facts.line ? lineOf(at, path, 0, facts.rows, meter) : "",
    ...(facts.preview === "rows" ? facts.shapes.map((column) => shapesOf((row, rows) => ask(of(at, "shapes"), { key: at.key, path, column, row, rows }), facts.rows, meter)) : []));
}

/** Show all of a cell in `element`, in place of what is shown or asked for there. */
async function wholeCell(element, at, path, row, column) {
  element.stop?.abort();
  const controller = element.stop = new AbortController();
  const title = h("h3", { textContent: `${column.name}, row ${count(row)}` });
  try {
    const found = await ask(of(at, "cells"), { key: at.key, path, row, rows: 1, column: column.position, columns: 1 }, controller.signal);
    element.replaceChildren(title, h("pre", { tabIndex: 0, textContent: found.cells[0][0] ?? "null" }));
  } catch (error) {
    if (error.name !== "AbortError") element.replaceChildren(title, problem(error));
  }
}

/** Return a column as a line, part by part. */
function lineOf(at, path, column, rows, meter) {
  const element = h("div");
  const show = latest(async (row) => {
    const found = await ask(of(at, "line"), { key: at.key, path, row, column });
    meter.add(found);
    return found;
  }, (found, row) => {
    const before = h("button", { type: "button", textContent: "Earlier rows", onclick: () => show(Math.max(0, row - found.count)) });
    const after = h("button", { type: "button", textContent: "Later rows", onclick: () => show(row + found.count) });
    element.replaceChildren(line(found.bins, found.first, found.count, found),
      h("div", { className: "actions" }, row ? before : "", row + found.count < rows ? after : ""));
  }, (error) => element.replaceChildren(problem(error)));
  if (rows) show(0);
  return element;
}

async function statistics(element, at, path, column, meter, rows) {
  const bar = h("progress", { max: 1, value: 0, "aria-label": `Progress of the statistics of ${column.name}` });
  const note = h("span", { className: "quiet" });
  element.replaceChildren(h("h3", { textContent: `Column ${column.name}` }), h("p", {}, bar, " ", note));
  element.stop?.abort();
  const controller = element.stop = new AbortController();
  let found;
  try {
    await lines(of(at, "statistics"), { key: at.key, path, column: column.position }, (each) => {
      found = each;
      bar.value = each.rows ? each.done / each.rows : 1;
      note.textContent = `${count(each.done)} of ${plural(each.rows, "row")}${each.again ? ", for the histogram" : ""}; ${bytes(each.read)} read`;
    }, controller.signal);
    meter.add(found);
    element.replaceChildren(...statisticsOf(column, found));
    if (found.histogram) {
      const button = h("button", { type: "button", textContent: "Draw it row by row", onclick: () => button.replaceWith(lineOf(at, path, column.position, rows, meter)) });
      element.append(button);
    }
  } catch (error) {
    if (error.name !== "AbortError") element.replaceChildren(h("h3", { textContent: `Column ${column.name}` }), problem(error));
  }
}

function statisticsOf(column, found) {
  const whole = found.complete ? `All ${plural(found.rows, "row")}` : `The time was over: only the first ${count(found.done)} of ${plural(found.rows, "row")}`;
  const facts = {
    Type: `${column.type}${column.type === column.arrow ? "" : ` (Arrow: ${column.arrow})`}`, Nulls: share(found.nulls, found.done), "Not a number": found.nans ? share(found.nans, found.done) : "",
    Distinct: found.distinct === null ? `more than ${count(found.more_than)}` : count(found.distinct),
    Least: found.min, Greatest: found.max, Mean: found.mean,
  };
  const top = found.top && found.top.length && found.top[0][1] > 1
    ? table("Most frequent values", ["Most frequent", "Rows"], found.top.map(([value, many]) =>
      h("tr", {}, h("td", { textContent: value }), h("td", { className: "number", textContent: share(many, found.done) }))))
    : "";
  return [h("h3", { textContent: `Column ${column.name}` }), h("p", { className: found.complete ? "quiet" : "bad", textContent: `${whole}; ${bytes(found.read)} read.` }),
    definitions(facts), found.histogram ? histogram(found.histogram, found.min, found.max, found.nulls + found.nans) : "", top];
}

function share(many, all) {
  return `${count(many)}${all ? ` (${((100 * many) / all).toFixed(1)} %)` : ""}`;
}

// -- arrays --------------------------------------------------------------------------------------------------

function arrayOf(at, facts, path, meter) {
  const shown = facts.order === "F" ? [0, 1] : [facts.shape.length - 2, facts.shape.length - 1];
  const axes = facts.shape.length < 2 ? facts.shape.map((_, axis) => axis) : shown;
  const others = facts.shape.map((_, axis) => axis).filter((axis) => !axes.includes(axis));
  const index = others.map(() => 0);
  const content = h("div");
  const draw = () => content.replaceChildren(plane(at, facts, path, meter, axes, index), drawing(at, facts, path, meter, axes, index));
  const images = facts.shape.length === 4 ? facts.shape[0] : 1;
  const shownAs = facts.picture ? pictureOf((number) => ask(of(at, "picture"), { key: at.key, path, index: number }), images, meter) : "";
  const inputs = others.map((axis, number) => {
    const input = h("input", { type: "number", min: 0, max: facts.shape[axis] - 1, value: 0, onchange: () => {
      index[number] = placeIn(input, facts.shape[axis]);
      draw();
    } });
    return h("label", {}, `Axis ${axis} of ${count(facts.shape[axis])} `, input);
  });
  draw();
  return h("div", {}, shownAs, inputs.length ? h("div", { className: "actions" }, ...inputs) : "", content);
}

/** Return the cells of two axes; an array with one axis is a column. */
function plane(at, facts, path, meter, axes, index) {
  const isLine = axes.length < 2;
  const [rows, width] = isLine ? [axes.length ? facts.shape[0] : 1, 1] : axes.map((axis) => facts.shape[axis]);
  const problems = h("div");
  const grid = new Grid({
    rows: width ? rows : 0, width, index: 0, label: `Array of ${shape(facts)}`,
    fetch: async (row, many, column, columns, signal) => {
      const window = isLine ? { row: 0, rows: 1, column: row, columns: many } : { row, rows: many, column, columns };
      const found = await ask(of(at, "array"), { key: at.key, path, index: index.join("."), ...window }, signal);
      meter.add(found);
      const cells = isLine ? found.cells : found.cells.length ? found.cells[0].map((_, at_) => found.cells.map((line_) => line_[at_])) : [];
      const names = cells.map((_, number) => ({ name: isLine ? "value" : String(column + number), type: facts.dtype, arrow: facts.dtype, position: column + number }));
      return { columns: names, cells, numbers: [...Array(many).keys()].map((number) => row + number), column };
    },
    onProblem: (error) => problems.replaceChildren(problem(error)),
  });
  return h("div", {}, problems, grid.element);
}

function drawing(at, facts, path, meter, axes, index) {
  const element = h("div");
  const isLine = axes.length < 2;
  if (!facts.shape.length || facts.shape.some((length) => !length)) return element;
  const put = (drawn, row, column) => {
    const size = isLine ? 1 << 20 : 200;
    const most = isLine ? [facts.shape[0], 1] : axes.map((axis) => facts.shape[axis]);
    const moves = [["Earlier rows", -size, 0], ["Later rows", size, 0], ["Columns to the left", 0, -size], ["Columns to the right", 0, size]]
      .filter(([, down, right]) => row + down >= 0 && row + down < most[0] && column + right >= 0 && column + right < most[1]);
    element.replaceChildren(drawn, h("div", { className: "actions" }, ...moves.map(([name, down, right]) =>
      h("button", { type: "button", textContent: name, onclick: () => show(row + down, column + right) }))));
  };
  const show = latest(async (row, column) => {
    const found = await ask(of(at, isLine ? "line" : "heat"), { key: at.key, path, index: index.join("."), row, column });
    meter.add(found);
    return found;
  }, (found, row, column) => put(isLine ? line(found.bins, found.first, found.count, found) : picture(found, row, column, facts, axes), row, column),
  (error, row, column) => put(problem(error), row, column));
  show(0, 0);
  return element;
}

function picture(found, row, column, facts, axes) {
  const [height, width] = [found.levels.length, found.levels.length ? found.levels[0].length : 0];
  const text = `Heat map of rows ${count(row)} to ${count(row + height - 1)} of ${count(facts.shape[axes[0]])} and columns ${count(column)} to ${count(column + width - 1)} of ${count(facts.shape[axes[1]])}`;
  return h("div", {}, heat(found.levels, found.low, found.high, text), h("p", { className: "quiet", textContent: `${text}.${leftOut(found.left_out)}` }));
}

// -- trees ---------------------------------------------------------------------------------------------------

function treeOf(at, path, meter) {
  const element = h("ul", { className: "tree" });
  fill(element, at, path, 0, meter);
  return element;
}

async function fill(element, at, path, first, meter) {
  try {
    const found = await ask(of(at, "items"), { key: at.key, path, first });
    if (!found.length && !path) element.append(h("li", {}, leaf(found)));
    element.append(...found.items.map((item) => branch(item, at, meter)));
    const rest = found.length - first - found.items.length;
    if (rest > 0) {
      const more = h("li", {}, h("button", { type: "button", textContent: `${count(rest)} more`, onclick: () => {
        more.remove();
        fill(element, at, path, first + found.items.length, meter);
      } }));
      element.append(more);
    }
  } catch (error) {
    element.append(h("li", {}, problem(error)));
  }
}

function leaf(item) {
  return h("span", {}, item.name === "" ? "" : h("strong", { textContent: `${item.name}: ` }), item.text, " ",
    h("span", { className: "type", textContent: item.type }));
}

function branch(item, at, meter) {
  const element = h("li");
  const path = (item.path || []).join(".");
  if (item.kind) {
    const inside = h("section", { className: "inside", "aria-live": "polite", "aria-label": item.name || item.type });
    const button = h("button", { type: "button", onclick: () => (inside.isConnected ? show(false) : open()) });
    const show = (isOpen) => {
      button.textContent = isOpen ? "Close" : "Open";
      button.setAttribute("aria-label", `${button.textContent} ${item.name}`);
      button.setAttribute("aria-expanded", String(isOpen));
      inside.remove();
    };
    const open = async () => {
      meter.close?.(); // one part at a time
      show(true);
      meter.close = () => show(false);
      inside.replaceChildren();
      element.append(inside);
      try {
        const facts = await describe(at, path);
        meter.add(facts);
        inside.append(h("p", { textContent: `${item.type}, ${shape(facts)}` }), actions(at, { ...facts, where: null }, path), body(at, facts, path, meter));
      } catch (error) {
        inside.append(problem(error));
      }
    };
    show(false);
    element.append(button, leaf(item));
  } else if (item.length) {
    const below = h("ul", { className: "tree", hidden: true });
    const button = h("button", { type: "button", textContent: "+", "aria-expanded": "false", "aria-label": `${item.name || item.type}`, onclick: () => {
      below.hidden = !below.hidden;
      button.textContent = below.hidden ? "+" : "−";
      button.setAttribute("aria-expanded", String(!below.hidden));
      if (!below.hidden && !below.children.length) fill(below, at, path, 0, meter);
    } });
    element.append(button, leaf(item), below);
  } else {
    element.append(leaf(item));
  }
  return element;
}

function show() {
  const [page, asset] = location.pathname.split("/page/")[1].split("/");
  if (page === "storage") return storage(main);
  if (page !== "assets") return list(place());
  return asset ? showAsset(main, asset, { showValue, compare }) : listAssets(main);
}

show().catch((error) => main.replaceChildren(problem(error)));
