// The pages of assets: which there are, and the versions of one.

import { line } from "./charts.js";
import { ask, bytes, count, h, latest, plural, problem, table, url } from "./dom.js";

const STATES = { hidden: "hidden", retired: "retired", unreachable: "whether it was retired cannot be told" };

/** Return a link to another of these pages. */
function link(text, path) {
  return h("a", { href: url(`page/${path}`).href, textContent: text });
}

/** Return a link to the values of a task instance. */
export function taskLink({ dag_id: dag, run_id: run, task_id: task, map_index: index }) {
  const parts = [dag, run, task].map(encodeURIComponent);
  return link(`${dag} · ${run} · ${task}${index < 0 ? "" : ` [${index}]`}`, `dags/${parts[0]}/runs/${parts[1]}/tasks/${parts[2]}/${index}`);
}

/** Return a link to the versions of an asset. */
export function assetLink({ id, name }) {
  return link(`Versions of ${name}`, `assets/${id}`);
}

/** List the assets that have values. */
export async function listAssets(main) {
  const { assets, more } = await ask("api/assets");
  const rows = assets.map((asset) => h("tr", {}, h("td", {}, link(asset.name, `assets/${asset.id}`)), h("td", { textContent: asset.uri })));
  main.replaceChildren(
    h("h1", { textContent: "Assets with values" }),
    h("p", { className: "quiet", textContent: `${plural(assets.length, "asset")}${more ? "; there are more, which are not listed" : ""}` }),
    assets.length ? table("Assets", ["Asset", "URI"], rows) : h("p", { textContent: "No task has published a value to an asset that you may read." }));
}

