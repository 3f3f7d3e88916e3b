// A grid of any number of rows and columns: it has elements for what is in view, and fetches no more than that.

import { Failure, count, h } from "./dom.js";

export const BLOCK = { rows: 50, columns: 10 }; // that are asked for together
const HEIGHT = 28; // pixels of a row
const HEAD = 44; // of the names of columns
const WIDTH = 160; // of a column
const LONGEST = 1_000_000; // pixels of what scrolls; browsers fail at more
const MOST_BLOCKS = 400; // that are kept

/**
 * A grid.
 *
 * `fetch(row, rows, column, columns, signal)` gives `{columns, cells, numbers}`, as the server does; the last
 * `index` of the columns are shown as the names of rows.  `first` has the first rows of some blocks, if they are known.
 */
export class Grid {
  constructor({ rows, width, index, label, fetch, first, onColumn, onCell, onProblem }) {
    Object.assign(this, { index, fetch, onColumn, onCell, onProblem });
    this.all = rows;
    this.order = null; // the rows that are shown, unless all are
    this.sorted = null; // by which column, and 1 or -1
    this.width = width;
    this.data = width - index;
    this.row = 0;
    this.column = 0;
    this.active = { row: -1, column: 0 }; // row -1 is the header
    this.blocks = new Map();
    this.waiting = new Map();
    if (first) this.keep(first);
    this.layer = h("div", { className: "layer", role: "presentation" });
    this.spacer = h("div", { role: "presentation" }, this.layer);
    this.element = h("div", {
      className: "grid", role: "grid", tabIndex: 0, "aria-label": label,
      "aria-colcount": this.data + 1, "aria-readonly": "true",
      onscroll: () => this.scrolled(), onkeydown: (event) => this.pressed(event),
      onwheel: (event) => this.turned(event), onclick: (event) => this.clicked(event),
    }, this.spacer);
    this.spacer.style.width = `${Math.min((this.data + 1) * WIDTH, LONGEST)}px`;
    this.element.style.height = `${Math.min(rows * HEIGHT + HEAD + 20, 480)}px`;
    this.stretch();
    this.observer = new ResizeObserver(() => this.draw());
    this.observer.observe(this.element);
  }

  get rows() {
    return this.order ? this.order.length : this.all;
  }

  stretch() {
    this.spacer.style.height = `${Math.min(this.rows * HEIGHT + HEAD, LONGEST)}px`;
    this.element.setAttribute("aria-rowcount", this.rows + 1);
  }

  /** Keep the first rows of some columns, which are those of whole blocks. */
  keep({ columns, cells, numbers }) {
    columns.forEach((facts, at) => {
      const left = Math.floor(facts.position / BLOCK.columns);
      const key = `0:${left}`;
      if (!this.blocks.has(key)) this.blocks.set(key, { columns: [], cells: [], numbers, column: left * BLOCK.columns });
      this.blocks.get(key).columns.push(facts);
      this.blocks.get(key).cells.push(cells[at] || []);
    });
  }

  /** Show some rows in this order, `sorted` by a column; null for all as they are. */
  arrange(order, sorted) {
    Object.assign(this, { order, sorted });
    this.active = { row: -1, column: this.active.column };
    this.stretch();
    this.show(0, this.column);
  }

  /** Return what is loaded: of each row, its cells by their columns. */
  loaded() {
    const rows = new Map();
    for (const [key, { columns, cells }] of this.blocks) {
      const [top, left] = key.split(":").map(Number);
      columns.forEach((_, at) => (cells[at] || []).forEach((text, number) => {
        const row = top * BLOCK.rows + number;
        if (!rows.has(row)) rows.set(row, new Map());
        rows.get(row).set(left * BLOCK.columns + at, text);
      }));
    }
    return new Map([...rows].sort(([one], [other]) => one - other));
  }

  get visibleRows() {
    return Math.max(1, Math.min(this.rows, Math.floor((this.element.clientHeight - HEAD) / HEIGHT)));
  }

  get visibleColumns() {
    return Math.max(1, Math.min(this.data, Math.ceil(this.element.clientWidth / WIDTH) - 1));
  }

  get lastRow() {
    return Math.max(0, this.rows - this.visibleRows);
  }

