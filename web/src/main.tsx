/** Starts the page: what the address says is opened, and what is opened goes into the address. */

import { effect } from "@preact/signals";
import { render } from "preact";
import "./style/base.css";
import "./style/layout.css";
import "./style/parts.css";
import { App } from "./App";
import * as api from "./api";
import { read, write } from "./hash";
import { globalKeys } from "./keyboard";
import { followColours, start } from "./load";
import { followOther, followPair, otherId } from "./pair";
import { followLabels } from "./predict";
import { applyFilters, asked, followSelection, search } from "./search";
import { colourBy, complain, filters, run, selection, tab, trouble } from "./state";
import { follow as followTheme } from "./theme";

async function restore(): Promise<void> {
  const place = read(location.hash);
  tab.value = place.tab;
  if (place.colour) colourBy.value = place.colour;
  await start(place.run);
  const now = run.value;
  if (!now || trouble.value) return;
  otherId.value = place.other;
  selection.value = place.rows.filter((row) => row < now.count);
  filters.value = place.filters;
  if (place.filters.length) await applyFilters();
  if (place.words && (now.search.words || now.search.names)) await search({ words: place.words });
  else if (place.like !== null && place.like < now.count) {
    const [item] = await api.items(now.id, [place.like]);
    if (item) await search({ like: item });
  }
}

function keepPlace(): void {
  effect(() => {
    const query = asked.value;
    const hash = write({
      run: run.value?.id ?? null,
      tab: tab.value,
      colour: colourBy.value,
      rows: selection.value,
      words: query && "words" in query ? query.words : null,
      like: query && "like" in query ? query.like.row : null,
      filters: filters.value,
      other: otherId.value,
    });
    if (hash !== location.hash) history.replaceState(null, "", hash);
  });
}

followTheme();
followColours();
followSelection();
followPair();
followOther();
followLabels();
globalKeys();
render(<App />, document.getElementById("app")!);
restore()
  .catch(complain)
  .finally(keepPlace); // only now: before, it would overwrite what is to be restored
