import AxeBuilder from "@axe-core/playwright";
import type { Page } from "@playwright/test";
import { canvas, dock, drawn, expect, open, panel, tab, test } from "./page";

const SIZES = { wide: { width: 1280, height: 800 }, narrow: { width: 390, height: 844 } };
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

/** What axe finds, as lines; a theme changes nothing but colours, so the second needs no more than those. */
async function found(page: Page, name: string, colours: string): Promise<string[]> {
  const axe = new AxeBuilder({ page });
  if (name !== "Search") axe.include("aside"); // the rest of the page is the same on every tab
  const { violations } = await (colours === "light" ? axe.withTags(RULES) : axe.withRules(["color-contrast", "link-in-text-block"])).analyze();
  return violations.map((one) => `${name}, ${colours}: ${one.id}: ${one.nodes.map((node) => node.target.join(" ")).join(", ")}`);
}

for (const [size, viewport] of Object.entries(SIZES))
  test.describe(`${size} page`, () => {
    test.use({ viewport });

    test("nothing that axe finds in light and dark, nothing that overflows", async ({ page }) => {
      await page.request.post("/v1/runs/digits/labels", { data: { rows: [0, 10, 20], label: "zero" } });
      await page.request.post("/v1/runs/digits/labels", { data: { rows: [1, 11], label: "one" } });
      await open(page, "#run=digits&rows=5&like=7&other=pixels");
      for (const name of ["Search", "Groups", "Label", "Quality", "Compare"]) {
        await tab(page, name);
        await expect(page.locator(".waiting")).toHaveCount(0, { timeout: 30_000 });
        for (const colorScheme of ["light", "dark"] as const) {
          await page.emulateMedia({ colorScheme });
          expect(await found(page, name, colorScheme)).toEqual([]);
        }
        expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth), name).toBeLessThanOrEqual(0);
      }
    });
  });

test("the theme follows the system, until it is chosen", async ({ page }) => {
  await page.emulateMedia({ colorScheme: "dark" });
  await open(page);
  const theme = () => page.evaluate(() => document.documentElement.dataset.theme);
  expect(await theme()).toBe("dark");
  await page.getByRole("button", { name: "Switch to light" }).click();
  expect(await theme()).toBe("light");
  await page.reload();
  await drawn(page);
  expect(await theme()).toBe("light");
});

test("everything by keyboard: search, walk the results, label, undo, move the map, change tabs", async ({ page }) => {
  await open(page, "#run=docs");
  await page.keyboard.press("/");
  await expect(page.getByLabel("Search by words")).toBeFocused();
  await page.keyboard.type("write rows to a file");
  await page.keyboard.press("Enter");
  const results = page.getByRole("list", { name: "Results" }).getByRole("button");
  await expect(results).toHaveCount(24);

  // By Tab alone to the list; inside it by arrows.
  for (let i = 0; i < 20 && !(await results.first().evaluate((one) => one === document.activeElement)); i++) await page.keyboard.press("Tab");
  await expect(results.first()).toBeFocused();
  await page.keyboard.press("ArrowDown");
  await expect(results.nth(1)).toBeFocused();
  await page.keyboard.press("Enter");
  await expect(results.nth(1)).toHaveAttribute("aria-pressed", "true");

  // On to the name of a class.
  const name = dock(page).getByLabel("Name of a class");
  for (let i = 0; i < 10 && !(await name.evaluate((one) => one === document.activeElement)); i++) await page.keyboard.press("Tab");
  await expect(name).toBeFocused();
  await page.keyboard.type("writing");
  await page.keyboard.press("Enter");
  await expect(page.getByText("1 label saved")).toBeVisible();

  // The map: n goes on in the results, arrows and + move the view, Escape lets go.
  await canvas(page).focus();
  await page.keyboard.press("n");
  await expect(results.nth(2)).toHaveAttribute("aria-pressed", "true");
  await page.keyboard.press("1");
  await expect(page.getByText("2 labels saved")).toBeVisible();
  await page.keyboard.press("Control+z");
  await expect(page.getByText("1 label saved")).toBeVisible();
  const view = () => page.evaluate(() => sessionStorage.getItem("unlabeled.view.docs"));
  const before = await view();
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("+");
  await expect.poll(view).not.toBe(before);
  await page.keyboard.press("Escape");
  await expect(dock(page)).toHaveCount(0);

  // Tabs as tabs.
  await page.getByRole("tab", { name: "Search" }).focus();
  await page.keyboard.press("ArrowRight");
  await expect(page.getByRole("tab", { name: "Groups" })).toBeFocused();
  await expect(panel(page)).toContainText("groups of texts");
  const outline = await page.getByRole("tab", { name: "Groups" }).evaluate((one) => getComputedStyle(one).outlineStyle);
  expect(outline).not.toBe("none");
});

test("motion is spared for whoever asks for it", async ({ page }) => {
  await page.emulateMedia({ reducedMotion: "reduce" });
  await open(page, "#run=digits");
  await canvas(page).focus();
  await page.keyboard.press("+");
  // Without a transition the view is there at once.
  await expect.poll(() => page.evaluate(() => JSON.parse(sessionStorage.getItem("unlabeled.view.digits") ?? "{}").distance)).toBeLessThan(1);
});
