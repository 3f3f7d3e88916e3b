// Elements, requests and figures.  Text is only ever set as text, so nothing that a value holds becomes markup.

const ROOT = new URL("../../", import.meta.url);

/** Return an element with properties (`on…` are listeners, names with `-` or `role` are attributes) and children. */
export function h(tag, properties = {}, ...children) {
  const element = tag.startsWith("svg:")
    ? document.createElementNS("http://www.w3.org/2000/svg", tag.slice(4))
    : document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && !name.includes("-") && !tag.startsWith("svg:")) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export class Failure extends Error {
  constructor(state, detail) {
    super(detail);
    this.state = state;
  }
}

/** Return the URL of something below the address of this application. */
export function url(path, query = {}) {
  const found = new URL(path, ROOT);
  for (const [name, value] of Object.entries(query)) found.searchParams.set(name, value);
  return found;
}

async function checked(response) {
  const type = response.headers.get("content-type") || "";
  if (response.ok && (type.includes("json") || type.includes("octet"))) return response;
  let content = {};
  if (type.includes("json")) content = await response.json();
  const refused = Array.isArray(content.detail) ? content.detail.map((each) => `${each.loc.at(-1)}: ${each.msg}`).join("; ") : null;
  const detail = typeof content.detail === "string" ? content.detail : refused || `the server answered ${response.status}`;
  const states = { 401: "login", 403: "rights", 429: "busy", 503: "slow" };
  throw new Failure(content.state || states[response.status] || "failed", detail);
}

/** Return the JSON that the server gives; ask again while it is busy with this user's other requests. */
export async function ask(path, query = {}, signal = undefined) {
  for (let tries = 0; ; tries++) {
    try {
      return await (await checked(await fetch(url(path, query), { signal }))).json();
    } catch (error) {
      if (error.state !== "busy" || tries > 20) throw error;
      await new Promise((done) => setTimeout(done, 300));
    }
  }
}

/** Return what runs `act` with what `fetch` gives, unless it was run again meanwhile: answers may come out of order. */
export function latest(fetch, act, fail) {
  let turn = 0;
  return async (...asked) => {
    const mine = ++turn;
    try {
      const found = await fetch(...asked);
      if (mine === turn) act(found, ...asked);
    } catch (error) {
      if (mine === turn) fail(error, ...asked);
    }
  };
}

/** Return the whole number in a field of an axis, within its bounds. */
export function placeIn(field, many) {
  return Math.max(0, Math.min(many - 1, Math.trunc(Number(field.value)) || 0));
}

/** Call `each` with every line of JSON that the server sends. */
export async function lines(path, query, each, signal) {
  const response = await checked(await fetch(url(path, query), { signal }));
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    rest += value || "";
    const found = rest.split("\n");
    rest = found.pop();
    for (const line of found) {
      const content = JSON.parse(line);
      if (content.detail) throw new Failure(content.state, content.detail);
      each(content);
    }
    if (done) return;
  }
}

export function count(number) {
  return Number(number).toLocaleString("en");
}

export function plural(number, word) {
  return `${count(number)} ${word}${number === 1 ? "" : "s"}`;
}

export function bytes(size) {
  const units = ["bytes", "KB", "MB", "GB", "TB"];
  let unit = 0;
  let rest = size;
  while (rest >= 1000 && unit < units.length - 1) {
    rest /= 1000;
    unit++;
  }
  return unit === 0 ? plural(size, "byte") : `${rest.toFixed(rest < 10 ? 1 : 0)} ${units[unit]}`;
}

/** Return a table that scrolls sideways where it is too wide. */
export function table(label, heads, rows) {
  return h("div", { className: "wide", tabIndex: 0, role: "region", "aria-label": label },
    h("table", {}, h("thead", {}, h("tr", {}, ...heads.map((head) => h("th", { scope: "col", textContent: head })))),
      h("tbody", {}, ...rows)));
}

const WORDS = {
  hidden: "This value is hidden",
  none: "There is no such value",
  retired: "This value was retired",
  expired: "This value has expired",
  gone: "The stored value is gone",
  foreign: "This row refers to another XCom's value",
  unreachable: "The store cannot be reached",
  damaged: "The stored value is damaged",
  large: "This is too large to be shown",
  login: "You are not logged in",
  rights: "You may not see this",
  slow: "This took too long",
};

/** Return an element that says what is wrong. */
export function problem(error) {
  return h("div", { className: "problem", role: "alert" },
    h("strong", { textContent: WORDS[error.state] || "This cannot be shown" }),
    h("p", { textContent: error.message }));
}
