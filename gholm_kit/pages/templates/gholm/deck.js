/* Makes every slide fit, then starts reveal.js.
 *
 * Only the browser knows how tall a text, an equation or a picture is. A slide that is too tall is set a little smaller;
 * if that is not enough, its last blocks move to a new slide under the same heading, as do the rows of a long table or
 * list; a table or equation that is too wide is set smaller; a single block that is still too tall is shrunk. deck.css
 * ends all shrinking at the smallest print that a room can read. What comes after an equation or a picture joins it where
 * both fit. Pictures, then code, take the room that is left. At last, the speaker's notes get the minutes of their slide.
 */
"use strict";

const WIDTH = 1280, HEIGHT = 720;
const MARGIN = 50; // right of the text
const PAPER_MARGIN = 0.06; // of the slide, round it, when it is printed
const SCALES = [1, 0.92, 0.85];
const TABLE_SCALE = 0.76; // a table is set in this size before its rows go to several slides
const SMALLEST = 0.64; // of 28 px: below it, deck.css shrinks nothing further
const CODE_SCALES = [1.5, 1.35, 1.2, 1];
const SMALL_PICTURE = 460, LARGE_PICTURE = 600; // height in pixels
const WORDS_A_MINUTE = 130; // spoken slowly
const LOOKED_AT = "img, .live, table, .code, blockquote"; // a minute each, besides its words; a quotation is a guess

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

/* Smaller print for each table and equation that is wider than the slide. */
function narrow(slide) {
  setSizes(slide, 1, SMALL_PICTURE);
  for (const block of slide.querySelectorAll("table, math[display=block]")) {
    const tooWide = () => block.getBoundingClientRect().left + block.scrollWidth > WIDTH - MARGIN;
    for (let scale = 1; scale >= SMALLEST && tooWide(); scale -= 0.05) block.style.setProperty("--narrow", scale);
  }
}

/* A slide after this one with the same notes, and under the same heading unless it brings its own. */
function nextSlide(slide, content) {
  const next = document.createElement("section");
  const [first] = blocksOf(slide);
  if (isHeading(first) && !/^H/.test(content[0].tagName)) {
    const heading = next.appendChild(first.cloneNode(true));
    heading.removeAttribute("id");
    if (!heading.querySelector(".more")) heading.insertAdjacentHTML("beforeend", ' <span class="more">(continued)</span>');
  }
  next.append(...content);
  slide.querySelectorAll(":scope > aside").forEach((notes) => next.appendChild(notes.cloneNode(true)));
  slide.after(next);
  return next;
}

/* Take from the end of a slide the blocks that are too much for it; at least one stays under the heading. */
function takeBlocks(slide) {
  const least = isHeading(blocksOf(slide)[0]) ? 2 : 1;
  const taken = [];
  const takeLast = () => { const last = blocksOf(slide).at(-1); last.remove(); taken.unshift(last); };
  while (!fits(slide) && blocksOf(slide).length > least) takeLast();
  while (taken.length && blocksOf(slide).length > least && leadsOn(blocksOf(slide).at(-1))) takeLast();
  return taken;
}

/* Take the rows of a table or the items of a list that are too much for its slide, as a block of their own. */
function takeRows(slide) {
  const block = blocksOf(slide).at(-1);
  const rows = (whole) => [...(whole.matches("ul, ol") ? whole.children : whole.querySelectorAll("tbody > tr"))];
  const rest = block.cloneNode(true);
  const total = rows(block).length;
  let kept = total;
  while (!fits(slide) && kept > 1) rows(block)[--kept].remove();
  if (kept === total) return [];
  rows(rest).slice(0, kept).forEach((row) => row.remove());
  if (rest.matches("ol")) rest.start = block.start + kept;
  return [rest];
}

function fit(slide) {
  narrow(slide);
  if (SCALES.some((scale) => fitsAt(slide, scale))) return;
  setSizes(slide, 1, SMALL_PICTURE);
  let taken = takeBlocks(slide);
  if (!taken.length) {
    setSizes(slide, TABLE_SCALE, SMALL_PICTURE);
    taken = takeRows(slide);
  }
  if (taken.length) {
    const next = nextSlide(slide, taken);
    fit(slide);
    fit(next);
    return;
  }
  for (let scale = TABLE_SCALE; scale > SMALLEST; scale -= 0.05) if (fitsAt(slide, scale)) return;
  fitsAt(slide, SMALLEST);
}

