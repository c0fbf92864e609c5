// Common to all pages: tabs, sorting, copying, and details on hover and focus.
"use strict";
(function () {
  /** Each tab shows one panel. Without this script, all panels are shown one below the other. */
  function tabs(list) {
    const buttons = [...list.querySelectorAll(".tab")];
    const panel = (button) => document.getElementById(button.getAttribute("aria-controls"));
    function choose(chosen) {
      for (const button of buttons) {
        const is = button === chosen;
        button.setAttribute("aria-selected", String(is));
        button.tabIndex = is ? 0 : -1;
        panel(button).hidden = !is;
      }
    }
    list.hidden = false;
    list.addEventListener("click", (event) => {
      const button = event.target.closest(".tab");
      if (!button) return;
      choose(button);
      history.replaceState(null, "", "#" + button.getAttribute("aria-controls"));
    });
    list.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = buttons[(buttons.indexOf(document.activeElement) + step + buttons.length) % buttons.length];
      next.focus();
      choose(next);
    });
    const follow = () => {
      const named = buttons.find((button) => "#" + button.getAttribute("aria-controls") === location.hash);
      if (named) choose(named);
    };
    choose(buttons[0]);
    follow();
    window.addEventListener("hashchange", follow);
  }

  /** A click on a heading sorts the rows of each table body, best values first; missing values are last. */
  function sortable(table) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      if (!head.hasAttribute("data-sort")) return;
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const text = head.dataset.sort === "text";
        const now = head.getAttribute("aria-sort");
        const rising = now ? now === "descending" : text || head.dataset.sort === "low";
        for (const each of heads) each.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", rising ? "ascending" : "descending");
        const value = (row) => row.cells[column]?.dataset.value ?? "";
        for (const body of table.tBodies) {
          const rows = [...body.rows];
          rows.sort((one, other) => {
            const [a, b] = [value(one), value(other)];
            if (a === "" || b === "") return (a === "") - (b === "");
            const order = text ? a.localeCompare(b, "en") : Number(a) - Number(b);
            return rising ? order : -order;
          });
          body.append(...rows);
        }
      });
    });
  }

  async function copy(button) {
    const texts = await genies.load("copies/" + button.dataset.copy);
    await genies.copy(texts[button.dataset.format]);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = button.dataset.format), 1400);
  }

  /** A tooltip at the cell that has the pointer or the focus; its lines are in a file that is loaded on first use. */
  function details(table) {
    const box = document.createElement("div");
    box.className = "tip";
    box.id = table.dataset.details.replace("/", "-") + "-tip";
    box.setAttribute("role", "tooltip");
    box.hidden = true;
    let wanted = null;

    async function open(cell) {
      wanted = cell;
      const lines = await genies.load(table.dataset.details);
      if (wanted !== cell) return;
      const [title, big, ...rest] = lines[Number(cell.dataset.detail)];
      const make = (tag, kind, text) => {
        const element = document.createElement(tag);
        element.className = kind;
        element.textContent = text;
        return element;
      };
      if (!box.isConnected) document.body.append(box);
      box.replaceChildren(make("b", "", title), make("div", "big", big), ...rest.map((line) => make("div", "", line)));
      box.hidden = false;
      cell.firstElementChild?.setAttribute("aria-describedby", box.id);
      const place = cell.getBoundingClientRect();
      const wide = document.documentElement.clientWidth;
      const left = Math.min(Math.max(16, place.left + place.width / 2 - box.offsetWidth / 2), wide - box.offsetWidth - 16);
      const above = place.top - box.offsetHeight - 8;
      box.style.left = `${Math.max(8, left) + window.scrollX}px`;
      box.style.top = `${(above > 60 ? above : place.bottom + 8) + window.scrollY}px`;
    }
    function close() {
      wanted = null;
      box.hidden = true;
    }

    const near = (event) => event.target.closest?.("[data-detail]");
    table.addEventListener("pointerover", (event) => near(event) && open(near(event)));
    table.addEventListener("pointerout", close);
    table.addEventListener("focusin", (event) => near(event) && open(near(event)));
    table.addEventListener("focusout", close);
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape") close();
    });
  }

  /** Each row is one tab stop; the arrow keys move between the cells. */
  function cells(table) {
    const rows = [...table.querySelectorAll("tr[data-cells]")].map((row) => [
      ...row.querySelectorAll("th a, td a, td [tabindex]"),
    ]);
    for (const row of rows) for (const each of row.slice(1)) each.tabIndex = -1;
    table.addEventListener("keydown", (event) => {
      const step = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
      const y = rows.findIndex((row) => row.includes(document.activeElement));
      if (!step || y < 0) return;
      const x = rows[y].indexOf(document.activeElement) + step[1];
      const next = rows[y + step[0]]?.[x];
      if (!next) return;
      event.preventDefault();
      for (const each of rows[y + step[0]]) each.tabIndex = each === next ? 0 : -1;
      next.focus();
    });
  }

  /** Switch between accuracies and differences in all heat maps of a suite. */
  function numbers(group) {
    group.hidden = false;
    group.addEventListener("click", (event) => {
      const chosen = event.target.closest("[data-show]");
      if (!chosen) return;
      for (const each of group.children) each.setAttribute("aria-pressed", String(each === chosen));
      for (const table of group.closest(".suite").querySelectorAll("[data-shows]")) table.dataset.shows = chosen.dataset.show;
    });
  }

  /** Choose the base model whose rows and heat map are shown. */
  function models(control) {
    const parts = [...control.closest(".suite").querySelectorAll("[data-model]")];
    const select = control.querySelector("select");
    for (const name of ["all", ...new Set(parts.map((part) => part.dataset.model))]) {
      const option = document.createElement("option");
      option.textContent = name;
      option.value = name;
      select.append(option);
    }
    const choose = () => {
      for (const part of parts) part.hidden = select.value !== "all" && part.dataset.model !== select.value;
    };
    control.hidden = false;
    select.selectedIndex = 1;
    select.addEventListener("change", choose);
    choose();
  }

  /** A region that scrolls shows it at its right edge until the end is reached. */
  function scrolls(region) {
    const mark = () => {
      const more = region.scrollWidth - region.clientWidth - region.scrollLeft > 2;
      region.classList.toggle("more-right", more);
    };
    region.addEventListener("scroll", mark, { passive: true });
    new ResizeObserver(mark).observe(region);
    mark();
  }

  document.querySelectorAll("[role=tablist]").forEach(tabs);
  document.querySelectorAll("table.sortable").forEach(sortable);
  document.querySelectorAll("table[data-details]").forEach(details);
  document.querySelectorAll("table[data-details]").forEach(cells);
  document.querySelectorAll(".switch").forEach(numbers);
  document.querySelectorAll("[data-models]").forEach(models);
  document.querySelectorAll(".scroll").forEach(scrolls);
  document.querySelectorAll("[data-copy]").forEach((button) => {
    button.hidden = false;
    button.addEventListener("click", () => copy(button));
  });
})();
