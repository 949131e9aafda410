"use strict";
// A view is drawn: all of it once, later only what is made of parts that have changed.

const face = (() => {
  const WHOLE = ["job", "progress", "traffic", "accounting", "checkpoint", "health", "resources", "guard", "cost", "browsers"];
  const OVERVIEW = ["job", "progress", "accounting", "checkpoint", "health", "domains", "guard"];
  let view = null;

  const drawn = [
    [[...WHOLE, "items"], () => dom.bind(document, view)],
    [OVERVIEW, () => overview.show(view)],
    [["history"], () => charts.show(view.history)],
    [["domains", "time"], () => domains.show(view)],
    [["guard", "resources", "time"], () => guards.show(view)],
    [["browsers", "resources", "cost"], () => browsers.show(view)],
    [["cost", "abort", "guard", "browsers", "time"], () => limits.show(view)],
    ...Object.entries(details).map(([part, draw]) => [[part], () => draw(view)]),
  ];

  function start(wholeJob = false) {
    overview.start(() => view && overview.show(view), wholeJob);
    domains.start();
    charts.start();
  }

  // *parts*: the names of those that have changed; all without it.
  function show(given, parts = null) {
    const first = view === null;
    const began = performance.now();
    view = given;
    dom.find("main").hidden = false;
    for (const [names, draw] of drawn) {
      if (parts === null || names.some((name) => parts.has(name))) draw();
    }
    performance.clearMeasures("drawn"); // they would be kept for ever
    performance.measure("drawn", { start: began });
    if (first) requestAnimationFrame(() => setTimeout(() => performance.mark("usable")));
  }

  return { start, show };
})();
