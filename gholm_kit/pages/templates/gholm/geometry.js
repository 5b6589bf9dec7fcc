// Equations (3) to (6) as gholm_lib has them (gradcam.upsample, masking), to the last bit of a float32.
//
// Maps, heat and masks are flat arrays, row after row: numbers, a Float32Array, a Uint8Array of 0 and 1. A box is
// [x0, y0, x1, y1] in pixels, half open.

// ---------------------------------------------------------------------- eq. (3)

/** a * b + c in float32, rounded once, as processors do it; the product of two float32 is exact in a double. */
const fused = (a, b, c) => Math.fround(a * b + c);

/** For each of `to` pixels: between which two of `from` positions it lies, and the weights of both. */
function places(from, to) {
  const scale = Math.fround(from / to);
  return Array.from({ length: to }, (_, pixel) => {
    const place = Math.max(0, fused(pixel + 0.5, scale, -0.5));
    const low = Math.min(Math.floor(place), from - 1);
    const far = Math.min(Math.fround(place - low), 1);
    return { low, high: Math.min(low + 1, from - 1), far, near: Math.fround(1 - far) };
  });
}

/**
 * Eq. (3): a map of h x w positions enlarged to height x width pixels, bilinear.
 * The order of operations is that of F.interpolate for pictures of more than 64 pixels.
 */
export function upsample(cam, h, w, height, width) {
  const map = Float32Array.from(cam), heat = new Float32Array(height * width);
  const down = places(h, height), across = places(w, width);
  down.forEach((y, line) => {
    const upper = y.low * w, lower = y.high * w;
    across.forEach((x, column) => {
      const top = fused(map[upper + x.low], x.near, Math.fround(map[upper + x.high] * x.far));
      const bottom = fused(map[lower + x.low], x.near, Math.fround(map[lower + x.high] * x.far));
      heat[line * width + column] = fused(top, y.near, Math.fround(bottom * y.far));
    });
  });
  return heat;
}

// ---------------------------------------------------------------------- eq. (4) to (6)

/**
 * Eq. (4): the mean of a heatmap, or with times = "max" its maximum. The sum is a double's; that of the library, in
 * float32, depends on its order and may differ in the last digits.
 */
export function levelOf(heat, times = "mean") {
  if (times === "max") return heat.reduce((a, b) => Math.max(a, b), 0);
  return Math.fround(heat.reduce((a, b) => a + b, 0) / heat.length);
}

/** Eq. (5) and (6): 1 where the heat is above `factor` times `level`, else 0. */
export function threshold(heat, level, factor) {
  const limit = Math.fround(Math.fround(factor) * level);
  return Uint8Array.from(heat, (value) => value > limit);
}

/**
 * All components of a mask, each {pixels, box}: the places of its pixels in the mask, and the box round them.
 * The largest comes first; of several, the one whose box starts highest, then leftmost. `connectivity`: 8 neighbours,
 * or 4.
 */
export function components(mask, width, height, connectivity) {
  const left = Uint8Array.from(mask), found = [];
  for (let start = 0; start < left.length; start++) {
    if (left[start]) found.push(flood(left, start, width, height, connectivity));
  }
  return found.sort((a, b) => b.pixels.length - a.pixels.length || a.box[1] - b.box[1] || a.box[0] - b.box[0]);
}

/** The component of one pixel; its pixels become 0 in `left`. */
function flood(left, start, width, height, connectivity) {
  const pixels = [start], box = [width, height, 0, 0];
  left[start] = 0;
  for (let done = 0; done < pixels.length; done++) { // grows while its pixels' neighbours are found
    const pixel = pixels[done], x = pixel % width, y = (pixel - x) / width;
    box[0] = Math.min(box[0], x); box[1] = Math.min(box[1], y);
    box[2] = Math.max(box[2], x + 1); box[3] = Math.max(box[3], y + 1);
    for (let row = Math.max(0, y - 1); row <= Math.min(height - 1, y + 1); row++) {
      for (let column = Math.max(0, x - 1); column <= Math.min(width - 1, x + 1); column++) {
        const next = row * width + column;
        if (!left[next] || (connectivity === 4 && row !== y && column !== x)) continue;
        left[next] = 0;
        pixels.push(next);
      }
    }
  }
  return { pixels, box };
}

/** The box of eq. (5), that of the largest of `components`; of none, the whole picture. */
export function boxOf(found, width, height) {
  return found.length ? found[0].box : [0, 0, width, height];
}

/** To the nearest integer, halves to the even one, as PyTorch rounds. */
export function roundHalfEven(value) {
  const low = Math.floor(value), rest = value - low;
  return rest < 0.5 || (rest === 0.5 && low % 2 === 0) ? low : low + 1;
}

/** masking.adjust_boxes for one box; `readings`: padding, min_size, square, margin. */
export function adjust(box, width, height, { padding, min_size, square, margin }) {
  if (!(padding || min_size || square || margin)) return box;
  const size = [width, height], edge = size.map((whole) => roundHalfEven(margin * whole));
  const low = [0, 1].map((k) => Math.max(0, box[k] - edge[k]));
  const high = [0, 1].map((k) => Math.min(size[k], box[k + 2] + edge[k]));
  let sides = size.map((whole, k) => Math.max((high[k] - low[k]) * (1 + 2 * padding), whole * min_size));
  if (square) sides = sides.map(() => Math.max(...sides));
  sides = sides.map((side, k) => Math.min(roundHalfEven(side), size[k]));
  const start = sides.map((side, k) => {
    const first = Math.max(0, roundHalfEven((low[k] + high[k]) / 2 - side / 2));
    return Math.min(first, size[k] - side);
  });
  return [...start, start[0] + sides[0], start[1] + sides[1]];
}

/** After eq. (6): normalised planes (3 x height x width) with the masked pixels set to 0, the data's mean colour. */
export function erase(planes, mask) {
  return planes.map((value, at) => (mask[at % mask.length] ? 0 : value));
}
