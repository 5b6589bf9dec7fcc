// From a picture file to the network's input, as gholm_lib.loading.to_input prepares it. The square is made as Pillow
// makes it, step by step and with its rounding, so that the page and PyTorch see the same pixels.
import { roundHalfEven } from "../../pages/templates/gholm/geometry.js";

const MAX_BYTES = 50e6, MAX_PIXELS = 50e6; // as gholm_kit.teaching.photos

/** One sentence for the person who chose the file. */
export class PictureError extends Error {}

/** A file → {width, height, pixels}: upright, RGB on white, 4 bytes a pixel. */
export async function readPicture(file) {
  const name = file.name || "the picture";
  if (!file.size) throw new PictureError(`${name} is empty: choose another file.`);
  if (file.size > MAX_BYTES) {
    throw new PictureError(`${name} has ${Math.round(file.size / 1e6)} MB, the limit is 50 MB: save it smaller.`);
  }
  const bitmap = await decoded(file, name);
  const { width, height } = bitmap;
  if (width * height > MAX_PIXELS) {
    throw new PictureError(`${name} has ${Math.round(width * height / 1e6)} million pixels, the limit is 50 million: ` +
      "save it smaller.");
  }
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) throw new PictureError(`${name} is too large for this device: save it smaller.`);
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return { width, height, pixels: context.getImageData(0, 0, width, height).data };
}

async function decoded(file, name) {
  try {
    // Pillow turns a picture as its EXIF data say and leaves its colours as they are.
    return await createImageBitmap(file, { imageOrientation: "from-image", colorSpaceConversion: "none" });
  } catch {
    throw new PictureError(`${name} is not a picture that this browser can read: save it as JPEG or PNG.`);
  }
}

/**
 * The network's input: {bytes, planes}. bytes: side x side x 3, for display; planes: 3 x side x side, normalised.
 * `about` has resize, image_size, scale, interpolation, mean, std.
 */
export function toInput(picture, about) {
  const large = about.resize * about.scale, side = about.image_size * about.scale;
  const square = resized(picture, large, about.interpolation);
  const edge = roundHalfEven((large - side) / 2);
  const bytes = new Uint8Array(side * side * 3), planes = new Float32Array(side * side * 3);
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      for (let c = 0; c < 3; c++) {
        const value = square[((y + edge) * large + x + edge) * 3 + c];
        bytes[(y * side + x) * 3 + c] = value;
        planes[(c * side + y) * side + x] = (Math.fround(value / 255) - about.mean[c]) / about.std[c];
      }
    }
  }
  return { bytes, planes, side };
}

// ---------------------------------------------------------------------- Pillow's resize(..., reducing_gap=3)

const FILTERS = {
  bilinear: { support: 1, at: (x) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: {
    support: 2,
    at: (x) => {
      const a = -0.5, t = Math.abs(x);
      if (t < 1) return ((a + 2) * t - (a + 3)) * t * t + 1;
      return t < 2 ? (((t - 5) * t + 8) * t - 4) * a : 0;
    },
  },
};
const ONE = 2 ** 22; // Pillow's weights are whole numbers of 22 bits behind the point
const GAP = 3;

/** RGBA picture → RGB bytes of a square of `side` pixels. */
function resized({ width, height, pixels }, side, interpolation) {
  const fx = Math.trunc(width / side / GAP) || 1, fy = Math.trunc(height / side / GAP) || 1;
  const small = reduced(pixels, width, height, fx, fy);
  // Pillow hands these lengths on as 32-bit floats.
  const across = weights(Math.fround(width / fx), small.width, side, FILTERS[interpolation]);
  const down = weights(Math.fround(height / fy), small.height, side, FILTERS[interpolation]);
  const rows = new Uint8Array(side * small.height * 3);
  for (let y = 0; y < small.height; y++) resample(small.rgb, rows, across, y * small.width, 1, y * side, 1);
  const square = new Uint8Array(side * side * 3);
  for (let x = 0; x < side; x++) resample(rows, square, down, x, side, x, side);
  return square;
}

/** Means over blocks of fx x fy pixels; the last ones may be smaller. Pillow divides by a rounded-down factor. */
function reduced(pixels, width, height, fx, fy) {
  const w = Math.ceil(width / fx), h = Math.ceil(height / fy), rgb = new Uint8Array(w * h * 3);
  for (let y = 0; y < h; y++) {
    for (let x = 0; x < w; x++) {
      const right = Math.min((x + 1) * fx, width), bottom = Math.min((y + 1) * fy, height);
      const count = (right - x * fx) * (bottom - y * fy), factor = Math.floor(2 ** 24 / count);
      for (let c = 0; c < 3; c++) {
        let sum = count >> 1;
        for (let j = y * fy; j < bottom; j++) for (let i = x * fx; i < right; i++) sum += pixels[(j * width + i) * 4 + c];
        rgb[(y * w + x) * 3 + c] = Math.floor(sum * factor / 2 ** 24);
      }
    }
  }
  return { width: w, height: h, rgb };
}

/** For each output pixel: the first input pixel that counts, and the weights from there on. */
function weights(length, limit, side, filter) {
  const scale = length / side, wide = Math.max(scale, 1), support = filter.support * wide;
  return Array.from({ length: side }, (_, i) => {
    const centre = (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const last = Math.min(limit, Math.trunc(centre + support + 0.5));
    const raw = Array.from({ length: last - first }, (_, k) => filter.at((k + first - centre + 0.5) / wide));
    const sum = raw.reduce((a, b) => a + b, 0);
    return [first, raw.map((value) => Math.trunc((value / sum) * ONE + (value < 0 ? -0.5 : 0.5)))];
  });
}

/** One line of pixels of `from` into `to`; lines begin at pixel start, and their pixels are `step` apart. */
function resample(from, to, table, start, step, begin, stride) {
  table.forEach(([first, line], i) => {
    for (let c = 0; c < 3; c++) {
      let sum = ONE / 2;
      for (let k = 0; k < line.length; k++) sum += from[(start + (first + k) * step) * 3 + c] * line[k];
      to[(begin + i * stride) * 3 + c] = Math.min(255, Math.max(0, Math.floor(sum / ONE)));
    }
  });
}
