/* Search across all pages: a field in the first navigation; results are headings whose section has every word.
 *
 * The index is a script (gholm_kit/pages/search.py), because a page opened from a folder may not read other files. It
 * is loaded when the field is first entered.
 */
"use strict";

(() => {
  const MOST = 20; // results shown
  const AROUND = 60; // characters shown before and after the first word that was found

  /* Sections with all words, those with one in their heading first. A section: [page, title, anchor, heading, text]. */
  function find(index, words) {
    const has = (text) => (word) => text.toLowerCase().includes(word);
    const found = index.filter(([, title, , heading, text]) => words.every(has(`${title} ${heading} ${text}`)));
    const inHeading = ([, , , heading]) => Number(words.some(has(heading)));
    return found.sort((a, b) => inHeading(b) - inHeading(a));
  }

  function around(text, words) {
    const places = words.map((word) => text.toLowerCase().indexOf(word)).filter((place) => place >= 0);
    const start = Math.max(0, Math.min(...places, text.length) - AROUND);
    return `${start ? "…" : ""}${text.slice(start, start + 2 * AROUND)}…`;
  }

  function result([page, title, anchor, heading, text], words) {
    const item = document.createElement("li"), link = document.createElement("a");
    link.href = encodeURIComponent(page) + (anchor && `#${encodeURIComponent(anchor)}`);
    link.textContent = heading && heading !== title ? `${title} · ${heading}` : title;
    item.append(link, ` ${around(text, words)}`);
    return item;
  }

  let loading;

  /* The index, once for a page. */
  function load() {
    loading ??= new Promise((done, failed) => {
      const script = document.createElement("script");
      script.src = "assets/search-index.js";
      script.addEventListener("load", () => done(globalThis.searchIndex));
      script.addEventListener("error", failed);
      document.head.append(script);
    });
    return loading;
  }

  function setUp() {
    const field = document.createElement("input"), said = document.createElement("p"), list = document.createElement("ul");
    Object.assign(field, { type: "search", placeholder: "Search", ariaLabel: "Search in all pages", className: "search" });
    Object.assign(said, { role: "status" });
    const results = document.createElement("div");
    Object.assign(results, { className: "results", hidden: true });
    results.append(said, list);
    const nav = document.querySelector("nav");
    nav.append(field);
    nav.after(results);
    field.addEventListener("focus", load);
    field.addEventListener("input", async () => {
      const index = await load(), words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
      const found = words.length ? find(index, words) : [];
      results.hidden = !words.length;
      said.textContent = found.length > MOST ? `The first ${MOST} of ${found.length} places` : `Found: ${found.length}`;
      list.replaceChildren(...found.slice(0, MOST).map((section) => result(section, words)));
    });
  }

  document.addEventListener("DOMContentLoaded", setUp);
})();
