// Draws the graphs of a service with uPlot, and goes on with what is measured meanwhile.
"use strict";

(() => {
  const box = document.querySelector(".graphs[data-read]");
  if (!box || typeof uPlot === "undefined") return;
  const state = document.querySelector("[data-metrics-state]");
  const TITLES = { cpu: "CPU", memory_bytes: "Memory", received_per_second: "Received", sent_per_second: "Sent", restarts: "Restarts" };
  const COLOURS = ["--a4", "--a2", "--a3", "--a1"];
  const points = new Map();
  let step = 5;
  let charts = [];
  let wait = 1000;

  const two = (number) => String(number).padStart(2, "0");

  // Times of a day, or days: what stands below a graph fits into one line.
  function clock(seconds, withTime = step < 900) {
    const time = new Date(seconds * 1000);
    if (withTime) return `${two(time.getHours())}:${two(time.getMinutes())}`;
    return time.toLocaleDateString("en-GB", { day: "numeric", month: "short" });
  }

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function bytes(value) {
    for (const unit of ["B", "kB", "MB", "GB"]) {
      if (Math.abs(value) < 999.5) return `${Number(value.toPrecision(3))} ${unit}`;
      value /= 1000;
    }
    return `${value.toFixed(1)} TB`;
  }
  const UNITS = {
    bytes,
    seconds: (value) => (value < 1 ? `${Number((value * 1000).toPrecision(3))} ms` : `${Number(value.toPrecision(3))} s`),
    cores: (value) => String(Number(value.toPrecision(3))),
    requests: (value) => String(Number(value.toPrecision(3))),
    count: (value) => String(value),
  };

  // Steps in which nothing was measured are holes, not lines over them.
  function rows(fields) {
    const times = [...points.keys()].sort((a, b) => a - b);
    const all = [];
    for (const time of times) {
      if (all.length && time - all[all.length - 1] > step * 1.5) all.push(all[all.length - 1] + step);
      all.push(time);
    }
    const value = (point, field) => {
      if (!point) return null;
      if (!/^\dxx$/.test(field)) return point[field];
      return point.statuses ? (point.statuses[field] || 0) / step : null;
    };
    return [all, ...fields.map((field) => all.map((time) => value(points.get(time), field)))];
  }

  function build() {
    for (const chart of charts) chart.destroy();
    charts = [...box.querySelectorAll(".graph")].map((figure) => {
      const fields = figure.dataset.fields.split(" ");
      const unit = UNITS[figure.dataset.unit];
      const place = figure.querySelector(".plot");
      const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "11px Inter, sans-serif" };
      const chart = new uPlot({
        width: place.clientWidth,
        height: 150,
        padding: [8, 8, 0, 0],
        cursor: { sync: { key: "metrics" }, points: { size: 5 } },
        legend: { live: true },
        scales: { y: { range: (_, low, high) => [0, (high || 1) * 1.1] } },
        axes: [{ ...axis, size: 26, values: (_, ticks) => ticks.map((tick) => clock(tick)) }, { ...axis, size: 62, values: (_, ticks) => ticks.map(unit) }],
        series: [
          { label: "At", value: (_, shown) => (shown ? `${step < 900 ? "" : `${clock(shown)} `}${clock(shown, true)}` : "") },
          ...fields.map((field, index) => ({
            label: TITLES[field] || field,
            stroke: colour(COLOURS[index % COLOURS.length]),
            width: 1.5,
            points: { show: false },
            value: (_, shown) => (shown === null || shown === undefined ? "" : unit(shown)),
          })),
        ],
      }, rows(fields), place);
      chart.fields = fields;
      return chart;
    });
  }

  function add(fresh) {
    for (const point of fresh) points.set(point.time, point);
    const oldest = Math.max(...points.keys()) - 3600;
    for (const time of points.keys()) if (step === 5 && time < oldest) points.delete(time);
    if (!fresh.length || !box.hasAttribute("data-empty")) return;
    document.querySelector("[data-no-points]")?.remove();
    box.removeAttribute("data-empty");
    build();
  }

  function follow() {
    if (!box.dataset.follow) return;
    const url = new URL(box.dataset.follow, location.href);
    url.protocol = url.protocol.replace("http", "ws");
    const socket = new WebSocket(url);
    socket.onopen = () => { state.textContent = "live"; wait = 1000; };
    socket.onmessage = (message) => {
      add(JSON.parse(message.data).points || []);
      for (const chart of charts) chart.setData(rows(chart.fields));
    };
    socket.onclose = (event) => {
      if (event.code === 1008) return location.reload();
      state.textContent = "connecting…";
      setTimeout(follow, wait);
      wait = Math.min(wait * 2, 30000);
    };
  }

  async function begin() {
    const answer = await fetch(box.dataset.read, { headers: { Accept: "application/json" } });
    if (!answer.ok) throw new Error(String(answer.status));
    const found = await answer.json();
    step = found.step_seconds;
    add(found.points);
    if (points.size) build();
    follow();
  }

  let resizing = 0;
  new ResizeObserver(() => {
    clearTimeout(resizing);
    resizing = setTimeout(() => {
      for (const chart of charts) chart.setSize({ width: chart.root.parentElement.clientWidth, height: 150 });
    }, 80);
  }).observe(box);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", build);
  begin().catch(() => { state.textContent = "the measurements cannot be read"; });
})();
