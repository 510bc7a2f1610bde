// The log viewer. Keeps all lines it has been given, draws the few that are seen, and follows by
// WebSocket from behind the last one it has, so that nothing is missed and nothing comes twice.
"use strict";

(() => {
  const box = document.querySelector(".log[data-read]");
  if (!box) return;
  const panel = box.closest(".log-panel");
  const FIRST = 1000;
  const PAGE = 5000;
  const BY_ITSELF = 20000;
  const MOST = 250000;
  const MARGIN = 12;
  const LEVELS = { trace: 1, debug: 2, info: 3, notice: 3, warn: 4, warning: 4, error: 5, err: 5, critical: 6, fatal: 6, panic: 6 };
  const NUMBERS = { 10: 1, 20: 2, 30: 3, 40: 4, 50: 5, 60: 6 };

  let records = [];
  let items = []; // what can be seen: lines and heads of stages
  let tops = [0]; // where each item begins; one more than items
  let drawn = new Map();
  let waiting = [];
  let last = 0;
  let isComplete = false;
  let loading = null;
  let following = true;
  let paused = false;
  let unseen = 0;
  let columns = 80;
  let row = 24;
  let target = 0;
  let ended = box.hasAttribute("data-ended");
  let socket = null;
  let wait = 500;
  let matches = [];
  let match = -1;
  let stages = new Map();
  let instances = new Map(); // the release of each
  let above = ""; // the stage of the line that was placed last
  const folded = new Set();
  const kept = { times: "local", wrap: true, ...read_kept() };
  const chosen = { query: "", level: 0, stage: "", instance: "" };

  function read_kept() {
    try { return JSON.parse(localStorage.getItem("helvetia.log") || "{}"); } catch { return {}; }
  }
  function keep() {
    try { localStorage.setItem("helvetia.log", JSON.stringify(kept)); } catch { /* not allowed */ }
  }
  function make(name, attributes = {}, ...children) {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
      else if (value === true) node.setAttribute(key, "");
      else if (value !== false && value !== undefined) node.setAttribute(key, value);
    }
    node.append(...children);
    return node;
  }

  // --- tools ---------------------------------------------------------------------------------
  const state = make("span", { class: "state", role: "status", "data-log-state": true });
  const search = make("input", { type: "search", placeholder: "Search", "aria-label": "Search the log", autocomplete: "off" });
  const found = make("span", { class: "count", role: "status" });
  const level = make("select", { "aria-label": "Level", hidden: true },
    ...[["0", "All levels"], ["3", "Info and up"], ["4", "Warnings and up"], ["5", "Errors"]].map(
      ([value, text]) => make("option", { value }, text)));
  const part = make("select", { "aria-label": "Part of the log", hidden: true });
  const who = make("select", { "aria-label": "Instance", hidden: true });
  const times = make("select", { "aria-label": "Times", "data-log-clock": true },
    ...[["local", "Local time"], ["utc", "UTC"], ["off", "No times"]].map(
      ([value, text]) => make("option", { value }, text)));
  const wrap = make("button", { type: "button", class: "compact plain", "aria-pressed": String(kept.wrap) }, "Wrap");
  const pause = make("button", { type: "button", class: "compact plain", "aria-pressed": "false", hidden: ended }, "Pause");
  const jump = make("button", { type: "button", class: "compact jump", hidden: true }, "Newest");
  const note = make("span", { class: "hidden", role: "status" });
  const menu = make("details", { class: "menu" },
    make("summary", { class: "button plain compact", "aria-label": "More" }, "•••"),
    make("div", {},
      make("button", { type: "button", onclick: copy }, "Copy what is shown"),
      make("a", { href: box.dataset.whole, download: true }, "Download"),
      make("a", { href: box.dataset.whole }, "Open as text"),
      make("button", { type: "button", onclick: fullscreen }, "Full screen")));
  const tools = panel.querySelector("[data-tools]");
  tools.replaceChildren(state, search, found, level, part, who, times, wrap, pause, menu, note);
  box.parentElement.append(jump);
  times.value = kept.times;

  // --- from records to items ------------------------------------------------------------------
  function take(record) {
    const text = ansi.plain(record.text);
    let rank = 0;
    if (text.charCodeAt(0) === 123 && /"(level|severity|lvl|levelname)"/.test(text)) {
      try {
        const data = JSON.parse(text);
        const name = data.level ?? data.severity ?? data.lvl ?? data.levelname;
        rank = NUMBERS[name] || LEVELS[String(name).toLowerCase()] || 3;
        level.hidden = false;
      } catch { /* no JSON after all */ }
    }
    // In a runtime log the stage names release and instance.
    const [, stage, instance] = /^(r\d+)\.([0-9a-f]{4})$/.exec(record.stage) || ["", record.stage, ""];
    return { ...record, stage, instance, plain: text, rank };
  }

  const lines_of = (text) => (kept.wrap ? Math.max(1, Math.ceil(text.length / columns)) : 1);
  const put = (item, height) => {
    items.push(item);
    tops.push(tops[tops.length - 1] + height);
  };

  function place(record) {
    const name = record.stage || "";
    if (name) stages.set(name, (stages.get(name) || 0) + 1);
    if (record.instance) instances.set(record.instance, name);
    if (chosen.instance && chosen.instance !== record.instance) return;
    if (chosen.stage && chosen.stage !== name) return;
    if (chosen.level && record.rank < chosen.level) return;
    if (name && name !== above) put({ stage: name }, row);
    above = name;
    if (folded.has(name)) return;
    put({ record }, row * lines_of(record.plain));
    if (chosen.query && record.plain.toLowerCase().includes(chosen.query)) matches.push(items.length - 1);
  }

  function rebuild() {
    items = [];
    tops = [0];
    matches = [];
    stages = new Map();
    instances = new Map();
    above = "";
    records.forEach(place);
    forget();
    settle();
  }

  function settle() {
    const names = [...stages.keys()];
    if (part.options.length !== names.length + 1) {
      const all = names.every((name) => /^r\d+$/.test(name)) ? "All releases" : "All stages";
      part.replaceChildren(make("option", { value: "" }, all), ...names.map((name) => make("option", { value: name }, name)));
      part.value = chosen.stage;
    }
    part.hidden = names.length < 2;
    if (who.options.length !== instances.size + 1) {
      who.replaceChildren(make("option", { value: "" }, "All instances"),
        ...[...instances].map(([name, release]) => make("option", { value: name }, `${name} of ${release}`)));
      who.value = chosen.instance;
    }
    who.hidden = instances.size < 2;
    if (box.classList.contains("many") === who.hidden) {
      box.classList.toggle("many", !who.hidden);
      return arrange();
    }
    body.style.height = `${tops[tops.length - 1]}px`;
    tell_found();
    draw();
  }

  function add(fresh) {
    const known = fresh.filter((record) => record.seq > last);
    if (!known.length) return;
    last = known[known.length - 1].seq;
    if (paused) {
      waiting.push(...known);
      pause.textContent = `Resume (${waiting.length})`;
      return;
    }
    show_more(known);
  }

  function show_more(fresh) {
    for (const one of fresh) {
      const record = take(one);
      place(record);
      records.push(record);
    }
    if (records.length > MOST) {
      records = records.slice(-MOST);
      rebuild();
    }
    if (!following) unseen += fresh.length;
    settle();
    if (following) down();
    tell_jump();
  }

  // --- drawing ---------------------------------------------------------------------------------
  const body = make("div", { class: "sheet" });
  body.style.position = "relative";

  function measure() {
    const probe = make("div", { class: "line" }, make("a", { class: "no" }), make("span", { class: "at" }), make("span", { class: "who" }), make("span", { class: "text" }, "0".repeat(200)));
    const text = probe.lastChild;
    text.style.cssText = "flex: none; white-space: pre";
    box.append(probe);
    row = parseFloat(getComputedStyle(probe).minHeight) || 24;
    const before = text.getBoundingClientRect().left - probe.getBoundingClientRect().left;
    const wide = text.getBoundingClientRect().width / 200;
    columns = Math.max(10, Math.floor((box.clientWidth - before - 18) / wide));
    probe.remove();
  }

  function forget() {
    for (const node of drawn.values()) node.remove();
    drawn = new Map();
  }

  function index_at(y) {
    let low = 0;
    let high = items.length;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (tops[middle] <= y) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  function draw() {
    const from = Math.max(0, index_at(box.scrollTop) - MARGIN);
    const to = Math.min(items.length, index_at(box.scrollTop + box.clientHeight) + MARGIN);
    for (const [index, node] of drawn) {
      if (index < from || index >= to) {
        node.remove();
        drawn.delete(index);
      }
    }
    for (let index = from; index < to; index++) {
      if (drawn.has(index)) continue;
      const node = items[index].record ? line(items[index].record, index) : head(items[index].stage);
      node.style.top = `${tops[index]}px`;
      node.style.height = `${tops[index + 1] - tops[index]}px`;
      drawn.set(index, node);
      body.append(node);
    }
  }

  function at(seconds) {
    const time = new Date(seconds * 1000);
    if (kept.times === "utc") return time.toISOString().slice(11, 23);
    const two = (number) => String(number).padStart(2, "0");
    const clock = [time.getHours(), time.getMinutes(), time.getSeconds()].map(two).join(":");
    return `${clock}.${String(time.getMilliseconds()).padStart(3, "0")}`;
  }

  function line(record, index) {
    const stream = ["platform", "stderr"].includes(record.stream) ? record.stream : "stdout";
    const kind = record.rank >= 5 ? " level-error" : record.rank === 4 ? " level-warn" : "";
    const text = make("span", { class: "text" });
    const now = matches[match] === index;
    let offset = 0;
    const marks = chosen.query ? spans(record.plain, chosen.query) : [];
    for (const [piece, classes] of ansi.parts(record.text)) {
      for (const [words, isMark] of split(piece, offset, marks)) {
        const inner = isMark ? make("mark", { class: now ? "now" : "" }, words) : words;
        text.append(classes ? make("span", { class: classes }, inner) : inner);
      }
      offset += piece.length;
    }
    return make("div", { class: `line ${stream}${kind}${record.seq === target ? " target" : ""}`, "data-seq": record.seq },
      make("a", { class: "no", href: `#L${record.seq}`, tabindex: "-1" }, String(record.seq)),
      make("span", { class: "at", title: new Date(record.time * 1000).toISOString() }, at(record.time)),
      make("span", { class: "who" }, record.instance), text);
  }

  function head(name) {
    const isFolded = folded.has(name);
    return make("div", { class: "line stage" },
      make("button", { type: "button", "aria-expanded": String(!isFolded), onclick: () => fold(name) }, `${isFolded ? "▸" : "▾"} ${name}`),
      make("small", {}, `${stages.get(name)} line${stages.get(name) === 1 ? "" : "s"}`));
  }

  function spans(text, query) {
    const lower = text.toLowerCase();
    const list = [];
    for (let i = lower.indexOf(query); i >= 0; i = lower.indexOf(query, i + query.length)) list.push([i, i + query.length]);
    return list;
  }

  // Cuts a piece of a line where marks begin and end; they may go over several pieces.
  function split(piece, offset, marks) {
    const list = [];
    let done = 0;
    for (const [from, to] of marks) {
      const begin = Math.max(done, from - offset);
      const end = Math.min(piece.length, to - offset);
      if (end <= begin) continue;
      if (begin > done) list.push([piece.slice(done, begin), false]);
      list.push([piece.slice(begin, end), true]);
      done = end;
    }
    if (done < piece.length) list.push([piece.slice(done), false]);
    return list;
  }

  // --- moving -----------------------------------------------------------------------------------
  const is_down = () => box.scrollHeight - box.scrollTop - box.clientHeight < row * 1.5;
  function down() {
    following = true;
    unseen = 0;
    box.scrollTop = box.scrollHeight;
    draw();
    tell_jump();
  }
  function tell_jump() {
    jump.hidden = following || is_down();
    jump.textContent = unseen ? `↓ ${unseen} new line${unseen === 1 ? "" : "s"}` : "↓ Newest";
  }
  function go(index) {
    following = false;
    box.scrollTop = Math.max(0, tops[index] - box.clientHeight / 3);
    draw();
    tell_jump();
  }
  function fold(name) {
    if (!folded.delete(name)) folded.add(name);
    following = false;
    rebuild();
  }

  async function go_to_line() {
    const wanted = /^#L(\d+)$/.exec(location.hash);
    const stage = /^#stage-(.+)$/.exec(location.hash);
    const instance = /^#instance-([0-9a-f]{4})$/.exec(location.hash);
    if (instance) {
      chosen.instance = instance[1];
      rebuild();
      await all();
      who.value = chosen.instance;
      return down();
    }
    if (stage) {
      const index = items.findIndex((item) => item.stage === decodeURIComponent(stage[1]));
      if (index >= 0) {
        following = false;
        box.scrollTop = tops[index];
        draw();
        panel.scrollIntoView({ block: "nearest" });
      }
      return;
    }
    if (!wanted) return;
    target = Number(wanted[1]);
    while (records.length && records[0].seq > target && !isComplete) await earlier();
    forget();
    const index = items.findIndex((item) => item.record && item.record.seq === target);
    if (index >= 0) go(index);
    panel.scrollIntoView({ block: "nearest" });
  }

  // --- searching ----------------------------------------------------------------------------------
  function tell_found() {
    if (!chosen.query) found.textContent = "";
    else found.textContent = matches.length ? `${match < 0 ? "" : `${match + 1} of `}${matches.length}` : "none";
  }
  async function look() {
    chosen.query = search.value.toLowerCase();
    match = -1;
    rebuild();
    if (!chosen.query) return;
    await all();
    if (matches.length && match < 0) step(-1);
  }
  function step(by) {
    if (!matches.length) return;
    match = match < 0 ? (by > 0 ? 0 : matches.length - 1) : (match + by + matches.length) % matches.length;
    forget();
    go(matches[match]);
    tell_found();
  }

  // --- getting lines ---------------------------------------------------------------------------------
  async function get(parameters) {
    const url = new URL(box.dataset.read, location.href);
    for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
    const answer = await fetch(url, { headers: { Accept: "application/json" } });
    if (!answer.ok) throw new Error(String(answer.status));
    return answer.json();
  }

  // Loads what stands before the first line that is here, and keeps what is seen where it is.
  // Whoever asks while that is under way waits for the same.
  function earlier() {
    loading ||= load_earlier().finally(() => { loading = null; });
    return loading;
  }
  async function load_earlier() {
    if (isComplete || !records.length) return;
    const first = records[0].seq;
    const begin = Math.max(0, first - 1 - PAGE);
    const fresh = [];
    for (let after = begin; after < first - 1; ) {
      const page = await get({ after, limit: Math.min(PAGE, first - 1 - after) });
      if (!page.records.length) break;
      fresh.push(...page.records);
      after = page.last;
    }
    const older = fresh.filter((record) => record.seq < first).map(take);
    const isTrimmed = !older.length || older[0].seq > begin + 1;
    isComplete = begin === 0 || isTrimmed || records.length > MOST;
    const from_bottom = box.scrollHeight - box.scrollTop;
    records = older.concat(records);
    rebuild();
    box.scrollTop = following ? box.scrollHeight : box.scrollHeight - from_bottom;
    draw();
  }
  async function all() {
    while (!isComplete && records.length) await earlier();
  }

  function connect() {
    if (ended || socket) return;
    const url = new URL(box.dataset.follow, location.href);
    url.protocol = url.protocol.replace("http", "ws");
    url.searchParams.set("after", last);
    const mine = (socket = new WebSocket(url));
    mine.onopen = () => tell("live", "good");
    mine.onmessage = (message) => {
      wait = 500;
      const frame = JSON.parse(message.data);
      if (!frame.ended) {
        if (frame.skipped) note.textContent = `${frame.skipped} lines were skipped`;
        return add(frame.records || []);
      }
      ended = true;
      pause.hidden = !paused;
      tell("complete", "idle");
      empty();
    };
    mine.onclose = (event) => {
      if (socket === mine) socket = null;
      if (ended) return;
      // Signed out, or not allowed any more: the page itself says so.
      if (event.code === 1008) return location.reload();
      if (!navigator.onLine) return tell("offline", "bad");
      tell("connecting…", "warn");
      setTimeout(connect, wait);
      wait = Math.min(wait * 2, 15000);
    };
  }
  function tell(text, tone) {
    state.className = `state ${tone}`;
    state.textContent = text;
  }
  function empty() {
    if (records.length || box.querySelector(".quiet")) return;
    box.append(make("p", { class: "quiet" }, "Nothing was written."));
  }

  // --- what buttons do --------------------------------------------------------------------------------
  async function copy() {
    const text = items.filter((item) => item.record).map((item) => item.record.plain).join("\n");
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = make("textarea", { class: "hidden" });
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    note.textContent = "Copied";
    menu.open = false;
  }
  function fullscreen() {
    menu.open = false;
    if (document.fullscreenElement) document.exitFullscreen();
    else panel.requestFullscreen();
  }
  function arrange() {
    box.classList.toggle("nowrap", !kept.wrap);
    box.classList.toggle("no-times", kept.times === "off");
    measure();
    const index = index_at(box.scrollTop);
    const item = items[index];
    rebuild();
    if (following) down();
    else if (item) box.scrollTop = tops[items.findIndex((one) => one === item || (one.record && one.record === item.record))] || 0;
    draw();
  }

  search.addEventListener("input", look);
  search.addEventListener("keydown", (event) => {
    if (event.key === "Enter") step(event.shiftKey ? -1 : 1);
    if (event.key === "Escape") { search.value = ""; look(); box.focus(); }
  });
  document.addEventListener("keydown", (event) => {
    const isTyping = event.target.closest("input, textarea, select, dialog");
    if (event.key === "/" && !isTyping) {
      event.preventDefault();
      search.focus();
    }
  });
  level.addEventListener("change", async () => { chosen.level = Number(level.value); rebuild(); await all(); if (following) down(); });
  who.addEventListener("change", async () => { chosen.instance = who.value; rebuild(); await all(); if (following) down(); });
  part.addEventListener("change", async () => { chosen.stage = part.value; rebuild(); await all(); if (following) down(); });
  times.addEventListener("change", () => { kept.times = times.value; keep(); arrange(); });
  wrap.addEventListener("click", () => {
    kept.wrap = !kept.wrap;
    wrap.setAttribute("aria-pressed", String(kept.wrap));
    keep();
    arrange();
  });
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    pause.textContent = paused ? "Resume" : "Pause";
    pause.hidden = ended && !paused;
    if (paused) return;
    const fresh = waiting;
    waiting = [];
    show_more(fresh);
  });
  jump.addEventListener("click", () => { down(); box.focus(); });
  let planned = false;
  box.addEventListener("scroll", () => {
    following = is_down();
    if (following) unseen = 0;
    if (planned) return;
    planned = true;
    requestAnimationFrame(() => {
      planned = false;
      draw();
      tell_jump();
      if (box.scrollTop < box.clientHeight) earlier().catch(() => {});
    });
  }, { passive: true });
  let resizing = 0;
  new ResizeObserver(() => {
    clearTimeout(resizing);
    resizing = setTimeout(arrange, 80);
  }).observe(box);
  addEventListener("hashchange", go_to_line);
  addEventListener("online", () => { wait = 500; connect(); });
  addEventListener("offline", () => {
    if (!socket) return;
    // Its goodbye would not come through: what it still says is asked for again later.
    const gone = socket;
    socket = gone.onmessage = gone.onclose = null;
    gone.close();
    tell("offline", "bad");
  });

  async function begin() {
    // What matters stands at the end, above all when it failed.
    box.scrollTop = box.scrollHeight;
    const page = await get({ tail: FIRST });
    if (page.records.length) {
      last = page.records[page.records.length - 1].seq;
      records = page.records.map(take);
      isComplete = records[0].seq === 1;
      box.replaceChildren(body);
      box.classList.add("virtual");
      arrange();
      down();
    } else {
      isComplete = true;
      const quiet = [...box.childNodes];
      box.append(body);
      box.classList.add("virtual");
      measure();
      const clear = new MutationObserver(() => {
        if (!items.length) return;
        for (const node of quiet) node.remove();
        clear.disconnect();
      });
      clear.observe(body, { childList: true });
    }
    if (page.ended) { ended = true; pause.hidden = true; tell("complete", "idle"); }
    connect();
    if (location.hash) await go_to_line();
    while (!isComplete && records.length < BY_ITSELF) await earlier();
  }
  // Without it the lines of the server stay.
  begin().catch(() => { tell("cannot be followed", "bad"); });
})();
