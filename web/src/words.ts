/** Numbers and counts as people read them. English throughout, whatever the browser's language: the page's words are English. */

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

export const count = (n: number) => whole.format(n);

/** "1 item", "1,797 items". */
export const many = (n: number, one: string, more = `${one}s`) => `${count(n)} ${n === 1 ? one : more}`;

/** A number of any size in three digits; whole numbers stay whole. */
export const figure = (n: number | null | undefined) =>
  n == null || !Number.isFinite(n) ? "–" : Number.isInteger(n) ? count(n) : Math.abs(n) >= 1000 ? count(n) : short.format(n);

/** A share as a percentage that never claims 100% or 0% when it isn't quite. */
export function percent(share: number | null | undefined): string {
  if (share == null || !Number.isFinite(share)) return "–";
  if (share > 0 && share < 0.01) return "under 1%";
  if (share < 1 && share > 0.99) return "over 99%";
  return `${Math.round(share * 100)}%`;
}

export const score = (n: number) => n.toFixed(2).replace("-0.00", "0.00");

const NOUNS: Record<string, string> = { image: "picture", text: "text", vector: "item", table: "row", graph: "node", triples: "entity" };

/** What one item of a run is called. */
export const noun = (kind: string) => NOUNS[kind] ?? "item";
export const nouns = (kind: string) => (kind === "triples" ? "entities" : `${noun(kind)}s`);

/** A column's name for people: our own columns have names made for files. */
export const columnName = (name: string) =>
  ({ cluster_name: "group", cluster: "group number", density: "density on the map", label: "your labels", predicted: "predicted class",
    confidence: "confidence", overlap: "shared neighbours" })[name] ?? name;

export const shorten = (text: string, length: number) => (text.length <= length ? text : `${text.slice(0, length - 1).trimEnd()}…`);
