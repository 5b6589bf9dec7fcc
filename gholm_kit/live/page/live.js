// The page: one picture through the network, everything recomputed as you move mu and theta or choose a class.
import { adjust, boxOf, components, erase, levelOf, threshold, upsample } from "../../pages/templates/gholm/geometry.js";
import { PictureError, readPicture, toInput } from "./picture.js";

const about = JSON.parse(document.getElementById("about").textContent);
const side = about.image_size;
const $ = (id) => document.getElementById(id);
const state = { input: null, name: "", target: null, first: null, key: "" };
let running = false, again = false;

// ---------------------------------------------------------------------- the network

/** Base64 of gzip in a script element → bytes; the element's text is dropped, so that it does not stay in memory. */
async function unpacked(id) {
  const packed = Uint8Array.from(atob($(id).textContent), (character) => character.charCodeAt(0));
  $(id).textContent = "";
  const plain = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(plain).arrayBuffer());
}

async function startNetwork() {
  ort.env.wasm.numThreads = 1; // threads need headers that a file has not
  ort.env.wasm.wasmBinary = await unpacked("wasm");
  return ort.InferenceSession.create(await unpacked("model"), { executionProviders: ["wasm"] });
}

/** One call of the graph: planes of each image, a class and a box for each → outputs by name, as typed arrays. */
async function run(session, images, targets, boxes) {
  const planes = new Float32Array(images.length * images[0].length);
  images.forEach((image, k) => planes.set(image, k * image.length));
  const pixels = side * about.scale;
  const outputs = await session.run({
    image: new ort.Tensor("float32", planes, [images.length, 3, pixels, pixels]),
    class: new ort.Tensor("int64", BigInt64Array.from(targets, BigInt), [images.length]),
    box: new ort.Tensor("int64", BigInt64Array.from(boxes.flat(), BigInt), [images.length, 4]),
  });
  return Object.fromEntries(Object.entries(outputs).map(([name, value]) => [name, value.data]));
}

/** Raw and the map: the part that does not depend on mu and theta. */
async function firstLook(session, input, target) {
  const out = await run(session, [input.planes], [target ?? 0], [[0, 0, side, side]]);
  const map = target === null ? out.predicted_map : out.class_map;
  const cells = Math.sqrt(map.length);
  return { raw: out.raw_logits, map, heat: upsample(map, cells, cells, side, side) };
}

/** Box, crop and erased image, and what the network says of them. */
async function secondLook(session, input, first, mu, theta) {
  const mask = threshold(first.heat, levelOf(first.heat, about.mu_times), mu);
  const found = components(mask, side, side, about.connectivity);
  const box = adjust(boxOf(found, side, side), side, side, about.adjust);
  const hot = threshold(first.heat, levelOf(first.heat, about.theta_times), theta);
  const erased = erase(input.planes, hot);
  const out = await run(session, [input.planes, erased], [0, 0], [box, [0, 0, side, side]]);
  const classes = about.classes.length;
  const raw = first.raw, crop = out.crop_logits.slice(0, classes);
  return {
    mask, hot, box, erased,
    component: new Set(found[0]?.pixels),
    cropped: out.crop.slice(0, 3 * side * side),
    logits: { raw, crop, both: raw.map((value, k) => value + crop[k]), drop: out.raw_logits.slice(classes) },
  };
}

// ---------------------------------------------------------------------- pictures

/** Draw side x side pixels; colour(at) gives [red, green, blue] in 0..255 of pixel number `at`. */
function paint(id, colour) {
  const canvas = $(id), context = canvas.getContext("2d");
  canvas.width = canvas.height = side;
  const image = context.createImageData(side, side);
  for (let at = 0; at < side * side; at++) image.data.set([...colour(at), 255], at * 4);
  context.putImageData(image, 0, 0);
  return context;
}

function fromPlanes(planes) {
  const area = side * side;
  return (at) => [0, 1, 2].map((c) => (planes[c * area + at] * about.std[c] + about.mean[c]) * 255);
}

