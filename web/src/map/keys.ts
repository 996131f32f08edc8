/** The map by keyboard. */

import { lasso, select, step } from "../state";
import type { Plot } from "./plot";

const PAN = 0.2;
const ZOOM = 1.35;

const KEYS: Record<string, (plot: Plot) => void> = {
  ArrowLeft: (plot) => plot.pan(-PAN, 0),
  ArrowRight: (plot) => plot.pan(PAN, 0),
  ArrowUp: (plot) => plot.pan(0, PAN),
  ArrowDown: (plot) => plot.pan(0, -PAN),
  "+": (plot) => plot.zoom(ZOOM),
  "=": (plot) => plot.zoom(ZOOM),
  "-": (plot) => plot.zoom(1 / ZOOM),
  "0": (plot) => plot.home(),
  Enter: () => step(1),
  n: () => step(1),
  p: () => step(-1),
  l: () => (lasso.value = !lasso.value),
  Escape: () => select([]),
};

export function mapKey(event: KeyboardEvent, plot: Plot): void {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const act = event.key === "Enter" && event.shiftKey ? KEYS.p : KEYS[event.key];
  if (!act) return;
  event.preventDefault();
  act(plot);
}

export const HELP: [string, string][] = [
  ["Arrow keys", "move the map (when it has the focus)"],
  ["+  −  0", "zoom in, zoom out, show everything"],
  ["n or Enter, p", "next, previous of what was found"],
  ["Shift-drag, or L", "draw a lasso around points"],
  ["Ctrl-click", "add to the selection"],
  ["Esc", "select nothing"],
  ["1 to 9", "label the selection with that class"],
  ["Ctrl+Z", "undo the last label"],
  ["/", "go to the search field"],
];
