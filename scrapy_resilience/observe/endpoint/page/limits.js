"use strict";
// What the crawl costs, and what would end it.

const limits = (() => {
  const { find, bars } = dom;
  const NEAR = 0.8; // as the sentence of the crawl has it
  const FEW = 10; // domains that cost most
  const LEAST = /^(coverage\.|confidence$)/; // met below its limit
  const SHARES = /^(failure_rate|open_domains|coverage\..*)$/;
  const THEN = { pause: "then a pause", warn: "then a warning", close: "then the close" };
  const known = (value) => typeof value === "number";
  const levelOf = (share, met = share >= 1) => (met ? "error" : share >= NEAR ? "warning" : "");

  // --- cost ---

  const money = (resource) => (resource === "usd" ? format.dollars : format.amount);

  function budget(each, now) {
    const shown = money(each.resource);
    const moves = known(each.moves) ? `, moves ${format.until(each.moves, now)}` : "";
    const share = each.used / each.limit;
    return { label: format.text(each.text), size: Math.min(share, 1), full: 1, level: levelOf(share),
      text: `${shown(each.used)} of ${shown(each.limit)}${moves}, ${THEN[each.action] ?? "no more"}` };
  }

  function shares(name, given) {
    guards.table(name, given.slice(0, FEW), guards.unlike("name"), (each) => [format.text(each.name),
      { text: format.dollars(each.cost), number: true },
      Object.entries(each.amounts).map(([what, amount]) => `${format.amount(amount)} ${format.text(what).replaceAll("_", " ")}`).join(", ")]);
  }

  function cost(view) {
    const { resources, budgets, domains, proxies, trouble } = view.cost;
    find("cost-card").hidden = !(resources.length || budgets.length || trouble);
    dom.setText(find("cost-trouble"), format.text(trouble));
    find("budgets-part").hidden = !budgets.length;
    bars(find("budgets"), budgets.map((each) => budget(each, view.time)));
    guards.table("spent", resources, (each) => each.name, (each) => [format.word(each.name),
      { text: format.amount(each.amount), number: true },
      { text: known(each.price) ? `$${Number(each.price.toPrecision(6))}` : "none", number: true },
      { text: format.dollars(each.cost), number: true }]);
    shares("cost-domains", domains);
    shares("cost-proxies", proxies);
  }

  // --- abort ---

  function figure(name, value) {
    if (SHARES.test(name)) return format.share(value);
    if (name === "no_item_for") return format.duration(value);
    if (name === "cost") return format.dollars(value);
    return format.amount(value);
  }

  function nearness({ name, value, limit, met }) {
    if (met) return 1;
    if (!known(value) || !known(limit)) return -1;
    const share = LEAST.test(name) ? limit / Math.max(value, 1e-9) : value / limit;
    return Math.min(share, 0.999);
  }

  function condition(each) {
    const share = nearness(each);
    const least = LEAST.test(each.name) ? ", at least " : " of ";
    const limit = known(each.limit) ? `${least}${figure(each.name, each.limit)}` : "";
    const reason = each.name === "function" && each.text ? `: ${each.text}` : "";
    return { label: format.text(format.word(each.name) + reason), size: Math.max(share, 0), full: 1, level: levelOf(share, each.met),
      text: format.text(`${each.met ? "met: " : ""}${figure(each.name, each.value)}${limit}`) };
  }

  function abort(view) {
    const { policy, conditions, failures, operations, needed, judged } = view.abort;
    find("abort-card").hidden = !(policy || failures.length);
    dom.setText(find("abort-title"), policy ? `Abort policy ${format.text(policy)}` : "Failures that code has told");
    const early = operations < needed ? `judged from ${format.count(needed)} requests on` : "";
    dom.setText(find("abort-note"), early || (judged === null ? "" : `judged ${format.shortTime(judged)}`));
    const judgedBy = policy ? conditions.filter((each) => known(each.limit) || each.met || each.name === "function") : [];
    bars(find("conditions"), judgedBy.sort((one, other) => nearness(other) - nearness(one)).map(condition));
    guards.table("told-failures", failures, (each, at) => `${at} ${each.time}`, (each) => [
      format.shortTime(each.time), format.text(each.category), format.text(each.message), format.text(each.source)]);
  }

  function show(view) {
    cost(view);
    abort(view);
    const shown = ["guards-card", "browsers-card", "told-card", "cost-card", "abort-card"].some((id) => !find(id).hidden);
    find("guards").hidden = !shown;
    find("to-guards").hidden = !shown;
  }

  return { show };
})();
