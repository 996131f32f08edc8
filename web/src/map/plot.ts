/** One drawn map: regl-scatterplot, told in the page's terms. It draws; it decides nothing. */

import createScatterplot from "regl-scatterplot";
import { type Colouring, GROUND, parse, type Theme } from "../colour";

export interface Heard {
  hover(row: number | null): void;
  select(rows: number[]): void;
  moved(): void; // the view has changed
}

const SIZES = [[2_000, 7], [10_000, 5], [40_000, 3.5], [150_000, 2.5]] as const;
const sizeFor = (n: number) => SIZES.find(([most]) => n <= most)?.[1] ?? 2;
const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

type View = { target: [number, number]; distance: number };

export class Plot {
  private readonly plot: ReturnType<typeof createScatterplot>;
  private x = new Float32Array();
  private y = new Float32Array();
  private tree: ArrayBuffer | undefined; // finds the point under the pointer; kept when only colours change
  private next: { colouring: Colouring; states: Uint8Array } | null = null;
  private drawing = false;
  private selected: number[] = [];
  private atHome = true;

  constructor(readonly canvas: HTMLCanvasElement, heard: Heard) {
    this.plot = createScatterplot({
      canvas,
      spatialIndexUseWorker: false, // the worker would come from a blob: address, which the page's policy forbids
      lassoMinDist: 4,
      pointSizeSelected: 4,
      pointOutlineWidth: 2,
      deselectOnEscape: false, // that would listen on the whole page: the keys are ours
      colorBy: "valueA",
      opacityBy: "valueB",
      sizeBy: "valueB",
      cameraDistance: 1.08,
    });
    const merge = /mac/i.test(navigator.userAgent) ? "cmd" : "ctrl";
    this.plot.set({ actionKeyMap: { lasso: "shift", merge, remove: "alt" } } as never); // newer than the types
    this.plot.subscribe("pointOver", (row) => heard.hover(row));
    this.plot.subscribe("pointOut", () => heard.hover(null));
    this.plot.subscribe("select", ({ points }) => heard.select([...points]));
    this.plot.subscribe("deselect", () => heard.select([]));
    this.plot.subscribe("draw", () => heard.moved());
    canvas.addEventListener("wheel", () => (this.atHome = false), { passive: true });
    canvas.addEventListener("pointerdown", () => (this.atHome = false));
    new ResizeObserver(() => this.atHome && this.home(false)).observe(canvas);
  }

  place(positions: Float32Array): void {
    const n = positions.length / 2;
    this.x = positions.subarray(0, n) as Float32Array<ArrayBuffer>;
    this.y = positions.subarray(n) as Float32Array<ArrayBuffer>;
    this.tree = undefined;
  }

  /** Draw with these colours and states; of several calls while one is being drawn only the last counts. */
  colour(colouring: Colouring, states: Uint8Array): void {
    this.next = { colouring, states };
    if (!this.drawing) void this.draw();
  }

  private async draw(): Promise<void> {
    this.drawing = true;
    try {
      while (this.next && this.x.length && this.next.states.length === this.x.length) {
        const { colouring, states } = this.next;
        this.next = null;
        const size = sizeFor(this.x.length);
        const seen = this.x.length > 20_000 ? 0.65 : 0.85;
        this.plot.set({
          pointColor: colouring.palette.length > 1 ? colouring.palette : [colouring.palette[0]!, colouring.palette[0]!],
          pointSize: [size, size * 0.7, Math.max(11, size * 2), size], // normal, out, marked, behind
          opacity: [seen, 0.06, 1, 0.22],
        });
        await this.plot.draw(
          { x: this.x, y: this.y, z: colouring.index, w: states },
          { zDataType: "categorical", wDataType: "categorical", ...(this.tree ? { spatialIndex: this.tree } : {}) },
        );
        this.tree = this.plot.get("spatialIndex");
        this.select(this.selected); // it may have changed while this was drawn
      }
    } finally {
      this.drawing = false;
    }
  }

  theme(theme: Theme): void {
    const [r, g, b] = parse(GROUND[theme]);
    this.plot.set({
      backgroundColor: [r / 255, g / 255, b / 255, 1],
      lassoColor: theme === "dark" ? "#7fc1ec" : "#0b5c8c",
      pointColorHover: theme === "dark" ? "#ffffff" : "#000000",
    });
  }

  select(rows: readonly number[]): void {
    this.selected = [...rows];
    if (!this.plot.get("isPointsDrawn")) return;
    if (rows.length) this.plot.select([...rows], { preventEvent: true });
    else this.plot.deselect({ preventEvent: true });
  }

  hover(row: number | null): void {
    if (this.plot.get("isPointsDrawn")) this.plot.hover(row ?? -1, { preventEvent: true });
  }

  lasso(on: boolean): void {
    this.plot.set({ mouseMode: on ? "lasso" : "panZoom" });
  }

  /** Where a point is on the canvas, in pixels from its top left; null when that is outside. */
  whereIs(row: number): [number, number] | null {
    const found = this.plot.get("isPointsDrawn") ? this.plot.getScreenPosition(row) : undefined;
    if (!found) return null;
    const [x, y] = found;
    return x < 0 || y < 0 || x > this.canvas.clientWidth || y > this.canvas.clientHeight ? null : [x, y];
  }

  get view(): View {
    const [x, y] = this.plot.get("cameraTarget");
    return { target: [x, y], distance: this.plot.get("cameraDistance") };
  }

  go({ target, distance }: View, smooth = true): void {
    this.atHome = false;
    const transition = smooth && !still() && this.plot.get("isPointsDrawn");
    void this.plot.zoomToLocation(target, distance, { transition, transitionDuration: 180 });
  }

  /** The whole map, also where the canvas is higher than wide. */
  home(smooth = true): void {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const shape = width / height || 1;
    const distance = 1.06 * Math.max(1, 1 / shape);
    // Where there is room beside it the map goes to the right: the legend stands at the left.
    this.go({ target: [-Math.max(0, Math.min(shape - 1, 0.4)) * distance, 0], distance }, smooth);
    this.atHome = true;
  }

  zoom(by: number): void {
    const { target, distance } = this.view;
    this.go({ target, distance: Math.min(4, Math.max(0.002, distance / by)) });
  }

  /** Move the view by shares of what is seen. */
  pan(right: number, up: number): void {
    const { target, distance } = this.view;
    this.go({ target: [target[0] + right * distance, target[1] + up * distance], distance });
  }

  /** Bring a row into view if it isn't. */
  show(row: number): void {
    if (this.x.length <= row || this.whereIs(row)) return;
    this.go({ target: [this.x[row]!, this.y[row]!], distance: this.view.distance });
  }

  /** Drag and pinch by fingers: dx and dy in pixels, by a factor about a place on the canvas. */
  finger(dx: number, dy: number, by: number, x: number, y: number): void {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const camera = this.plot.get("camera");
    camera.pan([(2 * dx) / height, (-2 * dy) / height]);
    if (by !== 1) camera.scale(by, [((x / width) * 2 - 1) * (width / height), 1 - (y / height) * 2]);
    this.atHome = false;
    this.plot.redraw();
  }

  destroy(): void {
    this.plot.destroy();
  }
}