/* Take back to a slide the one after it, where both fit: an equation and its picture, a picture and what it shows. A guess
 * stays in front of its answer, and an exercise alone. */
function join(slide) {
  const next = slide.nextElementSibling;
  if (!next || isHeading(blocksOf(next)[0] ?? next) || slide.matches(".title")) return;
  if (slide.querySelector("blockquote, .fragment, [data-minutes]") || next.querySelector(".live, [data-minutes]")) return;
  const moved = [...next.childNodes];
  slide.append(...moved);
  narrow(slide);
  if (fitsAt(slide, SCALES.at(-1))) { next.remove(); join(slide); } else next.append(...moved);
}

/* A chapter's heading opens a slide, wherever its cell put it. */
function splitAtHeadings(slide) {
  const blocks = blocksOf(slide);
  const heading = blocks.findIndex((block, place) => place > 0 && block.tagName === "H2");
  if (heading > 0) splitAtHeadings(nextSlide(slide, blocks.slice(heading)));
}

/* Slides without a heading of their own say, in small print, under which heading they stand. */
function addRunningHeads() {
  let head = "";
  for (const slide of document.querySelectorAll(".slides > section > section:not(.title)")) {
    const first = blocksOf(slide)[0];
    if (first && isHeading(first)) head = first.innerHTML;
    else if (head) slide.insertAdjacentHTML("afterbegin", `<p class="running">${head}</p>`);
  }
}

/* One note a slide, because the speaker view shows only the first; it begins with the minutes, of this slide and so far. */
function addMinutes() {
  let total = 0;
  for (const slide of document.querySelectorAll(".slides > section > section")) {
    const minutes = minutesFor(slide);
    total += minutes;
    const found = [...slide.querySelectorAll("aside.notes")];
    const notes = document.createElement("aside");
    notes.className = "notes";
    notes.innerHTML = `<p class="minutes">${minutes} min · ${total} min at the end of this slide</p>`;
    found.forEach((note) => { notes.append(...note.childNodes); note.remove(); });
    slide.append(notes);
  }
  document.querySelector(".title .minutes").append(` · ${total} min in all`);
}

/* Whole and half minutes: its words, a minute for each thing to look at, and what an exercise or its solution asks for. */
function minutesFor(slide) {
  const shown = blocksOf(slide);
  const words = shown.map((block) => block.textContent).join(" ").split(/\s+/).length;
  const things = shown.flatMap((block) => [block, ...block.querySelectorAll("*")]);
  const looks = things.filter((thing) => thing.matches(LOOKED_AT)).length;
  const asked = [...slide.querySelectorAll("aside [data-minutes]")].map((thing) => Number(thing.dataset.minutes));
  return Math.max(0.5, Math.round(2 * (words / WORDS_A_MINUTE + looks + Math.max(0, ...asked))) / 2);
}

async function start() {
  await Promise.all([...document.fonts].map((font) => font.load())); // hidden slides do not ask for it
  await Promise.all([...document.images].map((image) => image.decode().catch(() => {})));
  document.querySelectorAll(".slides > section > section").forEach(splitAtHeadings);
  addRunningHeads();
  document.body.classList.add("measuring");
  document.querySelectorAll(".slides > section > section").forEach((slide) => slide.isConnected && join(slide));
  document.querySelectorAll(".slides > section > section").forEach(fit);
  document.body.classList.remove("measuring");
  addMinutes();
  const printed = new URLSearchParams(location.search).has("print-pdf");
  await Reveal.initialize({
    width: WIDTH, height: HEIGHT, margin: printed ? PAPER_MARGIN : 0, pdfSeparateFragments: false, center: false, hash: true, navigationMode: "linear",
    slideNumber: "c/t", transition: "none", backgroundTransition: "none", plugins: [RevealNotes],
  });
}

start();
