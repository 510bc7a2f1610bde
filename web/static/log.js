// Follows a log by WebSocket, from behind the last line the server put into the page.
"use strict";

(() => {
  const box = document.querySelector(".log[data-follow]");
  if (!box) return;
  // What matters stands at the end, above all when it failed.
  box.scrollTop = box.scrollHeight;
  if (box.hasAttribute("data-ended")) return;
  const LINES = 5000;
  const state = document.querySelector("[data-log-state]");
  const follow = document.querySelector("[data-log-follow]");
  const check = follow.querySelector("input");
  const ansi = /\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])/g;
  let after = Number(box.dataset.after);
  let stage = [...box.querySelectorAll(".stage")].pop()?.textContent.trim() || "";
  let wait = 500;
  let ended = false;

  const down = () => { if (check.checked) box.scrollTop = box.scrollHeight; };

  function line(kind, time, text) {
    const row = document.createElement("div");
    row.className = kind;
    for (const part of [time, text]) {
      row.appendChild(document.createElement("span")).textContent = part;
    }
    return row;
  }

  function add({ records = [], skipped = 0 }) {
    const rows = document.createDocumentFragment();
    if (skipped) rows.append(line("gap", "", `${skipped} lines were skipped`));
    for (const record of records) {
      if (record.seq <= after) continue;
      if (record.stage && record.stage !== stage) rows.append(line("stage", "", record.stage));
      stage = record.stage || stage;
      const time = new Date(record.time * 1000).toISOString().slice(11, 19);
      const kind = ["platform", "stderr"].includes(record.stream) ? record.stream : "stdout";
      rows.append(line(kind, time, record.text.replace(ansi, "").replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g, "")));
      after = record.seq;
    }
    box.append(rows);
    const excess = box.childElementCount - LINES;
    for (let i = 0; i < excess; i++) box.firstElementChild.remove();
    down();
  }

  function connect() {
    const url = new URL(box.dataset.follow, location.href);
    url.protocol = url.protocol.replace("http", "ws");
    url.searchParams.set("after", after);
    const socket = new WebSocket(url);
    socket.onopen = () => { state.textContent = "live"; };
    socket.onmessage = (message) => {
      const frame = JSON.parse(message.data);
      wait = 500;
      if (!frame.ended) return add(frame);
      ended = true;
      state.textContent = "";
      follow.hidden = true;
    };
    socket.onclose = (event) => {
      if (ended) return;
      // Signed out, or not allowed any more: the page itself says so.
      if (event.code === 1008) return location.reload();
      state.textContent = "connecting…";
      setTimeout(connect, wait);
      wait = Math.min(wait * 2, 15000);
    };
  }

  follow.hidden = false;
  check.addEventListener("change", down);
  box.addEventListener("scroll", () => {
    check.checked = box.scrollHeight - box.scrollTop - box.clientHeight < 24;
  });
  connect();
})();
