import "./style.css";

const pages = {
  "/": ["Built once, served everywhere.", "Both pages are one file; the address decides."],
  "/about": ["A page without a file.", "Reload: the server knows that this site has a router."],
};

function show() {
  const [title, text] = pages[location.pathname] ?? ["Nothing here.", "Try one of the links."];
  document.querySelector("#app").innerHTML = `
    <p class="eyebrow">hello-vite</p>
    <h1>${title}</h1>
    <p>${text}</p>
    <nav><a href="/">Home</a> <a href="/about">About</a></nav>`;
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a");
  if (!link || link.origin !== location.origin) return;
  event.preventDefault();
  history.pushState({}, "", link.href);
  show();
});

addEventListener("popstate", show);
show();
