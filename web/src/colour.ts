/** From a column's values to colours: which of a palette each point has. Pure, so that it can be tested without a screen. */

import type { Column } from "./types";

export type Rgb = [number, number, number];

export const parse = (hex: string): Rgb => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)) as Rgb;
export const hexOf = (rgb: Rgb) => `#${rgb.map((part) => Math.round(part).toString(16).padStart(2, "0")).join("")}`;
const mix = (a: Rgb, b: Rgb, t: number) => a.map((part, i) => part + (b[i]! - part) * t) as Rgb;

function luminance(rgb: Rgb): number {
  const [r, g, b] = rgb.map((part) => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4)) as Rgb;
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/** WCAG's contrast of two colours, 1 to 21. */
export function contrast(a: Rgb, b: Rgb): number {
  const [low, high] = [luminance(a), luminance(b)].sort((one, other) => one - other) as [number, number];
  return (high + 0.05) / (low + 0.05);
}

export const GROUND = { light: "#ffffff", dark: "#1a1d21" } as const;
export type Theme = keyof typeof GROUND;

/** The same hue, moved away from the ground until a point of it can be seen. */
function readable(hex: string, theme: Theme, least: number): string {
  const [ground, away] = theme === "dark" ? [parse(GROUND.dark), [255, 255, 255] as Rgb] : [parse(GROUND.light), [0, 0, 0] as Rgb];
  let rgb = parse(hex);
  for (let step = 0; step < 20 && contrast(rgb, ground) < least; step++) rgb = mix(rgb, away, 0.07);
  return hexOf(rgb);
}

// Okabe and Ito (2008) without black, then Paul Tol's "muted" and "bright": both made to be told apart by the colour-blind.
const CATEGORIES = [
  "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#e0cf2a", "#332288", "#882255", "#44aa99",
  "#999933", "#aa4499", "#6699cc", "#994455", "#117733", "#ee8866", "#77aadd", "#a5872d", "#ee6677", "#4477aa",
];
export const PALETTE = CATEGORIES.length;
export const GREY = { light: "#a9adb3", dark: "#5f656d" } as const; // "other" and "not known"

export const categoryColour = (index: number, theme: Theme) => readable(CATEGORIES[index % PALETTE]!, theme, 1.9);

// Viridis (Smith and van der Walt, 2015): even steps to the eye, ordered in lightness, safe for the colour-blind.
const VIRIDIS = ["#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725"].map(parse);

/** The ramp at t in [0, 1]. High values stand out from the ground: bright on dark, dark on light. */
export function ramp(t: number, theme: Theme): string {
  const at = theme === "dark" ? 0.27 + 0.73 * t : 0.88 * (1 - t);
  const place = Math.min(0.9999, Math.max(0, at)) * (VIRIDIS.length - 1);
  return hexOf(mix(VIRIDIS[Math.floor(place)]!, VIRIDIS[Math.floor(place) + 1]!, place % 1));
}

export const STEPS = 48;

export interface Entry {
  index: number; // in the palette
  name: string;
  colour: string;
  count: number;
}

export interface Colouring {
  column: string;
  index: Uint16Array; // [n], into palette
  palette: string[];
  legend: Entry[]; // of categories, largest first; empty for numbers
  scale: { low: number; high: number; below: boolean; above: boolean } | null; // of numbers
  missing: number; // how many have no value
}

/** Colours of categories: values[i] is an index into the column's values, values.length is "other", NaN is missing. */
export function byCategory(column: Column, values: ArrayLike<number>, theme: Theme): Colouring {
  const names = column.kind === "boolean" ? ["no", "yes"] : (column.values ?? []);
  const other = names.length;
  const missing = other + 1;
  const index = new Uint16Array(values.length);
  const counts = new Array<number>(missing + 1).fill(0);
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    const at = Number.isNaN(value) ? missing : Math.min(value, other);
    index[i] = at;
    counts[at]!++;
  }
  const palette = [...names.map((_, i) => categoryColour(i, theme)), GREY[theme], GREY[theme]];
  const legend = [...names, "other", missingName(column.name)]
    .map((name, i) => ({ index: i, name, colour: palette[i]!, count: counts[i]! }))
    .filter((entry) => entry.count > 0);
  return { column: column.name, index, palette, legend, scale: null, missing: counts[missing]! };
}

const missingName = (column: string) => (column === "label" ? "not labelled" : "no value");

const SHARES = ["confidence", "overlap"];

/** Colours of numbers, in STEPS steps from the 1st to the 99th percentile, so that a few extremes don't take the whole ramp. */
export function byNumber(column: Column, values: ArrayLike<number>, theme: Theme): Colouring {
  const known = Float32Array.from(Array.prototype.filter.call(values, Number.isFinite) as number[]).sort();
  const [least, most] = [known[0] ?? 0, known.at(-1) ?? 1];
  let [low, high] = [known[Math.floor(known.length * 0.01)] ?? 0, known[Math.ceil(known.length * 0.99) - 1] ?? 1];
  if (!(high > low)) [low, high] = [least, most];
  if (SHARES.includes(column.name)) [low, high] = [0, 1]; // of ourselves, and only to be compared on the whole scale
  const width = high - low || 1;
  const index = new Uint16Array(values.length);
  let missing = 0;
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    const isKnown = Number.isFinite(value);
    if (!isKnown) missing++;
    index[i] = isKnown ? Math.min(STEPS - 1, Math.max(0, Math.floor(((value - low) / width) * STEPS))) : STEPS;
  }
  const palette = [...Array.from({ length: STEPS }, (_, i) => ramp(i / (STEPS - 1), theme)), GREY[theme]];
  return { column: column.name, index, palette, legend: [], scale: { low, high, below: least < low, above: most > high }, missing };
}

export const colouring = (column: Column, values: ArrayLike<number>, theme: Theme) =>
  column.kind === "number" ? byNumber(column, values, theme) : byCategory(column, values, theme);

/** All points alike: what is drawn until the column's values are there. */
export const plain = (n: number, theme: Theme): Colouring => ({
  column: "", index: new Uint16Array(n), palette: [theme === "dark" ? "#8fa3b5" : "#6d8296"], legend: [], scale: null, missing: 0,
});

/** The states of a point beside its colour. */
export const NORMAL = 0, OUT = 1, MARKED = 2, BEHIND = 3;

/** What each point's state is: out of the filter or of the chosen categories, marked (a result), or behind the marked ones. */
export function states(
  n: number, mask: Uint8Array | null, only: ReadonlySet<number>, index: Uint16Array, marked: readonly number[],
): Uint8Array {
  const found = new Uint8Array(n).fill(marked.length ? BEHIND : NORMAL);
  for (let i = 0; i < n; i++) if ((mask && !mask[i]) || (only.size && !only.has(index[i]!))) found[i] = OUT;
  for (const row of marked) if (row >= 0 && row < n) found[row] = MARKED;
  return found;
}
