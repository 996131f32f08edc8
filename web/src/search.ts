/** Searching and filtering. A new search ends the one that is still on its way. */

import { effect, signal } from "@preact/signals";
import * as api from "./api";
import { remember } from "./items";
import { complain, filters, mask, neighbours, current, results, run } from "./state";
import type { Found, Item } from "./types";
import { shorten } from "./words";

export type Asked = { words: string } | { like: Item } | { file: File } | null;

export const asked = signal<Asked>(null);
export const wanted = signal(24); // how many results
export const searching = signal(false);
let going: AbortController | null = null;

const titleOf = (query: NonNullable<Asked>) =>
  "words" in query ? `“${shorten(query.words, 60)}”` : "like" in query ? `Like ${shorten(query.like.id, 60)}` : `Like the file ${query.file.name}`;

export async function search(query: Asked): Promise<void> {
  const now = run.value;
  going?.abort();
  asked.value = query;
  if (!query || !now) {
    results.value = null;
    searching.value = false;
    return;
  }
  going = new AbortController();
  const { signal } = going;
  searching.value = true;
  try {
    const k = Math.min(wanted.value, now.count);
    const found: Found =
      "file" in query
        ? await api.searchFile(now.id, query.file, k, filters.value, signal)
        : await api.search(now.id, "words" in query ? { words: query.words } : { row: query.like.row }, k, filters.value, signal);
    if (signal.aborted) return;
    remember(found.hits);
    results.value = { title: titleOf(query), hits: found.hits, milliseconds: found.milliseconds ?? null };
  } catch (error) {
    if (signal.aborted) return;
    results.value = null;
    complain(error);
  } finally {
    if (!signal.aborted) searching.value = false;
  }
}

export const again = () => search(asked.value);

/** Which points the filters leave, and the search once more within them. */
export async function applyFilters(): Promise<void> {
  const now = run.value;
  const active = filters.value;
  if (!now) return;
  try {
    const found = active.length ? await api.filter(now.id, active) : null;
    if (run.value?.id !== now.id || filters.value !== active) return;
    mask.value = found;
    if (asked.value) await again();
  } catch (error) {
    complain(error);
  }
}

/** The selected item's neighbours follow the selection. */
export function followSelection(): () => void {
  return effect(() => {
    const row = current.value;
    const now = run.value;
    neighbours.value = [];
    if (row === null || !now) return;
    api
      .search(now.id, { row }, 11, [])
      .then((found) => {
        if (current.value !== row || run.value?.id !== now.id) return;
        remember(found.hits);
        neighbours.value = found.hits.filter((hit) => hit.row !== row).slice(0, 10);
      })
      .catch(complain);
  });
}
