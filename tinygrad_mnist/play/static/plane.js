// @ts-check
// The room Plane: points, a network, and what it makes of the plane. The address keeps all settings.

import { colour, field, fill, h, isStill, put, say, select, short, tell } from "./dom.js";
import { look, mix, paint, rgb, signs } from "./drawing.js";
import { curves } from "./charts.js";
import { unpack } from "./engine.js";
import { Diagram } from "./diagram.js";

/** @typedef {number[][]} Points each [x, y, class] */
/** @typedef {{step: number, lr: number, train: number, test: number | null, right: number, state: string, shares: any, views: any[], weights: any[]}} Picture */

const CLASSES = ["--blue", "--orange", "--green", "--purple"];
const NAMES = ["blue circles", "orange squares", "green triangles", "purple diamonds"];
const SPEEDS = /** @type {[string, string][]} */ ([["20", "20 a second"], ["200", "200 a second"], ["0", "as fast as it can"]]);

/** @param {HTMLElement} place @param {import("./engine.js").Engine} engine @param {import("./main.js").State} state */
export async function mount(place, engine, state) {
  const choices = await engine.ask("plane", "choices"), reach = choices.reach;
  /** @type {Record<string, any>} */
  let options = { ...choices.defaults };
  /** @type {Points | null} */
  let own = null;
  /** @type {{train: Points, test: Points}} */
  let shown = { train: [], test: [] };
  /** @type {Picture | null} */
  let picture = null;
  /** @type {[number, number, number][]} */
  let history = [];
  /** @type {{layer: number, unit: number} | null} */
  let focus = null;
  let isPainting = false, brush = 0;

  // -- parts
  const output = h("canvas.output", { role: "application", tabindex: 0, "aria-label": "The plane as the network sees it" }), caption = h("p.quiet.caption"), numbers = h("dl.numbers");
  const chart = h("div.chart"), network = h("div.network");
  const diagram = new Diagram(network, {
    act: (cell) => { focus = cell; draw(); },
    units: (layer, change) => { const hidden = [...options.hidden]; hidden[layer] = Math.max(1, Math.min(choices.most.units, hidden[layer] + change)); change_({ hidden }); },
    layers: (change) => { const hidden = change > 0 ? [...options.hidden, 3] : options.hidden.slice(0, -1); if (hidden.length <= choices.most.layers) change_({ hidden }); },
  });
  const play = h("button.main", { onclick: tell(() => steer(isGoing ? "pause" : "go")) }, "Play");
  const step = h("button", { onclick: tell(() => steer("step")) }, "One step");
  const again = h("button", { onclick: tell(() => { isGoing = false; return begin(false); }) }, "Again");
  const speed = select(SPEEDS, "200", () => { if (isGoing) steer("go").catch(report); });
  const count = h("output.number.quiet");
  const kinds = h("div.kinds", { role: "radiogroup", "aria-label": "Points" });
  const number = (/** @type {string} */ name, /** @type {Record<string, any>} */ given) => h("input.number", { type: "number", inputmode: "decimal", step: "any", value: options[name], ...given, onchange: (/** @type {Event} */ event) => change_({ [name]: Number(/** @type {HTMLInputElement} */ (event.target).value) }) });
  const controls = {
    noise: number("noise", { min: 0, max: 1, step: 0.05 }), count: number("count", { min: 10, max: 1000, step: 10 }), seed: number("seed", { min: 0, step: 1 }),
    activation: select(choices.activation, options.activation, (value) => change_({ activation: value })),
    optimizer: select(Object.keys(choices.optimizer), options.optimizer, (value) => change_({ optimizer: value, lr: Math.min(0.3, 5 * choices.optimizer[value]) })),
    lr: h("input.number", { type: "number", inputmode: "decimal", step: "any", min: 0, onchange: tell(async () => { options.lr = Number(controls.lr.value); keep(); await engine.ask("plane", "turn", { lr: options.lr }); }) }),
    batch: number("batch", { min: 1, max: 500, step: 1 }), decay: number("decay", { min: 0 }),
  };
  const inputs = h("div.inputs", { role: "group", "aria-label": "What the network sees" }, choices.inputs.map((/** @type {string} */ name) => h("button", {
    "data-name": name, onclick: () => { const now = options.inputs.includes(name) ? options.inputs.filter((/** @type {string} */ x) => x !== name) : choices.inputs.filter((/** @type {string} */ x) => options.inputs.includes(x) || x === name); if (now.length) change_({ inputs: now }); else say("The network must see something."); },
  }, name)));
  const paste = h("textarea", { rows: 4, placeholder: "x, y, class\n0.5, 1.2, 0\n…", spellcheck: "false" });
  const brushes = h("div.brushes", { role: "radiogroup", "aria-label": "Class of the points to paint" }, NAMES.map((name, i) => h("button", { role: "radio", "aria-checked": i === 0 ? "true" : "false", "aria-label": name, title: name, onclick: () => { brush = i; isPainting = true; showBrushes(); } }, marker(i))));
  const paintButton = h("button", { "aria-pressed": "false", onclick: () => { isPainting = !isPainting; showBrushes(); } }, "Paint points");
  put(place,
    h("div.head", null, h("div", null, h("h1", null, "Plane"), h("p.quiet", null, "Points in two dimensions, and a small network that learns to tell them apart."))),
    h("section.card.controls", { "aria-label": "Training" }, h("div.row", null, play, step, again, h("label.inline", null, h("span.label", null, "Speed"), speed), count)),
    h("div.table", null,
      h("section.card.data", null, h("h2", null, "Points"), kinds,
        h("div.fields", null, field("Noise", controls.noise), field("How many", controls.count), field("Seed", controls.seed)),
        h("details", null, h("summary", null, "Your own points"),
          h("div.row", null, paintButton, brushes, h("button", { onclick: () => setOwn(null) }, "Clear")),
          h("p.quiet", null, "Choose a class, then click or draw in the plane. With keys: arrows move the cross, Enter sets a point."),
          field("or paste them", paste), h("button", { onclick: takePasted }, "Take these"))),
      h("section.card.net", null, h("div.head", null, h("h2", null, "Network"), h("p.quiet", null, "Each square is what one unit says of the plane: red is positive, blue negative. Thick lines are large weights.")),
        h("div.wide", null, network),
        h("div.fields", null, field("Activation", controls.activation), field("Optimizer", controls.optimizer), field("Learning rate", controls.lr), field("Batch size", controls.batch), field("Weight decay", controls.decay)),
        h("h3", null, "Inputs"), inputs),
      h("section.card.out", null, h("h2", null, "What it says"), output, caption, numbers),
      h("section.card.losses", null, h("div.head", null, h("h2", null, "Loss"), h("p.quiet", null, "Solid: training. Dashed: test.")), chart)));

  // -- the engine
  /** Whether the user wants it to train; pictures come a little later. */
  let isGoing = false;
  /** Which network is shown, and a picture that came before it was known. */
  let network_ = 0;
  /** @type {any} */
  let early = null;
  const spell = (/** @type {any} */ x) => JSON.stringify(x, (_, value) => (value && typeof value === "object" && !Array.isArray(value) ? Object.fromEntries(Object.entries(value).sort()) : value));
  /** @param {string} what */
  const steer = (what) => { isGoing = what === "go"; showPlay(); return engine.ask("plane", "steer", { what, speed: Number(speed.value) }); };
  const showPlay = () => { play.textContent = isGoing ? "Pause" : "Play"; };
  const report = (/** @type {Error} */ error) => say(error.message, true);

  /** @param {boolean} go */
  async function begin(go) {
    history = [];
    showPlay();
    const asked = options, begun = await engine.ask("plane", "begin", { options, points: own, go });
    if (options !== asked) return; // something was changed meanwhile, and will begin again
    focus = null;
    take(begun);
  }

  /** Take over what is trained. @param {Record<string, any>} begun */
  function take(begun) {
    options = begun.options;
    network_ = begun.number;
    shown = { train: rows(begun.train), test: rows(begun.test) };
    showControls();
    keep();
    if (early?.number === network_) hear(early);
  }

  /** Show what is trained already, here or on another tab; false if it is something else. @param {boolean} [isAny] */
  async function adopt(isAny = true) {
    const now = await engine.ask("plane", "state");
    if (!now.last || (!isAny && [[now.options, options], [now.points, own]].some(([a, b]) => spell(a) !== spell(b)))) return false;
    own = now.points;
    const { shape: [n], data } = unpack(now.history);
    history = Array.from({ length: n }, (_, i) => /** @type {[number, number, number]} */ ([data[3 * i], data[3 * i + 1], data[3 * i + 2]]));
    focus = null;
    isGoing = now.last.state === "running";
    early = { ...now.last, number: now.number };
    take(now);
    return true;
  }

  let wait = 0;
  /** Change settings, and begin again. @param {Record<string, any>} changes */
  function change_(changes) {
    const before = options;
    options = { ...options, ...changes };
    showControls();
    clearTimeout(wait);
    wait = setTimeout(() => begin(isGoing).catch((error) => { options = before; showControls(); report(error); }), 120);
  }

  /** @param {Points | null} points */
  function setOwn(points) {
    own = points?.length ? points : null;
    if (!own || own.length > 1) change_({});
    else draw();
  }

  function takePasted() {
    const lines = paste.value.split("\n").map((line) => line.trim().split(/[\s,;]+/)).filter((parts) => parts.length >= 3);
    const found = lines.filter((parts) => Number.isFinite(Number(parts[0])) && Number.isFinite(Number(parts[1])) && parts[0] !== "" && parts[1] !== "");
    const labels = [...new Set(found.map((parts) => parts[2]))].sort();
    if (found.length < 2) say("No points were found: each line is x, y, class.", true);
    else if (labels.length > choices.most.classes) say(`There are ${labels.length} classes; the most are ${choices.most.classes}.`, true);
    else { setOwn(found.map(([x, y, label]) => [Number(x), Number(y), labels.indexOf(label)])); say(`${found.length} points of ${labels.length} classes`); }
  }

  // -- the address
  const SHORT = /** @type {const} */ (["data", "noise", "count", "activation", "optimizer", "lr", "batch", "decay", "seed"]);
  function keep() {
    const params = new URLSearchParams();
    for (const name of SHORT) if (options[name] !== choices.defaults[name]) params.set(name, String(options[name]));
    if (String(options.hidden) !== String(choices.defaults.hidden)) params.set("hidden", options.hidden.join("-"));
    if (String(options.inputs) !== String(choices.defaults.inputs)) params.set("inputs", options.inputs.join("~"));
    if (own && own.length <= 200) params.set("points", own.map(([x, y, c]) => `${+x.toFixed(2)}_${+y.toFixed(2)}_${c}`).join("~"));
    state.keep(params);
  }

  /** @param {URLSearchParams} params */
  function readAddress(params) {
    for (const name of SHORT) {
      const text = params.get(name);
      if (text !== null) options[name] = typeof choices.defaults[name] === "number" ? Number(text) : text;
    }
    const hidden = params.get("hidden"), seen = params.get("inputs"), points = params.get("points");
    if (hidden !== null) options.hidden = hidden.split("-").filter(Boolean).map(Number);
    if (seen) options.inputs = seen.split("~");
    if (points) own = points.split("~").map((text) => text.split("_").map(Number));
  }

  // -- drawing
  function showControls() {
    for (const [name, control] of Object.entries(controls)) if (document.activeElement !== control) control.value = String(options[name]);
    for (const button of inputs.children) button.setAttribute("aria-pressed", options.inputs.includes(/** @type {HTMLElement} */ (button).dataset.name) ? "true" : "false");
    [...kinds.children].forEach((button) => { const is = !own && /** @type {HTMLElement} */ (button).dataset.name === options.data; button.setAttribute("aria-checked", is ? "true" : "false"); /** @type {HTMLElement} */ (button).tabIndex = is || (own && button === kinds.firstChild) ? 0 : -1; });
    controls.noise.disabled = controls.count.disabled = own !== null;
  }

  function showBrushes() {
    paintButton.setAttribute("aria-pressed", isPainting ? "true" : "false");
    [...brushes.children].forEach((button, i) => { button.setAttribute("aria-checked", i === brush && isPainting ? "true" : "false"); /** @type {HTMLElement} */ (button).tabIndex = i === brush ? 0 : -1; });
    output.style.cursor = isPainting ? "crosshair" : "";
  }

  const cross = { x: 0, y: 0, is: false };
  let lastChart = 0, chartTimer = 0;
  function draw() {
    const wide = output.clientWidth || 300, ratio = Math.min(devicePixelRatio || 1, 2), side = Math.round(wide * ratio);
    if (output.width !== side) output.width = output.height = side;
    const context = /** @type {CanvasRenderingContext2D} */ (output.getContext("2d"));
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const inks = CLASSES.map((name) => rgb(colour(name))), { zero, ink } = look();
    context.clearRect(0, 0, wide, wide);
    if (picture) {
      const view = focus && unpack(picture.views[focus.layer]);
      if (view && focus && focus.unit < view.shape[0]) {
        const n = view.shape[1];
        context.globalAlpha = 0.6; // points stand out
        paint(context, signs(view.data.subarray(focus.unit * n * n, (focus.unit + 1) * n * n), n, n), 0, 0, wide, wide, true);
        context.globalAlpha = 1;
      } else {
        const { shape: [classes, n], data } = unpack(picture.shares), image = new ImageData(n, n);
        for (let i = 0; i < n * n; i++) {
          let best = 0;
          const mixed = [0, 0, 0];
          for (let c = 0; c < classes; c++) {
            const share = data[c * n * n + i] / 255;
            best = Math.max(best, share);
            for (let j = 0; j < 3; j++) mixed[j] += share * inks[c][j];
          }
          const sure = Math.max(0, (best - 1 / classes) / (1 - 1 / classes));
          image.data.set([...mix(zero, /** @type {[number, number, number]} */ (mixed), 0.05 + 0.4 * sure), 255], 4 * i);
        }
        paint(context, image, 0, 0, wide, wide, true);
      }
    }
    const at = (/** @type {number} */ x) => ((x + reach) / (2 * reach)) * wide;
    for (const [points, isFull] of /** @type {[Points, boolean][]} */ ([[shown.test, false], [shown.train, true]])) {
      for (const [x, y, c] of points) mark(context, at(x), at(-y), c, colour(CLASSES[c]), isFull, colour("--surface"));
    }
    if (own && own.length < 2) for (const [x, y, c] of own) mark(context, at(x), at(-y), c, colour(CLASSES[c]), true, colour("--surface"));
    if (cross.is) { context.strokeStyle = ink; context.beginPath(); context.moveTo(at(cross.x) - 8, at(-cross.y)); context.lineTo(at(cross.x) + 8, at(-cross.y)); context.moveTo(at(cross.x), at(-cross.y) - 8); context.lineTo(at(cross.x), at(-cross.y) + 8); context.stroke(); }
    if (!picture) return;
    const right = `${(100 * picture.right).toFixed(0)}\u00a0%`;
    output.setAttribute("aria-label", `The plane as the network sees it: ${right} of the test points are correct. Arrows move a cross, Enter paints a point.`);
    caption.textContent = focus ? "What the chosen unit says. Choose it again to see the whole network." : "Full: trained with. Hollow: tested with.";
    fill(numbers, [["Training loss", picture.train === null ? "–" : short(picture.train)], ["Test loss", picture.test === null ? "–" : short(picture.test)], ["Test accuracy", right]].map(([name, value]) => h("div", null, h("dt", null, name), h("dd.number", null, value))));
    count.textContent = `step ${picture.step.toLocaleString("en")}`;
    if (picture.state === "diverged") isGoing = false;
    showPlay();
    play.disabled = step.disabled = picture.state === "diverged";
    diagram.draw(options, picture.views.map(unpack), picture.weights.map(unpack), focus);
    clearTimeout(chartTimer);
    const due = lastChart + 300 - performance.now();
    if (due > 0) chartTimer = setTimeout(drawChart, due);
    else drawChart();
  }

  function drawChart() {
    lastChart = performance.now();
    const x = history.map(([at]) => at);
    curves(chart, [
      { name: "training", x, y: history.map((row) => row[1]), colour: colour("--accent") },
      { name: "test", x, y: history.map((row) => (Number.isNaN(row[2]) ? null : row[2])), colour: colour("--bad"), dash: "dash" },
    ], { x: "step", y: "Loss" }).catch(report);
  }

  // -- painting
  /** @param {number} x @param {number} y */
  function add(x, y) {
    own = [...(own ?? []), [x, y, brush]];
    if (own.length > choices.most.points) own.shift();
    shown = { train: own, test: [] };
    draw();
  }
  let isDown = false, last = { x: 0, y: 0 };
  const where = (/** @type {PointerEvent} */ event) => { const box = output.getBoundingClientRect(); return { x: ((event.clientX - box.left) / box.width) * 2 * reach - reach, y: reach - ((event.clientY - box.top) / box.height) * 2 * reach }; };
  output.addEventListener("pointerdown", (event) => { if (!isPainting) return; isDown = true; output.setPointerCapture(event.pointerId); last = where(event); add(last.x, last.y); event.preventDefault(); });
  output.addEventListener("pointermove", (event) => { if (!isDown) return; const now = where(event); if (Math.hypot(now.x - last.x, now.y - last.y) > 0.25) { last = now; add(now.x, now.y); } });
  output.addEventListener("pointerup", () => { if (isDown) { isDown = false; setOwn(own); } });
  output.addEventListener("touchstart", (event) => { if (isPainting) event.preventDefault(); }, { passive: false });
  output.addEventListener("keydown", (event) => {
    const moves = /** @type {Record<string, [number, number]>} */ ({ ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] });
    const move = moves[event.key];
    if (move) { cross.is = true; cross.x = Math.max(-reach, Math.min(reach, cross.x + 0.15 * move[0])); cross.y = Math.max(-reach, Math.min(reach, cross.y + 0.15 * move[1])); draw(); }
    else if (event.key === "Enter" && cross.is) { add(cross.x, cross.y); setOwn(own); }
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  output.addEventListener("blur", () => { cross.is = false; draw(); });

  // -- kinds of points, as pictures
  for (const [name, packed] of Object.entries(choices.data)) {
    const canvas = h("canvas", { width: 72, height: 72, "aria-hidden": "true" });
    kinds.append(h("button.kind", { role: "radio", "data-name": name, onclick: () => { own = null; change_({ data: name }); } }, canvas, h("span", null, { xor: "XOR" }[name] ?? name)));
    const points = rows(/** @type {any} */ (packed));
    /** @type {any} */ (canvas).points = points;
  }
  for (const group of [kinds, brushes]) group.addEventListener("keydown", (event) => {
    const all = /** @type {HTMLButtonElement[]} */ ([...group.children]), i = all.indexOf(/** @type {any} */ (document.activeElement)), move = /** @type {Record<string, number>} */ ({ ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 })[event.key];
    if (i < 0 || !move) return;
    event.preventDefault();
    const to = all[(i + move + all.length) % all.length];
    to.focus(); to.click();
  });
  function drawKinds() {
    for (const canvas of kinds.querySelectorAll("canvas")) {
      const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
      context.clearRect(0, 0, 72, 72);
      for (const [x, y, c] of /** @type {any} */ (canvas).points) { context.fillStyle = colour(CLASSES[c]); context.beginPath(); context.arc(36 + x * 11, 36 - y * 11, 2.1, 0, 7); context.fill(); }
    }
  }

  // -- news
  let due = 0;
  const endings = [
    engine.on("plane", "picture", (facts) => {
      if (facts.number === network_) { hear(facts); return; }
      early = facts;
      if (network_) setTimeout(() => { if (early === facts && facts.number > network_) adopt().catch(report); }, 300); // another tab began it
    }),
    engine.on("plane", "failed", ({ error }) => say(error, true)),
  ];
  /** @param {Record<string, any>} facts */
  function hear(facts) {
    picture = /** @type {any} */ (facts);
    if (history.length && history[history.length - 1][0] > facts.step) history = [];
    if (history.at(-1)?.[0] !== facts.step) history.push([facts.step, facts.train, facts.test ?? NaN]);
    if (history.length > 1200) history = history.filter((_, i) => i % 2 === 0);
    const now = performance.now();
    if (isStill() && facts.state === "running" && now < due) return; // less motion: two pictures a second
    due = now + 500;
    requestAnimationFrame(draw);
  }
  const repaint = () => { drawKinds(); draw(); };
  const dark = matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", repaint);
  addEventListener("resize", repaint);
  const keys = (/** @type {KeyboardEvent} */ event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !(event.target instanceof Element) || event.target.closest("input, select, textarea, button, a, summary")) return;
    if (event.key === " ") play.click(); else if (event.key === "s") step.click(); else return;
    event.preventDefault();
  };
  addEventListener("keydown", keys);

  readAddress(state.params);
  drawKinds();
  showControls(); showBrushes();
  if (!(await adopt(!state.params.size))) await begin(false);
  return () => { endings.forEach((end) => end()); dark.removeEventListener("change", repaint); removeEventListener("resize", repaint); removeEventListener("keydown", keys); steer("pause").catch(() => {}); };
}

