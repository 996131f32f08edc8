/** Is it any good, and what is odd in it: the report without labels, near-duplicates, outliers. */

import { useState } from "preact/hooks";
import * as api from "../api";
import { remember } from "../items";
import { List } from "../parts/List";
import { Empty, Loaded } from "../parts/Loaded";
import { run, select } from "../state";
import { count, many, noun, nouns, percent, score } from "../words";
import { Report } from "./Report";

const PARTS = { report: "Report", duplicates: "Near-duplicates", outliers: "Odd ones" } as const;

export function QualityPanel() {
  const [part, setPart] = useState<keyof typeof PARTS>("report");
  return (
    <>
      <div class="segments" role="group" aria-label="Part">
        {(Object.keys(PARTS) as (keyof typeof PARTS)[]).map((key) => (
          <button key={key} type="button" aria-pressed={part === key} onClick={() => setPart(key)}>{PARTS[key]}</button>
        ))}
      </div>
      {part === "report" ? <Report /> : part === "duplicates" ? <Duplicates /> : <Outliers />}
    </>
  );
}

function Duplicates() {
  const now = run.value!;
  const [threshold, setThreshold] = useState("");
  return (
    <>
      <form class="row" aria-label="Near-duplicates" onSubmit={(event) => (event.preventDefault(), setThreshold(String(new FormData(event.currentTarget).get("threshold") ?? "")))}>
        <label class="end">
          At least this alike (0 to 1)
          <input name="threshold" type="number" min="0" max="1" step="0.001" placeholder="suits the data" />
        </label>
        <button type="submit">Look again</button>
      </form>
      <Loaded from={() => api.duplicates(now.id, threshold)} on={[now.id, threshold]} waiting={`Comparing ${count(now.count)} ${nouns(now.kind)}…`}>
        {(found) =>
          found.groups.length ? (
            <>
              <p class="outcome">{many(found.found, "group")} of near-duplicates. Without the copies, {many(found.extra, noun(now.kind), nouns(now.kind))} could go ({percent(found.extra / found.items)}).</p>
              {found.groups.length < found.found && <p class="note">The first {count(found.groups.length)} are shown.</p>}
              <div class="cards">
                {found.groups.map((group, i) => {
                  remember(group.items);
                  return (
                    <article class="card" key={i}>
                      <div class="head">
                        <p class="note">{count(group.size)} alike, by {score(group.similarity)}</p>
                        <button type="button" class="link" onClick={() => select(group.items.map((item) => item.row))}>Select</button>
                      </div>
                      <List items={group.items} name={`Group ${i + 1}`} small />
                    </article>
                  );
                })}
              </div>
            </>
          ) : (
            <Empty>No near-duplicates: no two {nouns(now.kind)} are that alike. A lower number finds looser ones.</Empty>
          )
        }
      </Loaded>
    </>
  );
}

function Outliers() {
  const now = run.value!;
  return (
    <Loaded from={() => api.outliers(now.id)} on={[now.id]} waiting={`Looking for ${nouns(now.kind)} unlike all others…`}>
      {(found) => {
        remember(found.items);
        if (!found.items.length) return <Empty>Nothing stands out.</Empty>;
        return (
          <>
            <p class="note">The {nouns(now.kind)} that are least like their neighbours, oddest first. 1 is as far from its neighbours as they are from theirs.</p>
            <button type="button" onClick={() => select(found.items.map((item) => item.row))}>Select all {count(found.items.length)}</button>
            <List items={found.items} name="Odd ones" note={(item) => score(item.score)} />
          </>
        );
      }}
    </Loaded>
  );
}
