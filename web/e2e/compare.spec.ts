import { canvas, dock, drawn, expect, lasso, open, painted, panel, tab, test } from "./page";

test("two runs side by side: numbers, linked selection, neighbours marked", async ({ page }) => {
  await open(page, "#run=digits");
  await tab(page, "Compare");
  await panel(page).getByRole("combobox").selectOption("pixels");
  await expect(page.locator(".verdict")).toContainText(/\d+% are the same in both runs/);
  await expect(canvas(page, 1)).toBeVisible();
  await drawn(page, 1);

  const before = await painted(page, 1);
  await lasso(page, [0.05, 0.2, 0.98, 0.55]);
  await expect(dock(page)).toContainText("pictures selected");
  await expect.poll(async () => (await painted(page, 1)).count).toBeGreaterThan(before.count * 1.1); // their outlines, there too

  await page.getByRole("button", { name: "Colour by shared neighbours" }).click();
  await expect(page.getByRole("img", { name: "From 0 to 1" })).toBeVisible();

  await page.evaluate(() => (location.hash = "#run=digits&tab=compare&other=pixels&rows=5"));
  await page.reload();
  await expect(page.getByRole("list", { name: "Nearest in digits" }).getByRole("button")).toHaveCount(10);
  const theirs = page.getByRole("list", { name: "Nearest in pixels" });
  await expect(theirs.getByRole("button")).toHaveCount(10);
  await expect(theirs.getByText("both").first()).toBeVisible();
});

test.describe("runs of different things", () => {
  test.use({ expected: ["400 (Bad Request)"] });

  test("say plainly that there is nothing to compare", async ({ page }) => {
    await open(page, "#run=digits&tab=compare&other=docs");
    await expect(panel(page)).toContainText("no item in common");
  });
});
