"use strict";
(() => {
  const root = document.documentElement;
  const said = document.getElementById("said");

  const theme = document.getElementById("theme");
  const prefersDark = window.matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : prefersDark.matches);
  const nameTheme = () => { theme.textContent = isDark() ? "Light mode" : "Dark mode"; };
  theme.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    nameTheme();
  });
  prefersDark.addEventListener("change", nameTheme);
  nameTheme();
  theme.hidden = false;

  const compare = (one, other) => {
    const [a, b] = [one.dataset.value, other.dataset.value].map((text) => (text === undefined ? NaN : Number(text)));
    if (!Number.isNaN(a) && !Number.isNaN(b)) return a - b;
    return one.textContent.trim().localeCompare(other.textContent.trim(), undefined, { numeric: true });
  };
  const isEmpty = (cell) => !("value" in cell.dataset) && /^[–\s]*$/.test(cell.textContent);

  const sort = (table, heads, column) => {
    const descending = heads[column].getAttribute("aria-sort") === "ascending";
    const body = table.tBodies[0];
    const rows = [...body.rows];
    rows.sort((one, other) => {
      const [a, b] = [one.cells[column], other.cells[column]];
      if (isEmpty(a) || isEmpty(b)) return isEmpty(a) - isEmpty(b);
      return descending ? compare(b, a) : compare(a, b);
    });
    body.append(...rows);
    heads.forEach((head) => head.removeAttribute("aria-sort"));
    heads[column].setAttribute("aria-sort", descending ? "descending" : "ascending");
    said.textContent = `Sorted by ${heads[column].textContent.trim()}, ${descending ? "descending" : "ascending"}.`;
  };

  document.querySelectorAll("table.sortable").forEach((table) => {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...head.childNodes);
      button.addEventListener("click", () => sort(table, heads, column));
      head.append(button);
    });
  });

  const opened = new Set();
  window.addEventListener("beforeprint", () => {
    document.querySelectorAll("details:not([open]):not(.unprinted)").forEach((part) => {
      part.open = true;
      opened.add(part);
    });
  });
  window.addEventListener("afterprint", () => {
    opened.forEach((part) => { part.open = false; });
    opened.clear();
  });
})();
