// Lines, histograms and heat maps.  What they show stands beside them as text, too.

import { count, h, plural } from "./dom.js";

const WIDTH = 600;
const HEIGHT = 160;

function svg(label, ...children) {
  return h("svg:svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label, class: "chart" }, ...children);
}

/** Return a sentence on values that a drawing lacks. */
export function leftOut(many) {
  return many ? ` ${plural(many, "value")} that ${many === 1 ? "is" : "are"} missing, not a number or infinite ${many === 1 ? "is" : "are"} left out.` : "";
}

/** Return a histogram of counts, and say how many values are in none of its bins. */
export function histogram(counts, low, high, missing) {
  const most = Math.max(...counts, 1);
  const width = WIDTH / counts.length;
  const bars = counts.map((each, at) => {
    const height = each ? Math.max(1, (each / most) * HEIGHT) : 0;
    return h("svg:rect", { x: at * width + 0.5, y: HEIGHT - height, width: width - 1, height },
      h("svg:title", {}, count(each)));
  });
  const label = `Histogram from ${low} to ${high}; the fullest of ${counts.length} bins has ${count(most)} values`;
  return h("figure", {}, svg(label, ...bars),
    h("figcaption", { className: "ends" }, h("span", { textContent: low }), h("span", { textContent: leftOut(missing) }), h("span", { textContent: high })));
}

/** Return a line through bins, each of them the least and the greatest value of some; `at` says where between 0 and 1. */
export function line(bins, first, many, { at: places, over, left_out: missing } = {}) {
  const known = bins.filter((bin) => bin);
  if (!known.length) return h("p", { textContent: "There are no finite numbers to draw." });
  const low = Math.min(...known.map((bin) => bin[0]));
  const high = Math.max(...known.map((bin) => bin[1]));
  const x = (at) => (places ? places[at] : (at + 0.5) / bins.length) * WIDTH;
  const y = (value) => HEIGHT - 2 - ((value / 2 - low / 2) / (high / 2 - low / 2 || 1)) * (HEIGHT - 4);
  const strokes = bins.map((bin, at) => bin && `${x(at)},${y(bin[1])} ${x(at)},${y(bin[0]) + 0.5}`);
  const parts = strokes.map((stroke) => stroke || "|").join(" ").split("|").filter((part) => part.trim());
  const lines = parts.map((part) => h("svg:polyline", { points: part.trim(), class: "stroke" }));
  const where = over ? `from ${over[0]} to ${over[1]}` : `from position ${count(first)} on`;
  const label = `Line of ${count(many)} values ${where}, between ${low} and ${high}`;
  return h("figure", {}, svg(label, ...lines),
    h("figcaption", { textContent: `${label}.${leftOut(missing)}` }));
}

/** Return a heat map of levels from 0 to 255; null is left out. */
export function heat(levels, low, high, label) {
  const height = levels.length;
  const width = height ? levels[0].length : 0;
  const canvas = h("canvas", { width, height, role: "img", "aria-label": `${label}, between ${low} and ${high}` });
  const context = canvas.getContext("2d");
  if (width && height) {
    const image = context.createImageData(width, height);
    levels.flat().forEach((level, at) => {
      if (level === null) return;
      const part = level / 255; // from dark blue over green to yellow
      image.data.set([255 * part ** 1.4, 40 + 200 * part ** 0.8, 110 + 90 * part - 170 * part ** 3, 255], 4 * at);
    });
    context.putImageData(image, 0, 0);
  }
  canvas.style.width = `min(100%, ${Math.max(1, Math.min(8, Math.floor(480 / Math.max(width, height, 1)))) * width}px)`;
  return h("figure", {}, canvas, h("figcaption", { className: "ends" },
    h("span", { textContent: `low ${low}` }), h("span", { textContent: `high ${high}` })));
}
