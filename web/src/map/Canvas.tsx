/** A map on the page: the plot, the card beside the pointer, the keys. Used once, or twice when two runs are compared. */

import { useEffect, useRef, useState } from "preact/hooks";
import type { Colouring, Theme } from "../colour";
import type { Item } from "../types";
import { Face } from "../parts/Face";
import { mapKey } from "./keys";
import { Plot } from "./plot";
import { followFingers } from "./touch";

export interface CanvasProps {
  label: string;
  positions: Float32Array;
  colouring: Colouring;
  states: Uint8Array;
  selected: number[];
  hovered: number | null; // by the other map
  theme: Theme;
  lasso: boolean;
  remember: string; // where the view is kept over a reload
  find(row: number): Item | undefined;
  onHover(row: number | null): void;
  onSelect(rows: number[]): void;
  handle?: (plot: Plot | null) => void;
}

export function Canvas(props: CanvasProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const plot = useRef<Plot | null>(null);
  const now = useRef(props);
  now.current = props;
  const [over, setOver] = useState<number | null>(null);
  const [, moved] = useState(0);
  const [broken, setBroken] = useState(false);

  useEffect(() => {
    let saving = 0;
    let made: Plot;
    try {
      made = new Plot(canvas.current!, {
        hover: (row) => (setOver(row), now.current.onHover(row)),
        select: (rows) => now.current.onSelect(rows),
        moved: () => {
          moved((n) => n + 1);
          clearTimeout(saving);
          saving = window.setTimeout(() => sessionStorage.setItem(now.current.remember, JSON.stringify(made.view)), 200);
        },
      });
    } catch {
      setBroken(true);
      return;
    }
    plot.current = made;
    props.handle?.(made);
    const stop = followFingers(made, () => now.current.lasso);
    return () => {
      clearTimeout(saving);
      stop();
      props.handle?.(null);
      made.destroy();
      plot.current = null;
    };
  }, []);

  useEffect(() => plot.current?.theme(props.theme), [props.theme]);
  useEffect(() => plot.current?.place(props.positions), [props.positions]);
  useEffect(() => plot.current?.colour(props.colouring, props.states), [props.positions, props.colouring, props.states, props.theme]);
  useEffect(() => plot.current?.select(props.selected), [props.selected]);
  useEffect(() => plot.current?.hover(props.hovered), [props.hovered]);
  useEffect(() => plot.current?.lasso(props.lasso), [props.lasso]);
  useEffect(() => {
    const kept = sessionStorage.getItem(props.remember);
    if (kept) plot.current?.go(JSON.parse(kept), false);
    else plot.current?.home(false);
  }, [props.remember]);

  const shownRow = over ?? props.hovered;
  const place = shownRow === null ? null : plot.current?.whereIs(shownRow);
  return (
    <div class="stage">
      <canvas
        ref={canvas}
        tabIndex={0}
        role="application"
        aria-label={props.label}
        aria-describedby="map-keys"
        onKeyDown={(event) => plot.current && mapKey(event, plot.current)}
        onMouseLeave={() => (setOver(null), props.onHover(null))}
      />
      {broken && (
        <p class="state bad">
          This browser can't draw the map: it needs WebGL. Search, groups and labels work without it.
        </p>
      )}
      {place && shownRow !== null && <Card item={props.find(shownRow)} x={place[0]} y={place[1]} width={canvas.current!.clientWidth} height={canvas.current!.clientHeight} />}
    </div>
  );
}

/** The item itself beside its point, on the side where there is room. */
function Card({ item, x, y, width, height }: { item: Item | undefined; x: number; y: number; width: number; height: number }) {
  const side = x > width / 2 ? { right: `${width - x + 14}px` } : { left: `${x + 14}px` };
  const edge = y > height / 2 ? { bottom: `${Math.max(4, height - y - 20)}px` } : { top: `${Math.max(4, y - 20)}px` };
  return (
    <div class="hover" style={{ ...side, ...edge }}>
      {item ? <Face item={item} size="large" /> : <span class="muted">…</span>}
    </div>
  );
}
