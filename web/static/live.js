// Keeps a page fresh: asks for it again every two seconds and takes over what has changed,
// node by node, so that focus, selection and scroll stay where they are.
"use strict";

(() => {
  const main = document.querySelector("main[data-live]");
  if (!main) return;
  const PERIOD = 2000;
  const SLOWEST = 30000;
  let wait = PERIOD;
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
    morph(main, fresh);
    if (!main.hasAttribute("data-live")) wait = 0;
  }

  async function tick() {
    if (!document.hidden) {
      try {
        await refresh();
        if (wait) wait = PERIOD;
      } catch {
        wait = Math.min(wait * 2, SLOWEST);
      }
    }
    if (wait) setTimeout(tick, wait);
  }

  setTimeout(tick, wait);
})();
