"use strict";
// The first screen: how the crawl is, how far, what holds it back, what is in trouble.

const overview = (() => {
  const CAUSES = {
    processor: ["Processor", "computing"],
    servers: ["Servers", "waiting for answers"],
    gate: ["Held back", "domains that may not be asked yet"],
    frontier: ["Nothing to ask", "all that is left is under way"],
    callbacks: ["Callbacks and pipelines", "pages wait until they are through"],
    commit: ["Checkpoints", "waiting for commits"],
  };
  const SPANS = [["minute", "Last minute"], ["hour", "Last hour"], ["job", "Whole job"]];
  const LEAST = 0.0005; // a share that would be written as zero
  const FEW = 200; // rows in trouble
  let span = "hour";

  const inTrouble = (domain) =>
    Boolean(domain.waits_for || domain.given_up || domain.breaker !== "closed");

  // Those that need a look first, then by traffic.
  const ORDER = [inTrouble, (domain) => domain.critical, (domain) => domain.breaker !== "closed",
    (domain) => (inTrouble(domain) ? domain.pending : 0), (domain) => domain.requests];
  function byTrouble(one, other) {
    for (const by of ORDER) {
      const difference = Number(by(other)) - Number(by(one));
      if (difference) return difference;
    }
    return 0;
  }

  function stateOf(domain) {
    if (domain.given_up) return { text: "given up", chip: "error" };
    const chip = { open: "error", forced_open: "error", half_open: "warning" }[domain.breaker];
    if (chip) return { text: domain.breaker.replaceAll("_", " "), chip };
    return domain.waits_for ? { text: "waits", chip: "info" } : { text: "asked", chip: "plain" };
  }

  // *at*: the time of the view, which its sentence goes by.
  function nextTry(domain, at) {
    if (domain.given_up) return "never";
    if (domain.next_try !== null && domain.next_try !== undefined) return format.until(domain.next_try, at);
    return inTrouble(domain) ? "after an answer" : "";
  }

  function accounting(view) {
    const cause = view.accounting[span];
    const shares = cause.shares.filter((each) => each.share >= LEAST).sort((one, other) => other.share - one.share);
    dom.find("stack").replaceChildren(...shares.map((each) => {
      const part = dom.make("span", { className: `cause ${each.cause}` });
      part.style.flexGrow = each.share;
      if (each.share >= 0.1) part.textContent = format.share(each.share);
      return part;
    }));
    dom.find("stack").hidden = !shares.length;
    dom.find("causes").replaceChildren(...shares.map(line));
    if (!shares.length) {
      dom.find("causes").append(dom.make("li", { className: "empty", textContent: "Not measured yet" }));
    }
  }

  function line(each) {
    const [name, meaning] = CAUSES[each.cause] ?? [format.word(each.cause), ""];
    const why = [each.detail || meaning, each.domains.length && `: ${each.domains.join(", ")}`];
    return dom.make("li", {},
      dom.make("i", { className: `swatch cause ${each.cause in CAUSES ? each.cause : ""}` }),
      dom.make("b", { className: "number", textContent: format.share(each.share) }),
      dom.make("span", { className: "name", textContent: name }),
      dom.make("span", { className: "detail", textContent: format.text(why.filter(Boolean).join("")) }));
  }

  function trouble(view) {
    const found = view.domains.filter(inTrouble).sort(byTrouble);
    const table = dom.find("trouble");
    dom.fill(table, found.slice(0, FEW), (domain) => domain.name, (domain) => [
      format.text(domain.name) + (domain.critical ? " (critical)" : ""),
      stateOf(domain), format.text(domain.waits_for),
      { text: nextTry(domain, view.time), number: true }], "None: every domain may be asked");
    dom.setText(dom.find("trouble-count"),
      `${format.count(found.length)} of ${format.count(Math.max(view.domains_known, view.domains.length))}`);
  }

  function progress(view) {
    const { done, pending } = view.progress;
    const share = done + pending ? done / (done + pending) : 0;
    const bar = dom.find("progress");
    bar.firstElementChild.style.width = pending === null ? "0" : `${100 * share}%`;
    const told = `${format.share(share)} of the known requests are done`;
    bar.setAttribute("aria-label", pending === null ? "How much is left is not known" : told);
  }

  function checkpoint(view) {
    const { enabled, trouble: wrong, store_bytes: size } = view.checkpoint;
    const note = !enabled ? "without a JOBDIR nothing is kept" : wrong || `store of ${format.bytes(size)}`;
    dom.setText(dom.find("checkpoint-note"), format.text(note));
    dom.find("checkpoint-age").dataset.level = wrong ? "error" : "";
  }

  function state(view) {
    const { status, components } = view.health;
    const ill = components.filter((each) => each.status !== "healthy" && each.status !== "unknown");
    const level = { degraded: "warning", unhealthy: "error", healthy: "good" }[status] ?? "plain";
    const ended = view.job.incomplete || view.job.state === "killed" ? "warning" : "good";
    const paused = view.job.state === "running" && view.guard.pauses.length > 0;
    dom.setText(dom.find("state"), paused ? "Paused" : format.word(view.job.state));
    dom.find("state").dataset.level = isOver(view) ? ended : paused && level !== "error" ? "warning" : level;
    const detail = ill.map((each) => `${each.name}: ${each.detail}`).join("; ");
    const parts = [`Health: ${status}`, detail, view.job.incomplete && "incomplete"];
    const waits = view.job.waiting_for.length && `waits for ${view.job.waiting_for.join(", ")}`;
    dom.setText(dom.find("health"), format.text([...parts, waits].filter(Boolean).join(" · ")));
    document.title = `${dom.find("state").textContent}: ${format.text(view.job.spider)}`;
  }

  // What moves without news: ages.
  function tick(view) {
    for (const node of document.querySelectorAll('[data-as="ago"]')) {
      dom.bind(node.parentNode, view);
    }
  }

  function show(view) {
    for (const part of [state, progress, checkpoint, accounting, trouble]) part(view);
  }

  // *wholeJob*: of a crawl that has ended, the last hour says little.
  function start(redraw, wholeJob = false) {
    if (wholeJob) span = "job";
    dom.choice(dom.find("span"), SPANS, span, (value) => { span = value; redraw(); });
  }

  const isOver = (view) => !["running", "closing"].includes(view.job.state);

  return { start, isOver, show, tick, inTrouble, byTrouble, stateOf, nextTry };
})();
