"use strict";
// The table of domains: sorted, searched, a hundred rows until more are asked for.

const domains = (() => {
  const number = (text) => ({ text, number: true });
  const COLUMNS = [
    ["name", "Domain", (domain) => format.text(domain.name)],
    ["breaker", "State", (domain) => overview.stateOf(domain)],
    ["waits_for", "Waits for", (domain) => format.text(domain.waits_for)],
    ["next_try", "Next try", (domain) => number(overview.nextTry(domain, view.time))],
    ["requests", "Requests", (domain) => number(format.count(domain.requests))],
    ["answers", "Answers", (domain) => number(format.count(domain.answers))],
    ["failures", "Failures", (domain) => number(format.count(domain.failures))],
    ["retries", "Retries", (domain) => number(format.count(domain.retries))],
    ["pending", "Pending", (domain) => number(format.count(domain.pending))],
    ["under_way", "Under way", (domain) => number(format.count(domain.under_way))],
    ["latency", "Mean time", (domain) => number(domain.latency === null ? "" : format.seconds(domain.latency))],
    ["rate", "Allowed a second", (domain) => number(domain.rate === null ? "" : format.rate(domain.rate))],
    ["opened", "Opened", (domain) => number(format.count(domain.opened))],
    ["bytes", "Received", (domain) => number(format.bytes(domain.bytes))],
  ];
  const FIRST = 100;
  const order = { name: null, down: true };
  let view = null;
  let all = false;

  function sorted(list) {
    if (!order.name) return [...list].sort(overview.byTrouble);
    const turn = order.down ? -1 : 1;
    return [...list].sort((one, other) => {
      const [left, right] = [one[order.name], other[order.name]];
      if (left === right) return 0;
      if (left === null || left === "") return 1;
      if (right === null || right === "") return -1;
      return (left < right ? -1 : 1) * turn;
    });
  }

  function wanted() {
    const word = dom.find("domains-search").value.trim().toLowerCase();
    const only = dom.find("domains-only").checked;
    return view.domains.filter((domain) => (!only || overview.inTrouble(domain)) &&
      (!word || domain.name.toLowerCase().includes(word) || domain.waits_for.toLowerCase().includes(word)));
  }

  function draw() {
    if (!view) return;
    const found = sorted(wanted());
    const shown = all ? found : found.slice(0, FIRST);
    dom.fill(dom.find("domains-table"), shown, (domain) => domain.name,
      (domain) => COLUMNS.map(([, , cell]) => cell(domain)), "No domain is called so");
    const known = Math.max(view.domains_known, view.domains.length);
    dom.setText(dom.find("domains-count"),
      `${format.count(found.length)} of ${format.count(view.domains.length)} shown here, `
      + `${format.count(known)} in all`);
    const more = dom.find("domains-more");
    more.hidden = shown.length === found.length;
    dom.setText(more, `Show all ${format.count(found.length)}`);
  }

  function head([name, label], at) {
    const button = dom.make("button", { type: "button", textContent: label });
    const cell = dom.make("th", { scope: "col", className: at > 2 ? "number" : "" }, button);
    button.addEventListener("click", () => {
      const first = at > 3; // numbers begin with the largest
      order.down = order.name === name ? !order.down : first;
      order.name = name;
      for (const other of cell.parentNode.cells) other.removeAttribute("aria-sort");
      cell.setAttribute("aria-sort", order.down ? "descending" : "ascending");
      draw();
    });
    return cell;
  }

  function start() {
    const table = dom.find("domains-table");
    table.dataset.heads = "";
    table.tHead.rows[0].append(...COLUMNS.map(head));
    dom.find("domains-search").addEventListener("input", draw);
    dom.find("domains-only").addEventListener("change", draw);
    dom.find("domains-more").addEventListener("click", () => { all = true; draw(); });
  }

  function show(given) {
    const news = given.domains !== view?.domains;
    view = given;
    if (news || view.domains.some((domain) => domain.next_try !== null)) draw();
  }

  return { start, show, showAll: () => { all = true; } };
})();
