/** Light or dark: as the system has it, until the person chooses. */

import { theme } from "./state";

const KEY = "unlabeled.theme";
const system = matchMedia("(prefers-color-scheme: dark)");

const chosen = () => {
  const kept = localStorage.getItem(KEY);
  return kept === "light" || kept === "dark" ? kept : null;
};

function apply(): void {
  theme.value = chosen() ?? (system.matches ? "dark" : "light");
  document.documentElement.dataset.theme = theme.value;
}

export function toggle(): void {
  const next = theme.value === "dark" ? "light" : "dark";
  // What the system has anyway isn't kept, so that it is followed again.
  if (next === (system.matches ? "dark" : "light")) localStorage.removeItem(KEY);
  else localStorage.setItem(KEY, next);
  apply();
}

export function follow(): void {
  system.addEventListener("change", apply);
  apply();
}
