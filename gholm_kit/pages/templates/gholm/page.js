/* Light or dark: as the system has it, until the reader chooses; the choice is kept in this browser. */
"use strict";

(() => {
  const KEY = "gholm-theme", root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");

  /* Some browsers keep nothing for pages that are opened from a folder; then the choice holds for this page. */
  function kept() {
    try { return localStorage.getItem(KEY); } catch { return null; }
  }

  function keep(theme) {
    try { localStorage.setItem(KEY, theme); } catch { /* see above */ }
  }

  function show(theme) {
    root.dataset.theme = theme;
    const button = document.querySelector(".theme");
    if (button) button.textContent = theme === "dark" ? "Light" : "Dark";
  }

  const follow = () => show(kept() ?? (system.matches ? "dark" : "light"));

  function addButton() {
    const button = document.createElement("button");
    button.className = "theme";
    button.type = "button";
    button.title = "light or dark page";
    button.addEventListener("click", () => {
      const theme = root.dataset.theme === "dark" ? "light" : "dark";
      keep(theme);
      show(theme);
    });
    document.querySelector("nav").append(button);
    follow();
  }

  follow(); // before anything is drawn
  system.addEventListener("change", follow);
  document.addEventListener("DOMContentLoaded", addButton);
})();
