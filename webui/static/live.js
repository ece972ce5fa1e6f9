// Parts of a page that change by themselves. Without this script the page stays as it was loaded.
"use strict";

const root = document.querySelector("[data-live]");
const later = new Map(); // parts that wait until the keyboard has left them

function show(id, html) {
  const part = document.getElementById(id);
  const news = document.createElement("template");
  news.innerHTML = html;
  // What is the same already stays, so that screen readers are not told of it again.
  if (!part || part.innerHTML.trim() === news.innerHTML.trim()) {
    later.delete(id);
    return;
  }
  if (part.contains(document.activeElement) || part.querySelector("form[data-sent]")) {
    later.set(id, html);
    return;
  }
  later.delete(id);
  part.replaceChildren(news.content);
}

document.addEventListener("focusout", () => {
  setTimeout(() => {
    for (const [id, html] of [...later]) show(id, html);
  });
});

function listen() {
  const source = new EventSource(root.dataset.live);
  source.addEventListener("part", (event) => {
    const { id, html } = JSON.parse(event.data);
    show(id, html);
  });
  source.addEventListener("error", () => {
    // The browser tries again by itself, except after a refusal: then there is no room just now.
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, 10000);
  });
  addEventListener("pagehide", () => source.close());
}

if (root && window.EventSource) listen();
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});
