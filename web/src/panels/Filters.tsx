/** Filters on columns: picked values, from-to, contains. They hold for the map, the lasso and the search. */

import { useEffect, useRef, useState } from "preact/hooks";
import { applyFilters } from "../search";
import { filters, mask, run } from "../state";
import type { Column, Filter } from "../types";
import { columnName, count, figure, nouns, shorten } from "../words";

const PAUSE = 250; // ms after the last key before a filter is applied

export function Filters() {
  const now = run.value!;
  const columns = now.columns.filter((column) => !["x", "y", "cluster"].includes(column.name));
  const timer = useRef(0);
  const set = (next: Filter[]) => {
    filters.value = next;
    clearTimeout(timer.current);
    timer.current = window.setTimeout(() => void applyFilters(), PAUSE);
  };
  if (!columns.length) return null;
  const replace = (at: number, filter: Filter | null) =>
    set(filter ? filters.value.map((one, i) => (i === at ? filter : one)) : filters.value.filter((_, i) => i !== at));
  const left = mask.value?.reduce((sum, one) => sum + one, 0);
  return (
    <div class="filters">
      {filters.value.map((filter, at) => {
        const column = columns.find((one) => one.name === filter.column);
        return column && <One key={`${filter.column}${at}`} column={column} filter={filter} set={(next) => replace(at, next)} />;
      })}
      <div class="row">
        <select
          aria-label="Add a filter"
          value=""
          onChange={(event) => {
            const column = columns.find((one) => one.name === event.currentTarget.value);
            if (column) set([...filters.value, fresh(column)]);
            event.currentTarget.value = "";
          }}
        >
          <option value="">+ Filter</option>
          {columns.map((column) => <option key={column.name} value={column.name}>{columnName(column.name)}</option>)}
        </select>
        {left !== undefined && <span class="note" role="status">{count(left)} of {count(now.count)} {nouns(now.kind)} fit.</span>}
      </div>
    </div>
  );
}

export function fresh(column: Column): Filter {
  if (column.kind === "number") return { column: column.name };
  return column.kind === "text" ? { column: column.name, contains: "" } : { column: column.name, in: [] };
}

function One({ column, filter, set }: { column: Column; filter: Filter; set(filter: Filter | null): void }) {
  const name = columnName(column.name);
  const box = useRef<HTMLFieldSetElement>(null);
  const [isNew] = useState(() => JSON.stringify(filter) === JSON.stringify(fresh(column)));
  useEffect(() => {
    if (isNew) box.current?.querySelector<HTMLElement>("input")?.focus(); // whoever added it wants to fill it in
  }, []);
  return (
    <fieldset ref={box} class="filter">
      <legend>{name}</legend>
      {"in" in filter ? <Pick column={column} filter={filter} set={set} />
        : "contains" in filter ? <input type="text" aria-label={`${name} contains`} placeholder="contains…" value={filter.contains} onInput={(event) => set({ ...filter, contains: event.currentTarget.value })} />
        : <Range column={column} filter={filter} set={set} />}
      <button type="button" class="close" aria-label={`Remove the filter on ${name}`} onClick={() => set(null)}>×</button>
    </fieldset>
  );
}

function Pick({ column, filter, set }: { column: Column; filter: Filter & { in: string[] }; set(filter: Filter): void }) {
  const values = column.kind === "boolean" ? (column.values ?? ["true", "false"]) : (column.values ?? []);
  const toggle = (value: string, on: boolean) => set({ ...filter, in: on ? [...filter.in, value] : filter.in.filter((one) => one !== value) });
  return (
    <div class="values">
      {values.map((value) => (
        <label key={value}>
          <input type="checkbox" checked={filter.in.includes(value)} onChange={(event) => toggle(value, event.currentTarget.checked)} />
          <span>{shorten(value, 40) || "(empty)"}</span>
        </label>
      ))}
    </div>
  );
}

type Span = { column: string; min?: number; max?: number };

function Range({ column, filter, set }: { column: Column; filter: Span; set(filter: Filter): void }) {
  const change = (end: "min" | "max", text: string) => {
    const next: Span = { ...filter };
    if (text === "" || Number.isNaN(Number(text))) delete next[end];
    else next[end] = Number(text);
    set(next);
  };
  const field = (end: "min" | "max", word: string) => (
    <label class="end">
      {word}
      <input type="number" step="any" value={filter[end] ?? ""} placeholder={figure(column[end])} onInput={(event) => change(end, event.currentTarget.value)} />
    </label>
  );
  return <div class="range">{field("min", "from")}{field("max", "to")}</div>;
}
