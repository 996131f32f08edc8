/** What the page shows, as signals. Who fills them: load.ts (a run), search.ts, labels.ts, predict.ts, pair.ts. */

import { computed, signal } from "@preact/signals";
import type { Colouring, Theme } from "./colour";
import { plain, states } from "./colour";
import type { Column, Filter, Hit, Prediction, Run } from "./types";

export const TABS = { search: "Search", groups: "Groups", label: "Label", quality: "Quality", compare: "Compare" } as const;
export type Tab = keyof typeof TABS;

export const runs = signal<Run[]>([]);
export const run = signal<Run | null>(null);
export const trouble = signal<string | null>(null); // what keeps the whole page from working
export const tab = signal<Tab>("search");
export const theme = signal<Theme>("light");

export const positions = signal<Float32Array | null>(null); // n x values, then n y values
export const colourBy = signal("cluster_name");
export const coloured = signal<Colouring | null>(null);
export const colourTrouble = signal<string | null>(null);
export const only = signal<ReadonlySet<number>>(new Set()); // chosen in the legend; empty: all

export const filters = signal<Filter[]>([]);
export const mask = signal<Uint8Array | null>(null);

export interface Results {
  title: string;
  hits: Hit[];
  milliseconds: number | null;
}
export const results = signal<Results | null>(null);

export const selection = signal<number[]>([]);
export const neighbours = signal<Hit[]>([]); // of the one selected item
export const lasso = signal(false);

export const prediction = signal<Prediction | null>(null);
export const notice = signal<{ text: string; bad: boolean } | null>(null);

/** The row that is looked at: there is one when exactly one item is selected. */
export const current = computed(() => (selection.value.length === 1 ? selection.value[0]! : null));

/** Columns that the map can be coloured by. */
export const colourable = computed<Column[]>(() => {
  const own = run.value?.columns.filter((column) => column.kind !== "text" && !["cluster", "x", "y"].includes(column.name)) ?? [];
  const named = new Set(own.map((column) => column.name));
  const always: Column[] = [
    { name: "density", kind: "number", distinct: null, values: null, own: true },
    { name: "label", kind: "category", distinct: null, values: null, own: true },
  ];
  return [...own, ...always.filter((column) => !named.has(column.name))];
});

export const shown = computed<Colouring>(() => {
  const n = run.value?.count ?? 0;
  const found = coloured.value;
  return found && found.index.length === n ? found : plain(n, theme.value);
});

/** The rows that the map marks: what was found, or else the neighbours of the selected item. */
export const marked = computed<number[]>(() =>
  results.value ? results.value.hits.map((hit) => hit.row) : neighbours.value.map((hit) => hit.row),
);

export const pointStates = computed(() =>
  states(run.value?.count ?? 0, mask.value, only.value, shown.value.index, marked.value),
);

/** What n and p step through. */
export const steps = computed<number[]>(() =>
  results.value?.hits.map((hit) => hit.row) ?? prediction.value?.unsure.map((item) => item.row) ?? neighbours.value.map((hit) => hit.row),
);

export function select(rows: number[], add = false): void {
  const next = add ? [...new Set([...selection.value, ...rows])] : rows;
  selection.value = next;
}

/** Go to the next (1) or the previous (-1) of the steps. Inside neighbours the walk would change the list, so it goes on from there. */
export function step(by: 1 | -1): void {
  const list = steps.value;
  if (!list.length) return;
  const at = current.value === null ? -1 : list.indexOf(current.value);
  const next = at < 0 ? (by > 0 ? 0 : list.length - 1) : (at + by + list.length) % list.length;
  select([list[next]!]);
}

let fading = 0;
/** Say something for a moment; what went wrong stays longer. */
export function say(text: string, bad = false): void {
  clearTimeout(fading);
  notice.value = { text, bad };
  fading = window.setTimeout(() => (notice.value = null), bad ? 12_000 : 4_000);
}

export const complain = (error: unknown) => say(error instanceof Error ? error.message : String(error), true);
