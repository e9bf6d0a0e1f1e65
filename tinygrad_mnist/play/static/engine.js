// @ts-check
// The page's side of engine.py: commands out, updates in. Only this file knows that they travel by a WebSocket.

/** @typedef {{dtype: string, shape: number[], bytes: string}} Packed An array, as Python packs it. */
/** @typedef {{shape: number[], data: Float32Array | Uint8Array | Int32Array}} Numbers An array of numbers. */
/** @typedef {Record<string, any>} Facts */

const token = new URLSearchParams(location.search).get("token") ?? "";

export class Engine {
  constructor() {
    /** @type {Map<number, {resolve: (x: any) => void, reject: (e: Error) => void}>} */
    this.waiting = new Map();
    /** @type {Set<{room: string, what: string, act: (facts: Facts) => void}>} */
    this.listeners = new Set();
    this.count = 0;
    /** @type {WebSocket | null} */
    this.socket = null;
    /** @type {(is: boolean) => void} */
    this.onConnection = () => {};
  }

  /** Connect, and again whenever the connection is lost. @returns {Promise<void>} */
  connect() {
    return new Promise((resolve) => {
      const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/socket?token=${encodeURIComponent(token)}`);
      this.socket = socket;
      socket.onopen = () => { this.onConnection(true); resolve(); };
      socket.onmessage = (event) => this.hear(JSON.parse(event.data));
      socket.onclose = () => {
        for (const { reject } of this.waiting.values()) reject(new Error("the connection was lost"));
        this.waiting.clear();
        this.onConnection(false);
        setTimeout(() => this.connect().then(resolve), 1000);
      };
    });
  }

  /** @param {Facts} message */
  hear(message) {
    if (message.what !== undefined) {
      for (const { room, what, act } of [...this.listeners]) if (room === message.room && what === message.what) act(message);
      return;
    }
    const waiting = this.waiting.get(message.id);
    this.waiting.delete(message.id);
    if (message.error !== undefined) waiting?.reject(new Error(message.error));
    else waiting?.resolve(message.result);
  }

  /**
   * Carry out a command, and wait for its result.
   * @param {string} room @param {string} what @param {Facts} [given] @returns {Promise<any>}
   */
  ask(room, what, given = {}) {
    return new Promise((resolve, reject) => {
      if (this.socket?.readyState !== WebSocket.OPEN) { reject(new Error("there is no connection")); return; }
      this.waiting.set(++this.count, { resolve, reject });
      this.socket.send(JSON.stringify({ id: this.count, room, do: what, with: given }));
    });
  }

  /**
   * Hear updates; the result ends that.
   * @param {string} room @param {string} what @param {(facts: Facts) => void} act @returns {() => void}
   */
  on(room, what, act) {
    const listener = { room, what, act };
    this.listeners.add(listener);
    return () => { this.listeners.delete(listener); };
  }

  /** The whole address of a file that the engine offers. @param {string} path @param {boolean} [save] */
  address(path, save = false) {
    return `/${path}?token=${encodeURIComponent(token)}${save ? "&save" : ""}`;
  }

  /** Save a file that the engine offers. @param {string} path */
  save(path) {
    const link = document.createElement("a");
    link.href = this.address(path, true);
    link.download = "";
    document.body.append(link);
    link.click();
    link.remove();
  }
}

/** Unpack an array. @param {Packed} packed @returns {Numbers} */
export function unpack({ dtype, shape, bytes }) {
  const text = atob(bytes), raw = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) raw[i] = text.charCodeAt(i);
  const kinds = { uint8: Uint8Array, bool: Uint8Array, float32: Float32Array, int32: Int32Array };
  const Kind = kinds[/** @type {keyof typeof kinds} */ (dtype)];
  if (!Kind) throw new Error(`arrays of ${dtype} cannot be read`);
  return { shape, data: new Kind(raw.buffer) };
}
