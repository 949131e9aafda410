"use strict";
// The live page: the view once, then what changes of it, until the crawl is gone.

(() => {
  const TOKEN = "scrapy-resilience-token";
  const QUIET = 20; // seconds without a word after which a stream is taken for dead
  const POLL = 2; // seconds between two questions where there is no stream
  const AGAIN = [1, 2, 5, 10]; // seconds before another try
  const FINEST = 600; // rows of the finest history
  const REFRESH = 60; // seconds between two readings of the longer histories

  let view = null;
  let heard = null; // when the crawl last said something
  let dirty = new Set();
  let tries = 0;
  let streams = true;

  const wait = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

  class Refused extends Error {}

  async function ask(path, options = {}) {
    const headers = {};
    const token = sessionStorage.getItem(TOKEN);
    if (token) headers.Authorization = `Bearer ${token}`;
    const answer = await fetch(path, { headers, cache: "no-store", ...options });
    if (answer.status === 401 || answer.status === 403) throw new Refused();
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    return answer;
  }

  function draw() {
    const parts = dirty;
    dirty = new Set();
    if (parts.size) face.show(view, parts.has("all") ? null : parts);
  }

  function changed(names) {
    if (!dirty.size) requestAnimationFrame(draw);
    for (const name of names) dirty.add(name);
  }

  function hear() {
    heard = Date.now() / 1000;
    tries = 0;
    const state = streams ? "live" : "polling";
    dom.find("link").dataset.state = state;
    dom.setText(dom.find("link"), { live: "Live", polling: "Live, each 2 s" }[state]);
    dom.find("gone").hidden = true;
    document.body.classList.remove("stale");
  }

  function silent() {
    const since = heard ? ` since ${format.clock(new Date(heard * 1000))}` : "";
    dom.find("link").dataset.state = "gone";
    dom.setText(dom.find("link"), "Not answering");
    const last = view ? " What is below is what was last known." : "";
    const closed = view && (overview.isOver(view) || view.job.state === "closing");
    dom.setText(dom.find("gone"), closed
      ? `The crawl has ended: it was closing, and is not answering${since}.${last}`
      : `The crawl is not answering${since}. It has ended, is busy, or cannot be reached.${last}`);
    dom.find("gone").hidden = false;
    document.body.classList.toggle("stale", Boolean(view));
  }

  // Messages bring parts of the view, each whole: {"progress": {...}, "time": ...}. Of lists
  // they bring rows: {"rows": {"domains": {"changed": [...], "gone": [names]}}}.
  function take({ rows = {}, ...parts }) {
    const before = view;
    for (const [name, some] of Object.entries(rows)) parts[name] = merged(view[name], some, name);
    view = { ...view, ...parts };
    if (parts.history) view.history = longer(before?.history ?? [], parts.history);
    else if (before) lengthen(before);
    format.setClock(view.time);
    hear();
    changed(Object.keys(parts));
  }

  const KEYS = { domains: (row) => row.name, errors: (row) => row.number, events: (row) => row.number };

  function merged(list, { changed, gone = [] }, name) {
    if (name === "stats") {
      const left = Object.entries(list).filter(([key]) => !gone.includes(key));
      return Object.fromEntries([...left, ...changed]);
    }
    const known = new Map(list.map((row) => [KEYS[name](row), row]));
    for (const row of changed) known.set(KEYS[name](row), row);
    for (const key of gone) known.delete(key);
    const found = [...known.values()];
    return name === "events" ? found.sort((one, other) => other.number - one.number) : found;
  }

  // A history that came in pieces: what is newer is put behind what there is.
  function longer(before, given) {
    return given.map((series) => {
      const old = before.find((each) => each.seconds === series.seconds);
      const first = series.rows[0]?.[0] ?? Infinity;
      const rows = (old?.rows ?? []).filter((row) => row[0] < first);
      return { ...series, rows: [...rows, ...series.rows].slice(-Math.max(old?.rows.length ?? 0, series.rows.length)) };
    });
  }

  // Between two readings of the history its finest part goes on with what the counts say.
  function lengthen(before) {
    const finest = view.history[0];
    const passed = view.time - before.time;
    if (!finest || passed < finest.seconds * 0.5) return;
    const rate = (count) => Math.max(0, (count(view) - count(before)) / passed);
    const known = {
      time: view.time,
      pages_per_second: rate((one) => one.progress.pages),
      items_per_second: rate((one) => one.progress.items),
      errors_per_second: rate((one) => one.errors.reduce((sum, group) => sum + group.count, 0)),
      retries_per_second: rate((one) => one.traffic.retries),
    };
    finest.rows.push(finest.columns.map((name) => known[name] ?? null));
    if (finest.rows.length > FINEST) finest.rows.shift();
    changed(["history"]);
  }

  async function read() {
    const given = await (await ask("status.json?history=1")).json();
    view = null;
    take(given);
    changed(["all"]);
  }

  async function follow() {
    const control = new AbortController();
    let watch = null;
    const alive = () => {
      clearTimeout(watch);
      watch = setTimeout(() => control.abort(), QUIET * 1000);
    };
    alive();
    try {
      const answer = await ask("events", { signal: control.signal });
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let rest = ""; ;) {
        const { value, done } = await reader.read();
        if (done) return;
        alive();
        hear();
        const messages = (rest + value).replaceAll("\r\n", "\n").split("\n\n");
        rest = messages.pop();
        messages.forEach(message);
      }
    } finally {
      clearTimeout(watch);
    }
  }

  function message(text) {
    const lines = text.split("\n").filter((line) => line.startsWith("data:"));
    if (lines.length) take(JSON.parse(lines.map((line) => line.slice(5)).join("\n")));
  }

  async function poll() {
    for (;;) {
      await wait(POLL);
      take(await (await ask("status.json")).json());
    }
  }

  async function run() {
    for (;;) {
      try {
        await read();
        try {
          streams = true;
          await follow();
        } catch (error) {
          if (error instanceof Refused || !/^HTTP /.test(error.message)) throw error;
          streams = false; // too many streams, or none through a proxy
          await poll();
        }
      } catch (error) {
        if (error instanceof Refused) await askToken();
      }
      if (!heard || Date.now() / 1000 - heard > 1 || tries) silent();
      await wait(AGAIN[Math.min(tries, AGAIN.length - 1)]);
      tries += 1;
    }
  }

  function askToken() {
    const form = dom.find("token");
    const wrong = sessionStorage.getItem(TOKEN) !== null;
    sessionStorage.removeItem(TOKEN);
    dom.setText(dom.find("token-wrong"), wrong ? "This was not the token." : "");
    dom.find("main").hidden = true;
    form.hidden = false;
    dom.find("token-text").focus();
    return new Promise((done) => {
      form.addEventListener("submit", (event) => {
        event.preventDefault();
        sessionStorage.setItem(TOKEN, dom.find("token-text").value);
        dom.find("token-text").value = "";
        form.hidden = true;
        tries = -1;
        done();
      }, { once: true });
    });
  }

  function tick() {
    if (view && !document.hidden) overview.tick(view);
  }

  evidence.from(async (number) => (await ask(`errors/${number}.json`)).json());
  face.start();
  setInterval(tick, 1000);
  setInterval(async () => {
    if (!view || document.hidden || dom.find("gone").hidden === false) return;
    try {
      take(await (await ask("status.json?history=1")).json());
    } catch { /* the stream says it */ }
  }, REFRESH * 1000);
  run();
})();
