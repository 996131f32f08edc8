/**
 * Labels on their way to the server. A change is kept in localStorage from the moment it is made until the server has
 * answered, so neither a closed page nor a stopped server loses one. Changes go out one at a time, in order.
 */

import { ApiError, AwayError } from "./api";

export interface Change {
  run: string;
  rows: number[];
  label: string | null;
}

interface Storage {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
}

const KEY = "unlabeled.pending";
const WAITS = [1, 2, 4, 8, 10]; // seconds between tries

export interface Hooks {
  send(change: Change): Promise<unknown>;
  changed(): void; // what is pending, or whether the server is away, is different
  refused(change: Change, error: Error): void; // the server will never take it: it isn't kept
  sent(change: Change, answer: unknown): void;
}

export class Queue {
  pending: Change[];
  away = false;
  private going: Promise<void> | null = null;
  private tries = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly hooks: Hooks, private readonly storage: Storage) {
    this.pending = read(storage);
  }

  push(change: Change): void {
    this.pending = [...this.pending, change];
    this.keep();
    void this.flush();
  }

  /** Take back the last change of a run that hasn't gone out yet; null where there is none. */
  takeBack(run: string): Change | null {
    const at = this.pending.findLastIndex((change, i) => change.run === run && !(i === 0 && this.going));
    if (at < 0) return null;
    const [taken] = this.pending.slice(at, at + 1);
    this.pending = this.pending.filter((_, i) => i !== at);
    this.keep();
    return taken!;
  }

  /** Send what is pending; done when nothing is left to send, or the server is away. */
  flush(): Promise<void> {
    clearTimeout(this.timer);
    return (this.going ??= this.sendAll().finally(() => (this.going = null)));
  }

  private async sendAll(): Promise<void> {
    for (let change = this.pending[0]; change; change = this.pending[0]) {
      let answer: unknown;
      try {
        answer = await this.hooks.send(change);
      } catch (error) {
        if (!isFinal(error)) return this.later(error);
        this.drop();
        this.hooks.refused(change, error as Error);
        continue;
      }
      this.drop();
      this.hooks.sent(change, answer);
    }
  }

  private drop(): void {
    this.pending = this.pending.slice(1);
    this.away = false;
    this.tries = 0;
    this.keep();
  }

  private later(error: unknown): void {
    this.away = true;
    const asked = error instanceof ApiError ? error.retryAfter : null;
    const wait = asked ?? WAITS[Math.min(this.tries++, WAITS.length - 1)]!;
    this.timer = setTimeout(() => void this.flush(), wait * 1000);
    this.hooks.changed();
  }

  private keep(): void {
    try {
      this.storage.setItem(KEY, JSON.stringify(this.pending));
    } catch {
      // A full or forbidden storage: the change still goes out, it only wouldn't outlive a reload.
    }
    this.hooks.changed();
  }
}

/** Whether trying again would be of no use: the server understood and said no. */
const isFinal = (error: unknown) =>
  !(error instanceof AwayError) && error instanceof ApiError && error.status < 500 && ![401, 408, 425, 429].includes(error.status);

function read(storage: Storage): Change[] {
  try {
    const found = JSON.parse(storage.getItem(KEY) ?? "[]") as Change[];
    return Array.isArray(found) ? found.filter((change) => Array.isArray(change.rows) && typeof change.run === "string") : [];
  } catch {
    return [];
  }
}

/** The labels as they will be: what the server holds, and over it what hasn't reached it yet. */
export function overlay(saved: ReadonlyMap<number, string>, pending: readonly Change[], run: string): Map<number, string> {
  const labels = new Map(saved);
  for (const change of pending) {
    if (change.run !== run) continue;
    for (const row of change.rows) {
      if (change.label === null) labels.delete(row);
      else labels.set(row, change.label);
    }
  }
  return labels;
}
