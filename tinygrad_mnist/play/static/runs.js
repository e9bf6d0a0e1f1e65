// @ts-check
// What the page knows of a training, which grows by what the engine tells.

import { unpack } from "./engine.js";

/** @typedef {{name: string, shape: number[], activations: any, gradients: any, updates?: any, zeros: number, gradient: number, update?: number}} Layer */
/** @typedef {{step: number, layers: Layer[], loss: number, weights?: import("./engine.js").Numbers, scale?: number, matrix?: import("./engine.js").Numbers, accuracy?: number}} Frame */

/** The most looks inside that are kept here. */
const MOST = 300;

export class Run {
  /** @param {string} name */
  constructor(name) {
    this.name = name;
    this.number = 0;
    this.state = "starting";
    this.folder = "";
    this.error = "";
    this.title = "";
    this.data = "";
    /** @type {number[]} */
    this.losses = [];
    /** @type {{step: number, row: Record<string, any>, digest: string}[]} */
    this.rows = [];
    /** @type {Frame[]} */
    this.frames = [];
    /** @type {{step: number, matrix: import("./engine.js").Numbers, accuracy: number}[]} of all test images, as they were asked for */
    this.measures = [];
    /** @type {Record<string, any>[]} */
    this.findings = [];
    /** @type {{step: number, knob: string, value: number}[]} */
    this.changes = [];
    /** @type {number[]} */
    this.moments = [];
    /** @type {Record<string, any> | null} */
    this.settings = null;
    /** @type {string[]} */
    this.classes = [];
    /** @type {number[] | null} */
    this.counts = null;
    /** @type {Record<string, any> | null} */
    this.forked = null;
    this.event = this.step = this.steps = this.batches = this.epochs = this.pace = this.watching = this.lr = 0;
    /** @type {Record<string, any> | null} */
    this.result = null;
  }

  /** @param {Record<string, any>} event */
  hear(event) {
    switch (event.what) {
      case "settings":
        this.settings = event.settings; this.classes = event.classes; this.data = event.data; this.counts = event.counts;
        this.title = describe(event.settings, this.forked);
        break;
      case "forked": this.forked = event; break;
      case "began": this.steps = event.epochs * event.batches; this.batches = event.batches; this.epochs = event.epochs; this.step = Math.max(this.step, event.step); break;
      case "steps": this.step = event.step; this.lr = event.lr; this.pace = event.pace; this.watching = event.watching; break;
      case "epoch": this.rows.push({ step: event.step, row: event.row, digest: event.digest }); break;
      case "turned": this.changes.push(/** @type {any} */ (event)); break;
      case "moments": this.moments = event.steps; break;
      case "finding": this.findings.push(event); break;
      case "done": this.result = event.result; this.error = event.error; break;
      case "ended": if (event.error) this.error = event.error; break;
      case "said": this.findings.push({ code: "note", evidence: event.words, step: 0 }); break;
      case "frame": this.keep(readFrame(event)); break;
    }
  }

  /** @param {Frame} frame */
  keep(frame) {
    const last = this.frames.at(-1);
    this.frames.push(last?.step === frame.step ? { ...this.frames.pop(), ...frame } : frame);
    if (this.frames.length > MOST) this.frames = this.frames.filter((_, i) => i % 2 === 0 || i > MOST - 20);
  }

  /** The last look inside before a step. @param {number} step @returns {Frame | undefined} */
  frameAt(step) {
    let found = this.frames[0];
    for (const frame of this.frames) if (frame.step <= step) found = frame;
    return found;
  }

  /** Keep a measure of all test images. @param {Record<string, any>} found */
  measured(found) {
    this.measures = [...this.measures.filter(({ step }) => step !== found.at), { step: found.at, matrix: unpack(found.matrix), accuracy: found.accuracy }].slice(-MOST);
  }

  /** The last measure of test images before a step. @param {number} step @returns {{step: number, matrix?: import("./engine.js").Numbers, accuracy?: number} | undefined} */
  measuredAt(step) {
    const all = [...this.frames.filter((frame) => frame.matrix), ...this.measures].sort((a, b) => a.step - b.step);
    return all.findLast((one) => one.step <= step) ?? all[0];
  }

  accuracyNow() {
    const accuracy = this.result?.test_accuracy ?? this.measuredAt(Infinity)?.accuracy;
    return accuracy === undefined ? "" : `${(100 * accuracy).toFixed(1)} %`;
  }

  /** What a knob was set to. @param {string} knob @param {number} step */
  knobAt(knob, step) {
    if (knob === "lr" && step >= this.step && this.lr) return this.lr;
    const turned = this.changes.filter((change) => change.knob === knob && change.step <= step).at(-1);
    return turned ? turned.value : this.settings?.[knob];
  }
}

/** @param {Record<string, any>} event @returns {Frame} */
function readFrame(event) {
  const layers = event.layers.map((/** @type {any} */ layer) => ({
    ...layer, activations: unpack(layer.activations).data, gradients: unpack(layer.gradients).data, updates: layer.updates && unpack(layer.updates).data,
  }));
  return { ...event, layers, weights: event.weights && unpack(event.weights), matrix: event.matrix && unpack(event.matrix), step: event.step, loss: event.loss };
}

/** Ask for what is new. @param {Run} run @param {import("./engine.js").Engine} engine */
export async function follow(run, engine) {
  const news = await engine.ask("train", "news", { run: run.name, event: run.event, step: run.losses.length });
  run.number = news.number; run.state = news.state; run.folder = news.folder;
  for (const loss of unpack(news.losses).data) run.losses.push(loss);
  for (const event of news.events) run.hear(event);
  run.event = news.event;
  run.step = Math.max(run.step, run.losses.length);
}

/** @param {Record<string, any>} settings @param {Record<string, any> | null} forked */
function describe(settings, forked) {
  if (forked) return `${forked.run}, step ${forked.step}${forked.knob ? `: ${{ lr: "rate", weight_decay: "decay", dropout: "dropout" }[/** @type {"lr"} */ (forked.knob)]} ${Number(forked.value.toPrecision(3))}` : ", again"}`;
  if (settings.broken) return settings.mended ? `mended: ${settings.title}` : settings.title.charAt(0).toUpperCase() + settings.title.slice(1);
  const model = settings.model === "mlp" ? settings.hidden.join("-") || "linear" : settings.model;
  return `${model} · ${settings.optimizer} ${Number(settings.lr.toPrecision(3))}`;
}
