/** Parts of the page in a small DOM: what they say in each state. The map itself is for the browser tests. */

import { render } from "preact";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { Loaded } from "../src/parts/Loaded";
import { SearchPanel } from "../src/panels/SearchPanel";
import { Legend } from "../src/map/Legend";
import { byCategory } from "../src/colour";
import { coloured, colourBy, only, results, run } from "../src/state";
import type { Run } from "../src/types";

const base: Run = {
  id: "a", name: "a", path: "a", kind: "text", count: 3, dim: 2, model: true, method: null, description: null, verdict: null,
  search: { words: true, file: true, item: true }, thumbnails: false, texts: true, has_report: false, map: "kept", columns: [],
  labels: { count: 0, classes: {} },
};
let root: HTMLElement;
const settle = () => new Promise((done) => setTimeout(done, 20));

beforeEach(() => {
  root = document.body.appendChild(document.createElement("div"));
  run.value = base;
});
afterEach(() => {
  render(null, root);
  root.remove();
  results.value = null;
  only.value = new Set();
});

it("a run without a model says which ways of searching work", () => {
  run.value = { ...base, kind: "vector", model: false, search: { words: false, file: false, item: true } };
  render(<SearchPanel />, root);
  expect(root.textContent).toContain("imported without a model");
  expect(root.textContent).toContain("click a point on the map");
  expect(root.querySelector("#words")).toBeNull();
});

it("a search that finds nothing says what to do", () => {
  results.value = { title: "“x”", hits: [], milliseconds: 1 };
  render(<SearchPanel />, root);
  expect(root.textContent).toContain("Take a filter away");
});

it("what fails can be tried again", async () => {
  const from = vi.fn().mockRejectedValueOnce(new Error("The disk is full.")).mockResolvedValueOnce("all well");
  render(<Loaded from={from} on={[]} waiting="Wait…">{(found: string) => <b>{found}</b>}</Loaded>, root);
  expect(root.textContent).toContain("Wait…");
  await settle();
  expect(root.querySelector("[role=alert]")!.textContent).toContain("The disk is full.");
  root.querySelector("button")!.click();
  await settle();
  expect(root.textContent).toBe("all well");
});

it("a click in the legend leaves that category alone, a second one brings all back", async () => {
  colourBy.value = "kind";
  coloured.value = byCategory({ name: "kind", kind: "category", distinct: 2, values: ["a", "b"], own: false }, [0, 1, 1], "light");
  render(<Legend />, root);
  const [first] = root.querySelectorAll<HTMLButtonElement>("li button");
  first!.click();
  await settle();
  expect([...only.value]).toEqual([0]);
  root.querySelectorAll<HTMLButtonElement>("li button")[0]!.click();
  await settle();
  expect(only.value.size).toBe(0);
});
