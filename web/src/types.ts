/** What the server sends. The shapes are the contract of `unlabeled open`; nothing here is made up by the page. */

export type Value = string | number | boolean | null;

export interface Item {
  row: number;
  id: string;
  text: string | null;
  thumbnail: string | null;
  columns?: Record<string, Value>;
}

export interface Hit extends Item {
  rank: number;
  score: number;
}

export interface Column {
  name: string;
  kind: "category" | "number" | "boolean" | "text";
  distinct: number | null;
  min?: number | null;
  max?: number | null;
  values: string[] | null;
  own: boolean;
}

export interface Run {
  id: string;
  name: string;
  path: string;
  kind: "image" | "text" | "vector" | "table" | "graph" | "triples";
  count: number;
  dim: number;
  model: boolean;
  method: string | null;
  description: string | null;
  verdict: string | null;
  search: { words: boolean; names?: boolean; file: boolean; item: boolean }; // names: words are looked for in the items' names
  thumbnails: boolean;
  texts: boolean;
  has_report: boolean;
  map: "kept" | "made" | "making";
  columns: Column[];
  labels: { count: number; classes: Record<string, number> };
}

export type Filter =
  | { column: string; in: string[] }
  | { column: string; min?: number; max?: number }
  | { column: string; contains: string };

export interface Found {
  hits: Hit[];
  milliseconds?: number;
}

export interface Cluster {
  cluster: number;
  name: string;
  size: number;
  examples: Item[];
}

export interface Clusters {
  clusters: Cluster[];
  how: string;
  edited: boolean;
}

export interface Topics {
  topics: { topic: number; name: string; size: number; words: string[]; examples: { id: string; text: string | null }[] }[];
  coherence: { mean: number; random: number } | null;
  how: string;
}

export interface Duplicates {
  items: number;
  extra: number;
  found: number;
  groups: { similarity: number; size: number; items: Item[] }[];
}

export interface Counts {
  count: number;
  classes: Record<string, number>;
  revision: number;
}

export interface Labels extends Counts {
  labels: { row: number; id: string; label: string }[];
}

export type Unsure = Item & { predicted: string; confidence: number };
export type Suspect = Item & { label: string; likely: string; score: number };

export interface Prediction {
  classes: Record<string, number>;
  labels: number;
  accuracy: { mean: number; std: number; folds: number } | null;
  largest_class: number;
  confidence: { mean: number; low: number };
  unsure: Unsure[];
  revision: number;
  seconds: number;
}

export interface Suspects {
  labels: number;
  suspects: number;
  share_wrong: number;
  items: Suspect[];
}

export interface Comparison {
  shared: number;
  only_a: number;
  only_b: number;
  neighbours_shared: number | null;
  cka: number | null;
  k: number;
  by_chance: number | null;
  measured_on: number;
}

export type Measured = number | { mean: number | null; std?: number | null } | null;

export interface Report {
  source?: string;
  items?: { description?: string; notes?: string[] };
  method?: { name?: string; why?: string; encoder?: string; encoder_why?: string; seconds?: number; device?: string };
  command?: string;
  quality?: {
    verdict?: string;
    collapse?: string;
    judged_on?: string;
    arms?: ({ name: string; label?: string; dim?: number } & Record<string, unknown>)[];
  };
}
