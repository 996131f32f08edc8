/** What an item looks like: its picture or its text, and its name. */

import type { Item } from "../types";
import { shorten } from "../words";

const LENGTH = { small: 90, medium: 180, large: 420 } as const;

export function Face({ item, size, named = true }: { item: Item; size: keyof typeof LENGTH; named?: boolean }) {
  return (
    <span class={`face ${size} ${item.thumbnail ? "picture" : "words"}`}>
      {item.thumbnail && <img src={item.thumbnail} alt="" loading="lazy" decoding="async" />}
      {item.text && <span class="text">{shorten(item.text, LENGTH[size])}</span>}
      {(named || (!item.text && !item.thumbnail)) && <span class="name">{shorten(item.id, 80)}</span>}
    </span>
  );
}
