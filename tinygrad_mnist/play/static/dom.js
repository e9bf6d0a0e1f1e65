// @ts-check
// Elements, written as they nest.

/** @typedef {Node | string | number | null | undefined | false} Child */

/**
 * Make an element: h("button.main", { onclick: start, disabled: true }, "Start").
 * Attributes that begin with "on" are listeners; others are set as attributes, or left out if false or null.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K | `${K}.${string}`} name
 * @param {Record<string, any> | null} [attributes] @param {...(Child | Child[])} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function h(name, attributes, ...children) {
  const [tag, ...classes] = name.split(".");
  const made = /** @type {any} */ (document.createElement(tag));
  if (classes.length) made.className = classes.join(" ");
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key === "value") made.value = value;
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, String(value));
  }
  put(made, ...children);
  return made;
}

/** Append what is there. @param {Element} place @param {...(Child | Child[])} children */
export function put(place, ...children) {
  for (const child of children.flat()) if (child !== null && child !== undefined && child !== false) place.append(child instanceof Node ? child : String(child));
  return place;
}

/** Replace what is in an element. @param {Element} place @param {...(Child | Child[])} children */
export function fill(place, ...children) {
  place.replaceChildren();
  return put(place, ...children);
}

/**
 * Elements that stay while what they show changes: with new ones, a click that began on the old ones would be lost, and
 * so would the place of the keyboard.
 * @template T @param {HTMLElement} place @param {string} key @param {() => T} make fills the place @returns {T}
 */
export function kept(place, key, make) {
  const store = /** @type {any} */ (place);
  if (store.keptKey !== key) { store.keptKey = key; place.replaceChildren(); store.kept = make(); }
  return store.kept;
}

/** A short number. @param {number} x */
export const short = (x) => Math.abs(x) >= 1e4 || (x !== 0 && Math.abs(x) < 1e-3) ? x.toExponential(1).replace(/-/g, "−").replace("+", "") : x.toFixed(Math.abs(x) < 10 ? 3 : 1).replace("-", "−");

let count = 0;

/**
 * A control with its label before it.
 * @param {string} label @param {HTMLElement} control @param {string} [hint]
 */
export function field(label, control, hint) {
  control.id ||= `c${++count}`;
  return h("div.field", null, h("label", { for: control.id }, label), control, hint ? h("small", null, hint) : null);
}

/**
 * A list to choose from.
 * @param {(string | [string, string])[]} options values, or pairs of a value and its words
 * @param {string} chosen @param {(value: string) => void} [act]
 */
export function select(options, chosen, act) {
  const made = h("select", act ? { onchange: () => act(made.value) } : null,
    options.map((option) => {
      const [value, words] = typeof option === "string" ? [option, option] : option;
      return h("option", { value, selected: value === chosen }, words);
    }));
  made.value = chosen;
  return made;
}

/** Say something to all, also to readers of the screen. @param {string} words @param {boolean} [isBad] */
export function say(words, isBad = false) {
  let place = document.getElementById("said");
  if (!place) document.body.append(place = h("div", { id: "said", role: "status", "aria-live": "polite" }));
  const note = h(isBad ? "p.bad" : "p", null, words);
  place.append(note);
  setTimeout(() => note.remove(), isBad ? 9000 : 4000);
}

/** Let failures of an action be said. @param {() => Promise<any>} act */
export function tell(act) {
  return () => { act().catch((/** @type {Error} */ error) => say(error.message, true)); };
}

/** The value of a colour of style.css, such as "--accent". @param {string} name */
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Whether the user asked for less motion. */
export const isStill = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
