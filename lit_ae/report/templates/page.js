"use strict";
// A column sorts by the first number of its cells, or by their text if one has none; dashes stay last.
const numberOf = text => {
  const found = text.replace(/−/g, "-").replace(/(\d),(?=\d{3})/g, "$1").replace("∞", "Infinity")
    .match(/^[<[(\s]*([-+]?(?:\d+\.?\d*(?:e[-+]?\d+)?|Infinity))/);
  return found ? Number(found[1]) : NaN;
};
const isDash = text => text === "" || text.startsWith("–");
function sort(table, column, header) {
  const down = header.getAttribute("aria-sort") === "ascending";
  for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
  header.setAttribute("aria-sort", down ? "descending" : "ascending");
  const rows = [...table.tBodies[0].rows].map(row => [row, row.cells[column].innerText.trim()]);
  const numeric = rows.every(([, text]) => isDash(text) || !Number.isNaN(numberOf(text)));
  const compare = (a, b) => numeric ? numberOf(a) - numberOf(b) || 0 : a.localeCompare(b, "en", { numeric: true });
  rows.sort(([, a], [, b]) => isDash(a) - isDash(b) || (down ? compare(b, a) : compare(a, b)));
  table.tBodies[0].append(...rows.map(([row]) => row));
}
for (const table of document.querySelectorAll("table")) {
  if (!table.tHead || table.tBodies[0].rows.length < 2) continue;
  [...table.tHead.rows[0].cells].forEach((header, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    button.addEventListener("click", () => sort(table, column, header));
    header.append(button);
    header.setAttribute("aria-sort", "none");
  });
}
const boxes = [...document.querySelectorAll(".scroll, .figures")];
function cue(box) {
  const wide = box.scrollWidth > box.clientWidth + 1;
  if (!box.cue) {
    box.cue = document.createElement("p");
    box.cue.className = "cue";
    box.cue.textContent = box.matches(".figures") ? "Scroll sideways for more figures →" : "Scroll sideways for more columns →";
    box.before(box.cue);
  }
  box.cue.hidden = !wide;
  box.classList.toggle("more", wide && box.scrollLeft + box.clientWidth < box.scrollWidth - 1);
}
for (const box of boxes) box.addEventListener("scroll", () => cue(box), { passive: true });
const cues = () => boxes.forEach(cue);
addEventListener("resize", cues);
cues();
const dialog = document.querySelector("dialog");
for (const link of document.querySelectorAll("figure a")) {
  link.addEventListener("click", event => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const image = new Image();
    image.src = link.href;
    image.alt = link.firstElementChild.alt;
    dialog.querySelector("div").replaceChildren(image);
    dialog.querySelector("p").textContent = image.alt;
    dialog.showModal();
  });
}
dialog.addEventListener("click", event => { if (event.target === dialog) dialog.close(); });
dialog.addEventListener("close", () => dialog.querySelector("div").replaceChildren());
