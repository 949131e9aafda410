"use strict";
// Values as texts. Base units come in (seconds, bytes, shares from 0 to 1), null is "not known".

const format = (() => {
  const LONGEST = 300; // characters of a text: a page may bring very long ones
  const NOT_KNOWN = "not known";
  const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
  const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");
  let skew = 0; // seconds that the crawl's clock is ahead of this one
  let still = null; // the time of a report, in which nothing moves

  const known = (shown) => (value) => (typeof value === "number" ? shown(value) : NOT_KNOWN);
  const two = (number) => String(number).padStart(2, "0");
  const count = known((value) => whole.format(value));

  const rate = known((value) => {
    if (value >= 100) return whole.format(value);
    return value.toFixed(value >= 10 ? 1 : 2);
  });

  const bytes = known((value) => {
    if (value < 1000) return `${whole.format(value)} B`;
    const units = ["kB", "MB", "GB", "TB", "PB"];
    let unit = -1;
    while (value >= 999.95 && unit < units.length - 1) [value, unit] = [value / 1000, unit + 1];
    return `${value.toFixed(1)} ${units[unit]}`;
  });

  const amount = known((value) => {
    if (value !== 0 && Math.abs(value) < 1) return String(Number(value.toPrecision(3)));
    return value.toLocaleString("en-US", { maximumFractionDigits: 2 });
  });

  const dollars = known((value) => {
    const digits = value < 1 ? 4 : 2;
    return `$${value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits })}`;
  });

  const share = known((value) => {
    const percent = value * 100;
    const exact = percent === 0 || percent === 100 || (percent >= 10 && percent <= 99);
    return `${percent.toFixed(exact ? 0 : 1)} %`;
  });

  const spelled = (value, most) => {
    const seconds = Math.max(0, Math.round(value));
    const parts = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
    const first = parts.findIndex(([size]) => seconds >= size);
    if (first < 0) return "0 s";
    let left = seconds;
    return parts.slice(first, first + most).map(([size, unit]) => {
      const number = Math.floor(left / size);
      left -= number * size;
      return number ? `${whole.format(number)} ${unit}` : "";
    }).filter(Boolean).join(" ");
  };
  const duration = known((value) => spelled(value, 2));
  const rough = (value) => spelled(value, value >= 600 && value < 3600 ? 1 : 2);

  const seconds = known((value) =>
    (value < 60 ? `${Number(value.toPrecision(3))} s` : duration(value)));

  const now = () => still ?? Date.now() / 1000 + skew;
  const ago = (value) => {
    if (typeof value !== "number") return "none yet";
    return now() - value < 1 ? "just now" : `${rough(now() - value)} ago`;
  };
  // As the sentences of the crawl have it (until() and duration() in sentences.py).
  const nearest = (value) => Math.floor(value + 0.5);
  const wait = (value) => {
    if (value < 120) return `${nearest(value)} s`;
    if (value < 7200) return `${nearest(value / 60)} min`;
    const [size, unit, part, least] = value < 172800 ? [3600, "h", 60, "min"] : [86400, "d", 3600, "h"];
    return `${Math.floor(value / size)} ${unit} ${Math.floor((value % size) / part)} ${least}`;
  };
  const until = (value, at) => (value - at < 1 ? "now" : `in ${wait(value - at)}`);

  const day = (date) => `${date.getDate()} ${MONTHS[date.getMonth()]}`;
  const clock = (date) => [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(":");
  const time = known((value) => {
    const date = new Date(value * 1000);
    return `${day(date)} ${date.getFullYear()} ${clock(date)}`;
  });
  const shortTime = known((value) => {
    const date = new Date(value * 1000);
    const today = date.toDateString() === new Date(now() * 1000).toDateString();
    return today ? clock(date) : `${day(date)} ${clock(date)}`;
  });
  const zone = () => {
    const minutes = -new Date(now() * 1000).getTimezoneOffset();
    const [hours, rest] = [Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60];
    return `UTC${minutes < 0 ? "−" : "+"}${two(hours)}:${two(rest)}`;
  };

  const word = (value) => {
    const text = String(value ?? "").replaceAll("_", " ");
    return text.charAt(0).toUpperCase() + text.slice(1);
  };
  // What is invisible or turns the order of a line round is written out.
  const escaped = (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  const text = (value) => {
    if (value === null || value === undefined) return "";
    const plain = typeof value === "object" ? JSON.stringify(value) : String(value);
    const short = plain.length > LONGEST ? `${plain.slice(0, LONGEST)}…` : plain;
    return short.replace(
      /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g,
      escaped);
  };
  const progressKnown = ({ done, pending }) => count(pending === null ? null : done + pending);

  return {
    NOT_KNOWN, count, rate, bytes, amount, dollars, share, duration, seconds, ago, until, time, shortTime, zone,
    word, text, clock, day, now, known: progressKnown,
    setClock: (moment) => { skew = moment - Date.now() / 1000; },
    holdClock: (moment) => { still = moment; },
  };
})();
