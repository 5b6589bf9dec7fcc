/* Sliders of eq. (5) and (6) that need no running notebook.
 *
 * A page brings, as JSON, what `gholm_kit/teaching/widgets/sliders.py` made of a few pictures: pixels, coarse maps, and
 * the network's answers at each stop. This script computes the rest (geometry.js) and draws it.
 *
 * Arrays of pixels are flat, row after row; pictures are square, `size` pixels wide.
 */
import { adjust, boxOf, components, threshold, upsample } from "./geometry.js";

const ALMOST = 336; // width of a drawing in pixels, as near as whole multiples of the picture come
const CROP = "#D55E00"; // style.COLOURS["crop"]

/* Eq. (3) for a map that is an array of rows. */
const enlarged = (rows, size) => upsample(rows.flat(), rows.length, rows[0].length, size, size);

// ---------------------------------------------------------------------- drawing

const percent = (share) => `${Math.round(100 * share)}\u00a0%`;
const shareOf = (mask) => mask.reduce((sum, on) => sum + on, 0) / mask.length;

function make(tag, parent, attributes = {}, text = "") {
  const node = parent.appendChild(document.createElement(tag));
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.textContent = text;
  return node;
}

/* A picture of `pixels` (red, green, blue, opacity) as something that can be drawn enlarged. */
function raster(pixels, size) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = size;
  canvas.getContext("2d").putImageData(new ImageData(pixels, size), 0, 0);
  return canvas;
}

/* The picture with each pixel's colour changed: `change(red, green, blue, number of the pixel)`. */
function changed(pixels, size, change) {
  const out = new Uint8ClampedArray(pixels.length);
  for (let k = 0; k < size * size; k++) {
    const colour = change(pixels[4 * k], pixels[4 * k + 1], pixels[4 * k + 2], k);
    out.set([...colour, 255], 4 * k);
  }
  return raster(out, size);
}

/* Heat over a grey copy of the picture, in units of its mean, as style.heat_over draws it. */
function heated(pixels, size, heat, mean, { colours, max }) {
  return changed(pixels, size, (r, g, b, k) => {
    const grey = (r + g + b) / 3, relative = mean > 0 ? heat[k] / mean : 0;
    const colour = colours[Math.min(colours.length - 1, Math.floor(Math.sqrt(relative / max) * colours.length))];
    const opacity = colour[3] / 255;
    return [0, 1, 2].map((c) => opacity * colour[c] + (1 - opacity) * grey);
  });
}

/* The edges between a mask's pixels and the others, black with a white rim. */
function contour(context, mask, size, scale) {
  const path = new Path2D();
  const line = (x0, y0, x1, y1) => { path.moveTo(x0 * scale, y0 * scale); path.lineTo(x1 * scale, y1 * scale); };
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      const here = mask[y * size + x];
      if (x + 1 < size && here !== mask[y * size + x + 1]) line(x + 1, y, x + 1, y + 1);
      if (y + 1 < size && here !== mask[(y + 1) * size + x]) line(x, y + 1, x + 1, y + 1);
    }
  }
  strokes(context, "black", 2, () => context.stroke(path));
}

function frame(context, [x0, y0, x1, y1], scale) {
  strokes(context, CROP, 4, () => context.strokeRect(x0 * scale, y0 * scale, (x1 - x0) * scale, (y1 - y0) * scale));
}

/* Each line on a white one that is wider. */
function strokes(context, colour, width, stroke) {
  context.lineCap = "square";
  for (const [style, wide] of [["white", width + 3], [colour, width]]) {
    context.strokeStyle = style;
    context.lineWidth = wide;
    stroke();
  }
}

// ---------------------------------------------------------------------- one panel

