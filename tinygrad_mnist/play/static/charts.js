// @ts-check
// Curves that can be pointed at, by the library that the Python package plotly carries.

import { colour, h } from "./dom.js";

/** @typedef {{name: string, x: ArrayLike<number>, y: ArrayLike<number | null>, colour: string, dash?: string, width?: number, mode?: string, faint?: boolean}} Line */

/** @type {Promise<any> | null} */
let library = null;

/** Load the library, once. @returns {Promise<any>} */
export function loadCharts() {
  library ??= new Promise((resolve, reject) => {
    const script = h("script", { src: "/library/plotly.min.js" });
    script.onload = () => resolve(/** @type {any} */ (globalThis).Plotly);
    script.onerror = () => { library = null; reject(new Error("the charts cannot be loaded")); };
    document.head.append(script);
  });
  return library;
}

/**
 * Draw curves, or draw them anew.
 * @param {HTMLElement} place @param {Line[]} lines
 * @param {{x: string, y: string, cursor?: number, log?: boolean, percent?: boolean, end?: number, act?: (x: number) => void}} given
 */
export async function curves(place, lines, { x, y, cursor, log = false, percent = false, end, act }) {
  const Plotly = await loadCharts();
  if (!place.isConnected) return;
  const text = colour("--faint"), line = colour("--line");
  const axis = { gridcolor: line, zeroline: false, linecolor: line, tickcolor: line, tickfont: { size: 11, color: text }, title: { font: { size: 11, color: text } }, fixedrange: true };
  const layout = {
    margin: { l: 44, r: 6, t: 6, b: 34 }, height: 230, showlegend: false, hovermode: "x", dragmode: false,
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { family: "inherit", color: text },
    hoverlabel: { bgcolor: colour("--surface"), bordercolor: line, font: { color: colour("--text"), size: 12 } },
    xaxis: { ...axis, title: { ...axis.title, text: x }, range: end ? [0, end] : undefined, showgrid: false },
    yaxis: { ...axis, title: { ...axis.title, text: "" }, type: log ? "log" : "linear", tickformat: percent ? ".3~p" : undefined, rangemode: log ? undefined : percent ? "normal" : "tozero" },
    shapes: cursor === undefined ? [] : [{ type: "line", x0: cursor, x1: cursor, y0: 0, y1: 1, yref: "paper", line: { color: colour("--text"), width: 1 } }],
  };
  const traces = lines.map((one) => ({
    type: "scatter", mode: one.mode ?? "lines", name: one.name, x: Array.from(one.x), y: Array.from(one.y), opacity: one.faint ? 0.45 : 1,
    line: { color: one.colour, dash: one.dash ?? "solid", width: one.width ?? 2 }, marker: { color: one.colour, size: 6 },
    hovertemplate: `%{y:${percent ? ".1%" : ".4g"}}<extra>${one.name}</extra>`,
  }));
  const isNew = !("data" in place);
  await Plotly.react(place, traces, layout, { displayModeBar: false, responsive: true });
  place.setAttribute("role", "img");
  const ends = lines.filter((one) => one.y.length).map((one) => `${one.name} ${Number(one.y[one.y.length - 1]).toPrecision(3)}`);
  place.setAttribute("aria-label", `${y} over ${x}: ${ends.join(", ") || "nothing yet"}`);
  if (isNew && act) /** @type {any} */ (place).on("plotly_click", (/** @type {any} */ event) => act(event.points[0].x));
}
