/** Keys that hold everywhere on the page, except while something is typed. */

import { classes, giveSelected, undo } from "./labels";
import { run, selection, tab } from "./state";

const typing = (target: EventTarget | null) =>
  target instanceof HTMLElement && (target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName));

export function globalKeys(): void {
  addEventListener("keydown", (event) => {
    if (!run.value || typing(event.target) || document.querySelector("dialog[open]")) return;
    const held = event.ctrlKey || event.metaKey;
    if (held && event.key.toLowerCase() === "z" && !event.shiftKey) void undo();
    else if (held || event.altKey) return;
    else if (/^[1-9]$/.test(event.key) && selection.value.length) {
      const chosen = classes.value[Number(event.key) - 1];
      if (!chosen) return;
      giveSelected(chosen.name);
    } else if (event.key === "/") {
      tab.value = "search";
      setTimeout(() => document.querySelector<HTMLElement>("#words, .search button")?.focus());
    } else return;
    event.preventDefault();
  });
}
