import { dock, drawn, expect, open, painted, panel, tab, test, unlabel } from "./page";
import type { Page } from "@playwright/test";

test.beforeEach(({ page }) => unlabel(page, "digits"));

/** The rows of the first pictures of a digit, as the server knows them. */
async function rowsOf(page: Page, digit: string, k: number): Promise<number[]> {
  const found = await page.request.post("/v1/runs/digits/search", { data: { row: 0, k: 400, filters: [{ column: "digit", in: [digit] }] } });
  return (await found.json()).hits.slice(0, k).map(({ row }: { row: number }) => row);
}

async function give(page: Page, rows: number[], name: string): Promise<void> {
  await page.evaluate((hash) => (location.hash = hash), `#run=digits&tab=label&rows=${rows.join(".")}`);
  await page.reload();
  await expect(dock(page)).toBeVisible();
  await dock(page).getByLabel("Name of a class").fill(name);
  await dock(page).getByLabel("Name of a class").press("Enter");
  await expect(page.getByText(/labels? saved/)).toBeVisible();
}

test("five labels: counts, undo, a reload keeps them, predictions follow", async ({ page }) => {
  await open(page, "#run=digits&tab=label");
  await expect(panel(page)).toContainText("Pick pictures");
  await give(page, await rowsOf(page, "0", 3), "zero");
  await expect(panel(page)).toContainText("One class so far");
  await give(page, await rowsOf(page, "1", 2), "one");
  await expect(panel(page).getByRole("heading", { level: 2 })).toHaveText("5 of 400 labelled");
  await expect(page.getByRole("table")).toContainText("zero", { timeout: 30_000 });
  await expect(page.getByRole("list", { name: "Label these next" }).getByRole("button")).toHaveCount(12);

  await page.getByRole("button", { name: "Predicted", exact: true }).click();
  await expect(page.locator(".legend li")).toHaveCount(2);
  await drawn(page);
  expect((await painted(page)).colours).toBeGreaterThan(1);
  await page.getByRole("button", { name: "Confidence", exact: true }).click();
  await expect(page.getByRole("img", { name: "From 0 to 1" })).toBeVisible();

  await page.reload();
  await expect(panel(page).getByRole("heading", { level: 2 })).toHaveText("5 of 400 labelled");

  // By a key: the class keeps its number over the reload. Then undo, by the keyboard too.
  await page.getByRole("list", { name: "Label these next" }).getByRole("button").first().click();
  await page.keyboard.press("1");
  await expect(page.getByText("6 labels saved")).toBeVisible();
  await page.keyboard.press("Control+z");
  await expect(page.getByText("5 labels saved")).toBeVisible();

  const kept = await (await page.request.get("/v1/runs/digits/labels.csv")).text();
  expect(kept.trim().split(/\r?\n/)).toHaveLength(6);
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "predictions.csv" }).click()]);
  expect(download.suggestedFilename()).toContain(".csv");
  await page.getByRole("button", { name: "Keep in run" }).click();
  await expect(page.locator(".notice")).toContainText("Kept");
});

test("a class is renamed, and doubtful labels are looked for", async ({ page }) => {
  await open(page, "#run=digits&tab=label");
  await give(page, await rowsOf(page, "0", 8), "zero");
  await give(page, [...(await rowsOf(page, "1", 7)), (await rowsOf(page, "0", 9))[8]!], "one");
  await panel(page).getByRole("button", { name: "one: rename" }).click();
  await panel(page).getByLabel("New name of one").fill("ones");
  await panel(page).getByLabel("New name of one").press("Enter");
  await expect(panel(page).getByRole("list", { name: "Classes" })).toContainText("ones");
  await page.getByRole("button", { name: "Find them" }).click();
  await expect(panel(page).getByText(/probably wrong|looks wrong/)).toBeVisible({ timeout: 30_000 });
});

test.describe("without the server", () => {
  test.use({ expected: ["ERR_FAILED", "ERR_INTERNET_DISCONNECTED"] });

  test("labels wait in the browser, say so, outlive a reload and arrive", async ({ page }) => {
    await open(page, "#run=digits&tab=label&rows=3");
    await expect(dock(page)).toBeVisible();
    let away = true;
    await page.route("**/v1/runs/digits/labels", (route) => (away && route.request().method() === "POST" ? route.abort() : route.continue()));
    await dock(page).getByLabel("Name of a class").fill("three");
    await dock(page).getByLabel("Name of a class").press("Enter");
    await expect(page.getByText("1 label waits in this browser")).toBeVisible();
    await page.reload();
    await expect(page.getByText("1 label waits in this browser")).toBeVisible();
    await expect(panel(page).getByRole("heading", { level: 2 })).toHaveText("1 of 400 labelled");
    away = false;
    await expect(page.getByText("1 label saved")).toBeVisible({ timeout: 20_000 });
    expect((await (await page.request.get("/v1/runs/digits/labels")).json()).count).toBe(1);
  });
});

test("groups are renamed, merged and made anew", async ({ page }) => {
  await open(page, "#run=digits");
  await tab(page, "Groups");
  const cards = panel(page).locator("article");
  await page.getByLabel("Number of groups").fill("6");
  page.on("dialog", (dialog) => void dialog.accept());
  await page.getByRole("button", { name: "Group anew" }).click();
  await expect(cards).toHaveCount(6);
  await cards.first().getByRole("button", { name: /^Rename/ }).click();
  await cards.first().getByLabel("New name").fill("my favourites");
  await cards.first().getByLabel("New name").press("Enter");
  await expect(panel(page).getByRole("heading", { name: "my favourites" })).toBeVisible();
  await expect(page.locator(".legend")).toContainText("my favourites");
  await cards.nth(1).getByRole("checkbox").check();
  await cards.nth(2).getByRole("checkbox").check();
  await page.getByRole("button", { name: "Merge 2 groups" }).click();
  await expect(cards).toHaveCount(5);
  await expect(page.locator(".legend li")).toHaveCount(5);
});
