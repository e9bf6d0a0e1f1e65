// @ts-check
// Pictures on canvases: heat maps over time, weights, grey images, a simple curve. It needs nothing else of the page, so
// that a replay, which is one file, can carry it.

/** @typedef {[number, number, number]} Rgb */
/** @typedef {{zero: Rgb, ink: string, accent: Rgb, line: string, positive: Rgb, negative: Rgb}} Look */

/** Read a colour such as #0072b2. @param {string} text @returns {Rgb} */
export function rgb(text) {
  const hex = text.replace("#", ""), full = hex.length === 3 ? [...hex].map((x) => x + x).join("") : hex;
  return /** @type {Rgb} */ ([0, 2, 4].map((i) => parseInt(full.slice(i, i + 2), 16) || 0));
}

/** The colours of pictures, as style.css has them now: they differ in the dark. @returns {Look} */
export function look() {
  const style = getComputedStyle(document.documentElement), of = (/** @type {string} */ name) => style.getPropertyValue(name).trim();
  return { zero: rgb(of("--surface")), ink: of("--text"), accent: rgb(of("--accent")), line: of("--line"), positive: rgb(of("--positive")), negative: rgb(of("--negative")) };
}

/** Mix two colours. @param {Rgb} from @param {Rgb} to @param {number} share @returns {Rgb} */
export const mix = (from, to, share) => /** @type {Rgb} */ (from.map((x, i) => Math.round(x + share * (to[i] - x))));

