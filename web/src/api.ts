/** Every request that the page makes. All are to the server that served the page. */

import type {
  Clusters, Comparison, Counts, Duplicates, Filter, Found, Item, Labels, Prediction, Report, Run, Suspects, Topics,
} from "./types";

/** An answer that isn't a success, in the server's own words. */
export class ApiError extends Error {
  constructor(message: string, readonly status: number, readonly retryAfter: number | null = null) {
    super(message);
  }
}

/** The server didn't answer at all. */
export class AwayError extends Error {
  constructor() {
    super("The server doesn't answer. Is `unlabeled open` still running in the terminal?");
  }
}

async function ask(path: string, init?: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, init);
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new AwayError();
  }
  if (response.ok) return response;
  if (response.status === 401) throw new ApiError("This page needs its key: open the address that the terminal printed.", 401);
  const body = (await response.json().catch(() => null)) as { error?: { message?: string } } | null;
  const wait = Number(response.headers.get("Retry-After"));
  throw new ApiError(body?.error?.message ?? `The server answered ${response.status}.`, response.status, wait || null);
}

const json = async <T>(path: string, init?: RequestInit): Promise<T> => (await ask(path, init)).json() as Promise<T>;
const bytes = async (path: string, init?: RequestInit) => (await ask(path, init)).arrayBuffer();
const send = (method: string, body?: unknown, signal?: AbortSignal): RequestInit => ({
  method,
  headers: body === undefined ? {} : { "Content-Type": "application/json" },
  ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  ...(signal ? { signal } : {}),
});
const of = (run: string, rest = "") => `/v1/runs/${encodeURIComponent(run)}${rest}`;
const pair = (a: string, b: string, k?: number) => `?a=${encodeURIComponent(a)}&b=${encodeURIComponent(b)}${k ? `&k=${k}` : ""}`;

export type Query = { words: string } | { id: string } | { row: number };

export const runs = () => json<{ runs: Run[] }>("/v1/runs").then((body) => body.runs);
export const run = (id: string) => json<Run>(of(id));
export const map = async (id: string) => new Float32Array(await bytes(of(id, "/map")));
export const column = async (id: string, name: string) => new Float32Array(await bytes(of(id, `/columns/${encodeURIComponent(name)}/values`)));
export const items = (id: string, rows: number[]) => json<{ items: Item[] }>(of(id, `/items?rows=${rows.join(",")}`)).then((body) => body.items);
export const similar = (id: string, item: string, k: number) => json<Found>(of(id, `/items/${encodeURIComponent(item)}/similar?k=${k}`));
export const search = (id: string, query: Query, k: number, filters: Filter[], signal?: AbortSignal) =>
  json<Found>(of(id, "/search"), send("POST", { ...query, k, filters }, signal));
export const searchFile = (id: string, file: Blob, k: number, filters: Filter[], signal?: AbortSignal) =>
  json<Found>(of(id, `/search/file?k=${k}&filters=${encodeURIComponent(JSON.stringify(filters))}`), {
    method: "POST",
    body: file,
    headers: { "Content-Type": "application/octet-stream" },
    ...(signal ? { signal } : {}),
  });
export const filter = async (id: string, filters: Filter[]) => new Uint8Array(await bytes(of(id, "/filter"), send("POST", { filters })));

export const clusters = (id: string) => json<Clusters>(of(id, "/clusters"));
export const regroup = (id: string, k: number | "auto") => json<Clusters>(of(id, "/clusters"), send("POST", { k }));
export const renameCluster = (id: string, cluster: number, name: string) => json<Clusters>(of(id, `/clusters/${cluster}`), send("PATCH", { name }));
export const mergeClusters = (id: string, chosen: number[], name: string | null) =>
  json<Clusters>(of(id, "/clusters/merge"), send("POST", { clusters: chosen, name }));
export const topics = (id: string, k: number | "auto") => json<Topics>(of(id, `/topics?k=${k}`));
export const duplicates = (id: string, threshold: string) => json<Duplicates>(of(id, `/duplicates${threshold ? `?threshold=${threshold}` : ""}`));
export const outliers = (id: string) => json<{ items: (Item & { score: number })[] }>(of(id, "/outliers?m=50"));
export const report = (id: string) => json<Report>(of(id, "/report"));
export const link = of;

export const labels = (id: string) => json<Labels>(of(id, "/labels"));
export const label = (id: string, rows: number[], name: string | null) => json<Counts>(of(id, "/labels"), send("POST", { rows, label: name }));
export const undo = (id: string) => json<Counts & { rows: number[] }>(of(id, "/labels/undo"), send("POST"));
export const renameClass = (id: string, from: string, to: string | null) => json<Counts>(of(id, "/labels/classes"), send("PATCH", { from, to }));
export const predict = (id: string, method: string, keep: boolean) => json<Prediction>(of(id, "/predict"), send("POST", { method, keep }));
export const suspects = (id: string, name: string | null) => json<Suspects>(of(id, `/suspects${name ? `?column=${encodeURIComponent(name)}` : ""}`));

export const compare = (a: string, b: string, k: number) => json<Comparison>(`/v1/compare${pair(a, b, k)}`);
export const compareRows = async (a: string, b: string) => new Int32Array(await bytes(`/v1/compare/rows${pair(a, b)}`));
export const compareOverlap = async (a: string, b: string, k: number) => new Float32Array(await bytes(`/v1/compare/overlap${pair(a, b, k)}`));
