// @ts-check
// The page: tabs, and one room at a time. The address says which: #plane?data=spirals.

import { fill, h, say } from "./dom.js";
import { Engine } from "./engine.js";

/** @typedef {{name: string, title: string}} RoomFacts */
/**
 * What a room is given besides its place and the engine.
 * @typedef {object} State
 * @property {URLSearchParams} params what the address says
 * @property {(params: URLSearchParams) => void} keep writes it into the address
 * @property {string[]} runs the runs that were opened
 * @property {{drawn?: {model: string, given: Float32Array | null, image: string, pad: ImageData}}} kept what rooms leave for each other until the page is closed
 */

const engine = new Engine();
const place = /** @type {HTMLElement} */ (document.getElementById("room"));
const tabs = /** @type {HTMLElement} */ (document.getElementById("tabs"));
const lost = /** @type {HTMLElement} */ (document.getElementById("lost"));
/** @type {RoomFacts[]} */
let rooms = [];
/** @type {string[]} */
let runs = [];
let shown = "";
/** @type {State["kept"]} */
const kept = {};
let leave = () => {};
let turn = 0;

const read = () => {
  const [name, query = ""] = location.hash.slice(1).split("?");
  return { name: rooms.some((room) => room.name === name) ? name : rooms[0]?.name ?? "", params: new URLSearchParams(query) };
};

async function show() {
  const { name, params } = read();
  if (name === shown) return;
  const mine = ++turn;
  leave();
  leave = () => {};
  shown = name;
  for (const tab of tabs.children) {
    if (tab.getAttribute("href") === `#${name}`) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  }
  document.title = `${rooms.find((room) => room.name === name)?.title} · tinygrad-mnist`;
  const inner = h("div", { class: `room ${name}` });
  fill(place, inner);
  /** @type {State} */
  const state = {
    params, runs, kept,
    keep: (now) => { if (shown === name) history.replaceState(null, "", `#${name}${now.size ? `?${now}` : ""}`); },
  };
  try {
    const module = await import(`./${name}.js`);
    const ending = await module.mount(inner, engine, state);
    if (mine === turn) leave = ending ?? (() => {});
    else ending?.();
  } catch (error) {
    if (mine === turn) say(/** @type {Error} */ (error).message, true);
    console.error(error);
  }
}

async function start() {
  let wasThere = false;
  engine.onConnection = (is) => {
    lost.hidden = is;
    if (!is) lost.textContent = wasThere ? "The connection is lost; the page tries again every second. If the program was started anew, its page has another address, which the terminal shows."
      : "There is no connection. Open the URL that the terminal shows.";
    else if (wasThere) { shown = ""; show(); }
    wasThere ||= is;
  };
  await engine.connect();
  const facts = await engine.ask("page", "hello");
  rooms = facts.rooms;
  runs = facts.runs;
  fill(tabs, rooms.map(({ name, title }) => h("a", { href: `#${name}` }, title)));
  addEventListener("hashchange", show);
  await show();
}

start();
