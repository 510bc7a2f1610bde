// A terminal at a command that runs in a copy of a release. Its parts are loaded on this page only.
const panel = document.querySelector("[data-shell]");
const form = panel?.querySelector("form");
const place = panel?.querySelector("[data-shell-terminal]");
const state = panel?.querySelector("[data-shell-state]");
const end = panel?.querySelector("[data-shell-end]");
const start = form?.querySelector("button");
const encoder = new TextEncoder();
const still = matchMedia("(prefers-reduced-motion: reduce)");
const MOST_HELD = 8 * 2 ** 20;
const MOST_SENT = 64 * 1024;
const COLOURS = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];

let terminal = null;
let fit = null;
let socket = null;
let held = 0;

// The policy lets nobody write style into the page. The rules that xterm would write are adopted,
// and what it would put into attributes is set property by property.
function write_no_style() {
  const create = document.createElement.bind(document);
  document.createElement = (name, options) => {
    if (name !== "style") return create(name, options);
    const sheet = new CSSStyleSheet();
    document.adoptedStyleSheets.push(sheet);
    const instead = create("template");
    Object.defineProperty(instead, "textContent", { set: (rules) => sheet.replaceSync(rules) });
    return instead;
  };
  const set = Element.prototype.setAttribute;
  Element.prototype.setAttribute = function (name, value) {
    if (name === "style") this.style.cssText = value;
    else set.call(this, name, value);
  };
}

function theme() {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const found = {
    background: colour("--panel"),
    foreground: colour("--ink"),
    cursor: colour("--ink"),
    cursorAccent: colour("--panel"),
    selectionBackground: colour("--mark"),
    selectionForeground: colour("--on-mark"),
  };
  COLOURS.forEach((name, index) => {
    found[name] = colour(`--a${index}`);
    found[`bright${name[0].toUpperCase()}${name.slice(1)}`] = colour(`--a${index}`);
  });
  return found;
}

async function make_terminal() {
  const [{ Terminal }, { FitAddon }] = await Promise.all([import(panel.dataset.terminal), import(panel.dataset.fit)]);
  write_no_style();
  terminal = new Terminal({
    cursorBlink: !still.matches,
    fontFamily: getComputedStyle(document.documentElement).getPropertyValue("--mono"),
    fontSize: 13,
    minimumContrastRatio: 4.5,
    screenReaderMode: true,
    scrollback: 5000,
    theme: theme(),
  });
  fit = new FitAddon();
  terminal.loadAddon(fit);
  place.hidden = false;
  panel.querySelector("[data-shell-keys]").hidden = false;
  terminal.open(place);
  terminal.textarea.setAttribute("aria-describedby", "shell-keys");
  terminal.attachCustomKeyEventHandler(on_key);
  terminal.onData((text) => send(encoder.encode(text)));
  terminal.onBinary((text) => send(Uint8Array.from(text, (letter) => letter.charCodeAt(0))));
  terminal.onResize(({ cols, rows }) => {
    if (is_open()) socket.send(JSON.stringify({ columns: cols, rows }));
  });
  new ResizeObserver(() => fit.fit()).observe(place);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { terminal.options.theme = theme(); });
}

// False keeps a key from the terminal.
function on_key(event) {
  if (!event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return true;
  if (event.key === "c" && terminal.hasSelection()) return false;
  if (event.key !== "m") return true;
  event.preventDefault();
  if (event.type === "keydown") (socket ? end : start).focus();
  return false;
}

const is_open = () => socket?.readyState === WebSocket.OPEN;

function send(bytes) {
  for (let at = 0; is_open() && at < bytes.length; at += MOST_SENT) {
    socket.send(bytes.subarray(at, at + MOST_SENT));
  }
}

// A program that writes faster than a terminal can show must not fill the memory.
function show(bytes) {
  if (held > MOST_HELD) return;
  held += bytes.length;
  terminal.write(bytes, () => { held -= bytes.length; });
}

function say(text) {
  terminal.write(`\r\n\x1b[2m${text}\x1b[0m\r\n`);
}

function tell(text, tone) {
  state.className = `state ${tone}`;
  state.textContent = text;
}

function is_running(yes) {
  for (const control of form.elements) control.disabled = yes;
  end.hidden = !yes;
  terminal.options.disableStdin = !yes;
}

function begin() {
  const url = new URL(panel.dataset.shell, location.href);
  url.protocol = url.protocol.replace("http", "ws");
  const mine = (socket = new WebSocket(url));
  const command = form.elements.command.value.trim();
  let was_open = false;
  mine.binaryType = "arraybuffer";
  terminal.reset();
  is_running(true);
  tell("starting…", "busy");
  mine.onopen = () => {
    was_open = true;
    mine.send(JSON.stringify({
      command: command ? ["sh", "-c", command] : [],
      release: Number(form.elements.release.value),
      terminal: { columns: terminal.cols, rows: terminal.rows },
    }));
  };
  mine.onmessage = ({ data }) => {
    if (typeof data !== "string") return show(new Uint8Array(data, 1));
    const frame = JSON.parse(data);
    if (frame.started) {
      tell(`in a copy of r${frame.started.release}`, "good");
      terminal.focus();
    } else if (frame.note) say(frame.note);
    else if (frame.error) over([frame.error.message, frame.error.hint].filter(Boolean).join(": "), "bad");
    else if (frame.exit_code === 0) over("ended", "idle");
    else over(frame.reason || `ended with code ${frame.exit_code}`, "bad");
  };
  mine.onclose = async (event) => {
    if (socket !== mine) return;
    // Signed out, or not allowed any more: the page itself says so.
    if (event.code === 1008) location.reload();
    over(was_open ? "The connection was cut, which has ended the command" : await why_not(), "bad");
  };
}

// A browser does not tell why a socket was refused; the same address without one does.
async function why_not() {
  try {
    const answer = await fetch(panel.dataset.shell, { headers: { Accept: "application/json" } });
    if (answer.status === 401) location.reload();
    const told = await answer.json();
    if (answer.status !== 400) return [told.detail, told.hint].filter(Boolean).join(": ");
  } catch { /* what follows says it */ }
  return "The platform cannot be reached";
}

function over(text, tone) {
  const gone = socket;
  socket = null;
  gone.close();
  is_running(false);
  tell(text, tone);
  say(text);
  if (place.contains(document.activeElement) || document.activeElement === document.body) start.focus();
}

if (panel) {
  form.hidden = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    // It goes nowhere, so it may be pressed again.
    event.stopPropagation();
    try {
      if (!terminal) await make_terminal();
    } catch {
      return tell("The terminal cannot be loaded", "bad");
    }
    fit.fit();
    begin();
  });
  end.addEventListener("click", () => over("ended by you", "idle"));
  addEventListener("beforeunload", (event) => { if (socket) event.preventDefault(); });
}