/** Give a canvas its size in dots of the screen, and return its context. @param {HTMLCanvasElement} canvas @param {number} height in CSS pixels */
export function sized(canvas, height) {
  const ratio = Math.min(globalThis.devicePixelRatio || 1, 2), width = canvas.clientWidth || 300;
  const w = Math.round(width * ratio), t = Math.round(height * ratio);
  if (canvas.width !== w || canvas.height !== t) { canvas.width = w; canvas.height = t; }
  canvas.style.height = `${height}px`;
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

/**
 * Histograms side by side over time: across is the step, up is the value, and dark is common.
 * @param {HTMLCanvasElement} canvas
 * @param {{step: number, bins: ArrayLike<number>}[]} columns in the order of steps
 * @param {{end: number, cursor: number, height?: number, mark?: number}} given the last step, the step that is shown, and
 *   a share of the height at which a line is drawn
 */
export function heat(canvas, columns, { end, cursor, height = 76, mark }) {
  const { context, width } = sized(canvas, height), { zero, accent, ink, line } = look();
  if (columns.length) {
    const count = columns[0].bins.length, w = Math.max(1, Math.min(600, Math.round(width)));
    const image = new ImageData(w, count);
    let at = 0;
    for (let x = 0; x < w; x++) {
      const step = (x / w) * end;
      while (at + 1 < columns.length && columns[at + 1].step <= step) at++;
      const { bins } = columns[at];
      for (let i = 0; i < count; i++) {
        const [r, g, b] = mix(zero, accent, Math.pow(bins[i] / 255, 0.55));
        image.data.set([r, g, b, 255], 4 * ((count - 1 - i) * w + x));
      }
    }
    paint(context, image, 0, 0, width, height);
  }
  if (mark !== undefined) { context.strokeStyle = line; context.setLineDash([3, 3]); stroke(context, 0, height * (1 - mark), width, height * (1 - mark)); context.setLineDash([]); }
  if (end > 0) { const x = Math.min((cursor / end) * width, width - 0.5); context.strokeStyle = ink; context.lineWidth = 1; stroke(context, x, 0, x, height); }
}

/** @param {CanvasRenderingContext2D} context @param {number} x0 @param {number} y0 @param {number} x1 @param {number} y1 */
function stroke(context, x0, y0, x1, y1) { context.beginPath(); context.moveTo(x0, y0); context.lineTo(x1, y1); context.stroke(); }

/** Draw an image of few pixels into a rectangle. @param {CanvasRenderingContext2D} context @param {ImageData} image @param {number} x @param {number} y @param {number} w @param {number} t @param {boolean} [smooth] */
export function paint(context, image, x, y, w, t, smooth = false) {
  const small = document.createElement("canvas");
  small.width = image.width; small.height = image.height;
  /** @type {CanvasRenderingContext2D} */ (small.getContext("2d")).putImageData(image, 0, 0);
  context.imageSmoothingEnabled = smooth;
  context.imageSmoothingQuality = "high";
  context.drawImage(small, x, y, w, t);
}

/** Numbers from 0 (most negative) over 127.5 (zero) to 255 as an image. @param {ArrayLike<number>} data @param {number} w @param {number} t @param {Look} [colours] */
export function signs(data, w, t, colours = look()) {
  const image = new ImageData(w, t);
  for (let i = 0; i < w * t; i++) {
    const x = (data[i] - 127.5) / 127.5;
    const [r, g, b] = mix(colours.zero, x > 0 ? colours.positive : colours.negative, Math.min(1, Math.abs(x)));
    image.data.set([r, g, b, 255], 4 * i);
  }
  return image;
}

/** Weights as pictures in rows: red speaks for a unit, blue against it. @param {HTMLCanvasElement} canvas @param {{shape: number[], data: ArrayLike<number>}} weights */
export function tiles(canvas, { shape, data }) {
  const [count, t, w] = shape, gap = w > 12 ? 3 : 7;
  const wide = canvas.clientWidth || 300, fits = Math.max(1, Math.floor(wide / (w > 12 ? 52 : 34)));
  const whole = Array.from({ length: fits }, (_, i) => fits - i).find((n) => count % n === 0) ?? 1, across = 2 * whole >= fits ? whole : Math.min(fits, count);
  const size = Math.min((wide - gap * (across - 1)) / across, 96), down = Math.ceil(count / across);
  const { context } = sized(canvas, down * size + gap * (down - 1)), colours = look();
  for (let i = 0; i < count; i++) {
    const piece = Array.prototype.slice.call(data, i * t * w, (i + 1) * t * w);
    paint(context, signs(piece, w, t, colours), (i % across) * (size + gap), Math.floor(i / across) * (size + gap), size, size);
  }
}

/** A grey image, light on dark. @param {HTMLCanvasElement} canvas @param {ArrayLike<number>} data @param {number} w @param {number} t */
export function grey(canvas, data, w, t) {
  canvas.width = w; canvas.height = t;
  const image = new ImageData(w, t);
  for (let i = 0; i < w * t; i++) image.data.set([data[i], data[i], data[i], 255], 4 * i);
  /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d")).putImageData(image, 0, 0);
}

/** Average a long curve over at most so many pieces, so that it can be drawn and read. @param {ArrayLike<number>} y @param {number} [most] @returns {{x: number[], y: number[]}} */
export function thin(y, most = 400) {
  const width = Math.max(1, Math.ceil(y.length / most)), found = { x: /** @type {number[]} */ ([]), y: /** @type {number[]} */ ([]) };
  for (let i = 0; i < y.length; i += width) {
    const end = Math.min(i + width, y.length);
    let sum = 0;
    for (let j = i; j < end; j++) sum += y[j];
    found.x.push((i + end + 1) / 2); found.y.push(sum / (end - i));
  }
  return found;
}

/** One curve, for a replay. @param {HTMLCanvasElement} canvas @param {ArrayLike<number>} values @param {{end: number, cursor: number, height?: number}} given */
export function curve(canvas, values, { end, cursor, height = 160 }) {
  const { context, width } = sized(canvas, height), { accent, ink, line } = look();
  const { x, y } = thin(values, 300), left = 34, top = Math.max(...y, 1e-9);
  const px = (/** @type {number} */ s) => left + (s / Math.max(end, 1)) * (width - left - 1), py = (/** @type {number} */ v) => height - 18 - (v / top) * (height - 26);
  context.font = "11px system-ui, sans-serif"; context.fillStyle = ink; context.strokeStyle = line; context.lineWidth = 1;
  for (const share of [0, 0.5, 1]) { const v = top * share; stroke(context, left, py(v), width, py(v)); context.fillText(v.toPrecision(2), 0, py(v) + 4); }
  context.strokeStyle = `rgb(${accent})`; context.lineWidth = 1.6; context.beginPath();
  x.forEach((s, i) => (i ? context.lineTo(px(s), py(y[i])) : context.moveTo(px(s), py(y[i]))));
  context.stroke();
  context.strokeStyle = ink; context.lineWidth = 1; stroke(context, px(cursor), 4, px(cursor), height - 18);
}
