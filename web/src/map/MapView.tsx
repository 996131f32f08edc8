/** The hero of the page: the map with its tools and its legend; two maps when runs are compared. */

import { useRef } from "preact/hooks";
import { plain, states } from "../colour";
import * as items from "../items";
import { hoveredHere, other, otherMap, otherNeighbours, paired, rowsThere, toHere, toOther, selectFromOther } from "../pair";
import {
  colourable, colourBy, colourTrouble, lasso, mask, only, pointStates, positions, run, select, selection, shown, theme,
} from "../state";
import { useOther } from "../panels/otherItems";
import { Empty, Waiting } from "../parts/Loaded";
import { columnName, count, nouns } from "../words";
import { Canvas } from "./Canvas";
import { Legend } from "./Legend";
import type { Plot } from "./plot";
import { current, plots } from "./plots";

export function MapView() {
  const now = run.value!;
  const two = paired.value;
  return (
    <section class="map" aria-label="Map">
      <Tools />
      <div class={`stages ${two ? "two" : ""}`}>
        <Own key={now.id} />
        {two && <Other key={other.value!.id} />}
        {now.map === "making" && <p class="making" role="status"><i class="spinner" aria-hidden="true" />The map is still being made. This is a first sketch.</p>}
      </div>
      <Legend />
      <p id="map-keys" class="sr">Arrow keys move the map, plus and minus zoom, zero shows everything, n and p go through what was found.</p>
    </section>
  );
}

function Tools() {
  const choices = [...colourable.value.map((column) => column.name), ...(paired.value || colourBy.value === "overlap" ? ["overlap"] : [])];
  return (
    <div class="tools">
      <label>
        <span>Colour by</span>
        <select value={colourBy.value} onChange={(event) => ((colourBy.value = event.currentTarget.value), (only.value = new Set()))}>
          {choices.map((name) => <option key={name} value={name}>{columnName(name)}</option>)}
        </select>
      </label>
      {colourTrouble.value && <span class="bad" role="alert">{colourTrouble.value}</span>}
      <span class="grow" />
      {selection.value.length > 0 && (
        <button type="button" onClick={() => select([])}>Clear selection</button>
      )}
      <button type="button" aria-pressed={lasso.value} onClick={() => (lasso.value = !lasso.value)} title="Draw around points (or hold Shift and drag)">
        <Icon path="M8 2.5c3.3 0 5.5 1.7 5.5 4S11.3 10.5 8 10.5 2.500 8.800 2.500 6.500 4.700 2.500 8 2.500zM5 10c-1 1 .5 2-.5 3.500" /> Lasso
      </button>
      <span class="joined">
        <button type="button" aria-label="Zoom out" onClick={() => plots().forEach((plot) => plot.zoom(1 / 1.5))}>−</button>
        <button type="button" aria-label="Zoom in" onClick={() => plots().forEach((plot) => plot.zoom(1.5))}>+</button>
        <button type="button" onClick={() => plots().forEach((plot) => plot.home())}>Reset</button>
      </span>
    </div>
  );
}

const Icon = ({ path }: { path: string }) => (
  <svg viewBox="0 0 16 16" width="15" height="15" aria-hidden="true" fill="none" stroke="currentColor" stroke-width="1.5" stroke-linecap="round"><path d={path} /></svg>
);

function Own() {
  const now = run.value!;
  if (!positions.value) return <div class="stage"><Waiting>Fetching the map…</Waiting></div>;
  if (!now.count) return <div class="stage"><Empty>This run has no items.</Empty></div>;
  return (
    <figure>
      {paired.value && <figcaption>{now.name}</figcaption>}
      <Canvas
        label={`Map of ${count(now.count)} ${nouns(now.kind)} of ${now.name}, coloured by ${columnName(colourBy.value)}`}
        positions={positions.value}
        colouring={shown.value}
        states={pointStates.value}
        selected={selection.value}
        hovered={hoveredHere.value}
        theme={theme.value}
        lasso={lasso.value}
        remember={`unlabeled.view.${now.id}`}
        find={items.item}
        onHover={(row) => (hoveredHere.value = row)}
        onSelect={choose}
        handle={(plot: Plot | null) => (current.own = plot)}
      />
    </figure>
  );
}

/** What is filtered out can't be lassoed; one point that was clicked can. */
function choose(rows: number[]): void {
  const left = mask.value;
  const chosen = only.value;
  const index = shown.value.index;
  lasso.value = false;
  select(rows.length > 1 ? rows.filter((row) => (!left || left[row]) && (!chosen.size || chosen.has(index[row]!))) : rows);
}

/** The second run's map: its points have the colours of the same items in the first. */
function Other() {
  const second = other.value!;
  const find = useOther(second.id);
  const cache = useRef<{ on: unknown[]; made: ReturnType<typeof coloursOfOther> } | null>(null);
  const positionsThere = otherMap.value;
  if (!positionsThere) return <div class="stage"><Waiting>Fetching the second map…</Waiting></div>;
  const on = [shown.value, positionsThere, selection.value, otherNeighbours.value, rowsThere.value];
  if (!cache.current || on.some((one, i) => one !== cache.current!.on[i])) cache.current = { on, made: coloursOfOther(second.count) };
  const hovered = hoveredHere.value === null ? null : (toOther([hoveredHere.value])[0] ?? null);
  return (
    <figure>
      <figcaption>{second.name}</figcaption>
      <Canvas
        label={`Map of ${count(second.count)} ${nouns(second.kind)} of ${second.name}, for comparison`}
        positions={positionsThere}
        {...cache.current.made}
        hovered={hovered}
        theme={theme.value}
        lasso={lasso.value}
        remember={`unlabeled.view.${second.id}`}
        find={find}
        onHover={(row) => (hoveredHere.value = row === null ? null : (toHere([row])[0] ?? null))}
        onSelect={(rows) => ((lasso.value = false), selectFromOther(rows))}
        handle={(plot: Plot | null) => (current.other = plot)}
      />
    </figure>
  );
}

function coloursOfOther(n: number) {
  const ours = shown.value;
  const base = plain(n, theme.value);
  const index = new Uint16Array(n).fill(ours.palette.length);
  rowsThere.value?.forEach((row, i) => row >= 0 && (index[row] = ours.index[i]!));
  const colouring = { ...base, index, palette: [...ours.palette, base.palette[0]!] };
  return {
    colouring,
    states: states(n, null, new Set(), index, otherNeighbours.value.map((hit) => hit.row)),
    selected: toOther(selection.value),
  };
}
