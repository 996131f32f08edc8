/** Two runs side by side: how far they agree about who is near whom, overall and for the selected item. */

import { remember } from "../items";
import { List } from "../parts/List";
import { Empty, Trouble, Waiting } from "../parts/Loaded";
import { comparison, K, other, otherId, otherNeighbours, overlap, pairTrouble, rowsThere, toHere, toOther } from "../pair";
import { colourBy, current, neighbours, run, runs } from "../state";
import { count, figure, many, noun, nouns, percent, score } from "../words";

export function ComparePanel() {
  const now = run.value!;
  const rest = runs.value.filter((one) => one.id !== now.id);
  if (!rest.length)
    return <Empty>Only one run is open. To compare, start the server with two: <code>unlabeled open RUN_A RUN_B</code></Empty>;
  return (
    <>
      <label class="stacked">
        <span>Compare <b>{now.name}</b> with</span>
        <select value={otherId.value ?? ""} onChange={(event) => (otherId.value = event.currentTarget.value || null)}>
          <option value="">Choose a run</option>
          {rest.map((one) => <option key={one.id} value={one.id}>{one.name} ({many(one.count, noun(one.kind), nouns(one.kind))})</option>)}
        </select>
      </label>
      {!other.value && <Empty>Choose the second run. Items are matched by their names.</Empty>}
      {other.value && pairTrouble.value && (nothingShared() ? <Apart /> : <Trouble text={pairTrouble.value} />)}
      {other.value && !pairTrouble.value && (comparison.value ? <Numbers /> : <Waiting>Comparing neighbours in both runs…</Waiting>)}
      {other.value && !nothingShared() && <Neighbours />}
    </>
  );
}

/** The server refuses to measure runs without common items; the rows it matched say so in a way that needs no error. */
const nothingShared = () => rowsThere.value?.every((row) => row < 0) ?? false;
const Apart = () => <Empty>The two runs have no item in common, so there is nothing to compare. Items are matched by their names.</Empty>;

function Numbers() {
  const found = comparison.value!;
  const now = run.value!;
  return (
    <>
      <p class="verdict">
        Of each {noun(now.kind)}'s {count(found.k)} nearest, {percent(found.neighbours_shared)} are the same in both runs.
      </p>
      <p class="note">By chance it would be {percent(found.by_chance)}. Measured on {many(found.measured_on, noun(now.kind), nouns(now.kind))}.</p>
      <table class="figures">
        <tbody>
          <tr><th scope="row">In both runs</th><td class="number">{count(found.shared)}</td></tr>
          <tr><th scope="row">Only in {now.name}</th><td class="number">{count(found.only_a)}</td></tr>
          <tr><th scope="row">Only in {other.value!.name}</th><td class="number">{count(found.only_b)}</td></tr>
          {found.cka !== null && <tr><th scope="row">Likeness of the two as a whole, 0 to 1 (CKA)</th><td class="number">{figure(found.cka)}</td></tr>}
        </tbody>
      </table>
      <button type="button" aria-pressed={colourBy.value === "overlap"} disabled={!overlap.value} onClick={() => (colourBy.value = colourBy.value === "overlap" ? "cluster_name" : "overlap")}>
        Colour by shared neighbours
      </button>
    </>
  );
}

function Neighbours() {
  const now = run.value!;
  const row = current.value;
  if (row === null) return <p class="state">Select a point to see its neighbours in both runs.</p>;
  if (rowsThere.value && !toOther([row]).length) return <Empty>The selected one isn't in {other.value!.name}.</Empty>;
  const ours = neighbours.value.slice(0, K);
  const theirs = otherNeighbours.value.flatMap((hit) => toHere([hit.row]).map((at) => ({ ...hit, row: at }))); // as rows of the open run
  remember(theirs.map(({ row: at, id, text, thumbnail }) => ({ row: at, id, text, thumbnail })));
  const both = new Set(ours.map((hit) => hit.row).filter((at) => theirs.some((hit) => hit.row === at)));
  const column = (name: string, hits: typeof ours) => (
    <div>
      <h3>{name}</h3>
      <List items={hits} name={`Nearest in ${name}`} small marked={(hit) => both.has(hit.row)} note={(hit) => <>{score(hit.score)}{both.has(hit.row) && <span class="best">both</span>}</>} />
    </div>
  );
  return (
    <section aria-label="Neighbours in both runs">
      <h2>Its neighbours in both</h2>
      <p class="note" role="status">{count(both.size)} of {count(ours.length)} neighbours are in both.</p>
      <div class="sides">{column(now.name, ours)}{column(other.value!.name, theirs)}</div>
    </section>
  );
}
