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

  /** A click on a heading sorts the rows of each table body, in descending order first; missing values are last. */
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
        const rising = now ? now === "descending" : text;
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
    const area = document.getElementById(button.dataset.copy);
    const said = button.textContent;
    try {
      await navigator.clipboard.writeText(area.value);
    } catch {
      area.closest("details").open = true;
      area.select();
      document.execCommand("copy");
    }
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = said), 1400);
  }

  /** A tooltip at the cell that has the pointer or the focus; its lines are in the page's data. */
  function details(table) {
    const block = document.getElementById(table.dataset.details);
    if (!block) return;
    const lines = JSON.parse(block.textContent);
    const box = document.createElement("div");
    box.className = "tip";
    box.id = table.dataset.details + "-tip";
    box.setAttribute("role", "tooltip");
    box.hidden = true;
    document.body.append(box);

    function open(cell) {
      const [title, big, ...rest] = lines[Number(cell.dataset.detail)];
      const make = (tag, kind, text) => {
        const element = document.createElement(tag);
        element.className = kind;
        element.textContent = text;
        return element;
      };
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

    const near = (event) => event.target.closest?.("[data-detail]");
    table.addEventListener("pointerover", (event) => near(event) && open(near(event)));
    table.addEventListener("pointerout", () => (box.hidden = true));
    table.addEventListener("focusin", (event) => near(event) && open(near(event)));
    table.addEventListener("focusout", () => (box.hidden = true));
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape") box.hidden = true;
    });
  }

  document.querySelectorAll("[role=tablist]").forEach(tabs);
  document.querySelectorAll("table.sortable").forEach(sortable);
  document.querySelectorAll("table[data-details]").forEach(details);
  document.querySelectorAll("[data-copy]").forEach((button) => {
    button.hidden = false;
    button.addEventListener("click", () => copy(button));
  });
})();