/** The picture in grey with the heat over it, see-through where there is none; heat in units of its mean. */
function heated(bytes, heat) {
  const mean = levelOf(heat) || 1;
  return (at) => {
    const grey = (bytes[3 * at] + bytes[3 * at + 1] + bytes[3 * at + 2]) / 3;
    const place = Math.min(255, Math.round(Math.sqrt(heat[at] / mean / about.heat_max) * 255));
    const cover = 0.15 + 0.7 * place / 255;
    return about.colours[place].map((value) => value * cover + grey * (1 - cover));
  };
}

function frame(context, [x0, y0, x1, y1]) {
  for (const [colour, width] of [["#fff", side / 40], [about.crop_colour, side / 80]]) {
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.strokeRect(x0, y0, x1 - x0, y1 - y0);
  }
}

function draw(input, first, second) {
  const seen = (at) => [input.bytes[3 * at], input.bytes[3 * at + 1], input.bytes[3 * at + 2]];
  paint("image", seen);
  paint("heat", heated(input.bytes, first.heat));
  paint("mask", (at) => (second.component.has(at) ? [255, 255, 255] : second.mask[at] ? [150, 150, 150] : [20, 20, 20]));
  frame(paint("box", seen), second.box);
  paint("crop", fromPlanes(second.cropped));
  paint("drop", fromPlanes(second.erased));
}

// ---------------------------------------------------------------------- words

function softmax(logits) {
  const largest = Math.max(...logits);
  const powers = Array.from(logits, (value) => Math.exp(value - largest));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((value) => value / sum);
}

/** The five most likely classes as [number, probability]. */
function best(logits) {
  return softmax(logits).map((p, k) => [k, p]).sort((a, b) => b[1] - a[1]).slice(0, 5);
}

function list(branch, logits) {
  $(`best-${branch}`).replaceChildren(...best(logits).map(([k, p]) => {
    const row = document.createElement("li");
    row.append(...[about.classes[k], percent(p), ""].map((textContent) => (
      Object.assign(document.createElement("span"), { textContent })
    )));
    row.lastChild.className = "bar";
    row.lastChild.style.setProperty("--share", `${100 * p}%`);
    return row;
  }));
}

const percent = (share) => `${Math.round(100 * share)} %`;
const share = (mask) => mask.reduce((a, b) => a + b, 0) / mask.length;
const name = (logits) => about.classes[best(logits)[0][0]];

function describe(first, second, mu, theta, ms) {
  const [x0, y0, x1, y1] = second.box, area = percent((x1 - x0) * (y1 - y0) / side ** 2);
  const size = second.mask.some(Boolean) ? `${area} of the picture` : "the whole picture, because no pixel is above μ";
  const c = about.classes[state.target ?? best(first.raw)[0][0]];
  const { raw, crop, both, drop } = second.logits;
  $("words").textContent = `${state.name}: Raw says ${name(raw)}. The heatmap is for ${c}. μ = ${mu.toFixed(2)}: the crop ` +
    `is ${size}, and Crop says ${name(crop)}. The answer, Raw + Crop: ${name(both)}. θ = ${theta.toFixed(2)}: ` +
    `${percent(share(second.hot))} erased, and Drop says ${name(drop)}.`;
  $("time").textContent = `Computed in ${ms} ms on this device.`;
}

// ---------------------------------------------------------------------- what happens when

/** Recompute and show; calls that come while one is at work become one more. */
async function update() {
  if (!state.input) return;
  if (running) {
    again = true;
    return;
  }
  running = true;
  try {
    do {
      again = false;
      await show(await network);
    } while (again);
  } finally {
    running = false;
  }
}

