/** Something that is fetched when it is first shown: waiting, what went wrong with a way to try again, or what came. */

import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";

export function Waiting({ children }: { children: ComponentChildren }) {
  const [seconds, setSeconds] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => setSeconds((n) => n + 1), 1000);
    return () => clearInterval(timer);
  }, []);
  return (
    <p class="state waiting" role="status">
      <i class="spinner" aria-hidden="true" />
      <span>{children}{seconds >= 3 && ` ${seconds} seconds so far.`}</span>
    </p>
  );
}

export function Trouble({ text, again }: { text: string; again?: () => void }) {
  return (
    <div class="state bad" role="alert">
      <p>{text}</p>
      {again && <button type="button" onClick={again}>Try again</button>}
    </div>
  );
}

export const Empty = ({ children }: { children: ComponentChildren }) => <p class="state">{children}</p>;

interface Props<T> {
  from: () => Promise<T>;
  on: unknown[]; // fetched again when one of these is different
  waiting: string;
  children: (found: T, put: (found: T) => void) => ComponentChildren;
}

export function Loaded<T>({ from, on, waiting, children }: Props<T>) {
  const [found, put] = useState<{ value: T } | { error: Error } | null>(null);
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    let current = true;
    put(null);
    from().then(
      (value) => current && put({ value }),
      (error: Error) => current && put({ error }),
    );
    return () => void (current = false);
  }, [...on, turn]);
  if (!found) return <Waiting>{waiting}</Waiting>;
  if ("error" in found) return <Trouble text={found.error.message} again={() => setTurn(turn + 1)} />;
  return <>{children(found.value, (value) => put({ value }))}</>;
}
