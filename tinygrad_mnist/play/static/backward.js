// @ts-check
// The room Backward: the step player on a formula, or on an image.

import { field, fill, h, say, select } from "./dom.js";

/** @param {HTMLElement} place @param {import("./engine.js").Engine} engine @param {import("./main.js").State} state */
export const mount = async (place, engine, state) => {
  const { examples, functions, models } = await engine.ask("backward", "options");
  const first = Object.keys(examples)[0], drawn = state.kept.drawn, plain = { spellcheck: "false", autocapitalize: "off", autocomplete: "off" };
  const formula = h("input.mono", { value: state.params.get("formula") ?? first, ...plain });
  const values = h("input.mono", { value: state.params.get("values") ?? examples[first], ...plain });
  const example = select(Object.keys(examples), first, (text) => { formula.value = text; values.value = examples[text]; play(); });
  const model = select(models, drawn && models.includes(drawn.model) ? drawn.model : models[0]), number = h("input", { type: "number", min: 0, max: 999, value: 0 });
  const digit = h("button", { type: "button", id: "play-digit", disabled: !drawn, title: drawn ? null : "Draw a digit first, in the room Draw.", onclick: () => digits() }, "The digit you drew");
  const said = h("p.quiet", { "aria-live": "polite" }), frame = h("iframe.player", { title: "The step player", sandbox: "allow-scripts", hidden: true });
  let takesKeys = false, turn = 0;
  frame.onload = () => { if (takesKeys) frame.focus({ preventScroll: true }); };

  /** @param {string} what @param {Record<string, any>} given */
  async function show(what, given) {
    said.textContent = "…";
    const mine = ++turn;
    try {
      const found = await engine.ask("backward", what, given);
      if (mine !== turn) return; // something else was asked for meanwhile
      frame.hidden = false;
      frame.src = engine.address(found.page);
      said.textContent = `${found.steps} steps; ${found.label === undefined ? "the result" : `the loss for “${found.label}”`} is ${Number(found.value.toPrecision(6))}. Keys: → goes on, ← goes back, the space bar plays, and b jumps to the backward pass.`;
    } catch (error) { frame.hidden = true; said.textContent = ""; say(/** @type {Error} */ (error).message, true); }
  }
  const play = () => {
    state.keep(new URLSearchParams({ formula: formula.value, values: values.value }));
    return show("formula", { text: formula.value, values: values.value });
  };
  const digits = () => {
    takesKeys = true;
    state.keep(new URLSearchParams({ digit: "" }));
    return show("image", { model: model.value, image: drawn?.image });
  };

  fill(place,
    h("div.head", null, h("div", null, h("h1", null, "Backward"), h("p.quiet", null, "Watch a gradient go back: first the values appear, then each step shows the gradient that arrives, times the local derivative."))),
    h("div.columns.two", null,
      h("form.card", { onsubmit: (/** @type {Event} */ event) => { event.preventDefault(); takesKeys = true; play(); } },
        h("h2", null, "A formula"),
        h("div.fields.wider", null, field("Formula", formula), field("An example", example)), field("Values", values),
        h("small", null, `Write + − * / ** @, lists, and ${functions.join(", ")}. A value is name=number or name=[list].`),
        h("div.row", null, h("button.main", { id: "play-formula" }, "Play it"))),
      h("form.card", { onsubmit: (/** @type {Event} */ event) => { event.preventDefault(); takesKeys = true; state.keep(new URLSearchParams()); show("image", { model: model.value, number: Number(number.value) || 0 }); } },
        h("h2", null, "An image through a network"),
        h("div.fields.wider", null, field("Model", model), field("Test image", number)),
        h("div.row", null, h("button", { id: "play-image" }, "Play it"), digit))),
    said, frame);
  if (state.params.has("digit") && drawn) await digits();
  else await play();
};
