// @ts-check
// What a training looks like at one moment: weights, layers, the confusion matrix, mistakes, the doctor's findings.

import { fill, h, kept } from "./dom.js";
import { grey, heat, tiles } from "./drawing.js";
import { unpack } from "./engine.js";

/** @typedef {import("./runs.js").Run} Run */
/** @typedef {import("./runs.js").Frame} Frame */

/** @param {string} words */
const sentence = (words) => words.charAt(0).toUpperCase() + words.slice(1);
/** @param {number} x */
const twoDigits = (x) => (x === 0 ? "0" : Math.abs(x) >= 0.01 && Math.abs(x) < 1000 ? String(Number(x.toPrecision(2))) : x.toExponential(0).replace("e-", "e−").replace("e+", "e"));

/** The first layers of all runs. @param {HTMLElement} place @param {{run: Run, frame: Frame | undefined}[]} all */
export function weights(place, all) {
  const shown = all.filter(({ frame }) => frame?.weights);
  const made = kept(place, shown.map(({ run }) => run.name).join(), () => {
    const canvases = shown.map(() => h("canvas", { role: "img" })), captions = shown.map(() => h("figcaption.quiet"));
    place.append(...shown.map((_, i) => h("figure", null, captions[i], canvases[i])));
    if (!shown.length) place.append(h("p.quiet", null, "Its weights are no pictures."));
    return { canvases, captions };
  });
  shown.forEach(({ run, frame }, i) => {
    if (!frame?.weights) return;
    tiles(made.canvases[i], frame.weights);
    made.canvases[i].setAttribute("aria-label", `The weights of ${frame.weights.shape[0]} units of ${run.name} at step ${frame.step}`);
    made.captions[i].textContent = `${shown.length > 1 ? `${run.name}, ` : ""}step ${frame.step.toLocaleString("en")}, darkest ±${twoDigits(frame.scale ?? 0)}`;
  });
}

const KINDS = /** @type {const} */ ([
  ["activations", "Activations", "−74", "74"],
  ["gradients", "Gradients", "1e−9", "10"],
  ["updates", "Updates / weights", "1e−7", "1"],
]);

/** Histograms of each layer on one axis of time. @param {HTMLElement} place @param {Run} run @param {number} step @param {Record<string, number[]>} bins */
export function layers(place, run, step, bins) {
  const frame = run.frameAt(step), names = (frame?.layers ?? []).map((layer) => layer.name);
  const made = kept(place, `${run.name}:${names.join()}`, () => {
    const rows = names.map((_, i) => {
      const cells = KINDS.map(([, title, low, high]) => ({ canvas: h("canvas", { role: "img" }), words: h("span.number"), title, low, high }));
      place.append(h("div.layer", null,
        h("h3", null, `Layer ${i + 1}`, h("span.quiet", null, ` ${frame?.layers[i].shape.join(" × ")}`)),
        cells.map(({ canvas, words, title, low, high }) => h("figure", null, h("figcaption", null, h("span", null, title), words), h("div.plot", null, h("span.axis", { "aria-hidden": "true" }, h("i", null, high), h("i", null, low)), canvas)))));
      return cells;
    });
    return rows;
  });
  const end = Math.max(run.step, 1);
  made.forEach((cells, i) => {
    const layer = frame?.layers[i];
    cells.forEach(({ canvas, words, title }, j) => {
      const kind = KINDS[j][0];
      const columns = run.frames.filter((one) => one.layers[i]?.[kind]).map((one) => ({ step: one.step, bins: one.layers[i][kind] }));
      const edges = bins[kind], mark = kind === "updates" ? (-3 - edges[0]) / (edges[edges.length - 1] - edges[0]) : kind === "activations" ? 0.5 : undefined;
      heat(canvas, columns, { end, cursor: step, mark });
      const text = !layer ? "" : kind === "activations" ? `${Math.round(100 * layer.zeros)}\u00a0% zero` : kind === "gradients" ? twoDigits(layer.gradient) : layer.update === undefined ? "" : twoDigits(layer.update);
      words.textContent = text;
      canvas.setAttribute("aria-label", `${title} of layer ${i + 1} over time, now ${text || "unknown"}`);
    });
  });
}

/**
 * The confusion matrix; arrows move in it, Enter chooses a cell.
 * @param {HTMLElement} place @param {import("./engine.js").Numbers | undefined} matrix @param {string[]} classes
 * @param {{truth: number, said: number} | null} picked @param {(cell: {truth: number, said: number} | null) => void} act
 */
