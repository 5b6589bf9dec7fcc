/* Makes every slide fit, then starts reveal.js.
 *
 * Only the browser knows how tall a text, an equation or a picture is. A slide that is too tall is set a little smaller;
 * if that is not enough, its last blocks move to a new slide under the same heading, and a long table or list is halved;
 * a single block that is still too tall is shrunk as far as SMALLEST. Pictures, then code, take the room that is left.
 */
"use strict";

const WIDTH = 1280, HEIGHT = 720;
const SCALES = [1, 0.92, 0.85];
const SMALLEST = 0.55;
const CODE_SCALES = [1.5, 1.35, 1.2, 1];
const SMALL_PICTURE = 460, LARGE_PICTURE = 600; // height in pixels

const fits = (slide) => slide.scrollHeight <= HEIGHT;
const isHeading = (block) => /^H[1-4]$/.test(block.tagName) || block.className === "running";
const leadsOn = (block) => isHeading(block) || /:\s*$/.test(block.textContent);

function blocksOf(slide) {
  return [...slide.children].filter((child) => child.tagName !== "ASIDE");
}

function setSizes(slide, scale, picture) {
  slide.style.setProperty("--scale", scale);
  slide.style.setProperty("--picture", picture + "px");
  slide.style.setProperty("--code", 1);
}

/* Fit the slide at this scale, with pictures and code as large as can be; false when it is too much all the same. */
function fitsAt(slide, scale) {
  setSizes(slide, scale, SMALL_PICTURE);
  if (!fits(slide)) return false;
  if (slide.querySelector("img")) growPictures(slide, scale);
  if (slide.querySelector("pre")) growCode(slide);
  return true;
}

function growPictures(slide, scale) {
  let low = SMALL_PICTURE, high = LARGE_PICTURE;
  while (high - low > 4) {
    const middle = (low + high) / 2;
    setSizes(slide, scale, middle);
    if (fits(slide)) low = middle; else high = middle;
  }
  setSizes(slide, scale, low);
}

/* Larger print for code as long as no line of it has to be broken. */
function growCode(slide) {
  const texts = [...slide.querySelectorAll("pre")];
  const broken = () => {
    slide.classList.add("unbroken");
    const wide = texts.some((text) => text.scrollWidth > text.clientWidth);
    slide.classList.remove("unbroken");
    return wide;
  };
  for (const scale of CODE_SCALES) {
    slide.style.setProperty("--code", scale);
    if (fits(slide) && !broken()) return;
  }
}

/* A slide after this one, under the same heading and with the same notes, to take what is too much. */
function nextSlide(slide) {
  const next = document.createElement("section");
  const [first] = blocksOf(slide);
  if (isHeading(first)) {
    const heading = next.appendChild(first.cloneNode(true));
    heading.removeAttribute("id");
    if (!heading.querySelector(".more")) heading.insertAdjacentHTML("beforeend", ' <span class="more">(continued)</span>');
  }
  slide.querySelectorAll(":scope > aside").forEach((notes) => next.appendChild(notes.cloneNode(true)));
  slide.after(next);
  return next;
}

/* The second half of a table's rows or a list's items as a block of its own; null when there is nothing to halve. */
function halve(block) {
  const items = (whole) => [...(whole.matches("ul, ol") ? whole.children : whole.querySelectorAll("tbody > tr"))];
  const half = Math.ceil(items(block).length / 2);
  if (half < 2) return null;
  const rest = block.cloneNode(true);
  items(block).slice(half).forEach((item) => item.remove());
  items(rest).slice(0, half).forEach((item) => item.remove());
  if (rest.matches("ol")) rest.start = block.start + half;
  return rest;
}

function fit(slide) {
  if (SCALES.some((scale) => fitsAt(slide, scale))) return;
  setSizes(slide, 1, SMALL_PICTURE);
  const fixed = isHeading(blocksOf(slide)[0]) ? 1 : 0;
  if (blocksOf(slide).length > fixed + 1) {
    const next = nextSlide(slide);
    const place = next.children[fixed] ?? null;
    const moved = [];
    const moveLast = () => moved.unshift(blocksOf(slide).at(-1)) && moved[0].remove();
    do moveLast(); while (!fits(slide) && blocksOf(slide).length > fixed + 1);
    while (blocksOf(slide).length > fixed + 1 && leadsOn(blocksOf(slide).at(-1))) moveLast();
    moved.forEach((block) => next.insertBefore(block, place));
    fit(slide);
    fit(next);
    return;
  }
  const rest = halve(blocksOf(slide).at(-1));
  if (rest) {
    const next = nextSlide(slide);
    next.insertBefore(rest, next.children[fixed] ?? null);
    fit(slide);
    fit(next);
    return;
  }
  for (let scale = SCALES.at(-1); scale > SMALLEST; scale -= 0.05) if (fitsAt(slide, scale)) return;
  fitsAt(slide, SMALLEST);
}

/* Slides without a heading of their own say, in small print, under which heading they stand. */
function addRunningHeads() {
  for (const stack of document.querySelectorAll(".slides > section")) {
    let head = "";
    for (const slide of stack.querySelectorAll(":scope > section:not(.title)")) {
      const first = blocksOf(slide)[0];
      if (first && isHeading(first)) head = first.innerHTML;
      else if (head) slide.insertAdjacentHTML("afterbegin", `<p class="running">${head}</p>`);
    }
  }
}

async function start() {
  await Promise.all([...document.fonts].map((font) => font.load())); // hidden slides do not ask for it
  await Promise.all([...document.images].map((image) => image.decode().catch(() => {})));
  addRunningHeads();
  document.body.classList.add("measuring");
  document.querySelectorAll(".slides > section > section").forEach(fit);
  document.body.classList.remove("measuring");
  await Reveal.initialize({
    width: WIDTH, height: HEIGHT, margin: 0, center: false, hash: true, navigationMode: "linear",
    slideNumber: "c/t", transition: "none", backgroundTransition: "none", plugins: [RevealNotes],
  });
}

start();
