import { expect, it } from "vitest";
import { columnName, count, figure, many, nouns, percent, score, shorten } from "../src/words";

it("numbers have separators", () => {
  expect(count(100000)).toBe("100,000");
  expect(figure(0.123456)).toBe("0.123");
  expect(figure(12345.6)).toBe("12,346");
  expect(figure(null)).toBe("–");
});
it("one is one", () => {
  expect(many(1, "label")).toBe("1 label");
  expect(many(1797, "picture")).toBe("1,797 pictures");
  expect(nouns("triples")).toBe("entities");
});
it("a share claims no more than is so", () => {
  expect(percent(0.999)).toBe("over 99%");
  expect(percent(1)).toBe("100%");
  expect(percent(0.001)).toBe("under 1%");
  expect(percent(0)).toBe("0%");
});
it("a score is never minus nothing", () => expect(score(-0.001)).toBe("0.00"));
it("long texts end in an ellipsis within their length", () => expect(shorten("abcdef", 4)).toBe("abc…"));
it("our own columns have names for people", () => expect([columnName("cluster_name"), columnName("price")]).toEqual(["group", "price"]));
