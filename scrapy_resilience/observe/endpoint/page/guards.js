"use strict";
// What guards the crawl: what eases it off, what has got worse, who was told.

const guards = (() => {
  const { find, fill, bars } = dom;
  const chipOf = { healthy: "good", clean: "info", fewer: "warning", pause: "warning", free: "error", close: "error" };
  const NOW = { healthy: "nothing", clean: "clears caches", fewer: "fewer requests", pause: "paused",
    free: "components free", close: "closes" };
  const TIMES = { clean: "cleared", fewer: "fewer", pause: "paused", free: "freed", close: "closed" };
  const PURPOSES = { job: "job", work: "working folder", feeds: "feeds", temp: "temporary files" };
  const known = (value) => typeof value === "number";
  const shareOf = (part, whole) => (known(part) && whole > 0 ? part / whole : null);

  const acts = (high, shown) => (known(high) ? `, acts at ${shown(high)}` : "");

  // A reading against its limit: {label, size, text, mark, level}; sizes are shares of the bar.
  function memory(view, ladder) {
    const { memory: own, children_memory: children, browser_memory: browsers, memory_limit } = view.resources;
    const used = ladder?.used ?? (known(own) ? own + children + browsers : null);
    const limit = ladder?.limit ?? memory_limit;
    return reading("Memory", shareOf(used, limit), shareOf(ladder?.high, limit),
      `${format.bytes(used)} of ${format.bytes(limit)}${acts(ladder?.high, format.bytes)}`);
  }

  function disk(each, ladder) {
    const high = ladder?.used === each.free ? ladder.high : null; // it is that of the worst one
    const mark = known(high) ? 1 - high / each.total : null;
    const name = PURPOSES[each.purpose] ?? each.purpose;
    return reading(`Disk of ${name}`, shareOf(each.total - each.free, each.total), mark,
      `${format.bytes(each.free)} free of ${format.bytes(each.total)}${acts(high, format.bytes)}${each.stale ? ", does not answer" : ""}`);
  }

  function loop(ladder) {
    const most = Math.max(ladder.used ?? 0, 2 * ladder.high);
    return reading("Event loop, late by its own work", shareOf(ladder.used, most), shareOf(ladder.high, most),
      `${format.seconds(ladder.used)}${acts(ladder.high, format.seconds)}`);
  }

  function reading(label, size, mark, text) {
    const level = known(mark) && size >= mark ? "warning" : "";
    return size === null ? null : { label: format.text(label), size, full: 1, text: format.text(text), mark, level };
  }

  function readings(view) {
    const { disks, cpu_share, open_files, open_files_limit } = view.resources;
    const by = Object.fromEntries(view.guard.ladders.map((ladder) => [ladder.resource, ladder]));
    const files = `${format.count(open_files)} of ${format.count(open_files_limit)}`;
    const found = [memory(view, by.memory), ...disks.map((each) => disk(each, by.disk)),
      reading("Processors that are allowed", cpu_share, null, format.share(cpu_share)),
      by.cpu && loop(by.cpu), reading("Open files", shareOf(open_files, open_files_limit), null, files)];
    bars(find("readings"), found.filter(Boolean));
    return found.some(Boolean);
  }

  // A table, with what is above it, is there while it has rows.
  function table(name, rows, keyOf, cellsOf) {
    find(`${name}-part`).hidden = !rows.length;
    fill(find(name), rows, keyOf, cellsOf);
    return rows.length > 0;
  }

  const unlike = (text) => (each, at) => `${at} ${each[text]}`;
  const since = (value) => ({ text: value === null ? "" : format.shortTime(value), number: true });

  function pauses(view) {
    return table("pauses", view.guard.pauses, unlike("reason"), (each) => [
      format.text(each.reason), format.text(each.text), since(each.since),
      { text: each.until === null ? "that has changed" : format.until(each.until, view.time), number: true }]);
  }

  function ladders(view) {
    const told = view.guard.ladders.filter((each) => each.rung !== "healthy" || Object.keys(each.climbed).length);
    return table("ladders", told, (each) => each.resource, (each) => [
      format.word(each.resource), { text: NOW[each.rung] ?? each.rung, chip: chipOf[each.rung] ?? "plain" },
      format.text(each.text), since(each.since),
      Object.entries(each.climbed).map(([rung, times]) => `${TIMES[rung] ?? rung} ${format.count(times)}`).join(", ")]);
  }

  function stuck(view) {
    return table("stuck", view.guard.stuck, unlike("text"), (each) => [
      { text: format.text(each.kind), chip: each.kind === "stall" ? "error" : "warning" },
      format.text(each.text), since(each.since)]);
  }

  function breaches(view) {
    const { breaches: worse, recoveries: better } = view.guard;
    const rows = [...new Set([...Object.keys(worse), ...Object.keys(better)])]
      .map((name) => ({ name, worse: worse[name] ?? 0, better: better[name] ?? 0 }));
    return table("breaches", rows, (each) => each.name, (each) => [format.text(each.name).replaceAll("_", " "),
      { text: format.count(each.worse), number: true }, { text: format.count(each.better), number: true }]);
  }

  function notices(view) {
    const { channels, dropped_notices: dropped } = view.guard;
    dom.setText(find("notices-note"), dropped ? `${format.count(dropped)} dropped` : "");
    return table("notices", channels, unlike("name"), (each) => [format.text(each.name),
      { text: format.count(each.waiting), number: true }, { text: format.count(each.sent), number: true },
      { text: format.count(each.failures), number: true }, format.text(each.problem)]);
  }

  function concurrency({ guard: { concurrency: now, most } }) {
    const any = (value) => (value ? format.count(value) : "any number of");
    dom.setText(find("concurrency"), now === most ? `${any(now)} requests at a time` : `${any(now)} of ${any(most)} requests at a time`);
  }

  function show(view) {
    concurrency(view);
    const eased = [pauses(view), ladders(view), stuck(view), readings(view)].some(Boolean);
    const told = [breaches(view), notices(view)].some(Boolean);
    find("guards-card").hidden = !eased;
    find("told-card").hidden = !told;
  }

  return { show, table, unlike };
})();
