/** Labels: given, taken back, renamed; what the server holds and what is still on its way to it. */

import { computed, signal } from "@preact/signals";
import * as api from "./api";
import { overlay, Queue } from "./queue";
import { complain, run, say, select, selection } from "./state";
import type { Counts } from "./types";
import { many, noun, nouns } from "./words";

const saved = signal<ReadonlyMap<number, string>>(new Map()); // as the server has them
export const revision = signal(0);
const version = signal(0); // goes up when the queue changes: the queue itself isn't a signal

const queue = new Queue(
  {
    send: (change) => api.label(change.run, change.rows, change.label),
    changed: () => version.value++,
    sent: (change, answer) => {
      if (change.run !== run.value?.id) return;
      saved.value = overlay(saved.value, [change], change.run);
      revision.value = (answer as Counts).revision;
    },
    refused: (change, error) => {
      complain(error);
      if (change.run === run.value?.id) void load(change.run);
    },
  },
  localStorage,
);

export const labels = computed(() => {
  version.value;
  return overlay(saved.value, queue.pending, run.value?.id ?? "");
});

export const pending = computed(() => {
  version.value;
  return { rows: queue.pending.reduce((sum, change) => sum + change.rows.length, 0), away: queue.away };
});

/** Classes with their counts, in the order in which they came, which is the order of the keys 1 to 9. */
export const classes = computed(() => {
  const counts = new Map<string, number>();
  for (const name of labels.value.values()) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].sort(([one], [other]) => order(one) - order(other)).map(([name, count]) => ({ name, count }));
});

let seen: string[] = [];
const kept = (id: string) => `unlabeled.classes.${id}`;

/** A class keeps its key in this browser, however the counts change. */
function order(name: string): number {
  if (!seen.includes(name)) keepOrder([...seen, name]);
  return seen.indexOf(name);
}

function keepOrder(names: string[]): void {
  seen = names;
  if (run.peek()) localStorage.setItem(kept(run.peek()!.id), JSON.stringify(names));
}

export async function load(id: string): Promise<void> {
  const found = await api.labels(id);
  if (run.value?.id !== id) return;
  const before = JSON.parse(localStorage.getItem(kept(id)) ?? "[]") as string[];
  keepOrder([...before.filter((name) => name in found.classes), ...seen.filter((name) => name in found.classes && !before.includes(name))]);
  for (const name of Object.keys(found.classes).sort()) order(name);
  saved.value = new Map(found.labels.map(({ row, label }) => [row, label]));
  revision.value = found.revision;
  void queue.flush();
}

export function clear(): void {
  saved.value = new Map();
  seen = [];
}

export function give(rows: number[], label: string | null): void {
  const id = run.value?.id;
  const name = label?.trim() ?? null;
  if (!id || !rows.length || name === "") return;
  if (name) order(name);
  queue.push({ run: id, rows, label: name });
}

export const giveSelected = (label: string | null) => give(selection.value, label);

/** Undo the last change: one that is still waiting is taken back here, else the server undoes. */
export async function undo(): Promise<void> {
  const now = run.value;
  if (!now) return;
  const taken = queue.takeBack(now.id);
  if (taken) return undone(taken.rows);
  try {
    await queue.flush(); // the label that is on its way is what shall be undone
    undone((await api.undo(now.id)).rows);
    await load(now.id);
  } catch (error) {
    complain(error);
  }
}

function undone(rows: number[]): void {
  const kind = run.value?.kind ?? "";
  say(`Undone: the labels of ${many(rows.length, noun(kind), nouns(kind))}.`);
  if (rows.length <= 200) select(rows);
}

export async function renameClass(from: string, to: string | null): Promise<void> {
  const id = run.value?.id;
  if (!id || to === from || to?.trim() === "") return;
  try {
    await api.renameClass(id, from, to?.trim() ?? null);
    if (to && !seen.includes(to.trim())) keepOrder(seen.map((name) => (name === from ? to.trim() : name))); // it keeps its key
    await load(id);
  } catch (error) {
    complain(error);
  }
}

addEventListener("online", () => void queue.flush());
