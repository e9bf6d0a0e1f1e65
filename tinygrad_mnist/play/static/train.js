// @ts-check
// The room Train: the form, the runs, the place in time, and what they look like there.

import { colour, field, fill, h, kept, put, say, select, tell } from "./dom.js";
import { confusion, doctor, layers, mistakes, weights } from "./inside.js";
import { curves } from "./charts.js";
import { form, gallery } from "./settings.js";
import { Run, follow } from "./runs.js";
import { thin } from "./drawing.js";

/** @typedef {import("./engine.js").Engine} Engine */

const DASHES = ["solid", "dash", "dot", "dashdot"];
const COLOURS = ["--accent", "--orange", "--green", "--purple"];
const STATES = { starting: "starting", running: "running", paused: "paused", done: "done", failed: "failed" };
/** @type {Record<string, string>} */
export const KNOBS = { lr: "Learning rate", weight_decay: "Weight decay", dropout: "Dropout" };

/** @param {HTMLElement} place @param {Engine} engine @param {import("./main.js").State} state */
export async function mount(place, engine, state) {
  const options = await engine.ask("train", "options");
  /** @type {Map<string, Run>} */
  const runs = new Map();
  let chosen = "", at = Infinity, isFormOpen = false;
  const run = () => runs.get(chosen);
  /** The step that is shown. */
  const now = () => Math.min(at, run()?.step ?? 0);

  // -- the parts of the page
  const bar = h("div.runs", { role: "group", "aria-label": "Trainings" });
  const transport = h("section.card.transport", { "aria-label": "Time" });
  const loss = h("div.chart"), accuracy = h("div.chart");
  const legend = h("p.legend.quiet");
  const firstWeights = h("div"), inside = h("div"), matrix = h("div"), wrong = h("div"), cards = h("div"), keep = h("div.row");
  const said = h("p.quiet.facts"), matrixWords = h("p.quiet");
  const matrixCard = h("section.card.confusion", null, h("div.head", null, h("h2", null, "Confusion matrix"), matrixWords), matrix);
  const wrongCard = h("section.card.wrong", null, h("div.head", null, h("h2", null, "Worst mistakes")), wrong);
  const body = h("div.body", { hidden: true },
    transport,
    h("section.card.curves", null, h("div.head", null, h("h2", null, "Loss"), legend), loss),
    h("section.card.curves", null, h("div.head", null, h("h2", null, "Accuracy"), h("p.quiet", null, "Pale: test images. Strong: validation.")), accuracy),
    h("section.card.doctor", null, h("div.head", null, h("h2", null, "The doctor")), cards),
    h("section.card.first", null, h("div.head", null, h("h2", null, "First layer"), h("p.quiet", null, "Red speaks for a unit, blue against it.")), firstWeights),
    h("section.card.inside", null, h("div.head", null, h("h2", null, "Layer by layer"), h("p.quiet", null, "Across is time; the darker, the more common a value. Dotted: updates of a thousandth.")), inside),
    matrixCard,
    wrongCard,
    h("section.card.keep", null, h("div.head", null, h("h2", null, "Export")), keep, said));
  const settings = form(options, engine, (given, paused) => start(given, paused));
  const drawer = h("div.drawer", { hidden: true },
    h("section.card.form", { "aria-label": "New training" }, settings.place),
    h("section.card.form", { "aria-label": "A broken training" }, gallery(options.broken, state.params.get("broken") ?? "", (code) => breaks(code, false))));
  put(place,
    h("div.head", null, h("div", null, h("h1", null, "Train"), h("p.quiet", null, "Watch a network learn. Stop it, wind it back, change one thing, and compare."))),
    bar, drawer, body);

  // -- runs
  /** @param {Record<string, any>} given @param {boolean} paused */
  async function start(given, paused) {
    const name = await engine.ask("train", "start", { options: given, paused });
    isFormOpen = false;
    await add(name);
    choose(name);
    transport.querySelector("button")?.focus();
  }

  /** Train one of the broken trainings, or its mended one. @param {string} code @param {boolean} mended */
  async function breaks(code, mended) {
    const name = await engine.ask("train", "start_broken", { code, mended });
    state.keep(new URLSearchParams({ broken: code }));
    isFormOpen = false;
    await add(name);
    if (!mended) choose(name); // what was found stays on the page beside its cure
    showBar();
    if (mended) moved();
    else transport.querySelector("button")?.focus();
  }

  /** @param {string} name */
  async function add(name) {
    if (runs.has(name)) return;
    const made = new Run(name);
    runs.set(name, made);
    await follow(made, engine);
    chosen ||= name;
  }

  /** @param {string} name */
  function choose(name) {
    chosen = name;
    at = Infinity;
    picked = null;
    showBar(); moved();
  }

  /** @param {string} name */
  async function remove(name) {
    await engine.ask("train", "remove", { run: name });
    runs.delete(name);
    if (chosen === name) choose([...runs.keys()].at(-1) ?? "");
    else { showBar(); drawAll(); }
  }

  /** @param {string} step @param {string} knob @param {number} value @param {boolean} paused */
  async function fork(step, knob, value, paused) {
    const { run: name } = await engine.ask("train", "fork", { run: chosen, step: Number(step), knob, value, paused });
    await add(name);
    choose(name);
    say(`${name} repeats ${knob ? "and then differs" : "the same training"}`);
  }

  const look = (/** @type {Run} */ one) => ({ colour: colour(COLOURS[one.number % 4]), dash: DASHES[one.number % 4] });

  function showBar() {
    const isFull = runs.size >= options.most;
    drawer.hidden = runs.size > 0 && !isFormOpen;
    body.hidden = !runs.size;
    const shown = [...runs.values()];
    const { chips, more } = kept(bar, JSON.stringify(shown.map((one) => [one.name, one.number])), () => {
      const more = h("button", { onclick: () => { isFormOpen = !isFormOpen; showBar(); } });
      const chips = shown.map((one) => {
        const { colour: ink, dash } = look(one), title = h("span.quiet"), right = h("span.number"), doing = h("span.state");
        const chip = h("button.chip", { onclick: () => choose(one.name) }, swatch(ink, dash), h("b", null, one.name), title, right, doing);
        bar.append(h("div.run", null, chip, h("button.plain", { "aria-label": `Remove ${one.name}`, onclick: tell(() => remove(one.name)) }, "×")));
        return { chip, title, right, doing };
      });
      if (shown.length) bar.append(more);
      return { chips, more };
    });
    shown.forEach((one, i) => {
      const { chip, title, right, doing } = chips[i];
      chip.setAttribute("aria-pressed", String(one.name === chosen));
      title.textContent = one.title;
      right.textContent = one.accuracyNow();
      doing.dataset.state = one.state;
      doing.textContent = STATES[/** @type {keyof typeof STATES} */ (one.state)] ?? one.state;
    });
    more.disabled = isFull;
    more.title = isFull ? "Four are side by side; remove one first." : "";
    more.setAttribute("aria-expanded", String(isFormOpen));
    more.textContent = isFormOpen ? "Close" : "New training";
  }

  // -- time
  const scrub = h("input", { type: "range", min: 0, max: 0, value: 0, step: 1, "aria-label": "Step", oninput: () => { const step = Number(scrub.value); at = step >= (run()?.step ?? 0) ? Infinity : step; moved(); } });
  const where = h("output.number", { "aria-live": "off" });
  const play = h("button.main", { onclick: tell(async () => { await engine.ask("train", "steer", { run: chosen, what: run()?.state === "paused" ? "go" : "pause" }); }) }, "Pause");
  const one = h("button", { onclick: tell(async () => { at = Infinity; await engine.ask("train", "steer", { run: chosen, what: "step" }); }) }, "One step");
  const latest = h("button", { onclick: () => { at = Infinity; moved(); } }, "Now");
  const rate = h("input.number", { type: "number", min: 0, step: "any", inputmode: "decimal", onchange: tell(async () => { await engine.ask("train", "turn", { run: chosen, knob: knob.value, value: Number(rate.value) }); say(`${KNOBS[knob.value]} is ${rate.value} from now on`); }) });
  const knob = select(options.knobs.map((/** @type {string} */ name) => [name, KNOBS[name]]), "lr", () => showKnob());
  const set = h("button", { onclick: () => rate.dispatchEvent(new Event("change")) }, "Set");
  const branch = h("button", { onclick: tell(() => fork(String(now()), knob.value, Number(rate.value), false)) }, "Fork from here");
  const again = h("button", { onclick: tell(() => fork(String(now()), "", 0, false)) }, "Repeat as it was");
  const knobField = field("Change", knob), rateField = field("to", rate);
  put(transport,
    h("div.row.buttons", null, play, one, latest, where),
    h("div.scrub", null, scrub),
    h("div.row.change", null, knobField, rateField, set, branch, again));

  function showKnob() {
    const mine = run();
    if (mine && document.activeElement !== rate) rate.value = String(Number((mine.knobAt(knob.value, now()) ?? 0).toPrecision(4)));
  }

  function showTransport() {
    const mine = run();
    transport.hidden = !mine;
    if (!mine) return;
    const isOver = mine.state === "done" || mine.state === "failed", isPast = at < mine.step;
    play.textContent = mine.state === "paused" ? "Go on" : "Pause";
    play.disabled = one.disabled = isOver || mine.state === "starting";
    latest.disabled = !isPast;
    scrub.max = String(mine.step);
    scrub.value = String(now());
    const epoch = mine.batches ? Math.min(Math.floor(now() / mine.batches) + 1, mine.epochs) : 1;
    scrub.setAttribute("aria-valuetext", `step ${now()}, epoch ${epoch}`);
    where.textContent = mine.state === "starting" ? "starts …" : `step ${now().toLocaleString("en")} of ${mine.steps.toLocaleString("en")} · epoch ${epoch} of ${mine.epochs}${isPast ? " · the past" : ""}`;
    set.disabled = isOver || isPast;
    const isBroken = mine.settings?.broken !== undefined;
    branch.hidden = again.hidden = isBroken;
    for (const button of keep.children) if (button instanceof HTMLElement) button.hidden = isBroken && !("replay" in button.dataset);
    branch.title = now() >= mine.steps ? "Go back in time first." : "";
    branch.disabled = runs.size >= options.most || now() >= mine.steps || !mine.moments.length;
    again.disabled = runs.size >= options.most || !mine.moments.length;
    showKnob();
  }

  let asks = 0;
  function moved() {
    showTransport(); drawAll();
    clearTimeout(asks);
    asks = setTimeout(() => showMistakes().catch(report), 150); // while the slider moves, it does not ask
  }

  // -- pictures
  /** @type {{truth: number, said: number} | null} */
  let picked = null;
  let lastCurves = 0, lastPictures = 0, timer = 0;
  /** @param {boolean} [isNew] */
  function drawAll(isNew = true) {
    clearTimeout(timer);
    const time = performance.now(), due = Math.max(lastCurves + 250, lastPictures + 100) - time;
    if (!isNew && due > 0) { timer = setTimeout(() => drawAll(), due); return; }
    lastCurves = lastPictures = time;
    drawCurves();
    drawPictures();
  }

  function drawCurves() {
    const all = [...runs.values()], end = Math.max(1, ...all.map((one) => one.step)), cursor = at < (run()?.step ?? 0) ? now() : undefined;
    const jump = (/** @type {number} */ x) => { at = Math.round(x) >= (run()?.step ?? 0) ? Infinity : Math.round(x); moved(); };
    curves(loss, all.flatMap((one) => {
      const { colour: ink, dash } = look(one), measured = one.rows.filter(({ row }) => row.validation_loss !== undefined);
      return [
        { name: one.name, ...thin(one.losses), colour: ink, dash, faint: measured.length > 0 && one.losses.length > 60, width: 1.5 },
        ...(measured.length ? [{ name: `${one.name}, validation`, x: measured.map(({ step }) => step), y: measured.map(({ row }) => row.validation_loss), colour: ink, dash, mode: measured.length < 30 ? "lines+markers" : "lines" }] : []),
      ];
    }), { x: "step", y: "Loss", cursor, end, act: jump }).catch(report);
    curves(accuracy, all.flatMap((one) => {
      const frames = [...one.frames, ...one.measures].filter((frame) => frame.accuracy !== undefined).sort((a, b) => a.step - b.step), measured = one.rows.filter(({ row }) => row.validation_accuracy !== undefined), { colour: ink, dash } = look(one);
      return [
        { name: `${one.name}, test images`, x: frames.map(({ step }) => step), y: frames.map((frame) => frame.accuracy ?? null), colour: ink, dash, faint: measured.length > 0, width: 1.5, mode: frames.length < 4 ? "markers" : frames.length < 30 ? "lines+markers" : "lines" },
        ...(measured.length ? [{ name: `${one.name}, validation`, x: measured.map(({ step }) => step), y: measured.map(({ row }) => row.validation_accuracy), colour: ink, dash, mode: measured.length < 30 ? "lines+markers" : "lines" }] : []),
      ];
    }), { x: "step", y: "Accuracy", percent: true, cursor, end, act: jump }).catch(report);
    fill(legend, all.length > 1 ? all.map((one) => h("span", null, swatch(look(one).colour, look(one).dash), one.name)) : "Pale: each batch. Strong: validation.");
  }

  const report = (/** @type {Error} */ error) => console.error(error);

  function drawPictures() {
    const mine = run();
    if (!mine) return;
    weights(firstWeights, [...runs.values()].map((one) => ({ run: one, frame: one.frameAt(at === Infinity ? Infinity : now()) })));
    layers(inside, mine, now(), options.bins);
    const measured = mine.measuredAt(now());
    confusion(matrix, measured?.matrix, mine.classes, picked, (cell) => { picked = cell; drawPictures(); showMistakes().catch(report); });
    matrixWords.textContent = `Rows: the truth. Columns: the answer. ${measured ? `At step ${measured.step.toLocaleString("en")}.` : ""}`;
    const isMendedHere = [...runs.values()].some((one) => one.settings?.broken === mine.settings?.broken && one.settings?.mended);
    doctor(cards, mine, mine.settings?.broken && !isMendedHere ? { cure: tell(() => breaks(mine.settings?.broken, true)) } : {});
    const seconds = mine.pace ? `A step takes ${(1000 * mine.pace).toPrecision(2)} ms; watching takes ${(100 * mine.watching).toFixed(1)}\u00a0% of that.` : "";
    fill(said, mine.error ? h("span.bad", null, mine.error) : null, ` ${mine.counts ? `Data: ${mine.data}; ${mine.counts[0].toLocaleString("en")} examples to train with. ` : ""}${seconds}`, mine.folder ? [" The run is in ", h("code", null, mine.folder), "."] : null);
  }

  let asked = "";
  async function showMistakes() {
    const mine = run(), isTested = mine?.counts?.[1] !== 0;
    matrixCard.hidden = wrongCard.hidden = !isTested;
    if (!isTested) return;
    if (!mine || mine.state === "starting" || (mine.state === "failed" && !mine.result)) { fill(wrong, h("p.quiet", null, "None yet.")); return; }
    const step = at < mine.step ? now() : null, key = JSON.stringify([mine.name, picked, step, step === null ? mine.rows.length : 0]);
    if (key === asked) return;
    asked = key;
    const found = await engine.ask("train", "mistakes", { run: mine.name, ...(picked ?? {}), step });
    mine.measured(found);
    if (asked === key) { mistakes(wrong, found, mine, picked); drawAll(false); showBar(); }
  }

  fill(keep,
    h("button", { onclick: tell(async () => engine.save(await engine.ask("train", "export", { run: chosen, what: "folder" }))) }, "Run folder"),
    h("button", { "data-replay": "", onclick: tell(async () => engine.save(await engine.ask("train", "export", { run: chosen, what: "replay" }))) }, "Replay, one file"),
    h("button", { onclick: tell(async () => engine.save(await engine.ask("train", "export", { run: chosen, what: "program" }))) }, "NumPy program"),
    h("button", { onclick: () => { const mine = run(); if (mine?.settings) { settings.set(mine.settings); isFormOpen = true; showBar(); drawer.scrollIntoView({ block: "nearest" }); } } }, "Copy its settings"));

  // -- news
  /** @type {Set<string>} */
  const waiting = new Set();
  let isPulling = false;
  async function pull() {
    if (isPulling) return;
    isPulling = true;
    try {
      while (waiting.size) {
        const names = [...waiting];
        waiting.clear();
        for (const name of names) if (runs.has(name)) await follow(/** @type {Run} */ (runs.get(name)), engine);
        const mine = run();
        showBar(); showTransport(); drawAll(false);
        if (mine && names.includes(chosen)) showMistakes().catch(report);
        await new Promise((resolve) => requestAnimationFrame(resolve));
      }
    } catch (error) { report(/** @type {Error} */ (error)); } finally { isPulling = false; }
  }
  const endings = [
    engine.on("train", "news", ({ run: name }) => { waiting.add(name); pull(); }),
    engine.on("train", "runs", async ({ runs: names }) => {
      for (const name of runs.keys()) if (!names.includes(name)) runs.delete(name);
      for (const name of names) await add(name).catch(report);
      if (!runs.has(chosen)) chosen = names.at(-1) ?? "";
      showBar(); showTransport(); drawAll();
    }),
  ];
  const repaint = () => drawAll(), recolour = () => { kept(bar, "", () => {}); showBar(); drawAll(); };
  const dark = matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", recolour);
  addEventListener("resize", repaint);

  // -- keys: space pauses, arrows scrub, s is one step
  const keys = (/** @type {KeyboardEvent} */ event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !(event.target instanceof Element) || event.target.closest("input, select, textarea, button, a, summary, [role=grid]")) return;
    const mine = run();
    if (!mine) return;
    if (event.key === " " && !play.disabled) play.click();
    else if (event.key === "s" && !one.disabled) one.click();
    else if (event.key === "ArrowLeft") { at = Math.max(0, now() - Math.max(1, Math.round(mine.step / 100))); moved(); }
    else if (event.key === "ArrowRight") { at = now() + Math.max(1, Math.round(mine.step / 100)); if (at >= mine.step) at = Infinity; moved(); }
    else return;
    event.preventDefault();
  };
  addEventListener("keydown", keys);

  for (const name of options.runs) await add(name);
  if (options.runs.length) chosen = options.runs.at(-1);
  showBar(); showTransport();
  if (runs.size) { drawAll(); showMistakes().catch(report); }
  return () => { endings.forEach((end) => end()); dark.removeEventListener("change", recolour); removeEventListener("resize", repaint); removeEventListener("keydown", keys); };
}

/** A piece of a run's line. @param {string} ink @param {string} dash */
function swatch(ink, dash) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", "svg"), line = document.createElementNS("http://www.w3.org/2000/svg", "line");
  for (const [key, value] of Object.entries({ width: 22, height: 8, "aria-hidden": "true", class: "swatch" })) made.setAttribute(key, String(value));
  for (const [key, value] of Object.entries({ x1: 0, y1: 4, x2: 22, y2: 4, stroke: ink, "stroke-width": 2.5, "stroke-dasharray": { solid: "", dash: "6 3", dot: "2 3", dashdot: "6 3 2 3" }[dash] ?? "" })) line.setAttribute(key, String(value));
  made.append(line);
  return made;
}
