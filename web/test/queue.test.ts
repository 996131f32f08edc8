import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ApiError, AwayError } from "../src/api";
import { type Change, overlay, Queue } from "../src/queue";

function storage() {
  const kept = new Map<string, string>();
  return { getItem: (key: string) => kept.get(key) ?? null, setItem: (key: string, value: string) => void kept.set(key, value), kept };
}
const change = (rows: number[], label: string | null = "cat"): Change => ({ run: "a", rows, label });

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function made(send: (change: Change) => Promise<unknown>, store = storage()) {
  const hooks = { send: vi.fn(send), changed: vi.fn(), refused: vi.fn(), sent: vi.fn() };
  return { queue: new Queue(hooks, store), hooks, store };
}

describe("labels on their way", () => {
  it("go out in order, one at a time, and are only then no longer pending", async () => {
    const { queue, hooks } = made(async () => ({}));
    queue.push(change([1]));
    queue.push(change([2]));
    expect(queue.pending).toHaveLength(2);
    await vi.runAllTimersAsync();
    expect(hooks.send.mock.calls.map(([one]) => one.rows)).toEqual([[1], [2]]);
    expect(queue.pending).toEqual([]);
  });

  it("wait in the storage while the server is away, and arrive when it is back", async () => {
    let up = false;
    const { queue, hooks, store } = made(async () => {
      if (!up) throw new AwayError();
    });
    queue.push(change([1, 2]));
    await vi.advanceTimersByTimeAsync(100);
    expect(queue.away).toBe(true);
    expect(JSON.parse([...store.kept.values()][0]!)).toEqual([change([1, 2])]);
    up = true;
    await vi.advanceTimersByTimeAsync(11_000);
    expect(queue.away).toBe(false);
    expect(queue.pending).toEqual([]);
    expect(hooks.sent).toHaveBeenCalledOnce();
  });

  it("outlive the page", async () => {
    const store = storage();
    made(() => Promise.reject(new AwayError()), store).queue.push(change([7], "dog"));
    await vi.advanceTimersByTimeAsync(10);
    expect(made(async () => ({}), store).queue.pending).toEqual([change([7], "dog")]);
  });

  it("are dropped when the server says no, and tried again when it is only busy", async () => {
    const answers = [new ApiError("no such row", 400), new ApiError("slow down", 429, 2)];
    const { queue, hooks } = made(async () => {
      const error = answers.shift();
      if (error) throw error;
    });
    queue.push(change([1]));
    queue.push(change([2]));
    await vi.advanceTimersByTimeAsync(500);
    expect(hooks.refused).toHaveBeenCalledOnce();
    expect(queue.pending).toEqual([change([2])]);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(queue.pending).toEqual([]);
  });

  it("can be taken back before they have gone out, but not while they do", async () => {
    const { queue } = made(() => new Promise(() => {}));
    queue.push(change([1]));
    expect(queue.takeBack("a")).toBeNull();
    queue.push(change([2]));
    expect(queue.takeBack("b")).toBeNull();
    expect(queue.takeBack("a")).toEqual(change([2]));
    expect(queue.pending).toEqual([change([1])]);
  });

  it("are all sent when a flush is over, also those that joined it", async () => {
    const { queue, hooks } = made(() => new Promise((done) => setTimeout(done, 50)));
    queue.push(change([1]));
    queue.push(change([2]));
    const flushed = vi.fn();
    void queue.flush().then(flushed);
    await vi.advanceTimersByTimeAsync(60);
    expect(flushed).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(60);
    expect(flushed).toHaveBeenCalled();
    expect(hooks.send).toHaveBeenCalledTimes(2);
  });

  it("survive a storage that holds rubbish", () => {
    const store = storage();
    store.setItem("unlabeled.pending", "{nonsense");
    expect(made(async () => ({}), store).queue.pending).toEqual([]);
  });
});

it("labels shown are the saved ones with the pending ones over them, of this run alone", () => {
  const shown = overlay(new Map([[1, "cat"], [2, "dog"]]), [change([1], null), change([3], "cow"), { ...change([2]), run: "b" }], "a");
  expect([...shown]).toEqual([[2, "dog"], [3, "cow"]]);
});