  get lastColumn() {
    return Math.max(0, this.data - Math.max(1, Math.floor(this.element.clientWidth / WIDTH) - 1));
  }

  scrolled() {
    if (this.isMoving) {
      this.isMoving = false;
      return;
    }
    const { scrollTop, scrollLeft, scrollHeight, scrollWidth, clientHeight, clientWidth } = this.element;
    this.row = Math.round((scrollTop / Math.max(1, scrollHeight - clientHeight)) * this.lastRow);
    this.column = Math.round((scrollLeft / Math.max(1, scrollWidth - clientWidth)) * this.lastColumn);
    this.draw();
  }

  turned(event) {
    if (!event.deltaY || event.shiftKey || event.ctrlKey) return;
    const rows = Math.sign(event.deltaY) * Math.max(1, Math.round(Math.abs(event.deltaY) / HEIGHT));
    const next = Math.min(this.lastRow, Math.max(0, this.row + rows));
    if (next === this.row) return; // the page scrolls on
    event.preventDefault();
    this.show(next, this.column);
  }

  /** Show from a row and a column on. */
  show(row, column) {
    this.row = Math.min(this.lastRow, Math.max(0, row));
    this.column = Math.min(this.lastColumn, Math.max(0, column));
    const { scrollHeight, scrollWidth, clientHeight, clientWidth, scrollTop, scrollLeft } = this.element;
    const top = Math.round((this.row / Math.max(1, this.lastRow)) * (scrollHeight - clientHeight));
    const left = Math.round((this.column / Math.max(1, this.lastColumn)) * (scrollWidth - clientWidth));
    if (top !== Math.round(scrollTop) || left !== Math.round(scrollLeft)) {
      this.isMoving = true;
      this.element.scrollTop = top;
      this.element.scrollLeft = left;
    }
    this.draw();
  }

  pressed(event) {
    const { row, column } = this.active;
    const page = this.visibleRows;
    const moves = {
      ArrowDown: [row + 1, column], ArrowUp: [row - 1, column],
      ArrowRight: [row, column + 1], ArrowLeft: [row, column - 1],
      PageDown: [row + page, column], PageUp: [Math.max(0, row - page), column],
      Home: [event.ctrlKey ? 0 : row, 0], End: [event.ctrlKey ? this.rows - 1 : row, this.data - 1],
    };
    if (event.key === "Enter" || event.key === " ") this.use(row, column);
    else if (moves[event.key]) this.activate(...moves[event.key]);
    else return;
    event.preventDefault();
  }

  activate(row, column) {
    row = Math.max(-1, Math.min(this.rows - 1, row));
    column = Math.max(0, Math.min(this.data - 1, column));
    this.active = { row, column };
    const first = Math.max(0, row);
    let [top, left] = [this.row, this.column];
    if (first < top) top = first;
    if (first >= top + this.visibleRows) top = first - this.visibleRows + 1;
    const full = Math.max(1, Math.floor(this.element.clientWidth / WIDTH) - 1);
    if (column < left) left = column;
    if (column >= left + full) left = column - full + 1;
    this.show(top, left);
  }

  clicked(event) {
    const cell = event.target.closest("[data-column]");
    if (!cell) return;
    const [row, column] = [Number(cell.dataset.row), Number(cell.dataset.column)];
    const isAgain = this.active.row === row && this.active.column === column;
    this.activate(row, column);
    if (row < 0 || isAgain) this.use(row, column);
  }

  use(row, column) {
    const facts = this.columnFacts(column);
    if (row < 0 && facts && this.onColumn) this.onColumn(facts);
    if (row >= 0 && facts && this.onCell) this.onCell(this.place(row), facts);
  }

  /** Return the row of the table at a row of the grid. */
  place(row) {
    return this.order ? this.order[row] : row;
  }

  columnFacts(column) {
    for (const block of this.blocks.values()) {
      const at = column - block.column;
      if (at >= 0 && at < block.columns.length) return block.columns[at];
    }
    return null;
  }

