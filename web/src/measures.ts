/** The report's measures in words, and which arm is best by them: as in the report itself (src/unlabeled/report/measures.py). */

export interface Measure {
  name: string;
  means: string;
  ranked: boolean; // more is better, and arms may be compared by it
}

export const MEASURES: Record<string, Measure> = {
  links_found: { name: "Hidden edges are found", means: "How often two joined nodes are nearer to each other than two that aren't. 1 is perfect, guessing gives 0.5.", ranked: true },
  facts_found: { name: "Hidden facts are found", means: "How high the right answer is ranked. 1 is always first.", ranked: true },
  half_retrieval: { name: "Parts find each other", means: "Two parts of each item: how often the nearest other part is its own. 1 is perfect.", ranked: true },
  half_neighbours: { name: "Parts agree on their neighbours", means: "How many of the ten nearest the two parts of an item share. 1 is all.", ranked: true },
  rankme: { name: "Directions in use", means: "Over how many directions the items spread. More is richer.", ranked: false },
  mean_cosine: { name: "Likeness of two random items", means: "Near 0 is good; near 1 everything looks the same.", ranked: false },
  std_sqrt_d: { name: "Spread", means: "1 is fully spread; near 0 all have fallen together.", ranked: false },
  uniformity: { name: "Evenness", means: "0 when all are the same, -4 when nothing could be more even.", ranked: false },
};

export type Arm = { name: string; label?: string; dim?: number } & Record<string, unknown>;

/** Mean and standard deviation in either of the forms in which a report has them. */
export function value(number: unknown): { mean: number; std: number } | null {
  const given = number as { mean?: unknown; std?: unknown } | number | null | undefined;
  const [mean, std] = typeof given === "object" && given ? [given.mean, given.std] : [given, 0];
  return typeof mean === "number" ? { mean, std: typeof std === "number" ? std : 0 } : null;
}

/** The arms that are best by a ranked measure: several where two standard deviations, or 0.01, don't part them. */
export function best(arms: readonly Arm[], key: string): Arm[] {
  const known = arms.flatMap((arm) => {
    const found = value(arm[key]);
    return found ? [{ arm, ...found }] : [];
  });
  if (known.length < 2) return [];
  known.sort((one, more) => more.mean - one.mean);
  const top = known[0]!;
  return known.filter(({ mean, std }) => top.mean - mean <= 2 * Math.max(top.std, std, 0.005)).map(({ arm }) => arm);
}

/** The measures that at least one arm has, the telling ones first. */
export const given = (arms: readonly Arm[]) => Object.keys(MEASURES).filter((key) => arms.some((arm) => value(arm[key])));
