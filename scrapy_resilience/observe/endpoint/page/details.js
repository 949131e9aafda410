"use strict";
// What is below the first screen, but for the domains.

const details = (() => {
  const { find, make, fill, facts, bars } = dom;
  const chipOf = { error: "error", unhealthy: "error", warning: "warning", degraded: "warning",
    healthy: "good", info: "plain", unknown: "plain" };
  const byCount = (counts) => Object.entries(counts)
    .sort(([, one], [, other]) => other - one).map(([name, number]) => [name, format.count(number)]);

  function errorGroup(group, jobdir) {
    const page = `scrapy resilience errors ${jobdir ?? "JOBDIR"} --open ${group.number}`;
    const list = make("dl", { className: "facts" });
    facts(list, [["Place", format.text(group.place)], ["First", format.time(group.first)],
      ["Last", format.time(group.last)], ["First seen at", format.text(group.url)],
      ["Trace id", format.text(group.trace_id)],
      ["Its page", group.has_page || group.has_evidence ? format.text(page) : "was not kept"],
      ...byCount(group.domains).map(([name, count]) => [`On ${name}`, count])]
      .filter(([, value]) => value));
    return list;
  }

  // Groups stay open while their numbers change.
  function errors(view) {
    const before = new Map([...find("errors-list").children].map((node) => [node.dataset.number, node]));
    const groups = [...view.errors].sort((one, other) => other.count - one.count);
    find("errors-list").replaceChildren(...groups.map((group) => {
      const node = before.get(String(group.number)) ?? make("details", {}, make("summary"));
      node.dataset.number = group.number;
      node.firstElementChild.replaceChildren(
        make("b", { className: "number", textContent: format.count(group.count) }),
        make("span", { className: "kind", textContent: format.text(group.kind) }),
        make("span", { className: "message", textContent: format.text(group.message) }),
        make("span", { className: "when", textContent: `last ${format.shortTime(group.last)}` }));
      const fill = () => {
        const seen = group.has_evidence && node.open ? [evidence.of(group.number)] : [];
        while (node.children.length > 1) node.lastElementChild.remove();
        node.append(errorGroup(group, view.job.path), ...seen);
      };
      node.ontoggle = fill;
      fill();
      return node;
    }));
    const sum = groups.reduce((all, group) => all + group.count, 0);
    dom.setText(find("errors-count"), groups.length
      ? `${format.count(sum)} errors of ${format.count(groups.length)} causes` : "None");
  }

  function items(view) {
    const { coverage, confidence, drift, unread, latest } = view.items;
    bars(find("coverage"), coverage.map(({ item, field, share }) => ({
      label: format.text(`${item}.${field}`), size: share, full: 1, text: format.share(share) })));
    facts(find("unread"), byCount(unread));
    histogram(find("confidence"), "Items by confidence", confidence.counts,
      (at) => `${(at / 10).toFixed(1)} to ${((at + 1) / 10).toFixed(1)}`);
    fill(find("drift"), drift, (each) => [each.set, each.field, each.domain, each.kind].join("\n"), (each) => [
      format.text(`${each.set}.${each.field}`), format.text(each.domain), format.text(each.kind),
      { text: format.shortTime(each.since), number: true }]);
    const lists = latest.map((item) => {
      const list = make("dl", { className: "facts" });
      facts(list, Object.entries(item).map(([name, value]) => [name, format.text(value)]));
      return list;
    });
    find("latest").replaceChildren(
      ...(lists.length ? lists : [make("p", { className: "empty", textContent: "None yet" })]));
  }

  function histogram(box, title, counts, labelOf) {
    const list = make("ul", { className: "meters" });
    list.setAttribute("aria-label", title);
    bars(list, counts.map((count, at) => ({ label: labelOf(at), size: count, text: format.count(count) })));
    const none = make("p", { className: "empty", textContent: "None yet" });
    box.replaceChildren(counts.some(Boolean) ? list : none);
  }

  function network(view) {
    const { statuses, failures, exceptions, latency } = view.traffic;
    facts(find("statuses"), byCount(statuses));
    facts(find("failures"), byCount(failures));
    facts(find("exceptions"), byCount(exceptions));
    histogram(find("latency"), "Answers by time", latency.counts, (at) =>
      (at < latency.bounds.length ? `up to ${format.seconds(latency.bounds[at])}` : "longer"));
  }

  function health(view) {
    fill(find("components"), view.health.components, (each) => each.name, (each) => [
      format.text(each.name), { text: each.status, chip: chipOf[each.status] ?? "plain" },
      format.text(each.detail),
      { text: each.checked === null ? "" : format.shortTime(each.checked), number: true }]);
  }

  function pairs(table, values) {
    fill(table, Object.entries(values).sort(), ([name]) => name,
      ([name, value]) => [{ text: format.text(name), code: true }, { text: format.text(value), code: true }]);
  }

  function events(view) {
    fill(find("events-table"), view.events, (each, at) => each.number || `at ${at}`, (each) => [
      format.shortTime(each.time), { text: each.severity, chip: chipOf[each.severity] ?? "plain" },
      format.text(each.kind), format.text(each.domain), format.text(each.text)]);
    dom.setText(find("zone"), `times in ${format.zone()}`);
  }

  // By the part of the view from which they are made.
  return {
    errors, items, traffic: network, health, events,
    settings: (view) => pairs(find("settings-table"), view.settings),
    stats: (view) => pairs(find("stats-table"), view.stats),
  };
})();
