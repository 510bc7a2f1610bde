// Colours of terminals as classes, everything else that controls a terminal taken out.
"use strict";

const ansi = (() => {
  const OTHER = /\x1b(?:\[[0-?]*[ -/]*[@-ln-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])/g;
  const COLOUR = /\x1b\[([0-9;:]*)m/g;
  // Among them those that turn the direction of writing: strangers write commit messages.
  const CONTROL = /[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]|\x1b(?!\[)/g;

  const clean = (text) => text.replace(OTHER, "").replace(CONTROL, "").replace(/\t/g, "    ");
  const plain = (text) => clean(text).replace(COLOUR, "").replace(/\x1b/g, "");

  // The nearest of eight colours, which have enough contrast in both schemes.
  function nearest(r, g, b) {
    const bits = [r, g, b].map((value) => (value > 100 ? 1 : 0));
    return bits[0] + 2 * bits[1] + 4 * bits[2];
  }

  function indexed(n) {
    if (n < 16) return n % 8;
    if (n >= 232) return n < 244 ? 0 : 7;
    const m = n - 16;
    return nearest(...[Math.floor(m / 36), Math.floor(m / 6) % 6, m % 6].map((v) => v * 51));
  }

  function apply(state, codes) {
    for (let i = 0; i < codes.length; i++) {
      const code = codes[i];
      if (code === 0) Object.assign(state, { colour: "", bold: 0, dim: 0, italic: 0, under: 0, invert: 0 });
      else if (code === 1) state.bold = 1;
      else if (code === 2) state.dim = 1;
      else if (code === 3) state.italic = 1;
      else if (code === 4) state.under = 1;
      else if (code === 7) state.invert = 1;
      else if (code === 22) state.bold = state.dim = 0;
      else if (code === 23) state.italic = 0;
      else if (code === 24) state.under = 0;
      else if (code === 27) state.invert = 0;
      else if (code === 39) state.colour = "";
      else if ((code >= 30 && code <= 37) || (code >= 90 && code <= 97)) state.colour = `c${code % 10}`;
      else if (code === 38 || code === 48) {
        const isText = code === 38;
        if (codes[i + 1] === 5) {
          if (isText) state.colour = `c${indexed(codes[i + 2] || 0)}`;
          i += 2;
        } else if (codes[i + 1] === 2) {
          if (isText) state.colour = `c${nearest(...codes.slice(i + 2, i + 5))}`;
          i += 4;
        }
      }
    }
  }

  // Returns parts of a line: text and the classes it has.
  function parts(text) {
    const state = {};
    const found = [];
    let at = 0;
    const cleaned = clean(text);
    const push = (end) => {
      const piece = cleaned.slice(at, end).replace(/\x1b/g, "");
      if (!piece) return;
      const flags = ["bold", "dim", "italic", "under", "invert"].filter((name) => state[name]);
      found.push([piece, [state.colour, ...flags].filter(Boolean).join(" ")]);
    };
    for (const match of cleaned.matchAll(COLOUR)) {
      push(match.index);
      apply(state, match[1].split(/[;:]/).map(Number));
      at = match.index + match[0].length;
    }
    push(cleaned.length);
    return found;
  }

  return { parts, plain };
})();
