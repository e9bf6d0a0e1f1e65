// @ts-check
// The network of the plane: a column for each layer, each unit as what it says of the plane, weights as lines.

import { h } from "./dom.js";
import { look, signs } from "./drawing.js";

/** @typedef {{layer: number, unit: number}} Cell */
/** @typedef {import("./engine.js").Numbers} Numbers */
/** @typedef {{act: (cell: Cell | null) => void, units: (layer: number, change: number) => void, layers: (change: number) => void}} Acts */

const SPACE = "http://www.w3.org/2000/svg";
const SIZE = 42, GAP = 10, TOP = 54;

export class Diagram {
  /** @param {HTMLElement} place @param {Acts} acts */
  constructor(place, acts) {
    this.place = place;
    this.acts = acts;
    this.key = "";
    this.svg = document.createElementNS(SPACE, "svg");
    this.svg.setAttribute("aria-hidden", "true");
    /** @type {HTMLButtonElement[][]} */
    this.units = [];
    /** @type {SVGPathElement[][]} */
    this.lines = [];
    /** @type {Cell | null} */
    this.focus = null;
  }

  /** @param {Record<string, any>} options @param {Numbers[]} views @param {Numbers[]} weights @param {Cell | null} focus */
  draw(options, views, weights, focus) {
    const counts = views.map((view) => view.shape[0]);
    this.focus = focus;
    const room = this.place.parentElement?.clientWidth ?? 600, key = `${counts}:${options.inputs}:${room}`;
    if (this.key !== key) { this.key = key; this.build(options, counts, room); }
    const colours = look();
    views.forEach(({ shape: [count, n], data }, layer) => {
      for (let unit = 0; unit < count; unit++) {
        const button = this.units[layer][unit], canvas = /** @type {HTMLCanvasElement} */ (button.firstElementChild);
        /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d")).putImageData(signs(data.subarray(unit * n * n, (unit + 1) * n * n), n, n, colours), 0, 0);
        button.setAttribute("aria-pressed", focus?.layer === layer && focus.unit === unit ? "true" : "false");
      }
    });
    const rgb = (/** @type {number[]} */ c) => `rgb(${c})`;
    weights.forEach(({ shape: [to, from], data }, layer) => {
      let most = 1e-6;
      for (let i = 0; i < data.length; i++) most = Math.max(most, Math.abs(data[i]));
      for (let i = 0; i < to * from; i++) {
        const line = this.lines[layer][i], share = Math.abs(data[i]) / Math.max(most, 1);
        line.setAttribute("stroke", rgb(data[i] > 0 ? colours.positive : colours.negative));
        line.setAttribute("stroke-width", (0.4 + 4.6 * share).toFixed(2));
        line.setAttribute("stroke-opacity", (0.18 + 0.7 * share).toFixed(2));
        line.firstElementChild?.replaceChildren(`weight ${data[i].toPrecision(3)}`);
      }
    });
  }

  /** @param {Record<string, any>} options @param {number[]} counts @param {number} room */
  build(options, counts, room) {
    const step = Math.max(88, Math.min(120, (room - SIZE - 24) / (counts.length - 1)));
    const most = Math.max(...counts, 2), height = TOP + most * (SIZE + GAP) + 8, width = (counts.length - 1) * step + SIZE + 8;
    const at = (/** @type {number} */ layer, /** @type {number} */ unit) => ({ x: 4 + layer * step, y: TOP + (most - counts[layer]) * (SIZE + GAP) / 2 + unit * (SIZE + GAP) });
    const focused = this.place.contains(document.activeElement) ? document.activeElement?.getAttribute("aria-label") : null;
    this.place.replaceChildren(this.svg);
    this.place.style.cssText = `width: ${width}px; height: ${height}px`;
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.svg.replaceChildren();
    this.lines = counts.slice(1).map((to, layer) => {
      const lines = [];
      for (let i = 0; i < to; i++) {
        for (let j = 0; j < counts[layer]; j++) {
          const line = document.createElementNS(SPACE, "path"), a = at(layer, j), b = at(layer + 1, i), x = a.x + SIZE, half = (b.x - x) / 2;
          line.setAttribute("d", `M${x} ${a.y + SIZE / 2}C${x + half} ${a.y + SIZE / 2} ${b.x - half} ${b.y + SIZE / 2} ${b.x} ${b.y + SIZE / 2}`);
          line.setAttribute("fill", "none");
          line.append(document.createElementNS(SPACE, "title"));
          this.svg.append(line);
          lines.push(line);
        }
      }
      return lines;
    });
    const last = counts.length - 1;
    this.units = counts.map((count, layer) => Array.from({ length: count }, (_, unit) => {
      const { x, y } = at(layer, unit), name = layer === 0 ? `input ${options.inputs[unit]}` : layer === last ? `output ${unit + 1}` : `unit ${unit + 1} of layer ${layer}`;
      const button = h("button.unit", { style: `left: ${x}px; top: ${y}px`, "aria-label": name, title: name, onclick: () => { const is = this.focus?.layer === layer && this.focus.unit === unit; this.acts.act(is ? null : { layer, unit }); } }, h("canvas", { width: 24, height: 24 }));
      this.place.append(button);
      return button;
    }));
    counts.forEach((count, layer) => {
      const { x } = at(layer, 0);
      const words = layer === 0 ? "inputs" : layer === last ? "outputs" : null;
      this.place.append(words ? h("span.over.quiet", { style: `left: ${x + SIZE / 2}px` }, words) : h("span.over", { style: `left: ${x + SIZE / 2}px` },
        h("button.plain", { "aria-label": `fewer units in layer ${layer}`, onclick: () => this.acts.units(layer - 1, -1) }, "−"), h("span.number", null, String(count)),
        h("button.plain", { "aria-label": `more units in layer ${layer}`, onclick: () => this.acts.units(layer - 1, 1) }, "+")));
    });
    const { x } = at(last, 0);
    this.place.append(h("span.under", { style: `left: ${x - (step - SIZE) / 2}px` }, h("button.plain", { "aria-label": "remove the last hidden layer", title: "Remove a layer", onclick: () => this.acts.layers(-1) }, "−"), h("span.quiet", null, "layer"), h("button.plain", { "aria-label": "add a hidden layer", title: "Add a layer", onclick: () => this.acts.layers(1) }, "+")));
    for (const button of this.place.querySelectorAll("button")) if (button.getAttribute("aria-label") === focused) button.focus(); // the keys stay where they were
  }
}
