/** The maps that are on the page now, for what acts on them from outside. */

import type { Plot } from "./plot";

export const current: { own: Plot | null; other: Plot | null } = { own: null, other: null };
export const plots = () => [current.own, current.other].filter((plot) => plot !== null);
