/** Search by words, by a file, by the selected item; filters; results. */

import { useEffect, useRef, useState } from "preact/hooks";
import { whole } from "../items";
import { Filters } from "./Filters";
import { Empty, Waiting } from "../parts/Loaded";
import { List } from "../parts/List";
import { again, asked, search, searching, wanted } from "../search";
import { current, results, run, select, step } from "../state";
import { count, many, noun, nouns, score } from "../words";

const MORE = 24;

export function SearchPanel() {
  const now = run.value!;
  return (
    <>
      <Form />
      <Filters />
      {searching.value ? <Waiting>Searching {count(now.count)} {nouns(now.kind)}…</Waiting> : results.value ? <Results /> : <Ways />}
    </>
  );
}

function Form() {
  const now = run.value!;
  const query = asked.value;
  const words = query && "words" in query ? query.words : "";
  const [text, setText] = useState(words);
  useEffect(() => setText(words), [words]); // a search that a reload has restored
  const file = useRef<HTMLInputElement>(null);
  const by = now.search.words ? "words" : "name";
  const row = current.value;
  const looked = row === null ? undefined : whole(row);
  const pick = (list: FileList | null) => list?.[0] && void search({ file: list[0] });
  return (
    <form
      class="search"
      role="search"
      onSubmit={(event) => {
        event.preventDefault();
        if (text.trim()) void search({ words: text.trim() });
      }}
    >
      {(now.search.words || now.search.names) && (
        <div class="field">
          <input id="words" type="search" aria-label={`Search by ${by}`} placeholder={`Search ${nouns(now.kind)} by ${by}`} value={text} autocomplete="off" onInput={(event) => setText(event.currentTarget.value)} />
          <button type="submit" class="main">Search</button>
        </div>
      )}
      <div class="ways">
        {now.search.file && (
          <>
            <input ref={file} class="sr" type="file" tabIndex={-1} aria-label="File to search with" onChange={(event) => (pick(event.currentTarget.files), (event.currentTarget.value = ""))} />
            <button type="button" onClick={() => file.current!.click()}>{now.kind === "image" ? "Search with a picture" : "Search with a file"}</button>
          </>
        )}
        {now.search.item && (
          <button type="button" disabled={!looked} onClick={() => looked && void search({ like: looked })}>
            More like the selected
          </button>
        )}
      </div>
    </form>
  );
}

/** Before the first search: what can be done, and what can't and why. */
function Ways() {
  const now = run.value!;
  return (
    <Empty>
      {!now.model && "This run was imported without a model, so what is new to it can't be compared with it. "}
      {now.search.words ? "Type what you look for. " : now.search.names ? `Type a part of a name: ${nouns(now.kind)} can't be searched by what is in them. ` : ""}
      {now.search.file && `Drop ${now.kind === "image" ? "a picture" : "a file"} anywhere on this page to find the ${nouns(now.kind)} like it. `}
      {now.search.item && `Or click a point on the map to see its nearest ${nouns(now.kind)}.`}
    </Empty>
  );
}

function Results() {
  const now = run.value!;
  const { hits, title, milliseconds } = results.value!;
  if (!hits.length)
    return <Empty>Nothing found for {title}. Take a filter away, or try other words.</Empty>;
  const more = hits.length >= wanted.value && hits.length < now.count;
  return (
    <section aria-label="Results">
      <div class="head">
        <h2>{title}</h2>
        <button type="button" class="link" onClick={() => void search(null)}>Clear</button>
      </div>
      <p class="note" role="status">
        {many(hits.length, noun(now.kind), nouns(now.kind))}, nearest first{milliseconds !== null && `, in ${count(Math.max(1, milliseconds))} ms`}.
      </p>
      <div class="row">
        <button type="button" onClick={() => select(hits.map((hit) => hit.row))}>Select all {count(hits.length)}</button>
        <button type="button" onClick={() => step(-1)} aria-label="Previous result">‹</button>
        <button type="button" onClick={() => step(1)} aria-label="Next result">›</button>
      </div>
      <List items={hits} name="Results" note={(hit) => <b>{score(hit.score)}</b>} />
      {more && (
        <button
          type="button"
          class="wide"
          onClick={() => {
            wanted.value = Math.min(1000, wanted.value + MORE * 2);
            void again();
          }}
        >
          More results
        </button>
      )}
    </section>
  );
}
