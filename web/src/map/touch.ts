/** Fingers on the map: one drags, two pinch. A tap stays a tap: the browser makes a click of it, which the map understands. */

import type { Plot } from "./plot";

type Place = { x: number; y: number };

const middle = (points: Place[]): Place => ({
  x: points.reduce((sum, point) => sum + point.x, 0) / points.length,
  y: points.reduce((sum, point) => sum + point.y, 0) / points.length,
});
const apart = ([a, b]: Place[]) => (a && b ? Math.hypot(a.x - b.x, a.y - b.y) : 0);

export function followFingers(plot: Plot, lassoing: () => boolean): () => void {
  const { canvas } = plot;
  const down = new Map<number, Place>();

  const place = (event: PointerEvent): Place => {
    const box = canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  // The lasso library knows the mouse alone, so one finger that draws is told to it as a mouse.
  const asMouse = (type: string, event: PointerEvent, on: EventTarget, buttons: number) =>
    on.dispatchEvent(new MouseEvent(type, { clientX: event.clientX, clientY: event.clientY, button: 0, buttons, bubbles: true }));

  const start = (event: PointerEvent) => {
    if (event.pointerType !== "touch") return;
    down.set(event.pointerId, place(event));
    if (!lassoing()) return;
    asMouse("mousemove", event, window, 0);
    asMouse("mousedown", event, canvas, 1);
  };
  const move = (event: PointerEvent) => {
    const before = down.get(event.pointerId);
    if (!before) return;
    if (lassoing()) return void asMouse("mousemove", event, window, 1);
    const old = [...down.values()];
    down.set(event.pointerId, place(event));
    const now = [...down.values()];
    const [from, to] = [middle(old), middle(now)];
    plot.finger(to.x - from.x, to.y - from.y, apart(old) ? apart(now) / apart(old) : 1, to.x, to.y);
  };
  const end = (event: PointerEvent) => {
    if (down.delete(event.pointerId) && lassoing()) asMouse("mouseup", event, window, 0);
  };

  canvas.addEventListener("pointerdown", start);
  addEventListener("pointermove", move);
  addEventListener("pointerup", end);
  addEventListener("pointercancel", end);
  return () => {
    canvas.removeEventListener("pointerdown", start);
    removeEventListener("pointermove", move);
    removeEventListener("pointerup", end);
    removeEventListener("pointercancel", end);
  };
}
