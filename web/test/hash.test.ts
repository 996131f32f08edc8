import { expect, it } from "vitest";
import { type Place, read, write } from "../src/hash";

const place: Place = {
  run: "my run/ü", tab: "compare", colour: "cluster_name", rows: [3, 14], words: "a & b # c", like: 0,
  filters: [{ column: "length", min: 0 }, { column: "kind", in: ["x,y", "ä"] }], other: "second",
};

it("the address gives back what was put in, whatever the names are", () => expect(read(write(place))).toEqual(place));

it("an address that someone has changed opens the page all the same", () => {
  expect(read("#tab=nonsense&rows=1.x.-3&like=a&filters={broken")).toEqual({
    run: null, tab: "search", colour: null, rows: [1], words: null, like: null, filters: [], other: null,
  });
  expect(read("#filters=[null,3]").filters).toEqual([]);
});

it("a selection of thousands stays out of the address", () => {
  expect(write({ ...place, rows: Array.from({ length: 5000 }, (_, i) => i) })).not.toContain("rows=");
});