export function confusion(place, matrix, classes, picked, act) {
  if (!matrix) { kept(place, "", () => place.append(h("p.quiet", null, "Nothing is measured yet."))); return; }
  const n = matrix.shape[0];
  const store = /** @type {any} */ (place);
  store.act = act; store.picked = picked;
  const cells = kept(place, `${n}:${classes.join()}`, () => {
    /** @type {HTMLButtonElement[]} */
    const buttons = [];
    const rows = Array.from({ length: n }, (_, truth) => h("tr", null, h("th", { scope: "row" }, classes[truth] ?? truth), Array.from({ length: n }, (_, said) => {
      const made = h("button", { tabindex: truth + said ? -1 : 0, onclick: () => { const is = store.picked?.truth === truth && store.picked?.said === said; store.act(is ? null : { truth, said }); } });
      buttons.push(made);
      return h("td", { role: "gridcell" }, made);
    })));
    const table = h(n > 16 ? "table.matrix.many" : "table.matrix", { role: "grid", "aria-label": "Confusion matrix", style: `--n: ${n}`, onkeydown: (/** @type {KeyboardEvent} */ event) => {
      const i = buttons.indexOf(/** @type {any} */ (document.activeElement));
      const to = { ArrowRight: i % n < n - 1 ? i + 1 : i, ArrowLeft: i % n ? i - 1 : i, ArrowDown: i + n < n * n ? i + n : i, ArrowUp: i >= n ? i - n : i }[event.key];
      if (i < 0 || to === undefined) return;
      event.preventDefault();
      buttons[i].tabIndex = -1; buttons[to].tabIndex = 0; buttons[to].focus();
    } }, h("thead", null, h("tr", null, h("td"), classes.map((name) => h("th", { scope: "col" }, name)))), h("tbody", null, rows));
    place.append(h("div.wide", null, table));
    return buttons;
  });
  for (let i = 0; i < n; i++) {
    let sum = 0;
    for (let j = 0; j < n; j++) sum += matrix.data[i * n + j];
    for (let j = 0; j < n; j++) {
      const count = matrix.data[i * n + j], share = sum ? count / sum : 0, button = cells[i * n + j];
      button.textContent = count ? String(count) : "";
      button.style.setProperty("--share", `${Math.round(100 * (i === j ? share * 0.75 : Math.min(1, Math.sqrt(share) * 1.3)))}%`);
      button.className = `${i === j ? "right" : "wrong"}${share > (i === j ? 0.6 : 0.3) ? " strong" : ""}`;
      button.setAttribute("aria-label", `${classes[i]} taken for ${classes[j]}: ${count}`);
      button.title = `${classes[i]} → ${classes[j]}: ${count}`;
      button.setAttribute("aria-pressed", picked?.truth === i && picked?.said === j ? "true" : "false");
    }
  }
}

/** @param {HTMLElement} place @param {Record<string, any>} found @param {Run} run @param {{truth: number, said: number} | null} picked */
export function mistakes(place, found, run, picked) {
  const { shape, data } = unpack(found.images), [count, t, w] = shape, name = (/** @type {number} */ i) => run.classes[i] ?? String(i);
  const when = found.step === null || found.step === undefined ? "" : ` at step ${found.step.toLocaleString("en")}`;
  const words = picked ? (picked.truth === picked.said ? `${found.count} times ${name(picked.truth)} is read correctly${when}; the least sure:` : `${found.count} times ${name(picked.truth)} is taken for ${name(picked.said)}${when}.`) : found.count ? `${found.count} mistakes${when}; those it is surest of:` : `No mistakes${when}.`;
  /** @type {any} */ (place).keptKey = null;
  fill(place, h("p.quiet", null, words), h("div.mistakes", null, Array.from({ length: count }, (_, i) => {
    const canvas = h("canvas.pixels", { role: "img", "aria-label": `${name(found.truth[i])}, taken for ${name(found.said[i])}` });
    grey(canvas, data.subarray(i * t * w, (i + 1) * t * w), w, t);
    return h("figure", null, canvas, h("figcaption.number", null, `${name(found.truth[i])} → ${name(found.said[i])}`, h("small", null, `${Math.round(100 * found.sure[i])}\u00a0%`)));
  })));
}

/**
 * What the doctor says; of a broken training, also what its curve looks like.
 * @param {HTMLElement} place @param {Run} run @param {{cure?: () => void}} [given] what starts the mended training
 */
export function doctor(place, run, { cure } = {}) {
  kept(place, `${run.name}:${run.findings.length}:${run.error}:${run.state === "starting"}:${!!cure}`, () => {
    const cards = run.findings.map((finding) => finding.code === "note" ? h("article.finding.note", null, h("p", null, finding.evidence)) : h("article.finding", null,
      h("h3", null, finding.code, finding.layer ? h("span.quiet", null, ` in ${finding.layer}`) : null), h("p", null, `${sentence(finding.evidence)}.`), h("p.quiet", null, finding.why), h("p.cure", null, h("b", null, "Try: "), finding.cure)));
    if (run.error) cards.unshift(h("article.finding", null, h("h3", null, "It stopped"), h("p", null, run.error)));
    const broken = run.settings?.broken && !run.settings.mended;
    if (broken) cards.unshift(h("article.finding.looks", null, h("p", null, h("b", null, "The curve: "), run.settings?.looks)));
    if (broken && cure) cards.push(h("article.finding", null, h("button", { id: "cure", onclick: cure }, "Train the mended one beside it")));
    place.append(...(cards.length ? cards : [h("p.quiet", null, run.state === "starting" ? "It looks at the data …" : "No findings.")]));
  });
}
