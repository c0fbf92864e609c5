// Set light or dark mode before the page is drawn: the reader's choice, or else the system's setting (style sheet).
"use strict";
(function () {
  const root = document.documentElement;
  let kept = null;
  try {
    kept = localStorage.getItem("genies-theme");
  } catch {
    // Pages opened from disk may have no storage; the choice then applies to one page.
  }
  if (kept === "light" || kept === "dark") root.dataset.theme = kept;
  root.classList.add("js");

  document.addEventListener("DOMContentLoaded", () => {
    const button = document.querySelector("[data-theme-toggle]");
    button.hidden = false;
    button.addEventListener("click", () => {
      const dark = root.dataset.theme
        ? root.dataset.theme === "dark"
        : matchMedia("(prefers-color-scheme: dark)").matches;
      root.dataset.theme = dark ? "light" : "dark";
      try {
        localStorage.setItem("genies-theme", root.dataset.theme);
      } catch {
        // As above.
      }
    });
  });
})();
