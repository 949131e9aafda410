"use strict";
// The only way in which anything is written: as text of elements, never as HTML.

const dom = (() => {
  const find = (id) => document.getElementById(id);

  function setText(node, text) {
    if (node.textContent !== text) node.textContent = text;
  }

  function make(tag, properties = {}, ...children) {
    const node = Object.assign(document.createElement(tag), properties);
    node.append(...children);
    return node;
  }

  function valueAt(view, path) {
    return path.split(".").reduce((value, name) => value?.[name], view);
  }

  // Elements with data-bind="path.in.view" show what is there, data-as says how.
  function bind(root, view) {
    for (const node of root.querySelectorAll("[data-bind]")) {
      const value = valueAt(view, node.dataset.bind);
      setText(node, format[node.dataset.as ?? "text"](value));
      const owner = node.closest("[data-hide-empty]");
      if (owner) owner.hidden = !value;
    }
  }

  // A cell is a text, or {text, chip, number, title, code}.
  function setCell(td, cell) {
    const given = typeof cell === "string" ? { text: cell } : cell;
    const kind = [given.number && "number", given.code && "code"].filter(Boolean).join(" ");
    if (td.className !== kind) td.className = kind;
    if (given.chip === undefined) return setText(td, given.text);
    const chip = td.firstElementChild ?? td.appendChild(make("span"));
    const name = `chip ${given.chip}`;
    if (chip.className !== name) chip.className = name;
    return setText(chip, given.text);
  }

  // Rows are kept by key, and only cells that have changed are touched.
  function fill(table, list, keyOf, cellsOf, none = "None") {
    const body = table.tBodies[0];
    const before = table.rowsByKey ?? new Map();
    const rows = new Map();
    for (const each of list) {
      const cells = cellsOf(each);
      const key = keyOf(each, rows.size);
      const row = before.get(key) ?? make("tr");
      while (row.cells.length < cells.length) row.append(newCell(table, row.cells.length));
      cells.forEach((cell, at) => setCell(row.cells[at], cell));
      rows.set(key, row);
    }
    table.rowsByKey = rows;
    const wanted = rows.size ? [...rows.values()] : [emptyRow(table, none)];
    wanted.forEach((row, at) => {
      if (body.rows[at] !== row) body.insertBefore(row, body.rows[at] ?? null);
    });
    while (body.rows.length > wanted.length) body.lastElementChild.remove();
  }

  function newCell(table, at) {
    const first = at === 0 && table.dataset.heads !== undefined;
    return first ? make("th", { scope: "row" }) : make("td");
  }

  function emptyRow(table, none) {
    const width = table.tHead.rows[0].cells.length;
    return make("tr", {}, make("td", { colSpan: width, className: "empty", textContent: none }));
  }

  function facts(list, pairs, none = "None") {
    const wanted = pairs.length ? pairs : [[none, ""]];
    const nodes = wanted.flatMap(([name, value]) => [
      make("dt", { textContent: format.text(name) }), make("dd", { textContent: value })]);
    list.replaceChildren(...nodes);
  }

  // Buttons of which one is pressed.
  function choice(group, options, chosen, choose) {
    group.replaceChildren(...options.map(([value, label]) => {
      const button = make("button", { type: "button", textContent: label });
      button.setAttribute("aria-pressed", String(value === chosen));
      button.addEventListener("click", () => {
        for (const other of group.children) {
          other.setAttribute("aria-pressed", String(other === button));
        }
        choose(value);
      });
      return button;
    }));
  }

  // A histogram or a list of shares as bars; the texts carry the numbers. *mark* is a share of the bar.
  function bars(list, rows) {
    const most = Math.max(...rows.map((row) => row.size), 0) || 1;
    list.replaceChildren(...rows.map(({ label, size, text, full, mark, level }) => {
      const fill = make("i");
      fill.style.width = `${(100 * size) / (full ?? most)}%`;
      const bar = make("span", { className: "meter" }, fill);
      if (level) bar.dataset.level = level;
      if (typeof mark === "number") {
        bar.append(make("b"));
        bar.lastElementChild.style.left = `${100 * Math.min(mark, 1)}%`;
      }
      bar.setAttribute("aria-hidden", "true");
      return make("li", {}, make("span", { className: "name", textContent: label }), bar,
        make("span", { className: "number", textContent: text }));
    }));
  }

  return { find, setText, make, bind, fill, facts, choice, bars };
})();