/** @param {import("./engine.js").Packed} packed @returns {Points} */
function rows(packed) {
  const { shape: [n], data } = unpack(packed);
  return Array.from({ length: n }, (_, i) => [data[3 * i], data[3 * i + 1], data[3 * i + 2]]);
}

/** A point: each class has a shape of its own, too. @param {CanvasRenderingContext2D} context @param {number} x @param {number} y @param {number} c @param {string} ink @param {boolean} isFull @param {string} ground */
function mark(context, x, y, c, ink, isFull, ground) {
  const r = 4;
  context.beginPath();
  if (c === 0) context.arc(x, y, r, 0, 7);
  else if (c === 1) context.rect(x - r + 0.4, y - r + 0.4, 2 * r - 0.8, 2 * r - 0.8);
  else if (c === 2) { context.moveTo(x, y - r - 0.6); context.lineTo(x + r + 0.6, y + r - 0.4); context.lineTo(x - r - 0.6, y + r - 0.4); context.closePath(); }
  else { context.moveTo(x, y - r - 1); context.lineTo(x + r + 1, y); context.lineTo(x, y + r + 1); context.lineTo(x - r - 1, y); context.closePath(); }
  context.lineWidth = 1.3;
  if (isFull) { context.fillStyle = ink; context.fill(); context.strokeStyle = ground; } else { context.fillStyle = ground; context.globalAlpha = 0.75; context.fill(); context.globalAlpha = 1; context.strokeStyle = ink; }
  context.stroke();
}

/** @param {number} c */
function marker(c) {
  const canvas = h("canvas", { width: 22, height: 22, "aria-hidden": "true" });
  requestAnimationFrame(() => mark(/** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d")), 11, 11, c, colour(CLASSES[c]), true, colour("--surface")));
  return canvas;
}
