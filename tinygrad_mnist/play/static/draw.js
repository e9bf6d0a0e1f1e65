// @ts-check
// The room Draw: a digit is drawn, and the model is seen reading it.

import { look as colours, mix } from "./drawing.js";
import { field, fill, h, kept, put, say, select, short, tell } from "./dom.js";
import { unpack } from "./engine.js";

/** @typedef {import("./engine.js").Numbers} Numbers */
/** @typedef {{name: string, kind: string, values: Numbers, asks: boolean}} Layer */
/** @typedef {[string, number, number | null]} Edit a layer, a unit, and what is added to its sum (null: it is off) */

const SIDE = 140; // the dots of a drawing

/** Bytes as text. @param {Uint8Array} bytes */
const packed = (bytes) => {
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return btoa(text);
};
/** @param {Float32Array} numbers */
const packedNumbers = (numbers) => packed(new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength));

/**
 * Paint numbers as a picture: blue below 0, red above; or grey, for images.
 * @param {HTMLCanvasElement} canvas @param {ArrayLike<number>} numbers @param {number} rows @param {number} columns
 * @param {{grey?: boolean, most?: number, over?: ArrayLike<number>}} [given] the largest size; an image beneath
 */
function paint(canvas, numbers, rows, columns, { grey = false, most = 0, over } = {}) {
  const { zero, positive, negative } = colours();
  canvas.width = columns; canvas.height = rows;
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d")), image = context.createImageData(columns, rows);
  let size = most;
  if (!size) for (let i = 0; i < numbers.length; i++) size = Math.max(size, Math.abs(numbers[i]));
  for (let i = 0; i < rows * columns; i++) {
    const x = numbers[i] ?? 0, share = size ? Math.min(1, Math.abs(x) / size) : 0;
    const under = over ? mix(zero, [128, 128, 128], 0.35 * over[i]) : zero;
    const [r, g, b] = grey ? [255 * x, 255 * x, 255 * x] : mix(/** @type {any} */ (under), x < 0 ? negative : positive, share);
    image.data.set([r, g, b, 255], 4 * i);
  }
  context.putImageData(image, 0, 0);
}

