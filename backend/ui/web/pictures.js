// Images and shapes: the server makes PNG files and paths, which are drawn here.

import { count, h, latest, placeIn, problem } from "./dom.js";

const SHAPES = 2000; // rows whose shapes are drawn at a time

/** Return an image, or one of several. */
export function pictureOf(fetch, many, meter) {
  const content = h("div");
  const show = latest(async (number) => {
    const found = await fetch(number);
    meter.add(found);
    const data = Uint8Array.from(atob(found.png), (letter) => letter.charCodeAt(0));
    return [found, await createImageBitmap(new Blob([data], { type: "image/png" }))];
  }, ([found, bitmap]) => {
    const label = `Picture of ${count(found.width)} × ${count(found.height)} pixels`;
    const canvas = h("canvas", { className: "picture", width: bitmap.width, height: bitmap.height, role: "img", "aria-label": label });
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
    const scale = Math.max(1, Math.min(8, Math.floor(240 / Math.max(bitmap.width, bitmap.height))));
    canvas.style.width = `min(100%, ${scale * bitmap.width}px)`;
    const part = found.step > 1 ? `, shown at 1/${found.step} of its size` : "";
    content.replaceChildren(h("figure", {}, canvas, h("figcaption", { textContent: `${label}${part}.` })));
  }, (error) => content.replaceChildren(problem(error)));
  show(0);
  if (many < 2) return content;
  const field = h("input", { type: "number", min: 0, max: many - 1, value: 0,
    onchange: () => show(placeIn(field, many)) });
  return h("div", {}, h("div", { className: "actions" }, h("label", {}, `Image of ${count(many)} `, field)), content);
}

/** Return geometries on an empty plane, some rows at a time. */
export function shapesOf(fetch, rows, meter) {
  const element = h("div");
  const show = latest(async (row) => {
    const found = await fetch(row, SHAPES);
    meter.add(found);
    return found;
  }, (found, row) => {
    const last = found.full ? found.shapes[found.shapes.length - 1].row + 1 : Math.min(rows, row + SHAPES);
    const label = rows > 1 ? `Shapes of rows ${count(row)} to ${count(last - 1)} of ${count(rows)}` : "Shape";
    const ends = found.low ? `, x from ${found.low[0]} to ${found.high[0]}, y from ${found.low[1]} to ${found.high[1]}` : ": there is nothing to draw";
    const thinned = found.thinned ? " Some vertices are left out." : "";
    const margin = 12;
    const paths = found.shapes.flatMap((shape) => ["areas", "lines", "points"].filter((kind) => shape[kind]).map((kind) =>
      h("svg:path", { d: shape[kind], class: kind }, h("svg:title", {}, `row ${count(shape.row)}`))));
    const plane = h("svg:svg", { class: "plane", role: "img", "aria-label": label + ends,
      viewBox: `${-margin} ${-margin} ${found.width + 2 * margin} ${found.height + 2 * margin}` }, ...paths);
    element.replaceChildren(h("figure", {}, paths.length ? plane : "", h("figcaption", { textContent: `${label}${ends}.${thinned}` })));
    const step = (name, to) => h("button", { type: "button", textContent: name, onclick: () => show(to) });
    element.append(h("div", { className: "actions" }, row ? step("Shapes before", Math.max(0, row - SHAPES)) : "", last < rows ? step("Shapes after", last) : ""));
  }, (error) => element.replaceChildren(problem(error)));
  if (rows) show(0);
  return element;
}
