// Equations (3) to (6) on plain arrays, as gholm_lib.gradcam.upsample and gholm_lib.masking have them.
// A map or heatmap is a Float32Array, a mask a Uint8Array of 0 and 1, both in rows. A box is [x0, y0, x1, y1] in
// pixels, half open.

/** Eq. (3): a map of h x w positions enlarged to height x width pixels, bilinear, pixel centres aligned. */
export function upsample(cam, h, w, height, width) {
  const rows = positions(h, height), columns = positions(w, width);
  const heat = new Float32Array(height * width);
  for (let y = 0; y < height; y++) {
    const [top, bottom, down] = rows[y];
    for (let x = 0; x < width; x++) {
      const [left, right, across] = columns[x];
      const above = cam[top * w + left] * (1 - across) + cam[top * w + right] * across;
      const below = cam[bottom * w + left] * (1 - across) + cam[bottom * w + right] * across;
      heat[y * width + x] = above * (1 - down) + below * down;
    }
  }
  return heat;
}

/** For each of `many` output pixels: the two positions of `few` between which it lies, and how far along. */
function positions(few, many) {
  return Array.from({ length: many }, (_, i) => {
    const place = Math.max(0, (i + 0.5) * few / many - 0.5);
    const first = Math.min(Math.floor(place), few - 1);
    return [first, Math.min(first + 1, few - 1), place - first];
  });
}

/** Eq. (4): the mean of a heatmap. */
export function heatMean(heat) {
  let sum = 0;
  for (const value of heat) sum += value;
  return sum / heat.length;
}

/** Eq. (5) and (6): where the heat is above `factor` times its own mean, or with times = "max" its maximum. */
export function threshold(heat, factor, times = "mean") {
  const level = factor * (times === "mean" ? heatMean(heat) : heat.reduce((a, b) => Math.max(a, b), 0));
  return Uint8Array.from(heat, (value) => (value > level ? 1 : 0));
}

/**
 * The largest connected component of a mask, as a mask; of several, the one whose box starts highest, then leftmost.
 * An empty mask has an empty component.
 */
export function largestComponent(mask, width, height, connectivity = 8) {
  const label = new Int32Array(mask.length), stack = [];
  const steps = [[1, 0], [-1, 0], [0, 1], [0, -1], [1, 1], [1, -1], [-1, 1], [-1, -1]].slice(0, connectivity);
  let best = { area: 0 };
  for (let start = 0, count = 0; start < mask.length; start++) {
    if (!mask[start] || label[start]) continue;
    const found = { name: ++count, area: 0, top: height, left: width };
    label[start] = count;
    stack.push(start);
    while (stack.length) {
      const at = stack.pop(), x = at % width, y = (at - x) / width;
      found.area++;
      found.top = Math.min(found.top, y);
      found.left = Math.min(found.left, x);
      for (const [dx, dy] of steps) {
        const nx = x + dx, ny = y + dy, next = ny * width + nx;
        if (nx < 0 || ny < 0 || nx >= width || ny >= height || !mask[next] || label[next]) continue;
        label[next] = count;
        stack.push(next);
      }
    }
    if (comesFirst(found, best)) best = found;
  }
  return Uint8Array.from(label, (name) => (name && name === best.name ? 1 : 0));
}

function comesFirst(a, b) {
  return a.area > b.area || (a.area === b.area && (a.top < b.top || (a.top === b.top && a.left < b.left)));
}

/** The box round all set pixels of a mask; for an empty mask the whole image. */
export function box(mask, width, height) {
  let [x0, y0, x1, y1] = [width, height, 0, 0];
  mask.forEach((set, at) => {
    if (!set) return;
    const x = at % width, y = (at - x) / width;
    [x0, y0, x1, y1] = [Math.min(x0, x), Math.min(y0, y), Math.max(x1, x + 1), Math.max(y1, y + 1)];
  });
  return x1 ? [x0, y0, x1, y1] : [0, 0, width, height];
}

/** After eq. (6): normalised planes (3 x height x width) with the masked pixels set to 0, the data's mean colour. */
export function erase(planes, mask) {
  return planes.map((value, at) => (mask[at % mask.length] ? 0 : value));
}
