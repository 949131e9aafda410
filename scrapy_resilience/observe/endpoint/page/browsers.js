"use strict";
// The browsers of the crawl: what is open, and what went wrong.

const browsers = (() => {
  const { find, facts } = dom;
  const PROBLEMS = [["Browsers that have ended", "crashes"], ["of these, killed for no answer", "killed"],
    ["Pages that have crashed", "page_crashes"], ["Requests that took too long", "timeouts"],
    ["Pages that callbacks left open", "left_open"], ["Processes of an earlier run, ended", "orphans"]];

  function show({ browsers: shown, resources, cost }) {
    find("browsers-card").hidden = !shown.used;
    dom.setText(find("browsers-failure"), format.text(shown.failure));
    const minutes = cost.resources.find((each) => each.name === "browser_minutes");
    const most = shown.places * Math.max(shown.contexts, 1);
    dom.bars(find("browsers-pages"), shown.places ? [{ label: "Pages open", size: Math.min(shown.pages / most, 1), full: 1,
      text: `${format.count(shown.pages)} of ${format.count(most)}${shown.waiting ? `, ${format.count(shown.waiting)} requests wait` : ""}` }] : []);
    facts(find("browsers-facts"), [["Browsers now", format.count(shown.running)], ["Contexts open", format.count(shown.contexts)],
      ["Memory of browsers", format.bytes(resources.browser_memory)], ["Started", format.count(shown.started)],
      ["Contexts recycled", format.count(shown.recycled)], ["Replaced for growth or age", format.count(shown.replaced)],
      ...(minutes ? [["Minutes, of all runs", format.amount(minutes.amount)]] : [])]);
    const told = PROBLEMS.filter(([, name]) => shown[name]).map(([label, name]) => [label, format.count(shown[name])]);
    facts(find("browsers-problems"), told);
  }

  return { show };
})();
