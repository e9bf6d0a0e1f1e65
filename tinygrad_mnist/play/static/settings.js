// @ts-check
// The form of a new training.

import { field, fill, h, say, select, tell } from "./dom.js";

/**
 * @param {Record<string, any>} options what the engine offers @param {import("./engine.js").Engine} engine
 * @param {(given: Record<string, any>, paused: boolean) => Promise<void>} start
 */
export function form(options, engine, start) {
  const number = (/** @type {Record<string, any>} */ given) => h("input.number", { type: "number", step: "any", inputmode: "decimal", ...given });
  const controls = {
    dataset: select(Object.entries(options.dataset).map(([name, shows]) => /** @type {[string, string]} */ ([name, { mnist: "MNIST", fashion: "Fashion-MNIST", digits: "Digits, 8 × 8", sample: "MNIST sample", files: "Your own" }[name] ?? `${name} – ${shows}`])), "sample", () => adapt()),
    path: h("input", { type: "text", placeholder: "folder or file", autocomplete: "off" }),
    model: select(Object.keys(options.model), "mlp", () => adapt()),
    hidden: h("input", { type: "text", inputmode: "numeric", placeholder: "none" }),
    activation: select(options.activation, "relu"),
    optimizer: select(Object.keys(options.optimizer), "sgd", () => { controls.lr.value = ""; adapt(); }),
    lr: number({ min: 0 }),
    schedule: select(options.schedule, "none"),
    epochs: number({ min: 1, step: 1 }),
    batch_size: number({ min: 1, step: 1 }),
    loss: select(options.loss, "cross-entropy"),
    dropout: number({ min: 0, max: 0.99 }),
    weight_decay: number({ min: 0 }),
    label_smoothing: number({ min: 0, max: 0.99 }),
    clip_norm: number({ min: 0, placeholder: "no limit" }),
    validation: number({ min: 0, max: 0.9 }),
    augment: select([["", "none"], ...options.augment], ""),
    seed: number({ min: 0, step: 1 }),
  };
  const file = h("input", { type: "file", onchange: tell(upload) });
  const pathField = field("Path on this machine", controls.path), fileField = field("or a file", file);
  const hiddenField = field("Hidden layers", controls.hidden), activationField = field("Activation", controls.activation), dropoutField = field("Dropout", controls.dropout);
  const paused = h("input", { type: "checkbox", id: "paused" });
  const about = h("small");
  const begin = h("button.main", { type: "submit" }, "Start");
  const place = h("form", { onsubmit: (/** @type {Event} */ event) => { event.preventDefault(); send(); } },
    h("div.head", null, h("h2", null, "New training")),
    h("div.fields", null, field("Data", controls.dataset), pathField, fileField, field("Model", controls.model), hiddenField, field("Optimizer", controls.optimizer), field("Learning rate", controls.lr), field("Epochs", controls.epochs)),
    h("details", null, h("summary", null, "More settings"), h("div.fields", null,
      activationField, dropoutField, field("Schedule", controls.schedule), field("Batch size", controls.batch_size), field("Loss", controls.loss),
      field("Weight decay", controls.weight_decay), field("Label smoothing", controls.label_smoothing), field("Gradient limit", controls.clip_norm),
      field("Held out", controls.validation), field("Augment", controls.augment), field("Seed", controls.seed))),
    h("div.row.begin", null, begin, h("label.check", { for: "paused" }, paused, "paused before the first step"), about));

  async function upload() {
    const chosen = file.files?.[0];
    if (!chosen) return;
    if (chosen.size > 2 ** 25) throw new Error("the file is larger than 32 MiB; type its path instead");
    const bytes = new Uint8Array(await chosen.arrayBuffer());
    let text = "";
    for (let i = 0; i < bytes.length; i += 32768) text += String.fromCharCode(...bytes.subarray(i, i + 32768));
    const { path } = await engine.ask("train", "upload", { name: chosen.name, content: btoa(text) });
    controls.path.value = path;
    say(`${chosen.name} is here`);
  }

  function adapt() {
    const isOwn = controls.dataset.value === "files", isPlain = controls.model.value === "mlp";
    pathField.hidden = !(isOwn || controls.dataset.value === "mnist" || controls.dataset.value === "fashion");
    fileField.hidden = !isOwn;
    about.textContent = `${controls.model.value}: ${options.model[controls.model.value]}.`.replace(/ \(--.*?\)/, "");
    hiddenField.hidden = activationField.hidden = dropoutField.hidden = !isPlain;
    controls.lr.placeholder = `${options.optimizer[controls.optimizer.value]}`;
  }

  function send() {
    /** @type {Record<string, any>} */
    const given = {};
    for (const [name, control] of Object.entries(controls)) {
      const text = control.value.trim();
      if (control instanceof HTMLInputElement && control.type === "number") given[name] = text === "" ? (name === "lr" || name === "clip_norm" ? null : options.defaults[name]) : Number(text);
      else given[name] = text;
    }
    given.path = pathField.hidden ? null : given.path || null;
    given.augment = given.augment ? [given.augment] : [];
    given.hidden = given.hidden.split(/[\s,;-]+/).filter(Boolean).map(Number);
    if (given.model !== "mlp") { given.hidden = options.defaults.hidden; given.activation = "relu"; given.dropout = 0; }
    begin.disabled = true;
    start(given, paused.checked).catch((/** @type {Error} */ error) => say(error.message, true)).finally(() => { begin.disabled = false; });
  }

  /** @param {Record<string, any>} chosen */
  function set(chosen) {
    for (const [name, control] of Object.entries(controls)) {
      const value = chosen[name];
      if (name === "hidden") control.value = (value ?? []).join(", ");
      else if (name === "augment") control.value = value?.[0] ?? "";
      else control.value = value === null || value === undefined ? "" : String(value);
    }
    adapt();
  }
  set(options.defaults);
  return { place, set };
}

/**
 * The form of the broken trainings.
 * @param {Record<string, {title: string, cure: string}>} broken @param {string} chosen
 * @param {(code: string) => Promise<void>} start
 */
export function gallery(broken, chosen, start) {
  const fault = select(Object.entries(broken).map(([code, { title }]) => /** @type {[string, string]} */ ([code, title[0].toUpperCase() + title.slice(1)])), chosen || Object.keys(broken)[0]);
  const begin = h("button", { type: "submit", id: "break" }, "Train it");
  return h("form", { onsubmit: (/** @type {Event} */ event) => {
    event.preventDefault();
    begin.disabled = true;
    start(fault.value).catch((/** @type {Error} */ error) => say(error.message, true)).finally(() => { begin.disabled = false; });
  } },
    h("div.head", null, h("h2", null, "A broken training")),
    h("p.quiet", null, "Twenty faults that people report often, ready to be watched. What does the curve say, what does the doctor say, and what is the cure?"),
    h("div.row.pick", null, field("What somebody did", fault), begin));
}
