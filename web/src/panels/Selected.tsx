/** The dock under the panels: what is selected, its labels, its neighbours. It is there on every tab. */

import { item, whole } from "../items";
import { classes, giveSelected, labels } from "../labels";
import { Face } from "../parts/Face";
import { List } from "../parts/List";
import { neighbours, run, select, selection, tab } from "../state";
import type { Item, Value } from "../types";
import { columnName, count, figure, many, noun, nouns, score, shorten } from "../words";
import { useState } from "preact/hooks";

export function Selected() {
  const rows = selection.value;
  if (!rows.length || !run.value) return null;
  return (
    <section class="dock" aria-label="Selected">
      {rows.length === 1 ? <Single row={rows[0]!} /> : <Several rows={rows} />}
    </section>
  );
}

function Single({ row }: { row: number }) {
  const found = whole(row);
  return (
    <>
      <div class="head">
        <h2>{found ? shorten(found.id, 60) : "…"}</h2>
        <button type="button" class="close" aria-label="Select nothing" onClick={() => select([])}>×</button>
      </div>
      {found && (
        <div class="one">
          {(found.text || found.thumbnail) && <Face item={found} size="large" named={false} />}
          <Facts item={found} />
        </div>
      )}
      <Labelling />
      {neighbours.value.length > 0 && tab.value !== "compare" && (
        <>
          <h3>Nearest {nouns(run.value!.kind)}</h3>
          <List items={neighbours.value} name="Nearest" small note={(hit) => score(hit.score)} />
        </>
      )}
    </>
  );
}

const HIDDEN = ["x", "y", "cluster", "text", "density", "label"]; // of no use as a number, or shown otherwise

function Facts({ item }: { item: Item }) {
  const facts = Object.entries(item.columns ?? {}).filter(([name, value]) => !HIDDEN.includes(name) && value !== null && value !== "" && value !== item.text);
  if (!facts.length) return null;
  return (
    <dl class="details">
      {facts.slice(0, 8).map(([name, value]) => (
        <div key={name}><dt>{columnName(name)}</dt><dd>{told(value)}</dd></div>
      ))}
    </dl>
  );
}

const told = (value: Value) => (typeof value === "number" ? figure(value) : typeof value === "boolean" ? (value ? "yes" : "no") : shorten(String(value), 60));

function Several({ rows }: { rows: number[] }) {
  const kind = run.value!.kind;
  const some = rows.slice(0, 12).map(item).filter((one) => one !== undefined);
  return (
    <>
      <div class="head">
        <h2>{many(rows.length, noun(kind), nouns(kind))} selected</h2>
        <button type="button" class="close" aria-label="Select nothing" onClick={() => select([])}>×</button>
      </div>
      <Labelling />
      <ul class="sample" aria-label="Some of them">
        {some.map((one) => <li key={one.row}><Face item={one} size="small" named={!one.thumbnail} /></li>)}
        {rows.length > some.length && <li class="note">and {count(rows.length - some.length)} more</li>}
      </ul>
    </>
  );
}

function Labelling() {
  const [name, setName] = useState("");
  const given = new Set(selection.value.map((row) => labels.value.get(row)).filter((one) => one !== undefined));
  return (
    <form
      class="labelling"
      aria-label="Label the selection"
      onSubmit={(event) => {
        event.preventDefault();
        giveSelected(name);
        setName("");
      }}
    >
      {classes.value.slice(0, 20).map((one, i) => (
        <button key={one.name} type="button" class="chip" aria-pressed={given.size === 1 && given.has(one.name)} onClick={() => giveSelected(one.name)}>
          {i < 9 && <kbd>{i + 1}</kbd>}{shorten(one.name, 24)}
        </button>
      ))}
      <input type="text" aria-label="Name of a class" placeholder={classes.value.length ? "New class" : "Name a class, e.g. cat"} value={name} maxLength={100} onInput={(event) => setName(event.currentTarget.value)} />
      <button type="submit" class="main" disabled={!name.trim()}>Label</button>
      {given.size > 0 && <button type="button" class="link" onClick={() => giveSelected(null)}>Take the label away</button>}
    </form>
  );
}
