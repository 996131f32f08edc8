/** What the colours mean. A category that is clicked stands alone; further ones join it. */

import { useState } from "preact/hooks";
import { ramp } from "../colour";
import { colourBy, coloured, only, shown, theme } from "../state";
import { columnName, count, figure, shorten } from "../words";

const FEW = 14; // shown at first

export function Legend() {
  const [all, setAll] = useState(false);
  const { legend, scale, missing } = shown.value;
  const name = columnName(colourBy.value);
  const title = name.charAt(0).toUpperCase() + name.slice(1);
  if (colourBy.value === "label" && coloured.value && legend.every((entry) => entry.name === "not labelled"))
    return <div class="legend"><p class="note">No labels yet: select points and name a class.</p></div>;
  if (scale) return <Ramp title={title} {...scale} missing={missing} />;
  if (!legend.length) return null;
  const toggle = (index: number) => {
    const next = new Set(only.value);
    if (!next.delete(index)) next.add(index);
    only.value = next;
  };
  return (
    <div class="legend">
      <p class="title">
        {title}
        {only.value.size > 0 && <button type="button" class="link" onClick={() => (only.value = new Set())}>Show all</button>}
      </p>
      <ul aria-label={`Legend: ${title}. Click one to see it alone.`} tabIndex={0}>
        {legend.slice(0, all ? undefined : FEW).map((entry) => (
          <li key={entry.index}>
            <button type="button" aria-pressed={only.value.has(entry.index)} class={only.value.size && !only.value.has(entry.index) ? "faded" : ""} onClick={() => toggle(entry.index)} title={entry.name}>
              <i class="dot" style={{ background: entry.colour }} aria-hidden="true" />
              <span>{shorten(entry.name, 48)}</span>
              <small>{count(entry.count)}</small>
            </button>
          </li>
        ))}
        {legend.length > FEW && (
          <li><button type="button" class="link" aria-expanded={all} onClick={() => setAll(!all)}>{all ? "Fewer" : `${legend.length - FEW} more`}</button></li>
        )}
      </ul>
    </div>
  );
}

function Ramp({ title, low, high, below, above, missing }: { title: string; low: number; high: number; below: boolean; above: boolean; missing: number }) {
  const stops = Array.from({ length: 9 }, (_, i) => ramp(i / 8, theme.value)).join(", ");
  return (
    <div class="legend scale">
      <p class="title">{title}</p>
      <div class="ramp" style={{ background: `linear-gradient(90deg, ${stops})` }} role="img" aria-label={`From ${figure(low)} to ${figure(high)}`} />
      <p class="ends"><span>{below && "≤ "}{figure(low)}</span><span>{above && "≥ "}{figure(high)}</span></p>
      {missing > 0 && <p class="note">Grey: {count(missing)} without a value</p>}
    </div>
  );
}
