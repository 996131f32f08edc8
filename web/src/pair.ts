/** Two runs of the same items side by side: which rows belong together, and how far their neighbourhoods agree. */

import { computed, effect, signal } from "@preact/signals";
import * as api from "./api";
import { current, run, runs, selection, tab } from "./state";
import type { Comparison, Hit, Run } from "./types";

export const K = 10;
export const otherId = signal<string | null>(null);
export const other = computed<Run | null>(() => runs.value.find((one) => one.id === otherId.value && one.id !== run.value?.id) ?? null);
export const otherMap = signal<Float32Array | null>(null);
export const comparison = signal<Comparison | null>(null);
export const overlap = signal<Float32Array | null>(null); // of each item of the open run
export const pairTrouble = signal<string | null>(null);
export const otherNeighbours = signal<Hit[]>([]);
export const hoveredHere = signal<number | null>(null); // a row of the open run, whichever map is pointed at

export const rowsThere = signal<Int32Array | null>(null); // the other run's row of each of ours, or -1
const here = computed(() => {
  const back = new Map<number, number>();
  rowsThere.value?.forEach((row, ours) => row >= 0 && back.set(row, ours));
  return back;
});

/** The map is shown twice when comparing and a second run is chosen. */
export const paired = computed(() => tab.value === "compare" && other.value !== null);

export const toOther = (rows: readonly number[]) => rows.map((row) => rowsThere.value?.[row] ?? -1).filter((row) => row >= 0);
export const toHere = (rows: readonly number[]) => rows.map((row) => here.value.get(row) ?? -1).filter((row) => row >= 0);

/** What belongs to a pair of runs is fetched when the second is chosen, each part as soon as it is there. */
export function followPair(): () => void {
  let loaded = "";
  return effect(() => {
    const [a, b] = [run.value?.id, other.value?.id];
    const wanted = `${a} ${b}`;
    if (tab.value !== "compare" || wanted === loaded) return;
    loaded = wanted;
    otherMap.value = comparison.value = overlap.value = rowsThere.value = pairTrouble.value = null;
    if (!a || !b) return;
    const fresh = () => run.peek()?.id === a && other.peek()?.id === b;
    const put = <T>(into: { value: T | null }, from: Promise<T>) =>
      from.then((found) => fresh() && (into.value = found)).catch((error: Error) => fresh() && (pairTrouble.value = error.message));
    void put(otherMap, api.map(b));
    void put(rowsThere, api.compareRows(a, b));
    void put(comparison, api.compare(a, b, K)).then(() => fresh() && put(overlap, api.compareOverlap(a, b, K)));
  });
}

/** The selected item's neighbours in the other run. */
export function followOther(): () => void {
  return effect(() => {
    const [row, b] = [current.value, other.value?.id];
    otherNeighbours.value = [];
    if (row === null || !b || !paired.value) return;
    const [theirs] = toOther([row]);
    if (theirs === undefined) return;
    api
      .search(b, { row: theirs }, K + 1, [])
      .then((found) => {
        if (current.peek() === row) otherNeighbours.value = found.hits.filter((hit) => hit.row !== theirs).slice(0, K);
      })
      .catch((error: Error) => (pairTrouble.value = error.message));
  });
}

export const selectFromOther = (rows: readonly number[]) => (selection.value = toHere(rows));
