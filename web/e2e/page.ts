/** What all browser tests share: a page that fails the test on any error or foreign request, and the ways to act on the map. */

import { test as base, expect, type Page } from "@playwright/test";

/** Answers that a test brings about on purpose are announced here: a part of the console's message. */
export const test = base.extend<{ expected: string[] }>({
  expected: async ({}, use) => use([]),
  page: async ({ page, expected, baseURL }, use) => {
    const wrong: string[] = [];
    page.on("console", (message) => message.type() === "error" && wrong.push(message.text()));
    page.on("pageerror", (error) => wrong.push(error.message));
    page.on("request", (request) => {
      const url = new URL(request.url());
      if (!["data:", "blob:"].includes(url.protocol) && url.origin !== new URL(baseURL!).origin) wrong.push(`a request to ${url}`);
    });
    await use(page);
    expect(wrong.filter((text) => !expected.some((part) => text.includes(part)))).toEqual([]);
  },
});
export { expect };

export const canvas = (page: Page, at = 0) => page.locator("canvas").nth(at);
export const panel = (page: Page) => page.getByRole("tabpanel");
export const dock = (page: Page) => page.getByRole("region", { name: "Selected" });

export async function open(page: Page, hash = ""): Promise<void> {
  await page.goto(`/${hash}`);
  await drawn(page);
}

/** How many of the map's pixels are painted, and how many colours they have. */
export const painted = (page: Page, at = 0) =>
  canvas(page, at).evaluate((element) => {
    const map = element as HTMLCanvasElement;
    const { data } = map.getContext("2d")!.getImageData(0, 0, map.width, map.height);
    const colours = new Set<number>();
    let count = 0;
    for (let i = 0; i < data.length; i += 4)
      if (data[i + 3]! > 200) {
        count++;
        colours.add(((data[i]! >> 5) << 6) | ((data[i + 1]! >> 5) << 3) | (data[i + 2]! >> 5));
      }
    return { count, colours: colours.size };
  });

export const drawn = (page: Page, at = 0) => expect.poll(async () => (await painted(page, at)).count, { timeout: 30_000 }).toBeGreaterThan(300);

export async function tab(page: Page, name: string): Promise<void> {
  await page.getByRole("tab", { name }).click();
}

/** Draw a lasso around a box of the map, in shares of its width and height. */
export async function lasso(page: Page, [left, top, right, bottom]: [number, number, number, number], held = true): Promise<void> {
  const box = (await canvas(page).boundingBox())!;
  const at = (x: number, y: number) => [box.x + x * box.width, box.y + y * box.height] as const;
  if (held) await page.keyboard.down("Shift");
  await page.mouse.move(...at(left, top));
  await page.mouse.down();
  for (const corner of [at(right, top), at(right, bottom), at(left, bottom), at(left, top + 0.02)]) await page.mouse.move(...corner, { steps: 6 });
  await page.mouse.up();
  if (held) await page.keyboard.up("Shift");
}

/** Take all labels away: the tests share one server. */
export async function unlabel(page: Page, run: string): Promise<void> {
  const { labels } = await (await page.request.get(`/v1/runs/${run}/labels`)).json();
  const rows = labels.map(({ row }: { row: number }) => row);
  if (rows.length) expect((await page.request.post(`/v1/runs/${run}/labels`, { data: { rows, label: null } })).ok()).toBe(true);
}
