/** Label as you go: classes and counts, predictions, what to label next, doubtful labels, files to take away. */

import { useState } from "preact/hooks";
import * as api from "../api";
import { classes, labels, pending, renameClass, undo } from "../labels";
import { List } from "../parts/List";
import { Empty, Loaded } from "../parts/Loaded";
import { prediction, run } from "../state";
import { count, many, nouns } from "../words";
import { Predict } from "./Predict";

export function LabelPanel() {
  const now = run.value!;
  const total = labels.value.size;
  return (
    <>
      <div class="head">
        <h2>{total ? `${count(total)} of ${count(now.count)} labelled` : "Label as you go"}</h2>
        <button type="button" onClick={() => void undo()} title="Ctrl+Z">Undo</button>
      </div>
      {total === 0 && (
        <Empty>
          Pick {nouns(now.kind)}: click a point, draw a lasso around several, or take search results. Then name a class below.
          With two classes, the rest is predicted as you go.
        </Empty>
      )}
      {classes.value.length > 0 && <Classes />}
      <Predict />
      {total > 0 && <Suspects />}
      {total > 0 && <TakeAway />}
    </>
  );
}

function Classes() {
  const [editing, setEditing] = useState<string | null>(null);
  const most = Math.max(...classes.value.map((one) => one.count));
  return (
    <ul class="classes" aria-label="Classes">
      {classes.value.map((one, i) => (
        <li key={one.name}>
          {i < 9 ? <kbd>{i + 1}</kbd> : <span />}
          {editing === one.name ? (
            <input
              type="text"
              aria-label={`New name of ${one.name}`}
              defaultValue={one.name}
              ref={(input) => input?.focus()}
              onBlur={(event) => (setEditing(null), void renameClass(one.name, event.currentTarget.value))}
              onKeyDown={(event) => {
                if (event.key === "Enter") event.currentTarget.blur();
                if (event.key === "Escape") setEditing(null);
              }}
            />
          ) : (
            <button type="button" class="plain" title="Rename" aria-label={`${one.name}: rename`} onClick={() => setEditing(one.name)}>{one.name}</button>
          )}
          <span class="share"><i style={{ width: `${(100 * one.count) / most}%` }} /></span>
          <span class="number">{count(one.count)}</span>
          <button
            type="button"
            class="close"
            aria-label={`Remove the class ${one.name}`}
            onClick={() => confirm(`Take the label “${one.name}” from ${many(one.count, "item")}?`) && void renameClass(one.name, null)}
          >
            ×
          </button>
        </li>
      ))}
    </ul>
  );
}

function Suspects() {
  const now = run.value!;
  const [turn, setTurn] = useState(0);
  return (
    <section aria-label="Doubtful labels">
      <div class="head">
        <h3>Doubtful labels</h3>
        <button type="button" onClick={() => setTurn(turn + 1)}>Find them</button>
      </div>
      {turn > 0 && (
        <Loaded from={() => api.suspects(now.id, null)} on={[now.id, turn]} waiting="Checking your labels against each other…">
          {(found) => (
            <>
              <p class="note" role="status">
                {found.items.length ? `${count(found.suspects)} of ${many(found.labels, "label")} are probably wrong.` : `None of ${many(found.labels, "label")} looks wrong.`}
              </p>
              <List items={found.items} name="Doubtful labels" note={(one) => <>{one.label}, likely <b>{one.likely}</b></>} />
            </>
          )}
        </Loaded>
      )}
    </section>
  );
}

function TakeAway() {
  const now = run.value!;
  return (
    <section aria-label="Files">
      <h3>Take it with you</h3>
      <div class="row">
        <a class="button" href={api.link(now.id, "/labels.csv")} download>labels.csv</a>
        {prediction.value && <a class="button" href={api.link(now.id, "/predictions.csv")} download>predictions.csv</a>}
      </div>
    </section>
  );
}

/** Whether everything is on the server's disk; always in sight. */
export function Saved() {
  const { rows, away } = pending.value;
  if (away)
    return (
      <span class="saved bad" role="status">
        <b>Not saved:</b> {many(rows, "label")} {rows === 1 ? "waits" : "wait"} in this browser. The server doesn't answer; trying again.
      </span>
    );
  if (rows) return <span class="saved" role="status"><i class="spinner" aria-hidden="true" />Saving {many(rows, "label")}…</span>;
  const total = labels.value.size;
  return <span class="saved" role="status">{total > 0 && `${many(total, "label")} saved`}</span>;
}
