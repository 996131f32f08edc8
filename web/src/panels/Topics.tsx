/** Topics of a run of texts. Finding them can take long, so it is asked for. */

import { useState } from "preact/hooks";
import * as api from "../api";
import { Loaded } from "../parts/Loaded";
import { run } from "../state";
import { many, score, shorten } from "../words";

export function Topics() {
  const now = run.value!;
  const [asked, setAsked] = useState<number | "auto" | null>(null);
  const [k, setK] = useState("");
  return (
    <>
      <p class="note">Topics are groups of texts, each told by the words that set it apart.</p>
      <form class="row" aria-label="Topics" onSubmit={(event) => (event.preventDefault(), setAsked(k ? Number(k) : "auto"))}>
        <label class="end">
          Number of topics
          <input type="number" min="2" max="200" step="1" placeholder="best" value={k} onInput={(event) => setK(event.currentTarget.value)} />
        </label>
        <button type="submit" class="main">Find topics</button>
      </form>
      {asked !== null && (
        <Loaded from={() => api.topics(now.id, asked)} on={[now.id, asked]} waiting="Finding topics. With many texts this takes a minute.">
          {(found) => (
            <>
              <p class="note">
                {found.how}
                {found.coherence && ` Words of a topic belong together: ${score(found.coherence.mean)}; in random groups ${score(found.coherence.random)}.`}
              </p>
              <div class="cards">
                {found.topics.map((topic) => (
                  <article class="card" key={topic.topic}>
                    <h3>{topic.name}</h3>
                    <p class="note">{many(topic.size, "text")}</p>
                    <p class="terms">{topic.words.slice(0, 10).map((word) => <span key={word}>{word}</span>)}</p>
                    {topic.examples.slice(0, 2).map((one) => <p class="quote" key={one.id}>{shorten(one.text ?? one.id, 140)}</p>)}
                  </article>
                ))}
              </div>
            </>
          )}
        </Loaded>
      )}
    </>
  );
}
