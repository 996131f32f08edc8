import { canvas, dock, drawn, expect, lasso, open, painted, panel, tab, test } from "./page";

test("the map is drawn, coloured by group, and redrawn in other colours", async ({ page }) => {
  await open(page, "#run=digits");
  await expect(page.getByRole("combobox", { name: "Run" })).toHaveValue("digits");
  await expect.poll(async () => (await painted(page)).colours).toBeGreaterThan(6); // groups
  await page.getByLabel("Colour by").selectOption("ink");
  await expect(page.getByRole("img", { name: /^From/ })).toBeVisible();
  await drawn(page);
  await page.getByLabel("Colour by").selectOption("digit");
  await expect(page.locator(".legend li")).toHaveCount(10);
});

test("zooming changes the map and a reload keeps the view", async ({ page }) => {
  await open(page, "#run=digits");
  const view = () => page.evaluate(() => sessionStorage.getItem("unlabeled.view.digits"));
  await canvas(page).hover();
  await page.mouse.wheel(0, -400);
  await expect.poll(async () => JSON.parse((await view()) ?? "{}").distance).toBeLessThan(0.95);
  const before = JSON.parse((await view())!);
  await page.reload();
  await drawn(page);
  await expect.poll(async () => JSON.parse((await view())!).distance).toBeCloseTo(before.distance, 3);
});

test("a category in the legend can stand alone", async ({ page }) => {
  await open(page, "#run=digits&colour=digit");
  await expect.poll(async () => (await painted(page)).colours).toBeGreaterThan(6);
  const all = await painted(page);
  const first = page.locator(".legend li button").first();
  await first.click();
  await expect(first).toHaveAttribute("aria-pressed", "true");
  await expect.poll(async () => (await painted(page)).count).toBeLessThan(all.count / 3);
  await page.getByRole("button", { name: "Show all" }).click();
  await expect.poll(async () => (await painted(page)).count).toBeGreaterThan(all.count * 0.9);
});

test("pointing at a point shows its picture, a click its neighbours", async ({ page }) => {
  await open(page, "#run=digits");
  const box = (await canvas(page).boundingBox())!;
  // A point somewhere: the pixel of the map that is painted and nearest to the middle of its right half, clear of the legend.
  const [x, y] = await canvas(page).evaluate((element) => {
    const map = element as HTMLCanvasElement;
    const { data } = map.getContext("2d")!.getImageData(0, 0, map.width, map.height);
    let best = [0, 0, Infinity] as [number, number, number];
    for (let i = 0; i < data.length; i += 4) {
      const [px, py] = [(i / 4) % map.width, Math.floor(i / 4 / map.width)];
      const far = Math.hypot(px - map.width * 0.6, py - map.height * 0.4);
      if (data[i + 3]! > 200 && far < best[2]) best = [px, py, far];
    }
    return [best[0] / map.width, best[1] / map.height] as [number, number];
  });
  await page.mouse.move(box.x + x * box.width - 30, box.y + y * box.height);
  await page.mouse.move(box.x + x * box.width, box.y + y * box.height, { steps: 4 });
  await expect(page.locator(".hover img")).toBeVisible();
  await page.mouse.down();
  await page.mouse.up();
  await expect(dock(page).getByRole("heading", { level: 2 })).toContainText("digit");
  await expect(dock(page).getByRole("list", { name: "Nearest" }).getByRole("button")).toHaveCount(10);
});

test("a lasso selects, by Shift and by its button", async ({ page }) => {
  await open(page, "#run=digits");
  await lasso(page, [0.3, 0.02, 0.98, 0.5]);
  const heading = dock(page).getByRole("heading", { level: 2 });
  await expect(heading).toContainText(/\d+ pictures selected/);
  const upper = Number((await heading.textContent())!.match(/\d+/)![0]);
  expect(upper).toBeGreaterThan(20);
  await page.getByRole("button", { name: "Clear selection" }).click();
  await expect(dock(page)).toHaveCount(0);
  await page.getByRole("button", { name: "Lasso" }).click();
  await lasso(page, [0.3, 0.02, 0.98, 0.5], false);
  await expect(heading).toContainText(`${upper} pictures`);
});

