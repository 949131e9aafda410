"use strict";
// What the browser of the crawl showed of an error: its screenshot, and what its console said.

const evidence = (() => {
  const { make } = dom;
  const IMAGES = ["image/png", "image/jpeg"];
  const boxes = new Map(); // by the number of the group, each asked for once
  let ask = async () => null;

  function show(box, found) {
    if (!found) return;
    if (found.console.length) {
      const lines = found.console.map((line) => make("li", { textContent: format.text(line) }));
      box.append(make("h3", { textContent: "Its console said" }), make("ul", { className: "console" }, ...lines));
    }
    if (found.screenshot && IMAGES.includes(found.type)) {
      const image = make("img", { alt: "How the page looked in the browser" });
      image.src = `data:${found.type};base64,${found.screenshot}`;
      box.append(make("h3", { textContent: "How it looked in the browser" }), image);
    }
  }

  // A box that is filled when the answer is there.
  function of(number) {
    if (!boxes.has(number)) {
      const box = make("div", { className: "evidence" });
      boxes.set(number, box);
      ask(number).then((found) => show(box, found), () => boxes.delete(number));
    }
    return boxes.get(number);
  }

  // *given*: what is asked, with the number of a group; it promises the evidence, or null.
  return { of, from: (given) => { ask = given; } };
})();
