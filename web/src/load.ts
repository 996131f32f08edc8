/** Opening a run: its map, its colours, its labels. */

import { effect } from "@preact/signals";
import * as api from "./api";
import { colouring } from "./colour";
import { dropColumns, forget } from "./items";
import * as own from "./labels";
import { overlap } from "./pair";
import { asked } from "./search";
import {
  colourable, colourBy, coloured, colourTrouble, complain, filters, mask, neighbours, only, positions, prediction, results, run, runs, selection,
  theme, trouble,
} from "./state";
import type { Column, Run } from "./types";

let values = new Map<string, Float32Array>(); // of the columns of the open run

export async function start(wanted: string | null): Promise<void> {
  try {
    runs.value = await api.runs();
    const first = runs.value.find((one) => one.id === wanted) ?? runs.value[0];
    if (!first) trouble.value = "No run is open. Start the server with the folder of a run: unlabeled open FOLDER";
    else await open(first);
  } catch (error) {
    trouble.value = error instanceof Error ? error.message : String(error);
  }
}

export async function open(next: Run): Promise<void> {
  values = new Map();
  forget();
  own.clear();
  asked.value = null;
  results.value = prediction.value = mask.value = positions.value = coloured.value = null;
  selection.value = [];
  neighbours.value = [];
  filters.value = [];
  only.value = new Set();
  run.value = next;
  const names = colourable.value.map((column) => column.name);
  if (!names.includes(colourBy.value) && !(colourBy.value === "overlap" && runs.value.length > 1)) colourBy.value = names.includes("cluster_name") ? "cluster_name" : (names[0] ?? "density");
  await Promise.all([loadMap(next.id), own.load(next.id)]);
}

/** The map; while the server still makes it, what it has for now is drawn and the rest is asked for again. */
async function loadMap(id: string): Promise<void> {
  const found = await api.map(id);
  if (run.value?.id !== id) return;
  positions.value = found;
  if (run.value.map !== "making") return;
  setTimeout(async () => {
    try {
      const now = await api.run(id);
      if (run.value?.id !== id) return;
      run.value = now;
      if (now.map === "making") await loadMap(id);
      else positions.value = await api.map(id);
    } catch {
      void loadMap(id).catch(complain);
    }
  }, 3000);
}

/** Fetch the run again, and forget columns that have changed. */
export async function refreshRun(changed: string[]): Promise<void> {
  const id = run.value?.id;
  if (!id) return;
  const now = await api.run(id);
  if (run.value?.id !== id) return;
  for (const name of changed) values.delete(name);
  dropColumns();
  run.value = now;
  runs.value = runs.value.map((one) => (one.id === id ? now : one));
}

/** Our own labels as a column: made here, so that a new label is on the map at once. */
function labelColumn(n: number): [Column, Float32Array] {
  const names = own.classes.value.map(({ name }) => name);
  const index = new Float32Array(n).fill(NaN);
  for (const [row, name] of own.labels.value) index[row] = names.indexOf(name);
  return [{ name: "label", kind: "category", distinct: names.length, values: names, own: true }, index];
}

/** The colours follow the chosen column, the theme, and what changes the column. */
export function followColours(): () => void {
  return effect(() => {
    const [now, name, dark] = [run.value, colourBy.value, theme.value];
    colourTrouble.value = null;
    if (!now) return;
    if (name === "label") {
      coloured.value = colouring(...labelColumn(now.count), dark);
      return;
    }
    if (name === "overlap") {
      const shared = overlap.value;
      coloured.value = shared && colouring({ name, kind: "number", distinct: null, values: null, own: true }, shared, dark);
      return;
    }
    const column = colourable.value.find((one) => one.name === name);
    if (!column) return;
    const here = values.get(name);
    if (here) {
      coloured.value = colouring(column, here, dark);
      return;
    }
    api
      .column(now.id, name)
      .then((found) => {
        if (run.value?.id !== now.id) return;
        values.set(name, found);
        if (colourBy.peek() === name) coloured.value = colouring(column, found, theme.peek());
      })
      .catch((error: Error) => (colourTrouble.value = error.message));
  });
}
