/** Items are fetched when they are first shown, many in one request, and kept while the run is open. */

import { signal } from "@preact/signals";
import * as api from "./api";
import { run } from "./state";
import type { Item } from "./types";

const MOST = 200; // rows that one request may ask for
let cache = new Map<number, Item>();
let wanted = new Set<number>();
let timer = 0;
const arrived = signal(0);

export function forget(): void {
  cache = new Map();
  wanted = new Set();
  arrived.value++;
}

/** The item of a row if it is here; otherwise it is asked for, and whoever reads this in a component is drawn again. */
export function item(row: number): Item | undefined {
  arrived.value;
  const found = cache.get(row);
  if (found) return found;
  wanted.add(row);
  timer ||= window.setTimeout(fetchWanted, 15);
  return undefined;
}

/** Items that came with another answer. They come without their columns, so a full one isn't replaced. */
export function remember(items: readonly Item[]): void {
  for (const one of items) if (!cache.has(one.row)) cache.set(one.row, one);
}

/** The item with its columns. */
export function whole(row: number): Item | undefined {
  const found = item(row);
  if (found && !found.columns) {
    wanted.add(row);
    timer ||= window.setTimeout(fetchWanted, 15);
  }
  return found;
}

/** After groups or labels have changed, the columns of items have too. */
export function dropColumns(): void {
  for (const [row, one] of cache) cache.set(row, { row, id: one.id, text: one.text, thumbnail: one.thumbnail });
  arrived.value++;
}

async function fetchWanted(): Promise<void> {
  timer = 0;
  const id = run.value?.id;
  const rows = [...wanted].slice(-MOST); // the last asked for are what is looked at now
  for (const row of rows) wanted.delete(row);
  if (!id || !rows.length) return;
  if (wanted.size) timer = window.setTimeout(fetchWanted, 15);
  try {
    const found = await api.items(id, rows);
    if (run.value?.id !== id) return;
    for (const one of found) cache.set(one.row, one);
    arrived.value++;
  } catch {
    // Shown as not there yet; asked for again when it is next drawn.
  }
}
