/** The groups that the run was sorted into: rename, merge, group anew; for texts also topics. */

import { useState } from "preact/hooks";
import * as api from "../api";
import { remember } from "../items";
import { refreshRun } from "../load";
import { Loaded, Waiting } from "../parts/Loaded";
import { colourBy, complain, only, run, say, shown } from "../state";
import type { Cluster, Clusters } from "../types";
import { count, nouns } from "../words";
import { Group } from "./Group";
import { Topics } from "./Topics";

export function GroupsPanel() {
  const now = run.value!;
  const [topics, setTopics] = useState(false);
  return (
    <>
      {now.texts && (
        <div class="segments" role="group" aria-label="Kind of groups">
          <button type="button" aria-pressed={!topics} onClick={() => setTopics(false)}>Groups</button>
          <button type="button" aria-pressed={topics} onClick={() => setTopics(true)}>Topics</button>
        </div>
      )}
      {topics && now.texts ? <Topics /> : (
        <Loaded from={() => api.clusters(now.id)} on={[now.id]} waiting="Fetching the groups…">
          {(found, put) => <Groups found={found} put={put} />}
        </Loaded>
      )}
    </>
  );
}

function Groups({ found, put }: { found: Clusters; put(found: Clusters): void }) {
  const now = run.value!;
  const [ticked, setTicked] = useState<ReadonlySet<number>>(new Set());
  const [working, setWorking] = useState<string | null>(null);
  found.clusters.forEach((cluster) => remember(cluster.examples));

  /** Whatever changes the groups changes their columns too, so the map's colours are fetched again. */
  const change = async (what: string, from: Promise<Clusters>, done: string) => {
    setWorking(what);
    try {
      put(await from);
      only.value = new Set();
      await refreshRun(["cluster", "cluster_name"]);
      setTicked(new Set());
      say(done);
    } catch (error) {
      complain(error);
    } finally {
      setWorking(null);
    }
  };
  const tick = (cluster: number, on: boolean) => {
    const next = new Set(ticked);
    if (on) next.add(cluster);
    else next.delete(cluster);
    setTicked(next);
  };
  const isolate = (cluster: Cluster) => {
    colourBy.value = "cluster_name";
    const entry = shown.value.legend.find((one) => one.name === cluster.name);
    if (entry) only.value = only.value.has(entry.index) && only.value.size === 1 ? new Set() : new Set([entry.index]);
  };

  return (
    <>
      <h2>{count(found.clusters.length)} groups of {nouns(now.kind)}</h2>
      {found.how && <p class="note">{found.how}</p>}
      <Regroup edited={found.edited} busy={working !== null} regroup={(k) => void change("Grouping anew…", api.regroup(now.id, k), "Grouped anew.")} />
      {working ? <Waiting>{working}</Waiting> : (
        <div class={`bar ${ticked.size > 1 ? "" : "quiet"}`}>
          <span class="note">{ticked.size > 1 ? `${ticked.size} groups ticked` : "Tick two groups or more to merge them."}</span>
          {ticked.size > 1 && (
            <button type="button" class="main" onClick={() => void change("Merging…", api.mergeClusters(now.id, [...ticked], null), "Merged.")}>Merge {ticked.size} groups</button>
          )}
        </div>
      )}
      <div class="cards">
        {found.clusters.map((cluster) => (
          <Group
            key={cluster.cluster}
            cluster={cluster}
            ticked={ticked.has(cluster.cluster)}
            tick={(on) => tick(cluster.cluster, on)}
            rename={(name) => void change("Renaming…", api.renameCluster(now.id, cluster.cluster, name), `Renamed to “${name}”.`)}
            isolate={() => isolate(cluster)}
            share={cluster.size / now.count}
          />
        ))}
      </div>
    </>
  );
}

function Regroup({ edited, busy, regroup }: { edited: boolean; busy: boolean; regroup(k: number | "auto"): void }) {
  const [k, setK] = useState("");
  return (
    <form
      class="row"
      aria-label="Group anew"
      onSubmit={(event) => {
        event.preventDefault();
        if (edited && !confirm("Grouping anew drops the names and merges that you made. Go on?")) return;
        regroup(k ? Number(k) : "auto");
      }}
    >
      <label class="end">
        Number of groups
        <input type="number" min="2" max="500" step="1" placeholder="best" value={k} onInput={(event) => setK(event.currentTarget.value)} />
      </label>
      <button type="submit" disabled={busy}>Group anew</button>
    </form>
  );
}
