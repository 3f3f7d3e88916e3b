// The page of what all values take, Dag by Dag: Airflow names the Dags that this user may read.

import { ask, bytes, count, h, plural, problem, table, url } from "./dom.js";

const MOST_DAGS = 1000;
const MOST_ROWS = 200_000; // that are looked at before the user is asked whether to go on
const PAGE = 100;
const AT_ONCE = 4; // requests
const SHOWN = 20; // values
const MOST_LINES = 500; // of Dags

/** Return Dags that this user may read, those too that are in no file any more, and how many there are. */
async function dags() {
  const ids = [];
  for (let total = Infinity; ids.length < Math.min(total, MOST_DAGS);) {
    const page = await ask("../api/v2/dags", { limit: PAGE, offset: ids.length, order_by: "dag_id", exclude_stale: false });
    total = page.dags.length ? page.total_entries : ids.length;
    ids.push(...page.dags.map((dag) => dag.dag_id));
    if (ids.length >= total) return { ids, total: ids.length };
    if (ids.length >= MOST_DAGS) return { ids, total };
  }
  return { ids, total: ids.length };
}

const texts = (...cells) => cells.map((text) => h("td", { textContent: text }));
const placeOf = (name) => ({ "": "Airflow's database", "?": "stores that are not configured here" })[name] ?? name;
const sum = (items) => items.reduce((total, item) => total + item, 0);

function linked(value) {
  const parts = ["dags", value.dag, "runs", value.run_id, "tasks", value.task_id, value.map_index ?? -1];
  const text = `${value.dag} · ${value.task_id}${value.map_index >= 0 ? ` [${value.map_index}]` : ""} · ${value.key}`;
  return h("td", {}, h("a", { href: url(`page/${parts.map(encodeURIComponent).join("/")}`).href, textContent: text }));
}

