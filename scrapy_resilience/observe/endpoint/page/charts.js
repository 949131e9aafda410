"use strict";
// The two charts over time: uPlot draws, a legend and a table say the same in words.

const charts = (() => {
  const CHARTS = {
    rates: [["pages_per_second", "Pages", "--line-1"],
      ["items_per_second", "Items", "--line-2", [5, 4]]],
    faults: [["errors_per_second", "Errors", "--line-3"],
      ["retries_per_second", "Retries", "--line-4", [5, 4]]],
  };
  const ROWS_OF_TABLE = 24;
  const SPANS = { 1: "10 min", 15: "6 h", 300: "7 days" }; // what a full history holds, by its seconds
  const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200,
    86400, 172800]; // seconds between two marks of time
  const plots = {};
  let history = [];
  let chosen = 0;

  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const spanOf = (series) => series.seconds * Math.max(series.rows.length, 2);
  const column = (series, name) => series.rows.map((row) => row[series.columns.indexOf(name)] ?? null);

  const widest = (values) => Math.max(3, ...(values ?? []).map((value) => String(value).length));

  function ticks(_plot, splits, _axis, _space, step) {
    return splits.map((moment) => {
      const date = new Date(moment * 1000);
      const midnight = date.getHours() === 0 && date.getMinutes() === 0;
      if (step >= 86400 || (midnight && step >= 60)) return format.day(date);
      return step >= 60 ? format.clock(date).slice(0, 5) : format.clock(date);
    });
  }

  function options(name, box) {
    const axis = { stroke: color("--muted"), grid: { stroke: color("--line"), width: 1 },
      ticks: { stroke: color("--line"), size: 4 }, font: `${fontSize()}px system-ui, sans-serif` };
    const em = fontSize() / 12;
    return {
      width: Math.max(box.clientWidth, 80), height: Math.max(box.clientHeight, 60),
      legend: { show: false }, padding: [8 * em, 26 * em, 0, 0],
      cursor: { drag: { x: false, y: false }, sync: { key: "crawl" }, points: { size: 6 } },
      scales: { y: { range: (_plot, _low, high) => [0, high > 0 ? high * 1.1 : 1] } },
      axes: [{ ...axis, values: ticks, incrs: STEPS, size: 26 * em, space: 70 * em },
        { ...axis, size: (_plot, values) => (20 + 7 * widest(values)) * em, space: 28 * em }],
      series: [{}, ...CHARTS[name].map(([, label, stroke, dash]) => ({
        label, stroke: color(stroke), dash, width: 1.5, points: { show: false },
        fill: dash ? undefined : `${color(stroke)}22` }))],
      hooks: { setCursor: [(plot) => legend(name, plot.cursor.idx ?? null)] },
    };
  }

  function fontSize() {
    return 0.75 * parseFloat(getComputedStyle(document.documentElement).fontSize);
  }

  function build(name) {
    const card = dom.find(name);
    const parts = { legend: dom.make("p", { className: "legend" }),
      none: dom.make("p", { className: "empty", textContent: "No points of this span are known" }),
      box: dom.make("div", { className: "plot" }),
      table: dom.make("div", { className: "plot scroll", hidden: true, tabIndex: 0 }) };
    parts.box.setAttribute("role", "img");
    parts.table.setAttribute("role", "region");
    parts.table.setAttribute("aria-labelledby", `${name}-title`);
    const toggle = dom.make("button", { type: "button", className: "quiet", textContent: "Table" });
    toggle.setAttribute("aria-pressed", "false");
    toggle.addEventListener("click", () => {
      parts.table.hidden = !parts.table.hidden;
      parts.box.hidden = !parts.table.hidden;
      toggle.setAttribute("aria-pressed", String(!parts.table.hidden));
      draw(name);
    });
    card.querySelector(".head").append(toggle);
    card.append(parts.none, parts.legend, parts.box, parts.table);
    plots[name] = parts;
    new ResizeObserver(() => resize(parts)).observe(parts.box);
  }

  function resize({ plot, box }) {
    if (plot && box.clientWidth) plot.setSize({ width: box.clientWidth, height: box.clientHeight });
  }

  function draw(name) {
    const parts = plots[name];
    const series = history[chosen];
    parts.none.hidden = Boolean(series?.rows.length);
    parts.box.hidden = !parts.none.hidden || !parts.table.hidden;
    if (!parts.none.hidden) return;
    parts.data = [column(series, "time"), ...CHARTS[name].map(([key]) => column(series, key))];
    legend(name, null);
    if (!parts.table.hidden) return parts.table.replaceChildren(tableOf(name));
    if (parts.plot) return parts.plot.setData(parts.data);
    parts.plot = new uPlot(options(name, parts.box), parts.data, parts.box);
  }

  // What the pointer is at; without one the mean and the peak of all.
  function legend(name, at = null) {
    const { data, legend: line, box } = plots[name];
    const said = CHARTS[name].map(([, label], number) => {
      const values = data[number + 1].filter((value) => value !== null);
      const mean = values.reduce((sum, value) => sum + value, 0) / (values.length || 1);
      const most = `highest ${format.rate(Math.max(...values, 0))}`;
      if (at !== null) return { said: `${label} `, value: format.rate(data[number + 1][at]), rest: "" };
      return { said: `${label}: mean `, value: format.rate(values.length ? mean : null), rest: `, ${most}` };
    });
    const over = `in the last ${format.duration(spanOf(history[chosen]))}`;
    const when = at === null ? over : `at ${format.shortTime(data[0][at])}`;
    line.replaceChildren(...said.map((part, number) => dom.make("span", {},
      dom.make("i", { className: `swatch s${CHARTS[name][number][2].slice(-1)}` }),
      part.said, dom.make("b", { textContent: part.value }), part.rest)),
    dom.make("span", { className: "when", textContent: when }));
    if (at === null) {
      box.setAttribute("aria-label",
        said.map((part) => part.said + part.value + part.rest).join("; ") + `; ${over}`);
    }
  }

  // The mean of equal spans, the newest first.
  function tableOf(name) {
    const { data } = plots[name];
    const size = Math.ceil(data[0].length / ROWS_OF_TABLE) || 1;
    const heads = ["Until", ...CHARTS[name].map(([, label]) => label)];
    const table = dom.make("table", {}, dom.make("thead", {}, dom.make("tr", {},
      ...heads.map((text) => dom.make("th", { scope: "col", textContent: text })))), dom.make("tbody"));
    for (let end = data[0].length; end > 0; end -= size) {
      const row = dom.make("tr", {}, dom.make("td", { textContent: format.shortTime(data[0][end - 1]) }));
      for (const values of data.slice(1)) {
        const some = values.slice(Math.max(0, end - size), end).filter((value) => value !== null);
        const mean = some.length ? some.reduce((sum, value) => sum + value, 0) / some.length : null;
        row.append(dom.make("td", { textContent: format.rate(mean) }));
      }
      table.tBodies[0].append(row);
    }
    return table;
  }

  function drawAll() {
    for (const name of Object.keys(plots)) draw(name);
  }

  function rebuild() {
    for (const parts of Object.values(plots)) {
      parts.plot?.destroy();
      parts.plot = null;
    }
    drawAll();
  }

  function start() {
    for (const name of Object.keys(CHARTS)) build(name);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", rebuild);
  }

  // Shows the history of a view; *changed* is called when another span is chosen.
  function show(given, changed = () => {}) {
    history = given;
    chosen = Math.min(chosen, Math.max(history.length - 1, 0));
    const group = dom.find("range");
    const labels = history.map((series, at) => [at, SPANS[series.seconds] ?? format.duration(spanOf(series))]);
    const names = labels.map(([, label]) => label).join();
    if (group.dataset.names !== names) {
      group.dataset.names = names;
      dom.choice(group, labels, chosen, (at) => { chosen = at; changed(at); drawAll(); });
    }
    drawAll();
  }

  // Of a crawl that is over: the finest history that holds all of it, so far as one does.
  function choose(given, seconds) {
    const wide = given.findIndex((series) => spanOf(series) >= seconds);
    chosen = wide < 0 ? Math.max(given.length - 1, 0) : wide;
  }

  return { start, show, choose, rebuild };
})();
