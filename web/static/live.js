// Keeps a page fresh: asks for it again every few seconds and takes over what has changed, node
// by node, so that focus, selection and scroll stay where they are. The page says how often.
"use strict";

(() => {
  const main = document.querySelector("main[data-live]");
  if (!main) return;
  const SLOWEST = 30000;
  const period = () => Number(main.dataset.live || 0);
  let wait = period();
  let etag = "";

  const key = (node) => (node.nodeType === Node.ELEMENT_NODE ? node.dataset.key : undefined);

  function attributes(old, fresh) {
    for (const { name, value } of fresh.attributes) {
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    for (const { name } of [...old.attributes]) {
      // `open` is the reader's: a question stays open while the page goes on.
      if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
    }
  }

  function children(old, fresh) {
    const wanted = new Set([...fresh.childNodes].map(key).filter(Boolean));
    const kept = new Map();
    for (const child of [...old.childNodes]) {
      if (!key(child)) continue;
      // Removed before anything is moved: what stays must not lose its scroll by a move.
      if (wanted.has(key(child))) kept.set(key(child), child);
      else child.remove();
    }
    let at = old.firstChild;
    for (const next of [...fresh.childNodes]) {
      const known = kept.get(key(next));
      // Unkeyed nodes in front of a kept one go, rather than the kept one being moved.
      while (known && at && at !== known && !key(at)) {
        const gone = at;
        at = at.nextSibling;
        gone.remove();
      }
      if (known && known !== at) at = old.insertBefore(known, at);
      const same =
        at && at.nodeType === next.nodeType && at.nodeName === next.nodeName && key(at) === key(next);
      if (same) {
        morph(at, next);
        at = at.nextSibling;
      } else {
        old.insertBefore(document.importNode(next, true), at);
      }
    }
    while (at) {
      const gone = at;
      at = at.nextSibling;
      gone.remove();
    }
  }

  function morph(old, fresh) {
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.data !== fresh.data) old.data = fresh.data;
      return;
    }
    if (old.hasAttribute("data-static")) return;
    attributes(old, fresh);
    children(old, fresh);
  }

  async function refresh() {
    const headers = { Accept: "text/html" };
    if (etag) headers["If-None-Match"] = etag;
    const answer = await fetch(location.href, { headers, cache: "no-store" });
    if (answer.status === 304) return;
    if (answer.redirected || answer.status === 401) return location.reload();
    if (!answer.ok) throw new Error(String(answer.status));
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.querySelector("main");
    if (!fresh) throw new Error("not a page");
    etag = answer.headers.get("ETag") || "";
    document.title = page.title;
    const before = period();
    morph(main, fresh);
    // What has ended changes no more; what has begun is looked at more often.
    if (!period()) wait = 0;
    else if (period() !== before) wait = period();
  }

  // Parts that may take their time have addresses of their own, and come after the page.
  async function refresh_parts() {
    for (const place of main.querySelectorAll("[data-part]")) {
      const answer = await fetch(place.dataset.part, { headers: { Accept: "text/html" }, cache: "no-store" });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById("part");
      if (answer.ok && fresh) children(place, fresh);
    }
  }

  async function tick() {
    if (!document.hidden) {
      try {
        await refresh();
        await refresh_parts();
        if (wait) wait = period();
      } catch {
        wait = Math.min(wait * 2, SLOWEST);
      }
    }
    if (wait) setTimeout(tick, wait);
  }

  refresh_parts().catch(() => {});
  if (wait) setTimeout(tick, wait);
  // Who comes back to the page sees at once what is.
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && wait) refresh().catch(() => {});
  });
})();
