/* Makes every slide fit, then starts reveal.js.
 *
 * Only the browser knows how tall a text, an equation or a picture is. A slide that is too tall is set a little smaller;
 * if that is not enough, its last blocks move to a new slide under the same heading; a single block that is still too
 * tall is shrunk as far as SMALLEST. Pictures then take the room that is left.
 */
"use strict";

const WIDTH = 1280, HEIGHT = 720;
const SCALES = [1, 0.92, 0.85];
const SMALLEST = 0.55;
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
}

/* The largest pictures with which the slide fits at this scale; false when even small ones are too much. */
function fitsAt(slide, scale) {
  setSizes(slide, scale, SMALL_PICTURE);
  if (!fits(slide)) return false;
  if (!slide.querySelector("img")) return true;
  let low = SMALL_PICTURE, high = LARGE_PICTURE;
  while (high - low > 4) {
    const middle = (low + high) / 2;
    setSizes(slide, scale, middle);
    if (fits(slide)) low = middle; else high = middle;
  }
  setSizes(slide, scale, low);
  return true;
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
  for (let scale = SCALES.at(-1); scale > SMALLEST; scale -= 0.05) if (fitsAt(slide, scale)) return;
  fitsAt(slide, SMALLEST);
}

/* Slides without a heading of their own say, in small print, under which heading they stand. */
function addRunningHeads() {
  for (const stack of document.querySelectorAll(".slides > section")) {
    let head = "";
    for (const slide of stack.querySelectorAll(":scope > section:not(.title)")) {
      const first = blocksOf(slide)[0];
      if (!first || isHeading(first)) head = first?.textContent ?? head;
      else if (head) slide.insertAdjacentHTML("afterbegin", '<p class="running"></p>');
      if (head && first && !isHeading(first)) slide.firstElementChild.textContent = head;
    }
  }
}

async function start() {
  await document.fonts.ready;
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
