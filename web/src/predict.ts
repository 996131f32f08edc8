/** Predictions from the labels, made again after each change once two classes are there. */

import { effect, signal } from "@preact/signals";
import * as api from "./api";
import { classes, labels, pending, revision } from "./labels";
import { remember } from "./items";
import { refreshRun } from "./load";
import { complain, prediction, run, say } from "./state";

export const METHODS = { probe: "Learn from the labels", mean: "Nearest class average", propagation: "Spread to neighbours" } as const;
export type Method = keyof typeof METHODS;

const PAUSE = 700; // ms of quiet after a label before predicting
export const method = signal<Method>("probe");
export const automatic = signal(true);
export const predicting = signal(false);
export const predictTrouble = signal<string | null>(null);

export async function predict(keep = false): Promise<void> {
  const now = run.value;
  if (!now || predicting.value) return;
  const from = revision.value;
  predicting.value = true;
  predictTrouble.value = null;
  try {
    const found = await api.predict(now.id, method.value, keep);
    if (run.value?.id !== now.id) return;
    remember(found.unsure);
    prediction.value = found;
    await refreshRun(["predicted", "confidence"]);
    if (keep) say("Kept: the run now has the columns label, predicted and confidence.");
  } catch (error) {
    if (keep) complain(error);
    predictTrouble.value = error instanceof Error ? error.message : String(error);
  } finally {
    predicting.value = false;
    if (revision.value !== from) schedule(); // labels went on meanwhile
  }
}

let timer = 0;
function schedule(): void {
  clearTimeout(timer);
  timer = window.setTimeout(() => void predict(), PAUSE);
}

/** Predict when labels have changed and are saved, and when a run with labels is opened. */
export function followLabels(): () => void {
  let began: string | null = null;
  return effect(() => {
    const id = run.value?.id ?? null;
    const state = `${id} ${revision.value} ${method.value}`;
    const ready = automatic.value && id !== null && classes.value.length >= 2 && pending.value.rows === 0 && labels.value.size >= 2;
    if (!ready || state === began) return;
    began = state;
    schedule();
  });
}