class Panel {
  /* figure: an element with a script of type application/json in it; what else it holds is replaced. */
  constructor(figure) {
    this.data = JSON.parse(figure.querySelector("script").textContent);
    this.figure = figure;
    figure.replaceChildren();
    figure.setAttribute("data-prevent-swipe", ""); // a finger on a slider does not turn the slide
    this.controls = make("div", figure, { class: "controls-row" });
    this.views = make("div", figure, { class: "views" });
    this.words = make("p", figure, { class: "words", "aria-live": "polite" });
    this.addNote();
    this.addControls();
    this.addViews();
    figure.addEventListener("keydown", (event) => this.key(event));
    this.choose();
  }

  addControls() {
    const { pictures, mu, theta } = this.data;
    this.picture = this.menu("picture", pictures.map((p) => p.name), () => this.choose());
    this.target = this.menu("heat of", [], () => this.draw());
    if (mu) {
      this.mu = this.slider("μ", mu);
      this.connectivity = this.menu("neighbours", mu.connectivities, () => this.draw());
    }
    if (theta) this.theta = this.slider("θ", theta);
  }

  addViews() {
    const { mu, theta } = this.data;
    this.heatView = this.view();
    if (mu) [this.maskView, this.cropView] = [this.view(), this.view()];
    if (theta) [this.erasedView, this.secondView] = [this.view(), this.view()];
  }

  /* The colours of heat, and that drawings are no photographs. */
  addNote() {
    const { heat, note } = this.data, line = make("p", this.figure, { class: "note" }, "heat / its mean: 0 ");
    const colours = heat.colours.filter((_, k) => k % 15 === 0).map(([r, g, b]) => `rgb(${r} ${g} ${b})`);
    make("span", line, { class: "bar" }).style.background = `linear-gradient(to right, ${colours})`;
    line.append(` ${heat.max} and more`, note && ` · ${note}`);
  }

  menu(label, options, changed) {
    const select = make("select", make("label", this.controls, {}, `${label} `));
    options.forEach((text) => make("option", select, {}, text));
    select.addEventListener("change", changed);
    return select;
  }

  slider(label, { stops, start }) {
    const around = make("label", this.controls, { class: "slider" }, `${label} `);
    const input = make("input", around, { type: "range", min: 0, max: stops.length - 1, step: 1, value: start });
    const shown = make("output", around);
    const show = () => {
      shown.textContent = stops[input.value].toFixed(2);
      input.setAttribute("aria-valuetext", `${label} = ${shown.textContent}`);
    };
    input.addEventListener("input", () => { show(); this.draw(); });
    show();
    return input;
  }

  view() {
    const around = make("div", this.views, { class: "view" });
    const title = make("p", around, { class: "title-of-view" });
    const canvas = make("canvas", around, { role: "img" });
    const { size } = this.data;
    this.scale = Math.max(1, Math.round(ALMOST / size));
    canvas.width = canvas.height = size * this.scale;
    return { title, canvas, context: canvas.getContext("2d") };
  }

  /* Keys that move a control do not turn slides; Escape leaves the control. */
  key(event) {
    if (!/^(INPUT|SELECT)$/.test(event.target.tagName)) return;
    event.stopPropagation();
    if (event.key === "Escape") event.target.blur();
  }

  /* A picture was chosen: offer its classes, read its pixels, draw. */
  async choose() {
    const picture = this.data.pictures[this.picture.selectedIndex];
    this.target.replaceChildren();
    picture.maps.forEach((map) => make("option", this.target, {}, this.data.classes[map.target]));
    const image = new Image();
    image.src = picture.image;
    await image.decode();
    const { size } = this.data, canvas = document.createElement("canvas");
    canvas.width = canvas.height = size;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    this.pixels = context.getImageData(0, 0, size, size).data;
    this.image = canvas;
    this.shown = picture;
    this.draw();
  }

  /* Everything for the controls as they stand. */
  draw() {
    const { size } = this.data, map = this.shown.maps[this.target.selectedIndex];
    const heat = enlarged(map.cam, size);
    const said = [...(this.mu ? this.drawCrop(map, heat) : []), ...(this.theta ? this.drawErased(map, heat) : [])];
    this.words.textContent = `${said.join("; ")}.`;
  }

