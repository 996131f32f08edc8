/** The page: head, map, panels. */

import { useEffect, useRef, useState } from "preact/hooks";
import { MapView } from "./map/MapView";
import { HELP } from "./map/keys";
import { open } from "./load";
import { ComparePanel } from "./panels/ComparePanel";
import { GroupsPanel } from "./panels/GroupsPanel";
import { LabelPanel, Saved } from "./panels/LabelPanel";
import { QualityPanel } from "./panels/QualityPanel";
import { SearchPanel } from "./panels/SearchPanel";
import { Selected } from "./panels/Selected";
import { Trouble, Waiting } from "./parts/Loaded";
import { search } from "./search";
import { complain, notice, run, runs, tab, TABS, type Tab, theme, trouble } from "./state";
import { toggle } from "./theme";
import { count, many, noun, nouns } from "./words";

const PANELS = { search: SearchPanel, groups: GroupsPanel, label: LabelPanel, quality: QualityPanel, compare: ComparePanel };

export function App() {
  const now = run.value;
  return (
    <>
      <a class="skip" href="#panel" onClick={(event) => (event.preventDefault(), document.getElementById("panel")?.focus())}>Skip the map</a>
      <Head />
      {trouble.value ? <main class="whole"><Trouble text={trouble.value} again={() => location.reload()} /></main>
        : !now ? <main class="whole"><Waiting>Opening…</Waiting></main>
        : (
          <main>
            <h1 class="sr">{now.name}: {many(now.count, noun(now.kind), nouns(now.kind))}</h1>
            <MapView />
            <Side key={now.id} />
          </main>
        )}
      {notice.value && <p class={`notice ${notice.value.bad ? "bad" : ""}`} role={notice.value.bad ? "alert" : "status"}>{notice.value.text}</p>}
      <DropZone />
    </>
  );
}

function Head() {
  const now = run.value;
  const help = useRef<HTMLDialogElement>(null);
  const choose = (id: string) => {
    const next = runs.value.find((one) => one.id === id);
    if (next) open(next).catch(complain);
  };
  return (
    <header>
      <p class="brand">unlabeled</p>
      {now && runs.value.length > 1 ? (
        <select aria-label="Run" value={now.id} onChange={(event) => choose(event.currentTarget.value)}>
          {runs.value.map((one) => <option key={one.id} value={one.id}>{one.name}</option>)}
        </select>
      ) : now && <b class="run">{now.name}</b>}
      {now && <p class="about">{many(now.count, noun(now.kind), nouns(now.kind))}{now.method && ` · ${now.method}`} · {count(now.dim)} numbers each</p>}
      <span class="grow" />
      {now && <Saved />}
      <button type="button" class="icon" onClick={() => help.current?.showModal()} aria-label="Keys">?</button>
      <button type="button" class="icon" onClick={toggle} aria-label={theme.value === "dark" ? "Switch to light" : "Switch to dark"}>{theme.value === "dark" ? "☀" : "☾"}</button>
      <dialog ref={help} aria-labelledby="keys-title" onClick={(event) => event.target === help.current && help.current?.close()}>
        <div class="head"><h2 id="keys-title">Keys</h2><button type="button" class="close" aria-label="Close" onClick={() => help.current?.close()}>×</button></div>
        <dl class="keys">{HELP.map(([key, does]) => <div key={key}><dt>{key}</dt><dd>{does}</dd></div>)}</dl>
      </dialog>
    </header>
  );
}

function Side() {
  const Panel = PANELS[tab.value];
  const names = Object.keys(TABS) as Tab[];
  const move = (event: KeyboardEvent) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    tab.value = names[(names.indexOf(tab.value) + by + names.length) % names.length]!;
    document.getElementById(`tab-${tab.value}`)?.focus();
  };
  return (
    <aside aria-label="Panels">
      <div class="tabs" role="tablist" aria-label="Panels" onKeyDown={move}>
        {names.map((name) => (
          <button key={name} id={`tab-${name}`} type="button" role="tab" aria-selected={tab.value === name} aria-controls="panel" tabIndex={tab.value === name ? 0 : -1} onClick={() => (tab.value = name)}>
            {TABS[name]}
          </button>
        ))}
      </div>
      <div id="panel" class="panel" role="tabpanel" aria-labelledby={`tab-${tab.value}`} tabIndex={0}><Panel key={tab.value} /></div>
      <Selected />
    </aside>
  );
}

/** A file dropped anywhere on the page is searched with. */
function DropZone() {
  const [over, setOver] = useState(false);
  useEffect(() => {
    const able = (event: DragEvent) => event.dataTransfer?.types.includes("Files") && run.value?.search.file;
    const drag = (event: DragEvent) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault(); // also where it can't be searched with: the browser would leave the page for the file
      setOver(Boolean(able(event)));
    };
    const leave = (event: DragEvent) => event.relatedTarget === null && setOver(false);
    const drop = (event: DragEvent) => {
      event.preventDefault();
      setOver(false);
      const file = event.dataTransfer?.files[0];
      if (!file || !able(event)) return;
      tab.value = "search";
      void search({ file });
    };
    addEventListener("dragover", drag);
    addEventListener("dragleave", leave);
    addEventListener("drop", drop);
    return () => {
      removeEventListener("dragover", drag);
      removeEventListener("dragleave", leave);
      removeEventListener("drop", drop);
    };
  }, []);
  return over ? <div class="drop" aria-hidden="true"><p>Drop it to find what is like it</p></div> : null;
}
