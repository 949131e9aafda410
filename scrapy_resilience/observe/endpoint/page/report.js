"use strict";
// The report: the view is in the page, and nothing moves.

(() => {
  const COMPARED = [
    ["Pages", (view) => view.progress.pages, format.count],
    ["Items", (view) => view.progress.items, format.count],
    ["Requests done", (view) => view.progress.done, format.count],
    ["Requests left", (view) => view.progress.pending, format.count],
    ["Given up", (view) => view.progress.dead_letters, format.count, "bad"],
    ["Retries", (view) => view.traffic.retries, format.count, "bad"],
    ["Failures", (view) => sum(view.traffic.failures), format.count, "bad"],
    ["Received", (view) => view.traffic.response_bytes, format.bytes],
    ["Running time", (view) => view.job.running_seconds, format.duration],
    ["Cost", (view) => view.cost.total || null, format.dollars, "bad"],
    ["Cost of an item", (view) => view.cost.per_item || null, format.dollars, "bad"],
    ["Domains", (view) => view.domains_known, format.count],
    ["Mean confidence", (view) => view.items.confidence.mean, format.share, "good"],
  ];

  const sum = (counts) => Object.values(counts).reduce((all, one) => all + one, 0);
  const known = (value) => typeof value === "number";

  function difference(now, before) {
    if (!known(now) || !known(before)) return "";
    if (now === before) return "the same";
    if (!before) return "new";
    const percent = (100 * (now - before)) / before;
    const digits = Math.abs(percent) < 10 ? 1 : 0;
    return `${percent > 0 ? "+" : "−"}${Math.abs(percent).toFixed(digits)} %`;
  }

  function covered(view) {
    return new Map(view.items.coverage.map((each) => [`${each.item}.${each.field}`, each.share]));
  }

  function rows(view, before) {
    const figures = COMPARED.map(([name, value, shown]) => [name, value(view), value(before), shown]);
    const [now, then] = [covered(view), covered(before)];
    const fields = [...new Set([...now.keys(), ...then.keys()])]
      .filter((field) => now.get(field) !== then.get(field))
      .map((field) => [`Items with ${field}`, now.get(field), then.get(field), format.share]);
    return [...figures, ...fields].filter(([, one, other]) => known(one) || known(other));
  }

  function compare(view, before) {
    if (!before) return;
    const card = dom.find("compared");
    dom.fill(card.querySelector("table"), rows(view, before), ([name]) => name,
      ([name, now, then, shown]) => [format.text(name), { text: shown(now ?? null), number: true },
        { text: shown(then ?? null), number: true }, { text: difference(now, then), number: true }]);
    dom.setText(dom.find("compared-note"),
      `job ${format.text(before.job.ident)}, as it was ${format.time(before.time)}`);
    card.hidden = false;
  }

  const { view, previous, evidence: kept = {} } = JSON.parse(dom.find("data").textContent);
  evidence.from(async (number) => kept[number] ?? null);
  document.body.classList.add("report");
  format.holdClock(view.time);
  dom.find("link").hidden = true;
  domains.showAll();
  face.start(overview.isOver(view));
  if (overview.isOver(view)) charts.choose(view.history, view.job.running_seconds);
  face.show(view);
  compare(view, previous);
  document.title = `Report: ${format.text(view.job.spider)}`;
  dom.setText(dom.find("made"), `report of ${format.time(view.time)} (${format.zone()})`);
  addEventListener("beforeprint", charts.rebuild);
  addEventListener("afterprint", charts.rebuild);
})();
