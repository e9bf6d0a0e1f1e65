// @ts-check
// A training played again, from one file that needs nothing else: pages.py puts it together.

import { h, put } from "./dom.js";
import { curve } from "./drawing.js";
import { unpack } from "./engine.js";
import { confusion, doctor, layers, weights } from "./inside.js";
import { Run } from "./runs.js";

/** Play what the engine told of a training. @param {HTMLElement} place @param {Record<string, any>} news @param {Record<string, number[]>} bins */
export function replay(place, news, bins) {
  const run = new Run(news.name);
  run.state = news.state;
  for (const event of news.events) run.hear(event);
  run.losses = Array.from(unpack(news.losses).data);
  run.step = Math.max(run.step, run.losses.length);
  let at = 0, timer = 0;
  const loss = h("canvas", { role: "img" }), words = h("output.number.quiet"), first = h("div"), inside = h("div"), matrix = h("div"), cards = h("div");
  const scrub = h("input", { type: "range", min: 0, max: run.step, step: 1, "aria-label": "Step", oninput: () => { stop(); at = Number(scrub.value); draw(); } });
  const play = h("button.main", { onclick: () => (timer ? stop() : begin()) }, "Play");
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  function stop() { clearInterval(timer); timer = 0; play.textContent = "Play"; }
  function begin() {
    if (at >= run.step) at = 0;
    play.textContent = "Pause";
    timer = setInterval(() => { at = Math.min(run.step, at + Math.max(1, Math.round(run.step / (still ? 12 : 240)))); draw(); if (at >= run.step) stop(); }, still ? 1000 : 50);
  }
  /** @type {{truth: number, said: number} | null} */
  let picked = null;
  function draw() {
    const frame = run.frameAt(at), measured = run.measuredAt(at);
    scrub.value = String(at);
    words.textContent = `step ${at.toLocaleString("en")} of ${run.step.toLocaleString("en")}${measured?.accuracy === undefined ? "" : ` · ${(100 * measured.accuracy).toFixed(1)}\u00a0% of some test images are correct`}`;
    curve(loss, run.losses, { end: run.step, cursor: at });
    loss.setAttribute("aria-label", `Loss over steps, now ${run.losses[Math.max(at - 1, 0)]}`);
    weights(first, [{ run, frame }]);
    layers(inside, run, at, bins);
    confusion(matrix, measured?.matrix, run.classes, picked, (cell) => { picked = cell; draw(); });
    doctor(cards, run);
  }
  const card = (/** @type {string} */ kind, /** @type {string} */ title, /** @type {HTMLElement} */ what) => h(`section.card.${kind}`, null, h("div.head", null, h("h2", null, title)), what);
  put(place, h("div.head", null, h("div", null, h("h1", null, "A training"), h("p.quiet", null, `${run.title} on ${run.data}`))),
    h("div.body", null, h("section.card.transport", null, h("div.row", null, play, words), scrub), card("curves", "Loss", loss), card("doctor", "The doctor", cards),
      card("first", "First layer", first), card("inside", "Layer by layer", inside), card("confusion", "Confusion matrix", matrix)));
  addEventListener("keydown", (event) => {
    if (event.target instanceof Element && event.target.closest("input, button, [role=grid]")) return;
    if (event.key === " ") { event.preventDefault(); play.click(); }
  });
  addEventListener("resize", draw);
  draw();
}