  /** Draw what is in view, and ask for what is missing of it once scrolling pauses. */
  draw() {
    const rows = Math.min(this.visibleRows + 1, this.rows - this.row);
    const columns = Math.min(this.visibleColumns + 1, this.data - this.column);
    const missing = [];
    const block = (row, column) => {
      const key = `${Math.floor(row / BLOCK.rows)}:${Math.floor(column / BLOCK.columns)}`;
      if (!this.blocks.has(key) && !missing.includes(key)) missing.push(key);
      return this.blocks.get(key);
    };
    const head = this.line("columnheader", -1, "", columns, (column) => {
      const found = this.order?.length === 0 ? null : block(this.place(this.row), column);
      const facts = found?.columns[column % BLOCK.columns] || this.columnFacts(column);
      if (!facts) return [];
      return [h("span", { className: "name", textContent: facts.name }), h("span", { className: "type", textContent: facts.type })];
    });
    const body = [];
    for (let row = this.row; row < this.row + rows; row++) {
      const place = this.place(row);
      body.push(this.line("gridcell", row, this.rowName(place, block), columns, (column) => {
        const found = block(place, column);
        if (!found) return ["…"];
        const cell = (found.cells[column % BLOCK.columns] || [])[place % BLOCK.rows];
        return cell === null ? [h("span", { className: "null", textContent: "null" })] : [cell ?? ""];
      }));
    }
    this.layer.replaceChildren(head, ...body);
    this.layer.style.width = `${this.element.clientWidth}px`;
    this.layer.style.height = `${this.element.clientHeight}px`;
    const active = this.layer.querySelector(".active");
    if (active) this.element.setAttribute("aria-activedescendant", active.id);
    else this.element.removeAttribute("aria-activedescendant");
    clearTimeout(this.timer);
    if (missing.length) this.timer = setTimeout(() => this.load(missing), this.blocks.size ? 60 : 0);
  }

  rowName(row, block) {
    if (!this.index) {
      const found = block(row, this.column);
      const number = found && found.numbers[row % BLOCK.rows];
      return number === undefined ? count(row) : String(number);
    }
    const names = [];
    for (let column = this.data; column < Math.min(this.width, this.data + 3); column++) {
      const found = block(row, column);
      names.push(found ? (found.cells[column % BLOCK.columns] || [])[row % BLOCK.rows] ?? "null" : "…");
    }
    return names.join(" · ");
  }

  line(role, row, name, columns, content) {
    const line = h("div", { className: row < 0 ? "line head" : "line", role: "row", "aria-rowindex": row + 2 },
      h("div", { className: "cell rowname", role: row < 0 ? "columnheader" : "rowheader", "aria-colindex": 1, title: name },
        row < 0 ? h("span", { className: "visually-hidden", textContent: "row" }) : name));
    for (let column = this.column; column < this.column + columns; column++) {
      const isActive = this.active.row === row && this.active.column === column;
      const facts = this.columnFacts(column);
      const isNumber = facts && row >= 0 && /^(u?int|float|double|half|decimal|U?Int|Float)/.test(facts.type);
      const cell = h("div", {
        className: `cell${isActive ? " active" : ""}${isNumber ? " number" : ""}`, role, id: `cell-${row}-${column}`,
        "aria-colindex": column + 2, "aria-sort": row < 0 && this.sorted?.column === column ? (this.sorted.order > 0 ? "ascending" : "descending") : undefined,
        "data-row": row, "data-column": column,
        title: row < 0 && facts ? `${facts.name}: ${facts.arrow}` : undefined,
      }, ...content(column));
      line.append(cell);
    }
    return line;
  }

  async load(keys) {
    for (const [key, controller] of this.waiting) {
      if (!keys.includes(key)) controller.abort();
    }
    await Promise.all(keys.filter((key) => !this.waiting.has(key)).map((key) => this.loadBlock(key)));
  }

  async loadBlock(key) {
    const controller = new AbortController();
    this.waiting.set(key, controller);
    const [row, column] = key.split(":").map(Number);
    try {
      const found = await this.fetch(
        row * BLOCK.rows, BLOCK.rows, column * BLOCK.columns, BLOCK.columns, controller.signal);
      this.blocks.set(key, found);
      if (this.blocks.size > MOST_BLOCKS) this.blocks.delete(this.blocks.keys().next().value);
    } catch (error) {
      if (error instanceof Failure) this.onProblem(error);
      if (error instanceof Failure) this.blocks.set(key, { columns: [], cells: [], numbers: [], column: -1 });
    } finally {
      this.waiting.delete(key);
    }
    this.draw();
  }
}
