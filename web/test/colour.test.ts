import { describe, expect, it } from "vitest";
import { byCategory, byNumber, categoryColour, contrast, GREY, GROUND, parse, ramp, states, STEPS, PALETTE } from "../src/colour";
import type { Column } from "../src/types";

const category: Column = { name: "kind", kind: "category", distinct: 3, values: ["a", "b"], own: false };
const number: Column = { name: "length", kind: "number", distinct: null, values: null, own: false };

describe("colours of categories", () => {
  it("count each value, put the rest under other and the missing apart", () => {
    const found = byCategory(category, [0, 1, 1, 2, NaN], "light");
    expect(found.legend.map(({ name, count }) => [name, count])).toEqual([["a", 1], ["b", 2], ["other", 1], ["no value", 1]]);
    expect([...found.index]).toEqual([0, 1, 1, 2, 3]);
    expect(found.palette[2]).toBe(GREY.light);
  });

  it("start again after the palette's end", () => expect(categoryColour(PALETTE, "dark")).toBe(categoryColour(0, "dark")));

  it.each(["light", "dark"] as const)("can all be seen on the %s ground", (theme) => {
    for (let i = 0; i < PALETTE; i++) expect(contrast(parse(categoryColour(i, theme)), parse(GROUND[theme]))).toBeGreaterThan(1.85);
  });
});

describe("colours of numbers", () => {
  it("are not ruled by a few extremes", () => {
    const values = Array.from({ length: 1000 }, (_, i) => i / 1000).concat(1e9);
    const found = byNumber(number, values, "light");
    expect(found.scale!.high).toBeLessThan(1);
    expect(found.scale!.above).toBe(true);
    expect(found.index[999]! - found.index[0]!).toBe(STEPS - 1);
  });

  it("leave what is missing grey", () => {
    const found = byNumber(number, [1, NaN, 2], "dark");
    expect(found.index[1]).toBe(STEPS);
    expect(found.palette[STEPS]).toBe(GREY.dark);
    expect(found.missing).toBe(1);
  });

  it("hold for a column with a single value, and with none", () => {
    expect([...byNumber(number, [5, 5], "light").index]).toEqual([0, 0]);
    expect(byNumber(number, [NaN], "light").missing).toBe(1);
  });

  it.each(["light", "dark"] as const)("stand out ever more on the %s ground as they grow", (theme) => {
    const seen = [0, 0.25, 0.5, 0.75, 1].map((t) => contrast(parse(ramp(t, theme)), parse(GROUND[theme])));
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    expect(seen[0]).toBeGreaterThan(1.25);
  });
});

describe("states of points", () => {
  it("put what is filtered out behind, and what was found before everything", () => {
    const found = states(4, Uint8Array.of(1, 0, 1, 0), new Set(), new Uint16Array(4), [3]);
    expect([...found]).toEqual([3, 1, 3, 2]);
  });
  it("leave only the chosen categories", () => {
    expect([...states(3, null, new Set([1]), Uint16Array.of(0, 1, 2), [])]).toEqual([1, 0, 1]);
  });
});
