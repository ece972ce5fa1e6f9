// Comforts on top of pages that work without any script.
"use strict";

// Ask every two seconds whether the state has changed, and show the page anew when it has.
const poll = document.body.dataset.poll;
if (poll) {
  const shown = document.body.dataset.state;
  const ask = async () => {
    try {
      const answer = await fetch(poll, { headers: { Accept: "application/json" } });
      if (answer.status === 401 || (await answer.json()).state !== shown) {
        location.reload();
        return;
      }
    } catch {
      // The box may be away for a moment; the next time will tell.
    }
    setTimeout(ask, 2000);
  };
  setTimeout(ask, 2000);
}

// A form that goes on by itself while something is under way.
const onward = document.querySelector("form[data-onward]");
if (onward) setTimeout(() => onward.requestSubmit(), Number(onward.dataset.onward));

// A second click on a button that works for a while would send the form twice.
for (const form of document.querySelectorAll("form[data-once]")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) {
      event.preventDefault();
      return;
    }
    form.dataset.sent = "yes";
    form.setAttribute("aria-busy", "true");
  });
}
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) {
    delete form.dataset.sent;
    form.removeAttribute("aria-busy");
  }
});

// Buttons that copy. Over plain HTTP there is no clipboard object, but there is a selection.
for (const button of document.querySelectorAll("button[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const source = document.getElementById(button.dataset.copy);
    const range = document.createRange();
    range.selectNodeContents(source);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    try {
      await navigator.clipboard.writeText(source.textContent);
    } catch {
      document.execCommand("copy");
    }
    const label = button.textContent;
    button.textContent = button.dataset.done;
    setTimeout(() => { button.textContent = label; }, 2000);
  });
}

// After a form with errors, the first wrong field is where to go on.
document.querySelector("[aria-invalid]")?.focus();