test("texts are found by words, within filters, and a reload finds them again", async ({ page }) => {
  await open(page, "#run=docs");
  await page.getByLabel("Search by words").fill("open a gzip compressed file");
  await page.getByRole("button", { name: "Search", exact: true }).click();
  const results = page.getByRole("list", { name: "Results" }).getByRole("button");
  await expect(results).toHaveCount(24);
  await expect(results.first()).toContainText(/gzip|compress/i);

  await page.getByLabel("Add a filter").selectOption("module");
  await page.getByRole("group", { name: "module" }).getByText("csv", { exact: true }).click();
  await expect(page.getByText(/ of 300 texts fit/)).toBeVisible();
  await expect(results.first()).toContainText("csv.");
  for (const one of await results.allTextContents()) expect(one).toContain("csv.");

  await results.first().click();
  await expect(dock(page)).toBeVisible();
  await page.reload();
  await expect(page.getByLabel("Search by words")).toHaveValue("open a gzip compressed file");
  await expect(results.first()).toContainText("csv.");
  await expect(results.first()).toHaveAttribute("aria-pressed", "true");
});

test("pictures are found by a picture, by name and by an item; numbers can be filtered", async ({ page }) => {
  await open(page, "#run=digits");
  const picture = await (await page.request.get("/v1/runs/digits/thumbnails/7.png")).body();
  await page.getByLabel("File to search with").setInputFiles({ name: "seven.png", mimeType: "image/png", buffer: picture });
  const results = page.getByRole("list", { name: "Results" }).getByRole("button");
  await expect(results.first()).toHaveAccessibleName("digit 7");
  await page.getByLabel("Search by name").fill("digit 39");
  await page.keyboard.press("Enter");
  await expect(results.first()).toHaveAccessibleName(/digit 39/);
  await results.first().click();
  await page.getByRole("button", { name: "More like the selected" }).click();
  await expect(page.getByRole("heading", { name: /^Like digit/ })).toBeVisible();
  await page.getByLabel("Add a filter").selectOption("ink");
  await page.getByRole("group", { name: "ink" }).getByLabel("from").fill("80");
  await expect(page.getByText(/of 400 pictures fit/)).toBeVisible();
});

test("a dropped picture is searched with", async ({ page }) => {
  await open(page, "#run=digits&tab=label");
  const picture = await (await page.request.get("/v1/runs/digits/thumbnails/9.png")).body();
  const transfer = await page.evaluateHandle((bytes) => {
    const moved = new DataTransfer();
    moved.items.add(new File([Uint8Array.from(bytes)], "nine.png", { type: "image/png" }));
    return moved;
  }, [...picture]);
  await page.locator("body").dispatchEvent("dragover", { dataTransfer: transfer });
  await expect(page.getByText("Drop it to find what is like it")).toBeVisible();
  await page.locator("body").dispatchEvent("drop", { dataTransfer: transfer });
  await expect(page.getByRole("list", { name: "Results" }).getByRole("button").first()).toHaveAccessibleName("digit 9");
});

test("the report, near-duplicates and odd ones", async ({ page }) => {
  await open(page, "#run=digits&tab=quality");
  await expect(page.locator(".verdict")).toContainText("representation");
  await expect(page.getByRole("heading", { name: "Parts find each other" })).toBeVisible();
  const whole = await page.request.get((await page.getByRole("link", { name: "Open the whole report" }).getAttribute("href"))!);
  expect(whole.ok()).toBe(true);
  await page.getByRole("button", { name: "Near-duplicates" }).click();
  await expect(panel(page).getByText(/near-duplicates/i).last()).toBeVisible();
  await page.getByRole("button", { name: "Odd ones" }).click();
  await expect(page.getByRole("list", { name: "Odd ones" }).getByRole("button")).toHaveCount(50);
});

test("a run without a model says which ways of searching work", async ({ page }) => {
  await open(page, "#run=pixels");
  await expect(panel(page)).toContainText("imported without a model");
  await expect(page.getByRole("button", { name: /Search with a/ })).toHaveCount(0);
});

test("topics are found for texts", async ({ page }) => {
  await open(page, "#run=docs");
  await tab(page, "Groups");
  await page.getByRole("button", { name: "Topics", exact: true }).click();
  await page.getByLabel("Number of topics").fill("4");
  await page.getByRole("button", { name: "Find topics" }).click();
  await expect(panel(page).locator("article")).toHaveCount(4, { timeout: 30_000 });
});
