/* Makes every slide fit, then starts reveal.js.
 *
 * Only the browser knows how tall a text, an equation or a picture is. A slide that is too tall is set a little smaller;
 * if that is not enough, its last blocks move to a new slide under the same heading, as do the rows of a long table or
 * list; a table or equation that is too wide is set smaller, and what a table still has too many of its columns becomes a
 * second table; a single block that is still too tall is shrunk. deck.css ends all shrinking at the smallest print that a
 * room can read. What comes after an equation or a picture joins it where both fit. Pictures, then code, take the room that
 * is left. At last, the speaker's notes get the minutes of their slide.
 *
 * All of it happens while the page's load event is handled, so that a browser that prints after this event finds it done.
 */
"use strict";

const WIDTH = 1280, HEIGHT = 720;
const MARGIN = 50; // right of the text
const SCALES = [1, 0.92, 0.85];
const TABLE_SCALE = 0.76; // a table is set in this size before its rows go to several slides
const SMALLEST = 0.64; // of 28 px: below it, deck.css shrinks nothing further
const CODE_SCALES = [1.5, 1.35, 1.2, 1];
const SMALL_PICTURE = 420, LARGE_PICTURE = 600; // height in pixels
const WORDS_A_MINUTE = 130; // spoken slowly
const ALL = ".slides > section > section";
const APART = "blockquote, .fragment, [data-minutes]"; // never joined with others
const LOOKED_AT = "img, .sliders, table, .code, blockquote"; // a minute each, besides its words; a quotation is a guess

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

const tooWide = (block) => block.getBoundingClientRect().left + block.scrollWidth > WIDTH - MARGIN;

/* Smaller print for each table and equation that is wider than the slide; returns those for which that is not enough. */
function narrow(slide) {
  setSizes(slide, 1, SMALL_PICTURE);
  return [...slide.querySelectorAll("table, math[display=block]")].filter((block) => !fitsNarrow(block));
}

function fitsNarrow(block) {
  for (let scale = 1; scale >= SMALLEST - 0.05; scale -= 0.05) {
    block.style.setProperty("--narrow", scale);
    if (!tooWide(block)) return true;
  }
  return false;
}

/* Move the right half of a table's columns to a table below it, which repeats the first column, and leaves out the rows of
 * which it would say nothing. Nothing is done where columns are joined, or too few. */
function cut(table) {
  const head = [...(table.tHead?.rows[0]?.cells ?? [])], { left, width } = table.getBoundingClientRect();
  const first = Math.max(2, head.findIndex((cell) => cell.getBoundingClientRect().right > left + width / 2));
  if (head.length < 3 || table.querySelector("[colspan], [rowspan]")) return;
  const holder = table.closest(".output") ?? table, copy = holder.cloneNode(true);
  const other = copy.matches("table") ? copy : copy.querySelector("table");
  const takeColumns = (from, chosen) =>
    [...from.rows].forEach((row) => [...row.cells].filter((_, column) => chosen(column)).forEach((cell) => cell.remove()));
  takeColumns(table, (column) => column >= first);
  takeColumns(other, (column) => column > 0 && column < first);
  for (const row of [...other.tBodies].flatMap((body) => [...body.rows])) {
    if ([...row.cells].slice(1).every((cell) => /^[\s–-]*$/.test(cell.textContent))) row.remove();
  }
  other.caption?.insertAdjacentText("beforeend", " (continued)");
  if (other.tBodies[0]?.rows.length) holder.after(copy);
  for (const half of [table, other]) if (half.isConnected && !fitsNarrow(half)) cut(half);
}

/* A slide after this one with the same notes (their minutes are spent once), and under the same heading unless it brings its own. */
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
  next.querySelectorAll("[data-minutes]").forEach((note) => note.removeAttribute("data-minutes"));
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
  narrow(slide).forEach((block) => block.matches("table") && cut(block));
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

/* Take to a slide what begins the one after it, as far as it fits: an equation's picture, a picture's explanation. A guess
 * stays in front of its answer, an exercise alone, and code with what it printed. */
function join(slide) {
  const next = slide.nextElementSibling;
  if (!next || slide.matches(".title") || slide.querySelector(APART)) return;
  const together = () => !narrow(slide).length && fitsAt(slide, SCALES.at(-1));
  const before = blocksOf(slide).length;
  for (const block of blocksOf(next)) {
    if (isHeading(block) || block.matches(`${APART}, .sliders, .code, pre`) || next.querySelector("[data-minutes]")) break;
    slide.append(block);
    if (!together()) { next.prepend(block); break; }
  }
  while (blocksOf(slide).length > before && leadsOn(blocksOf(slide).at(-1))) next.prepend(blocksOf(slide).at(-1));
  if (blocksOf(next).length) return;
  slide.append(...next.childNodes);
  next.remove();
  join(slide);
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
  for (const slide of document.querySelectorAll(`${ALL}:not(.title)`)) {
    const first = blocksOf(slide)[0];
    if (first && isHeading(first)) head = first.innerHTML;
    else if (head) slide.insertAdjacentHTML("afterbegin", `<p class="running">${head}</p>`);
  }
}

/* One note a slide, because the speaker view shows only the first; it begins with the minutes, of this slide and so far. */
function addMinutes() {
  let total = 0;
  for (const slide of document.querySelectorAll(ALL)) {
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

function layOut() {
  const slides = () => document.querySelectorAll(ALL);
  slides().forEach(splitAtHeadings);
  slides().forEach((slide) => slide.isConnected && join(slide));
  addRunningHeads();
  slides().forEach(fit);
  addMinutes();
}

async function start() {
  const late = [...document.fonts].filter((font) => font.status !== "loaded");
  if (late.length) await Promise.all(late.map((font) => font.load()));
  layOut();
  document.body.classList.remove("measuring");
  await Reveal.initialize({
    width: WIDTH, height: HEIGHT, margin: 0, center: false, hash: true, navigationMode: "linear",
    slideNumber: "c/t", transition: "none", backgroundTransition: "none", plugins: [RevealNotes],
  });
}

/* Slides that are not shown would ask for their font only later: they are shown, and laid out once, while the page loads. */
document.body.classList.add("measuring");
document.body.getBoundingClientRect();
addEventListener("load", start);