  drawCrop(map, heat) {
    const { size, mu } = this.data, stop = Number(this.mu.value), value = mu.stops[stop];
    const connectivity = mu.connectivities[this.connectivity.selectedIndex];
    const mask = threshold(heat, map.mean, value), found = components(mask, size, size, connectivity);
    const box = adjust(boxOf(found, size, size), size, size, mu.adjust), [x0, y0, x1, y1] = box;
    const covered = percent(((x1 - x0) * (y1 - y0)) / size ** 2), share = percent(shareOf(mask));
    const many = `${found.length} component${found.length === 1 ? "" : "s"}`;
    const answer = map.crop[connectivity][stop];
    this.drawHeat(map, heat, mask, `μ = ${value.toFixed(2)}`);
    const dimmed = changed(this.pixels, size, (r, g, b, k) => [r, g, b].map((c) => (mask[k] ? c : c / 4)));
    this.put(this.maskView, dimmed, `mask and box: ${share}, ${many}`, `mask, and the box of the largest component`);
    frame(this.maskView.context, box, this.scale);
    this.put(this.cropView, this.image, `crop: ${this.verdict(answer)}`, `the crop, ${covered} of the picture`, box);
    const kept = found.length ? `the box covers ${covered} of the picture` : "it is empty, so the crop is the whole picture";
    return [`μ = ${value.toFixed(2)}: the mask covers ${share} of the picture in ${many}`, kept, `Crop says ${this.inWords(answer)}`];
  }

  drawErased(map, heat) {
    const { size, theta, classes } = this.data, stop = Number(this.theta.value), value = theta.stops[stop];
    const mask = threshold(heat, map.mean, value), share = percent(shareOf(mask));
    const { said, left, cam } = map.erased[stop], [before, sure] = this.shown.raw;
    const { paint } = this.shown;
    if (!this.mu) this.drawHeat(map, heat, mask, `θ = ${value.toFixed(2)}`);
    const gone = changed(this.pixels, size, (r, g, b, k) => (mask[k] ? paint : [r, g, b]));
    this.put(this.erasedView, gone, `erased (${share}): ${this.verdict(said)}`, `the picture without its hottest ${share}`);
    const pixels = gone.getContext("2d").getImageData(0, 0, size, size).data;
    const second = heated(pixels, size, enlarged(cam, size), 1, this.data.heat);
    this.put(this.secondView, second, "second heatmap", "where the network looks on the erased picture");
    return [
      `θ = ${value.toFixed(2)} erases ${share} of the picture (fill: ${theta.fill})`,
      `confidence in ${classes[before]} changes from ${percent(sure)} to ${percent(left)}`,
      `the network classifies the erased picture as ${this.inWords(said)}`,
    ];
  }

  drawHeat(map, heat, mask, words) {
    const { size } = this.data;
    const picture = heated(this.pixels, size, heat, map.mean, this.data.heat);
    const of = `heatmap of ${this.data.classes[map.target]}`;
    this.put(this.heatView, picture, `heatmap and contour ${words}`, `${of}, with the contour ${words}`);
    contour(this.heatView.context, mask, size, this.scale);
  }

  /* A picture, or a box of it, enlarged to a view, with its title and its description. */
  put({ title, canvas, context }, picture, words, alt, [x0, y0, x1, y1] = [0, 0, this.data.size, this.data.size]) {
    context.drawImage(picture, x0, y0, x1 - x0, y1 - y0, 0, 0, canvas.width, canvas.height);
    title.textContent = words;
    canvas.setAttribute("aria-label", `${this.shown.name}: ${alt}`);
  }

  verdict([said, sure]) {
    return `${said === this.shown.label ? "✓" : "✗"} ${this.data.classes[said]}, ${percent(sure)}`;
  }

  inWords([said, sure]) {
    const { classes } = this.data, { label } = this.shown;
    const right = said === label ? "right" : `truth: ${classes[label]}`;
    return `${classes[said]}, ${percent(sure)} (${right})`;
  }
}

document.querySelectorAll("figure.sliders").forEach((figure) => new Panel(figure));
