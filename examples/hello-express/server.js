import express from "express";

const app = express();
app.disable("x-powered-by");

const page = ({ greeting, node, process }) => `<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>hello-express · Helvetia</title>
  <style>
    :root { color-scheme: light dark; --ink: light-dark(#1d1a17, #f3efe9); --soft: light-dark(#6b635b, #a89f95); --line: light-dark(#e6dfd7, #332d26); --accent: light-dark(#2456a6, #8ab4ff); }
    body { margin: 0; min-height: 100svh; display: grid; place-items: center; padding: 2rem 1.25rem; box-sizing: border-box; background: light-dark(#fbf9f7, #16130f); color: var(--ink); font: 1.0625rem/1.6 ui-sans-serif, system-ui, sans-serif; }
    main { width: min(32rem, 100%); }
    .eyebrow { margin: 0 0 .5rem; color: var(--accent); font: 600 .8125rem/1.4 ui-monospace, monospace; }
    h1 { margin: 0 0 1.5rem; font-size: clamp(2rem, 7vw, 3rem); line-height: 1.08; letter-spacing: -.025em; text-wrap: balance; }
    dl { margin: 0; display: grid; grid-template-columns: auto 1fr; gap: .75rem 2rem; border-block: 1px solid var(--line); padding-block: 1rem; }
    dt { color: var(--soft); } dd { margin: 0; font-variant-numeric: tabular-nums; }
  </style>
</head>
<body>
  <main>
    <p class="eyebrow">hello-express</p>
    <h1>${greeting}</h1>
    <dl>
      <dt>Node</dt><dd>${node}</dd>
      <dt>Process</dt><dd>${process}</dd>
      <dt>Health</dt><dd><a href="/healthz">/healthz</a></dd>
    </dl>
  </main>
</body>
</html>`;

const escape = (text) => text.replace(/[&<>"]/g, (letter) => `&#${letter.charCodeAt(0)};`);

app.get("/", (request, response) => {
  const greeting = escape(process.env.GREETING ?? "Hello from Express.");
  response.type("html").send(page({ greeting, node: process.versions.node, process: process.pid }));
});

app.get("/healthz", (request, response) => {
  response.type("text").send("ok\n");
});

const server = app.listen(Number(process.env.PORT ?? 3000), process.env.HOST ?? "127.0.0.1");

process.on("SIGTERM", () => {
  server.close(() => process.exit(0));
  server.closeIdleConnections();
});
