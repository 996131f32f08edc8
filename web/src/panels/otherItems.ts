/** Items of the second run, for its map's hover card and its neighbours. They are asked for one by one: only few are looked at. */

import { useEffect, useRef, useState } from "preact/hooks";
import * as api from "../api";
import type { Item } from "../types";

export function useOther(run: string): (row: number) => Item | undefined {
  const cache = useRef(new Map<number, Item | null>());
  const [, arrived] = useState(0);
  useEffect(() => cache.current.clear(), [run]);
  return (row) => {
    const found = cache.current.get(row);
    if (found === undefined) {
      cache.current.set(row, null);
      api.items(run, [row]).then(
        ([item]) => (cache.current.set(row, item ?? null), arrived((n) => n + 1)),
        () => cache.current.delete(row),
      );
    }
    return found ?? undefined;
  };
}