async function show(session) {
  const start = performance.now(), { input, target } = state;
  const mu = Number($("mu").value), theta = Number($("theta").value), key = `${input.number} ${target}`;
  if (state.key !== key) [state.first, state.key] = [await firstLook(session, input, target), key];
  const first = state.first, second = await secondLook(session, input, first, mu, theta);
  const ms = Math.round(performance.now() - start);
  $("mu-value").textContent = mu.toFixed(2);
  $("theta-value").textContent = theta.toFixed(2);
  draw(input, first, second);
  for (const [branch, logits] of Object.entries(second.logits)) list(branch, logits);
  describe(first, second, mu, theta, ms);
  // For the console, and for the test that compares the page with PyTorch.
  globalThis.looked = { name: state.name, number: input.number, map: first.map, box: second.box, logits: second.logits, ms };
}

let pictures = 0;

async function open(file, label = file.name) {
  try {
    const input = toInput(await readPicture(file), about);
    state.input = Object.assign(input, { number: ++pictures });
    state.name = label;
    say("");
    await update();
  } catch (error) {
    if (!(error instanceof PictureError)) throw error;
    say(error.message);
  }
}

function say(text) {
  $("message").textContent = text;
}

function choose(sample, button) {
  document.querySelectorAll("#samples button").forEach((other) => other.setAttribute("aria-pressed", other === button));
  const bytes = Uint8Array.from(atob(sample.data), (character) => character.charCodeAt(0));
  return open(new File([bytes], sample.name, { type: "image/jpeg" }), sample.label);
}

function setUpPictures() {
  const buttons = about.samples.map((sample, k) => {
    const button = document.createElement("button"), image = document.createElement("img");
    Object.assign(image, { src: `data:image/jpeg;base64,${sample.data}`, alt: "" });
    Object.assign(button, { type: "button", title: sample.label, ariaLabel: `picture ${k + 1}: ${sample.label}` });
    button.append(image);
    button.addEventListener("click", () => choose(sample, button));
    return button;
  });
  $("samples").append(...buttons);
  const input = $("file");
  input.addEventListener("change", () => input.files.length && open(input.files[0]));
  const camera = $("camera");
  camera.addEventListener("change", () => camera.files.length && open(camera.files[0], "your photo"));
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    const [file] = event.dataTransfer.files;
    if (file) open(file);
    else say("What you dropped is not a file: save the picture first, then drop the file.");
  });
  return () => buttons[0]?.click();
}

function setUpSettings() {
  $("mu").value = about.mu;
  $("theta").value = (about.theta[0] + about.theta[1]) / 2;
  for (const id of ["mu", "theta"]) $(id).addEventListener("input", update);
  const select = $("class");
  about.classes.forEach((text, k) => select.append(new Option(text, k)));
  select.addEventListener("change", () => {
    state.target = select.value === "" ? null : Number(select.value);
    update();
  });
}

// ---------------------------------------------------------------------- the tour

function setUpTour() {
  const steps = [...document.querySelectorAll("#tour li")];
  let at = 0;
  const go = (to) => {
    at = Math.min(steps.length - 1, Math.max(0, to));
    steps.forEach((step, k) => (step.hidden = k !== at));
    document.querySelectorAll("figure").forEach((part) => {
      part.classList.toggle("here", part.dataset.part === steps[at].dataset.part);
    });
    $("step").textContent = `Step ${at + 1} of ${steps.length}`;
    $("back").disabled = at === 0;
    $("next").disabled = at === steps.length - 1;
  };
  $("back").addEventListener("click", () => go(at - 1));
  $("next").addEventListener("click", () => go(at + 1));
  $("where").addEventListener("click", () => document.querySelector("figure.here").scrollIntoView({ block: "center" }));
  go(0);
}

const network = startNetwork();
setUpSettings();
setUpTour();
const openFirst = setUpPictures();
network.then(
  () => {
    say("");
    document.body.dataset.ready = "yes";
    openFirst();
  },
  (error) => say(`This browser cannot run the network (${error.message}): use a current Chrome, Edge, Firefox or Safari.`),
);