/** Show the page in `main`. */
export async function storage(main) {
  const [note, progress] = [h("p", { role: "status", className: "quiet" }), h("p", { className: "quiet" })]; // which is not read out
  const [content, stores] = [h("div"), h("div")];
  main.replaceChildren(h("h1", { textContent: "Storage of XComs" }), note, progress, content, stores);
  const { ids, total } = await dags();
  const seen = { dags: [], problems: [], hidden: 0, rights: 0, next: 0 };
  const look = async () => {
    let rows = 0;
    const work = async () => {
      while (seen.next < ids.length && rows < MOST_ROWS) {
        const dag = ids[seen.next++];
        try {
          const facts = await ask(`api/dags/${encodeURIComponent(dag)}/storage`);
          rows += facts.rows;
          seen.dags.push({ dag, ...facts });
        } catch (error) {
          if (error.state === "hidden" || error.state === "rights") seen[error.state]++;
          else seen.problems.push([dag, error]);
        }
        progress.textContent = `${count(seen.next)} of ${plural(total, "Dag")}`;
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    progress.textContent = "";
    note.textContent = told(seen, ids, total);
    const further = seen.next < ids.length && h("button", { type: "button", textContent: "Look at further Dags", onclick: () => { further.disabled = true; look(); } });
    content.replaceChildren(further || "", ...seen.problems.map(([dag, error]) => h("div", {}, h("p", { textContent: dag }), problem(error))), ...view(seen.dags));
  };
  await Promise.all([look(), owners(stores)]);
}

/** Return what was counted, and in words what was not. */
function told(seen, ids, total) {
  const cut = seen.dags.filter((each) => each.more);
  const hidden = sum(seen.dags.map((each) => each.hidden));
  const sentences = [
    `${plural(sum(seen.dags.map((each) => each.rows)), "value")} of ${plural(seen.dags.length, "Dag")}.`,
    total > seen.next && `${plural(total - seen.next, "Dag")} ${total - seen.next === 1 ? "was" : "were"} not looked at${ids.length < total ? `, as the page looks at ${count(ids.length)} at most` : ""}.`,
    cut.length && `Only the last values were counted of ${cut.slice(0, SHOWN).map((each) => each.dag).join(", ")}${cut.length > SHOWN ? ` and ${plural(cut.length - SHOWN, "other Dag")}` : ""}, which have more than are looked at.`,
    seen.rights && `You may not see the XComs of ${plural(seen.rights, "further Dag")}.`,
    seen.hidden && `${plural(seen.hidden, "Dag")} ${seen.hidden === 1 ? "hides its" : "hide their"} values.`,
    hidden && `${plural(hidden, "value")} of other Dags ${hidden === 1 ? "is" : "are"} hidden, and not counted.`,
    seen.problems.length && `${plural(seen.problems.length, "Dag")} could not be looked at.`,
  ];
  return sentences.filter(Boolean).join(" ");
}

function view(seen) {
  const lines = seen.flatMap(({ dag, places }) => Object.entries(places).map(([name, total]) => ({ dag, name, ...total })));
  lines.sort((one, other) => other.bytes - one.bytes);
  const totals = new Map();
  for (const { name, values, bytes: size } of lines) {
    const total = totals.get(name) || { values: 0, bytes: 0 };
    totals.set(name, { values: total.values + values, bytes: total.bytes + size });
  }
  const all = (name) => seen.flatMap((each) => each[name].map((value) => ({ dag: each.dag, ...value })));
  const largest = all("largest").sort((one, other) => other.bytes - one.bytes).slice(0, SHOWN);
  const some = all("some_inexact").slice(0, SHOWN);
  const many = (name) => sum(seen.map((each) => each[name]));
  const part = (name, heads, rows) => [h("h2", { textContent: name }), rows.length ? table(name, heads, rows) : h("p", { textContent: "There are none." })];
  const others = [many("retired") && `${plural(many("retired"), "value")} retired.`, many("unreadable") && `${plural(many("unreadable"), "row")} cannot be read.`].filter(Boolean);
  return [
    ...part("By store", ["Where", "Values", "Size"], [...totals].map(([name, total]) =>
      h("tr", {}, ...texts(placeOf(name), count(total.values), bytes(total.bytes))))),
    h("p", { className: "quiet", textContent: ["The database has a row of each value, and of a value in a store what refers to it; its size is in characters.", ...others].join(" ") }),
    ...part("By Dag and store", ["Dag", "Where", "Values", "Size"], lines.slice(0, MOST_LINES).map((line) =>
      h("tr", {}, ...texts(line.dag, placeOf(line.name), count(line.values), bytes(line.bytes))))),
    lines.length > MOST_LINES ? h("p", { textContent: `${plural(lines.length - MOST_LINES, "line")} with less are not shown.` }) : "",
    ...part("Largest values", ["Value", "Run", "Type", "Size"], largest.map((value) =>
      h("tr", {}, linked(value), ...texts(value.run_id, value.type || "", bytes(value.bytes))))),
    ...part("Not exact", ["Value", "Run", "Type", "Parts"], some.map((value) =>
      h("tr", {}, linked(value), ...texts(value.run_id, value.type || "", count(value.parts))))),
    many("inexact") > some.length ? h("p", { textContent: `${plural(many("inexact"), "value")} did not come back exactly; these are some.` }) : ""];
}

/** Show whose the stores are and what was last reported of them, to those who may read Airflow's configuration. */
async function owners(element) {
  try {
    const { stores, retain } = await ask("api/stores");
    const rows = stores.map((store) => ({ ...store, owner: h("td", { textContent: "…" }) }));
    element.append(
      h("h2", { textContent: "Stores" }),
      table("Stores", ["Store", "It belongs to", "Last sweep", "No row refers to"], rows.map(({ name, owner, sweep }) =>
        h("tr", {}, h("td", { textContent: name }), owner, ...texts(...swept(sweep))))),
      h("h2", { textContent: "Retention" }),
      h("p", { textContent: retain ? retention(retain) : "There is no report yet: airflow-xcom retain makes one." }));
    for (const { name, owner } of rows) {
      owner.textContent = await ask("api/stores/owner", { name }).then((found) => found.owner, (error) => error.message);
    }
  } catch (error) {
    if (error.state !== "rights") element.append(problem(error));
  }
}

const amount = (many, word, size) => `${plural(many ?? 0, word)}, ${bytes(size ?? 0)}`;

function swept(report) {
  if (!report) return ["There is no report yet: airflow-xcom sweep makes one", ""];
  const deleted = report.applied ? `, which deleted ${amount(report.deleted, "payload", report.deleted_bytes)}` : "";
  return [`${report.at}${deleted}`, amount(report.orphans, "payload", report.bytes)];
}

function retention({ at, applied, due, retired, in_blobs: blobs, in_rows: rows }) {
  const done = applied ? `${count(retired ?? 0)} of ${plural(due ?? 0, "value")} were retired` : `${plural(due ?? 0, "value")} would be retired`;
  return `At ${at}: ${done}, ${bytes(blobs ?? 0)} in stores and ${bytes(rows ?? 0)} in Airflow's database.`;
}
