// What HTML alone cannot do: saved and failed states, toasts that fade, dialogs, the menu, keys in tables.
const root = document.documentElement;
root.classList.add("js");

const UNDO_MS = 10000;
const SAVED_MS = 2000;

function fade(scope) {
  for (const toast of scope.querySelectorAll(".toast:not([data-fading])")) {
    toast.dataset.fading = "";
    setTimeout(() => toast.remove(), UNDO_MS);
  }
  for (const field of scope.querySelectorAll(".field.saved")) {
    setTimeout(() => field.classList.remove("saved"), SAVED_MS);
  }
  for (const dialog of scope.querySelectorAll("dialog[data-open]")) {
    if (!dialog.open) dialog.showModal();
  }
}

document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-dialog]");
  if (opener) {
    event.preventDefault();
    document.getElementById(opener.dataset.dialog).showModal();
  }
  if (event.target.closest("[data-close]")) event.target.closest("dialog").close();
  if (event.target.closest(".menu-button")) {
    const open = document.querySelector(".nav").classList.toggle("open");
    event.target.closest(".menu-button").setAttribute("aria-expanded", open);
  }
  const copy = event.target.closest("[data-copy]");
  if (copy) {
    navigator.clipboard.writeText(document.getElementById(copy.dataset.copy).textContent.trim());
    copy.textContent = copy.dataset.copied;
  }
});

// Arrow keys move between the rows of a table.
document.addEventListener("keydown", (event) => {
  if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
  const row = event.target.closest?.("tr[tabindex]");
  if (!row || event.target !== row) return;
  const next = event.key === "ArrowDown" ? row.nextElementSibling : row.previousElementSibling;
  if (next) {
    event.preventDefault();
    next.focus();
  }
});

document.addEventListener("change", (event) => {
  const form = event.target.matches("select[data-submit]") ? event.target.form : event.target.closest("form[data-submit]");
  if (form && event.target.type !== "search") form.requestSubmit(); // a search has shown its answer while typing
});

// The live region waits while somebody is typing or choosing in it, or has a panel open.
document.addEventListener("htmx:beforeRequest", (event) => {
  const live = event.target.closest("[data-live]");
  if (live !== event.target) return;
  const busy = live.contains(document.activeElement) && document.activeElement.matches("input, select, button");
  if (busy || document.querySelector("dialog[open]") || document.hidden) event.preventDefault();
});
document.addEventListener("htmx:afterSettle", () => fade(document));
// What was unfolded stays so when its figures are brought up to date.
let unfolded = [];
document.addEventListener("htmx:beforeSwap", () => {
  unfolded = [...document.querySelectorAll("details[open][id]")].map((details) => details.id);
});
document.addEventListener("htmx:afterSwap", () => {
  for (const id of unfolded) document.getElementById(id)?.setAttribute("open", "");
});
document.addEventListener("htmx:sendError", () => document.body.classList.add("offline"));
document.addEventListener("htmx:afterRequest", (event) => {
  if (event.detail.successful) document.body.classList.remove("offline");
});
// Answers to bad input carry the field with its reason: show them like any other.
document.addEventListener("htmx:beforeSwap", (event) => {
  if ([400, 403, 404, 409].includes(event.detail.xhr.status)) {
    event.detail.shouldSwap = true;
    event.detail.isError = false;
  }
});
fade(document);
