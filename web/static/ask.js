// Opens the page that asks before something is done as a dialog, and keeps people informed while
// a form is being worked on. Without this the same pages and forms work by themselves.
"use strict";

(() => {
  async function open(link) {
    const answer = await fetch(link.href, { headers: { Accept: "text/html" } });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const question = page.querySelector("[data-question]");
    if (!answer.ok || !question) return location.assign(link.href);
    const dialog = document.createElement("dialog");
    question.querySelector("h1").id = "question-title";
    dialog.setAttribute("aria-labelledby", "question-title");
    dialog.append(document.importNode(question, true));
    document.body.append(dialog);
    dialog.addEventListener("close", () => dialog.remove());
    dialog.addEventListener("click", (event) => {
      const isOutside = event.target === dialog;
      if (isOutside || event.target.closest("[data-close]")) {
        event.preventDefault();
        dialog.close();
      }
    });
    dialog.showModal();
  }

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-ask]");
    const isPlain = event.button === 0 && !(event.ctrlKey || event.metaKey || event.shiftKey);
    if (link && isPlain) {
      event.preventDefault();
      open(link).catch(() => location.assign(link.href));
    }
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });

  // What was pressed twice is done once; coming back by the history, it can be pressed again.
  const pressed = new Set();
  document.addEventListener("submit", (event) => {
    const button = event.submitter;
    if (!button || pressed.has(event.target)) return event.preventDefault();
    pressed.add(event.target);
    button.setAttribute("aria-disabled", "true");
    const busy = event.target.dataset.busy;
    if (busy && button.classList.contains("primary")) button.textContent = busy;
  });
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

  // Where tabs do not fit, the one that is open is seen.
  const tabs = document.querySelector(".tabs");
  const tab = tabs?.querySelector("[aria-current]");
  if (tab) tabs.scrollLeft = tab.offsetLeft - tabs.clientWidth / 2 + tab.offsetWidth / 2;

  // The address need not go on saying what was done.
  const url = new URL(location.href);
  if (url.searchParams.has("done")) {
    url.searchParams.delete("done");
    history.replaceState(null, "", url);
  }
})();
