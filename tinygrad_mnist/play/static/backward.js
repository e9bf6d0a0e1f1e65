// @ts-check
// The room Backward: the step player on a formula, or on an image.

import { field, fill, h, say, select } from "./dom.js";

/** @param {HTMLElement} place @param {import("./engine.js").Engine} engine @param {import("./main.js").State} state */
export const mount = async (place, engine, state) => {
  const { examples, functions, models } = await engine.ask("backward", "options");
  const first = Object.keys(examples)[0];
  const formula = h("input.mono", { value: state.params.get("formula") ?? first, spellcheck: "false", autocapitalize: "off", autocomplete: "off" });
  const values = h("input.mono", { value: state.params.get("values") ?? examples[first], spellcheck: "false", autocapitalize: "off", autocomplete: "off" });
  const example = select(Object.keys(examples), first, (text) => { formula.value = text; values.value = examples[text]; play(); });
  const model = select(models, models[0]), number = h("input", { type: "number", min: 0, max: 999, value: 0 });
  const said = h("p.quiet", { "aria-live": "polite" }), frame = h("iframe.player", { title: "The step player", sandbox: "allow-scripts", hidden: true });

  /** @param {string} what @param {Record<string, any>} given */
  async function show(what, given) {
    said.textContent = "…";
    try {
      const found = await engine.ask("backward", what, given);
      frame.hidden = false;
      frame.src = engine.address(found.page);
      said.textContent = `${found.steps} steps; the result is ${Number(found.value.toPrecision(6))}. In the frame, → goes on, ← goes back, the space bar plays, and b jumps to the backward pass.`;
    } catch (error) { said.textContent = ""; say(/** @type {Error} */ (error).message, true); }
  }
  const play = () => {
    state.keep(new URLSearchParams({ formula: formula.value, values: values.value }));
    return show("formula", { text: formula.value, values: values.value });
  };

  fill(place,
    h("h1", null, "Backward"),
    h("p.quiet", null, "Watch a gradient go back: first the values appear, then each step shows the gradient that arrives, times the local derivative."),
    h("div.columns.two", null,
      h("form.card", { onsubmit: (/** @type {Event} */ event) => { event.preventDefault(); play(); } },
        h("h2", null, "A formula"),
        field("Formula", formula, `+ − * / ** @, lists, and ${functions.join(", ")}`),
        field("Values", values, "each as name=number or name=[list]"),
        field("An example", example),
        h("div.row", null, h("button.main", { id: "play-formula" }, "Play it"))),
      h("form.card", { onsubmit: (/** @type {Event} */ event) => { event.preventDefault(); show("image", { model: model.value, number: Number(number.value) || 0 }); } },
        h("h2", null, "An image through a network"),
        field("Model", model), field("Test image", number),
        h("div.row", null, h("button", { id: "play-image" }, "Play it")))),
    said, frame);
  await play();
};
