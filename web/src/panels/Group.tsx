/** One group as a card: tick, name that can be changed in place, size, examples. */

import { useState } from "preact/hooks";
import { categoryColour } from "../colour";
import { List } from "../parts/List";
import { run, shown, theme } from "../state";
import type { Cluster } from "../types";
import { many, noun, nouns, percent } from "../words";

interface Props {
  cluster: Cluster;
  ticked: boolean;
  share: number;
  tick(on: boolean): void;
  rename(name: string): void;
  isolate(): void;
}

export function Group({ cluster, ticked, share, tick, rename, isolate }: Props) {
  const kind = run.value!.kind;
  const [editing, setEditing] = useState(false);
  const done = (name: string) => {
    setEditing(false);
    if (name.trim() && name.trim() !== cluster.name) rename(name.trim());
  };
  const colour = shown.value.legend.find((entry) => entry.name === cluster.name)?.colour ?? categoryColour(cluster.cluster, theme.value);
  return (
    <article class="card">
      <div class="head">
        <input type="checkbox" checked={ticked} aria-label={`Tick ${cluster.name}`} onChange={(event) => tick(event.currentTarget.checked)} />
        <i class="dot" style={{ background: colour }} aria-hidden="true" />
        {editing ? (
          <input
            class="rename"
            type="text"
            aria-label="New name"
            defaultValue={cluster.name}
            maxLength={200}
            ref={(input) => input?.focus()}
            onBlur={(event) => done(event.currentTarget.value)}
            onKeyDown={(event) => {
              if (event.key === "Enter") event.currentTarget.blur();
              if (event.key === "Escape") setEditing(false);
            }}
          />
        ) : (
          <h3><button type="button" class="plain" title="Show it alone on the map" onClick={isolate}>{cluster.name}</button></h3>
        )}
        {!editing && <button type="button" class="link" onClick={() => setEditing(true)} aria-label={`Rename ${cluster.name}`}>Rename</button>}
      </div>
      <p class="note">{many(cluster.size, noun(kind), nouns(kind))}, {percent(share)} of all</p>
      <List items={cluster.examples.slice(0, 6)} name={`Examples of ${cluster.name}`} small />
    </article>
  );
}
