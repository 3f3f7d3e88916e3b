// Sorting and filtering the rows of a grid that are loaded.

import { count, h, plural } from "./dom.js";

const NUMBER = /^[+-]?(\d+)(?:\.(\d+))?(?:[eE][+-]?\d+)?$/;
const SPECIAL = { inf: Infinity, "-inf": -Infinity };
const ZONED = /^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(\.\d{3})?\d*([+-]\d\d)(\d\d)$/;
const COMPARED = /^(<=|>=|<|>|=)\s*([+-]?(?:\d.*|inf))$/;

/** Compare plain decimal numbers digit by digit: as floats, long ones may be equal that are not. */
function exactly(one, other) {
  const parts = [one, other].map((text) => NUMBER.exec(text));
  if (parts.some((part) => !part) || /e/i.test(one + other)) return 0;
  const places = Math.max(...parts.map((part) => (part[2] || "").length));
  const [a, b] = parts.map(([, whole, rest = ""], at) => BigInt(whole + rest.padEnd(places, "0")) * ([one, other][at][0] === "-" ? -1n : 1n));
  return a < b ? -1 : a > b ? 1 : 0;
}

function texts(one, other) {
  return one < other ? -1 : one > other ? 1 : 0;
}

/** Return what compares two cells of a column, by the type of the writer's values. */
export function comparison(arrow) {
  arrow = arrow.replace(/^dictionary<values=/, "");
  if (/^(u?int|float|double|halffloat|decimal|duration)/.test(arrow)) {
    const number = (text) => SPECIAL[text] ?? parseFloat(text);
    return (one, other) => {
      const [a, b] = [number(one), number(other)];
      if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b); // after all numbers
      return a - b || exactly(one.split(" ")[0], other.split(" ")[0]);
    };
  }
  const instant = (text) => {
    const parts = ZONED.exec(text);
    return parts ? Date.parse(`${parts[1]}T${parts[2]}${parts[3] || ""}${parts[4]}:${parts[5]}`) : NaN;
  };
  return (one, other) => {
    if (!arrow.startsWith("timestamp")) return texts(one, other);
    return instant(one) - instant(other) || texts(one, other);
  };
}

/** Return whether a row has what a filter says: a text in any cell, or a comparison with a cell of one column. */
function passes(wanted, cells, cell, compare) {
  const [, sign, other] = COMPARED.exec(wanted) || [];
  if (!sign) return cells.some((text) => (text ?? "null").toLowerCase().includes(wanted.toLowerCase()));
  if (cell === null || cell === undefined) return false;
  const found = compare(cell, other);
  return Number.isNaN(found) ? false : { "<": found < 0, ">": found > 0, "=": found === 0, "<=": found <= 0, ">=": found >= 0 }[sign];
}

/** Return the controls that arrange the loaded rows of a grid. */
export function arrangement(grid) {
  const status = h("span", { role: "status", className: "quiet" });
  let column = 0; // of the sign of a filter, and of the order
  let order = null; // 1 or -1
  const apply = () => {
    const wanted = field.value.trim();
    if (!wanted && !order) {
      grid.arrange(null, null);
      status.textContent = "";
      return;
    }
    const facts = grid.columnFacts(column);
    const compare = comparison(facts ? facts.arrow : "");
    const loaded = grid.loaded();
    if (order || COMPARED.test(wanted)) {
      for (const [row, cells] of loaded) if (!cells.has(column)) loaded.delete(row);
    }
    const found = [...loaded].filter(([, cells]) => !wanted || passes(wanted, [...cells.values()], cells.get(column), compare));
    const missing = ([, cells]) => (cells.get(column) ?? null) === null;
    if (order) {
      found.sort((one, other) => missing(one) - missing(other) || (missing(one) ? 0 : order * compare(one[1].get(column), other[1].get(column))) || one[0] - other[0]);
    }
    grid.arrange(found.map(([row]) => row), order && { column, order });
    const searched = wanted && !COMPARED.test(wanted) ? ", in the columns that are loaded, the first 200 characters of a cell" : "";
    const by = order ? `, sorted by ${facts ? facts.name : "a column"}` : "";
    status.textContent = `${count(found.length)} of the ${plural(loaded.size, "row")} that ${loaded.size === 1 ? "is" : "are"} loaded${by}${searched}`;
  };
  const sort = (direction) => {
    column = grid.active.column;
    order = direction;
    apply();
  };
  const field = h("input", { type: "search", className: "text", placeholder: "text, or > 100",
    oninput: () => {
      if (!order) column = grid.active.column;
      apply();
    } });
  const button = (name, act) => h("button", { type: "button", textContent: name, onclick: act });
  return h("div", { className: "actions", role: "group", "aria-label": "Loaded rows" },
    h("label", {}, "Filter loaded rows ", field),
    button("Sort by this column", () => sort(1)), button("Sort downwards", () => sort(-1)),
    button("All rows", () => {
      field.value = "";
      order = null;
      apply();
    }), status);
}
