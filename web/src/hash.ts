/** The page's address: what is open can be reloaded, bookmarked and sent. Pure. */

import type { Filter } from "./types";
import { TABS, type Tab } from "./state";

export interface Place {
  run: string | null;
  tab: Tab;
  colour: string | null;
  rows: number[];
  words: string | null; // the search
  like: number | null; // a search by item
  filters: Filter[];
  other: string | null; // the run that is compared with
}

const MOST = 300; // rows of a selection kept in the address

export function write(place: Place): string {
  const parts = new URLSearchParams();
  if (place.run) parts.set("run", place.run);
  if (place.tab !== "search") parts.set("tab", place.tab);
  if (place.colour) parts.set("colour", place.colour);
  if (place.rows.length && place.rows.length <= MOST) parts.set("rows", place.rows.join("."));
  if (place.words) parts.set("words", place.words);
  if (place.like !== null) parts.set("like", String(place.like));
  if (place.filters.length) parts.set("filters", JSON.stringify(place.filters));
  if (place.other) parts.set("other", place.other);
  return `#${parts}`;
}

export function read(hash: string): Place {
  const parts = new URLSearchParams(hash.replace(/^#/, ""));
  const tab = parts.get("tab") ?? "search";
  const like = parts.get("like");
  return {
    run: parts.get("run"),
    tab: tab in TABS ? (tab as Tab) : "search",
    colour: parts.get("colour"),
    rows: (parts.get("rows") ?? "").split(".").filter((part) => /^\d+$/.test(part)).map(Number),
    words: parts.get("words"),
    like: like !== null && /^\d+$/.test(like) ? Number(like) : null,
    filters: filtersOf(parts.get("filters")),
    other: parts.get("other"),
  };
}

function filtersOf(text: string | null): Filter[] {
  try {
    const found: unknown = JSON.parse(text ?? "[]");
    return Array.isArray(found) ? found.filter((one): one is Filter => typeof (one as Filter | null)?.column === "string") : [];
  } catch {
    return [];
  }
}