/** Show the versions of an asset; `showValue` and `compare` are those of other values. */
export async function showAsset(main, id, { showValue, compare }) {
  const versions = []; // those that are loaded, the newest first
  const others = []; // events that are not counted
  let newest = null; // what the first answer says of the latest versions
  const partition = h("input", { type: "text", className: "text", id: "partition", onchange: () => load(null) });
  const heading = h("div");
  const content = h("div");
  const trouble = h("div"); // with the older versions
  const detail = h("section", { "aria-live": "polite", "aria-label": "Version" });
  const beside = h("section", { "aria-live": "polite", "aria-label": "Comparison" });

  const query = (before) => ({ ...(before === null ? {} : { before }), ...(partition.value.trim() ? { partition: partition.value.trim() } : {}) });

  const load = latest((before) => ask(`api/assets/${id}/versions`, query(before)), (found, before) => {
    if (before === null) {
      versions.length = others.length = 0;
      newest = found;
      heading.replaceChildren(h("h1", { textContent: found.name }), h("p", { className: "quiet", textContent: `${found.uri}. Versions are kept: ${found.kept}.` }));
    }
    const loaded = versions.length;
    versions.push(...found.versions.filter((one) => !versions.some((other) => other.id === one.id)));
    others.push(...found.not_counted);
    content.replaceChildren(...listOf(found));
    trouble.replaceChildren();
    if (before !== null) (content.querySelectorAll("td button")[loaded] || content.querySelector("#older, td button"))?.focus(); // what had it is gone
  }, (error, before) => {
    if (before === null) content.replaceChildren();
    trouble.replaceChildren(problem(error));
  });

  const listOf = (found) => {
    const more = h("button", { type: "button", id: "older", textContent: "Older versions", onclick: () => load(found.before) });
    const lengths = versions.map((one) => (Array.isArray(one.shape) ? one.shape[0] : null)).reverse();
    const isDrawn = lengths.filter((length) => length !== null).length > 1;
    return [
      found.problem ? problem(new Error(found.problem)) : "",
      !newest.all_latest ? h("p", { className: "quiet", textContent: "The latest version of a partition is marked if it is among the newest 200 events." }) : "",
      versions.length ? table("Versions", ["Version", "Published", "By", "Type", "Shape", "Size", "Changes", "State"], versions.map(rowOf))
        : h("p", { textContent: found.before === null ? "There is no version that you may read." : "There is none among the newest events that were looked at." }),
      found.before === null ? "" : h("p", {}, more),
      others.length ? notCounted(others) : "",
      isDrawn ? h("div", {}, h("h2", { textContent: "Length, version by version, the oldest first" }), line(lengths.map((length) => (length === null ? null : [length, length])), 0, lengths.length)) : "",
      versions.length > 1 ? pair() : ""];
  };

  const nameOf = (one) => `${one.number}${one.partition === null ? "" : ` · ${one.partition}`}`;

  const rowOf = (one) => {
    const button = h("button", { type: "button", textContent: nameOf(one), onclick: () => {
      content.querySelectorAll("td button").forEach((each) => each.setAttribute("aria-current", each === button));
      open(one);
    } });
    const marks = [newest.latest.includes(one.id) ? "latest" : "", ...one.tags, one.backfill ? "backfill" : "", one.inexact ? "not exact" : "",
      STATES[one.state] ? STATES[one.state] + (one.error ? `: ${one.error}` : "") : ""];
    return h("tr", {}, h("td", {}, button), h("td", { textContent: one.sent }), h("td", {}, taskLink(one)), h("td", { textContent: one.type || "" }),
      h("td", { textContent: Array.isArray(one.shape) ? one.shape.map(count).join(" × ") : "" }),
      h("td", { textContent: typeof one.bytes === "number" ? bytes(one.bytes) : "" }),
      h("td", { className: one.changes && one.changes.found.length ? "bad" : "", textContent: changesOf(one) }),
      h("td", { textContent: marks.filter(Boolean).join(", ") }));
  };

  /** Choose two versions, and compare them. */
  const pair = () => {
    const select = (name, chosen) => {
      const element = h("select", {}, ...versions.map((one, at) => h("option", { value: at, textContent: nameOf(one), selected: at === chosen })));
      return [h("label", {}, `${name} `, element), element];
    };
    const [[before, one], [after, other]] = [select("Compare", 1), select("with", 0)];
    const button = h("button", { type: "button", textContent: "Compare", onclick: () => {
      const both = [versions[one.value], versions[other.value]];
      const path = both.map((each) => `${each.number}.${each.id}`).join("/");
      compare(beside, `${nameOf(both[0])} → ${nameOf(both[1])}`, `api/assets/${id}/compare/${path}`, {});
    } });
    return h("div", { className: "actions" }, before, after, button);
  };

  const open = (one) => {
    const [chosen, readers] = [h("div"), h("div")]; // what comes late of a choice before is not shown
    detail.replaceChildren(chosen, readers);
    readersOf(readers, id, one);
    showValue(chosen, { dag: one.dag_id, run: one.run_id, task: one.task_id, index: one.map_index, key: one.key, title: `Version ${nameOf(one)}` });
  };

  main.replaceChildren(heading, h("p", {}, link("All assets with values", "assets")),
    h("div", { className: "actions" }, h("label", { htmlFor: "partition", textContent: "Only of the partition" }), partition),
    content, trouble, beside, detail);
  await load(null);
}

function changesOf({ changes }) {
  if (!changes) return "";
  if (changes.found.length) return changes.found.join("; ");
  return changes.whole ? "as before" : "";
}

function notCounted(events) {
  const rows = events.map((event) => h("tr", {}, h("td", { textContent: count(event.number) }), h("td", { textContent: event.sent }), h("td", { textContent: event.why })));
  return h("details", {}, h("summary", { textContent: `${plural(events.length, "event")} ${events.length === 1 ? "is" : "are"} not counted` }),
    table("Events that are not counted", ["Event", "Sent", "Why"], rows));
}

/** List the tasks that read a version. */
async function readersOf(element, id, one) {
  try {
    const { readers, more } = await ask(`api/assets/${id}/versions/${one.number}.${one.id}/readers`);
    const rows = readers.map((reader) => h("tr", {}, h("td", {}, taskLink(reader)), h("td", { textContent: reader.at })));
    element.replaceChildren(h("h2", { textContent: "Read by" }),
      rows.length ? table("Tasks that read this version", ["Task", "Asked"], rows)
        : h("p", { textContent: "No task whose XComs you may read has asked for it with latest, value_of or values_of." }),
      more ? h("p", { textContent: "There are more, which are not listed." }) : "");
  } catch (error) {
    element.replaceChildren(h("h2", { textContent: "Read by" }), problem(error));
  }
}
