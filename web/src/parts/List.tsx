/** A list of items to pick from, used for results, neighbours, suggestions, examples: pictures as a grid, texts as rows. */

import type { ComponentChildren } from "preact";
import { useRef } from "preact/hooks";
import { labels } from "../labels";
import { hoveredHere } from "../pair";
import { select, selection } from "../state";
import type { Item } from "../types";
import { shorten } from "../words";
import { Face } from "./Face";

interface Props<T extends Item> {
  items: readonly T[];
  name: string;
  note?: (item: T) => ComponentChildren;
  marked?: (item: T) => boolean;
  small?: boolean;
}

export function List<T extends Item>({ items, name, note, marked, small = false }: Props<T>) {
  const list = useRef<HTMLUListElement>(null);
  const pictures = items.some((item) => item.thumbnail);
  const chosen = new Set(selection.value);

  // One stop for Tab, arrows inside: a list of hundreds shouldn't take hundreds of presses to leave.
  const at = Math.max(0, items.findIndex((item) => chosen.has(item.row)));
  const move = (event: KeyboardEvent, from: number) => {
    const wide = pictures ? columns(list.current!) : 1;
    const by = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: wide, ArrowUp: -wide, Home: -from, End: items.length - 1 - from }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    const to = Math.min(items.length - 1, Math.max(0, from + by));
    list.current!.querySelectorAll<HTMLButtonElement>("button")[to]?.focus();
  };

  return (
    <ul ref={list} class={`list ${pictures ? "grid" : "rows"} ${small ? "small" : ""}`} aria-label={name}>
      {items.map((item, i) => (
        <li key={item.row}>
          <button
            type="button"
            class={`pick ${marked?.(item) ? "both" : ""}`}
            aria-pressed={chosen.has(item.row)}
            aria-label={item.thumbnail ? item.id : undefined}
            tabIndex={i === at ? 0 : -1}
            onClick={(event) => select([item.row], event.ctrlKey || event.metaKey || event.shiftKey)}
            onKeyDown={(event) => move(event, i)}
            onMouseEnter={() => (hoveredHere.value = item.row)}
            onMouseLeave={() => (hoveredHere.value = null)}
          >
            <Face item={item} size={small ? "small" : "medium"} named={!item.thumbnail} />
            {(note || labels.value.has(item.row)) && (
              <span class="under">
                {note?.(item)}
                {labels.value.has(item.row) && <span class="tag">{shorten(labels.value.get(item.row)!, 18)}</span>}
              </span>
            )}
          </button>
        </li>
      ))}
    </ul>
  );
}

const columns = (list: HTMLElement) => Math.max(1, getComputedStyle(list).gridTemplateColumns.split(" ").length);
