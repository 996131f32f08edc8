import { expect, it } from "vitest";
import { best, given, value } from "../src/measures";

const arm = (name: string, mean: number, std = 0) => ({ name, half_retrieval: { mean, std }, dim: 8 });

it("a measure is read in both of its forms", () => {
  expect(value(0.5)).toEqual({ mean: 0.5, std: 0 });
  expect(value({ mean: 0.5, std: null })).toEqual({ mean: 0.5, std: 0 });
  expect(value({ mean: null })).toBeNull();
  expect(value(true)).toBeNull();
});
it("what two standard deviations don't part is level with the best", () => {
  const arms = [arm("learned", 0.27, 0.012), arm("raw", 0.24, 0.009), arm("PCA", 0.2)];
  expect(best(arms, "half_retrieval").map(({ name }) => name)).toEqual(["learned"]);
  arms[0] = arm("learned", 0.25, 0.012);
  expect(best(arms, "half_retrieval").map(({ name }) => name)).toEqual(["learned", "raw"]);
});
it("one arm alone is the best of nothing", () => expect(best([arm("learned", 1)], "half_retrieval")).toEqual([]));
it("only measures that are there are shown", () => expect(given([arm("a", 1)])).toEqual(["half_retrieval"]));