/** @param {HTMLElement} place @param {import("./engine.js").Engine} engine @param {import("./main.js").State} state */
export const mount = async (place, engine, state) => {
  const { models } = await engine.ask("draw", "options");
  let model = models.includes(state.params.get("model")) ? /** @type {string} */ (state.params.get("model")) : models[0];
  /** @type {Float32Array | null} what the model was given, before it is changed */
  let image = null;
  let side = 28, towards = -1, target = -1, amount = 0, signs = true, turn = 0, isAsking = false, isStale = false;
  /** @type {Edit[]} */
  let edits = [];
  /** @type {string[]} */
  let classes = [];
  /** @type {{layer: string, unit: number, place: number[] | null} | null} */
  let chosen = null;

  // -- the parts of the page ------------------------------------------------------------------------
  const pad = h("canvas.pad", { width: SIDE * 2, height: SIDE * 2, tabindex: 0, role: "application", "aria-label": "Draw a digit here. With the keyboard: arrow keys move the pen, the space bar lifts it and puts it down." });
  const pen = h("small", { "aria-live": "polite" }, "Draw a digit with the mouse or a finger. By keyboard: arrow keys move the pen, the space bar puts it down.");
  const seen = h("canvas.pixels.seen", { role: "img", "aria-label": "What the model is given" });
  const speaks = h("canvas.pixels.seen", { role: "img", "aria-label": "Pixels that speak for the class and against it" });
  const answer = h("p.answer", { "aria-live": "polite" }, "–");
  const bars = h("div.bars", { role: "group", "aria-label": "Probabilities: choose a class to see what speaks for it" });
  const layers = h("div.stack", null), neuron = h("section.card.neuron", { "aria-label": "A neuron", tabindex: -1, hidden: true });
  const changed = h("p", { "aria-live": "polite" });
  const toward = select([["", "nothing"]], "", (value) => { target = value === "" ? -1 : Number(value); if (target < 0) { amount = 0; slider.value = "0"; } ask(); });
  const slider = h("input", { type: "range", min: 0, max: 1, step: 0.01, value: 0, "aria-label": "how far", oninput: () => { amount = Number(slider.value); ask(); } });
  const how = select([["signs", "unseen: each pixel a little"], ["slope", "seen: along the slope"]], "signs", (value) => { signs = value === "signs"; ask(); });
  const far = h("output.number", null);

  /** @type {HTMLSelectElement} */
  let modelField;
  const steps = h("a.button", { id: "steps", href: "#backward?digit=", hidden: true }, "Step through this digit");
  fill(place,
    h("div.head", null, h("div", null, h("h1", null, "Draw"), h("p.quiet", null, "Draw a digit, and see the network read it: what it is given, what each layer makes of it, and which pixels speak for its answer."))),
    h("div.drawroom", null,
      h("div.stack", null,
        h("section.card", { "aria-label": "Drawing" }, pad, pen,
          h("div.row", null,
            h("button", { onclick: () => { wipe(); }, id: "clear" }, "Clear"),
            h("button", { onclick: tell(sample), id: "sample" }, "A test image")),
          field("Model", modelField = select(models, model, (value) => { model = value; edits = []; chosen = null; neuron.hidden = true; keep(); again(); }))),
        neuron),
      h("div.stack", null,
        h("section.card", { "aria-label": "What it sees" },
          h("div.pair", null,
            h("figure", null, seen, h("figcaption", null, "What it is given")),
            h("figure", null, speaks, h("figcaption", null, "For it (", h("b.for", null, "red"), ") and against it (", h("b.against", null, "blue"), ")"))),
          answer, bars, steps),
        h("section.card", { "aria-label": "Change the image" }, h("h2", null, "Make it more like …"),
          h("div.fields.wider", null, field("Class", toward), field("How", how)),
          h("div.row.slide", null, slider, far))),
      layers));

  // -- the drawing -------------------------------------------------------------------------------------
  const context = /** @type {CanvasRenderingContext2D} */ (pad.getContext("2d", { willReadFrequently: true }));
  let isDown = false, x = SIDE, y = SIDE, isPenDown = false;
  function wipe() {
    context.fillStyle = "#fff"; context.fillRect(0, 0, pad.width, pad.height);
    image = null; isPenDown = false; turn++;
    answer.textContent = "–"; delete answer.dataset.said; kept(bars, "", () => []); kept(layers, "", () => []); neuron.hidden = steps.hidden = true;
    delete state.kept.drawn;
    for (const canvas of [seen, speaks]) paint(canvas, new Float32Array(side * side), side, side, { grey: true });
  }
  /** @param {number} toX @param {number} toY @param {boolean} draws */
  function move(toX, toY, draws) {
    if (draws) {
      Object.assign(context, { lineWidth: 26, lineCap: "round", lineJoin: "round", strokeStyle: "#111" });
      context.beginPath(); context.moveTo(x, y); context.lineTo(toX, toY + 0.01); context.stroke();
    }
    [x, y] = [toX, toY];
  }
  /** @param {PointerEvent} event */
  const at = (event) => {
    const box = pad.getBoundingClientRect();
    return /** @type {[number, number]} */ ([(event.clientX - box.left) / box.width * pad.width, (event.clientY - box.top) / box.height * pad.height]);
  };
  pad.onpointerdown = (event) => { pad.setPointerCapture(event.pointerId); isDown = true; [x, y] = at(event); move(x, y, true); event.preventDefault(); };
  pad.onpointermove = (event) => { if (isDown) { move(...at(event), true); later(); } };
  pad.onpointerup = pad.onpointercancel = () => { if (isDown) { isDown = false; read(); } };
  pad.onkeydown = (event) => {
    const step = 10, moves = /** @type {Record<string, [number, number]>} */ ({ ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] });
    if (event.key === " ") { isPenDown = !isPenDown; if (isPenDown) move(x, y, true); else read(); }
    else if (moves[event.key]) move(Math.max(0, Math.min(pad.width, x + moves[event.key][0])), Math.max(0, Math.min(pad.height, y + moves[event.key][1])), isPenDown);
    else return;
    pen.textContent = `The pen is ${isPenDown ? "down" : "up"}, ${Math.round(100 * x / pad.width)} % across and ${Math.round(100 * y / pad.height)} % down.`;
    event.preventDefault();
  };
  let timer = 0;
  function later() { if (!timer) timer = window.setTimeout(() => { timer = 0; read(); }, 120); }

  /** The drawing as grey bytes, half its size. */
  function grey() {
    const { data } = context.getImageData(0, 0, pad.width, pad.height), made = new Uint8Array(SIDE * SIDE);
    for (let i = 0; i < SIDE; i++) for (let j = 0; j < SIDE; j++) {
      let sum = 0;
      for (const [a, b] of [[0, 0], [0, 1], [1, 0], [1, 1]]) sum += data[4 * ((2 * i + a) * pad.width + 2 * j + b)];
      made[SIDE * i + j] = sum / 4;
    }
    return made;
  }
  let isReading = false, isReadAgain = false;
  async function read() {
    if (isReading) { isReadAgain = true; return; }
    isReading = true;
    const mine = ++turn;
    try {
      const found = unpack(await engine.ask("draw", "prepare", { model, side: SIDE, drawing: packed(grey()) }));
      if (mine === turn) { [side] = found.shape; image = /** @type {Float32Array} */ (found.data); await ask(); }
    } catch (error) {
      if (!isDown && mine === turn) say(/** @type {Error} */ (error).message, true);
    } finally {
      isReading = false;
      if (isReadAgain) { isReadAgain = false; read(); }
    }
  }
  async function sample() {
    const found = await engine.ask("draw", "sample", { model, number: Math.floor(Math.random() * 1000) });
    const numbers = unpack(found.image);
    wipe();
    turn++;
    [side] = numbers.shape; image = /** @type {Float32Array} */ (numbers.data);
    const cell = pad.width / side;
    for (let i = 0; i < side * side; i++) {
      const g = Math.round(255 * (1 - image[i]));
      context.fillStyle = `rgb(${g},${g},${g})`;
      context.fillRect((i % side) * cell, Math.floor(i / side) * cell, cell + 0.5, cell + 0.5);
    }
    await ask();
    pen.textContent = `A test image: its label is ${classes[found.label] ?? found.label}.`;
  }
  const again = () => { if (image) read(); };
  const keep = () => state.keep(new URLSearchParams({ model }));

  // -- what the model makes of it ----------------------------------------------------------------------
  /** Ask for a look; while one is on its way, only the newest wish counts. */
  async function ask() {
    if (!image) return;
    if (isAsking) { isStale = true; return; }
    isAsking = true;
    try {
      do {
        isStale = false;
        const given = { model, image: packedNumbers(image), edits, towards: towards < 0 ? null : towards, target: target < 0 ? null : target, amount: signs ? amount * 0.4 : amount * 12, signs };
        show(await engine.ask("draw", "look", given));
      } while (isStale && image);
    } catch (error) { say(/** @type {Error} */ (error).message, true); } finally { isAsking = false; }
    if (chosen && !neuron.hidden) await open(chosen.layer, chosen.unit, chosen.place, false);
  }

  /** @param {any} found */
  function show(found) {
    const shown = unpack(found.image), shares = unpack(found.shares).data, pull = unpack(found.speaks).data, outputs = unpack(found.outputs).data;
    [side] = shown.shape;
    classes = found.classes;
    paint(seen, shown.data, side, side, { grey: true });
    paint(speaks, pull, side, side, { over: shown.data });
    const name = found.classes[found.said];
    answer.textContent = `${name}, ${(100 * shares[found.said]).toFixed(1)} %`;
    answer.dataset.said = name;
    steps.hidden = false;
    state.kept.drawn = { model, given: image, image: packedNumbers(/** @type {Float32Array} */ (shown.data)), pad: context.getImageData(0, 0, pad.width, pad.height) };
    const rows = kept(bars, JSON.stringify(found.classes), () => found.classes.map((/** @type {string} */ text, /** @type {number} */ i) => {
      const share = h("meter", { min: 0, max: 1, "aria-hidden": "true" }), number = h("span.number"); // a bar without inline style
      const row = h("button.bar", { onclick: () => { towards = towards === i ? -1 : i; ask(); } }, h("span", null, text), share, number);
      bars.append(row);
      return { row, share, number };
    }));
    rows.forEach((/** @type {any} */ { row, share, number }, /** @type {number} */ i) => {
      const percent = `${(100 * shares[i]).toFixed(1)} %`;
      row.setAttribute("aria-pressed", String(i === found.explained));
      row.setAttribute("aria-label", `${found.classes[i]}: ${percent}, output ${short(outputs[i])}`);
      share.value = shares[i];
      number.textContent = percent;
    });
    const top = /** @type {HTMLElement} */ (bars.children[found.said]);
    bars.scrollTop = top.offsetTop - bars.offsetTop - bars.clientHeight / 2;
    if (toward.options.length !== found.classes.length + 1) fill(toward, h("option", { value: "" }, "nothing"), found.classes.map((/** @type {string} */ text, /** @type {number} */ i) => h("option", { value: i }, text)));
    far.textContent = target < 0 ? "" : signs ? `each pixel by at most ${(amount * 0.4).toFixed(2)}` : `a way of ${(amount * 12).toFixed(1)}`;
    /** @type {Layer[]} */
    const all = found.layers;
    const key = JSON.stringify([all.map(({ name, kind, values, asks }) => [name, kind, values.shape, asks]), found.classes]);
    const cards = kept(layers, key, () => {
      /** @type {HTMLElement} */
      let place = layers, member = "";
      return all.map((layer, i) => {
        const mine = memberOf(layer);
        if (mine && mine !== member) place = fold(mine, !member);
        member = mine;
        return { place, act: card(mine ? place : layers, layer, memberOf(all[i + 1]) !== mine || i === all.length - 1 ? found.classes : []) };
      });
    });
    all.forEach((layer, i) => { const { place, act } = cards[i]; if (!(place instanceof HTMLDetailsElement) || place.open) act(layer); });
  }

  /** Which of several networks that vote a layer belongs to, if there are some. @param {Layer | undefined} layer */
  const memberOf = (layer) => layer?.name.match(/^members\.(\d+)/)?.[1] ?? "";
  /** A part that is drawn while it is open. @param {string} member @param {boolean} open */
  function fold(member, open) {
    const made = h("details.stack", { open, ontoggle: () => { if (made.open && image) ask(); } }, h("summary", null, `Network ${Number(member) + 1} of those that vote`));
    layers.append(made);
    return made;
  }

  /** Make the card of a layer; the result shows other values on it. @param {HTMLElement} place @param {any} layer @param {string[]} names those of its units, if they are classes */
  function card(place, layer, names) {
    const [units, rows = 1, columns = 1] = layer.values.shape, title = `${layer.kind} ${layer.name}`, isMaps = layer.values.shape.length === 3;
    const areClasses = names.length === units && !isMaps, box = h("div", { class: isMaps ? "maps" : areClasses ? "cells named" : "cells" });
    const cells = Array.from({ length: units }, (_, unit) => {
      const canvas = h("canvas.pixels", { "aria-hidden": "true" }), label = areClasses && names[unit];
      const cell = layer.asks ? h("button.cell", { "data-layer": layer.name, "data-unit": unit, onclick: (/** @type {MouseEvent} */ event) => open(layer.name, unit, isMaps && event.detail ? placeIn(canvas, event) : null, true) }, canvas, label) : h("span.cell", null, canvas, label);
      box.append(cell);
      return { cell, canvas };
    });
    place.append(h("section.card", { "aria-label": title }, h("div.head", null, h("h2", null, title), h("small", null, isMaps ? `${units} maps of ${rows} × ${columns}` : `${units} numbers`)), box));
    return (/** @type {any} */ now) => {
      const { data } = unpack(now.values);
      let most = 0;
      for (let i = 0; i < data.length; i++) most = Math.max(most, Math.abs(data[i]));
      cells.forEach(({ cell, canvas }, unit) => {
        paint(canvas, data.subarray(unit * rows * columns, (unit + 1) * rows * columns), rows, columns, { most });
        const value = isMaps ? "" : `, ${short(data[unit])}`, isEdited = edits.some(([name, i]) => name === now.name && i === unit);
        cell.title = `${unit}${value}`;
        cell.classList.toggle("edited", isEdited);
        if (layer.asks) cell.setAttribute("aria-label", `neuron ${unit} of ${title}${value}${isEdited ? ", changed" : ""}`);
      });
    };
  }

  /** The row and the column of a picture that were clicked. @param {HTMLCanvasElement} canvas @param {MouseEvent} event */
  function placeIn(canvas, event) {
    const box = canvas.getBoundingClientRect(), inside = (/** @type {number} */ share, /** @type {number} */ count) => Math.max(0, Math.min(count - 1, Math.floor(share * count)));
    return [inside((event.clientY - box.top) / box.height, canvas.height), inside((event.clientX - box.left) / box.width, canvas.width)];
  }

  // -- one neuron ----------------------------------------------------------------------------------------
  /** @param {string} layer @param {number} unit @param {number[] | null} where @param {boolean} moves */
  async function open(layer, unit, where, moves) {
    if (!image) return;
    chosen = { layer, unit, place: where };
    try {
      const found = await engine.ask("draw", "neuron", { model, image: packedNumbers(image), layer, unit, place: where, edits });
      describe(found);
      if (moves) { neuron.focus(); neuron.scrollIntoView({ block: "nearest" }); }
    } catch (error) { say(/** @type {Error} */ (error).message, true); }
  }
  /** Close the card; the keys go back to where it was opened. */
  function shut() {
    const cell = /** @type {HTMLElement | null} */ (chosen && layers.querySelector(`[data-layer="${chosen.layer}"][data-unit="${chosen.unit}"]`));
    neuron.hidden = true; chosen = null;
    cell?.focus();
  }
  /** @param {any} found */
  function describe(found) {
    const mine = edits.find(([name, i]) => name === found.layer && i === found.unit), isOff = !!mine && mine[2] === null;
    const weights = found.weights ? unpack(found.weights) : null;
    const picture = h("canvas.pixels.weights", { role: "img", "aria-label": "its weights: red pulls up, blue pulls down" });
    if (weights) paint(picture, weights.data, weights.shape[0], weights.shape[1]);
    const { facts, off, back, nudge } = kept(neuron, JSON.stringify([model, found.layer, found.unit]), () => {
      const facts = h("div.facts"), off = h("button", { id: "off", onclick: () => change(off.getAttribute("aria-pressed") === "true" ? 0 : null) }, "Switch it off");
      const back = h("button", { onclick: () => { edits = []; changed.textContent = ""; ask(); } }, "As it was");
      const nudge = h("input", { type: "range", min: -10, max: 10, step: 0.1, "aria-label": "nudge: what is added to its sum", oninput: () => change(Number(nudge.value)) });
      put(neuron, facts, h("div.row", null, off, back), field("Nudge its sum", nudge), changed);
      return { facts, off, back, nudge };
    });
    off.setAttribute("aria-pressed", String(isOff));
    back.disabled = !edits.length;
    if (document.activeElement !== nudge) nudge.value = String(mine?.[2] ?? 0);
    neuron.hidden = false;
    fill(facts,
      h("div.head.tight", null, h("h2", null, `Neuron ${found.unit} of layer ${found.layer}${found.place ? `, at row ${found.place[0]}, column ${found.place[1]}` : ""}`),
        h("button.plain", { "aria-label": "close", onclick: shut }, "✕")),
      h("p.mono.sum", { "data-sum": found.sum }, `Σ wᵢaᵢ + b = ${short(found.sum)}`),
      isOff ? h("p.bad", null, "It is off: 0 goes on in its place.") : null,
      h("div.wide", null, h("table", null,
        h("thead", null, h("tr", null, [found.place ? "channel, row, column" : "input", "wᵢ", "aᵢ", "wᵢaᵢ"].map((text) => h("th", null, text)))),
        h("tbody", null,
          found.terms.map((/** @type {any} */ term) => h("tr", null, h("td", null, term.index.join(", ")), [term.weight, term.input, term.product].map((value) => h("td.number", null, short(value))))),
          h("tr", null, h("td", { colspan: 3 }, `the other ${Math.max(0, found.count - found.terms.length).toLocaleString("en")}`), h("td.number", null, short(found.rest))),
          h("tr", null, h("td", { colspan: 3 }, "b"), h("td.number", null, short(found.bias)))))),
      weights ? h("figure", null, picture, h("figcaption", null, "Its weights: red pulls up, blue pulls down")) : null,
      found.exciting.length ? h("h3", null, "What excites it most") : null,
      h("div.row", null, found.exciting.map((/** @type {any} */ one) => {
        const canvas = h("canvas.pixels.thumb", { role: "img", "aria-label": `${classes[one.label] ?? one.label}: ${short(one.value)}`, title: short(one.value) }), numbers = unpack(one.image);
        paint(canvas, numbers.data, numbers.shape[0], numbers.shape[1], { grey: true });
        return canvas;
      })));
  }
  let isCounting = false, isStaleCount = false;
  /** @param {number | null} nudge null switches it off */
  async function change(nudge) {
    if (!chosen) return;
    const { layer, unit } = chosen;
    edits = edits.filter(([name, i]) => name !== layer || i !== unit);
    if (nudge !== 0) edits.push([layer, unit, nudge]);
    await ask();
    isStaleCount = true;
    if (isCounting) return;
    isCounting = true;
    try {
      while (isStaleCount) { // while it counts, only the newest wish waits
        isStaleCount = false;
        const { before, after, images } = await engine.ask("draw", "accuracy", { model, edits });
        changed.textContent = `Of ${images.toLocaleString("en")} test images, ${(100 * after).toFixed(1)}\u00a0% are read correctly; without changes, ${(100 * before).toFixed(1)}\u00a0%.`;
        changed.dataset.after = String(after);
      }
    } catch (error) { changed.textContent = /** @type {Error} */ (error).message; } finally { isCounting = false; }
  }

  const before = state.kept.drawn;
  wipe();
  if (before && models.includes(before.model)) {
    context.putImageData(before.pad, 0, 0);
    ({ model, given: image } = before);
    side = Math.sqrt(before.given?.length ?? 0);
    modelField.value = model;
    ask();
  }
  const dark = matchMedia("(prefers-color-scheme: dark)"), repaint = () => { ask(); };
  dark.addEventListener("change", repaint);
  return () => { dark.removeEventListener("change", repaint); clearTimeout(timer); };
};
