// @ts-check
import { h, put } from "./dom.js";

/** @param {HTMLElement} place @param {import("./engine.js").Engine} engine @param {import("./main.js").State} state */
export const mount = (place, engine, state) => {
  put(place, h("h1", null, "Train"));
};
