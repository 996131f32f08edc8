import { defineConfig } from "@playwright/test";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "./e2e/chromium";

// Every worker reads this file, so the folder is named once and handed on.
const folder = (process.env.UNLABELED_E2E ??= mkdtempSync(join(tmpdir(), "unlabeled-e2e-")));
const python = process.env.UNLABELED_PYTHON ?? "../.venv/bin/python";
const port = Number(process.env.UNLABELED_PORT ?? 8768);
const runs = ["digits", "pixels", "docs"].map((name) => join(folder, name)).join(" ");

export default defineConfig({
  testDir: "e2e",
  outputDir: join(folder, "results"),
  timeout: 120_000, // software WebGL on a busy machine
  expect: { timeout: 15_000 },
  retries: process.env.CI ? 1 : 0,
  workers: 1, // one server and one set of labels for all
  forbidOnly: Boolean(process.env.CI),
  reporter: [["list"]],
  use: {
    baseURL: `http://localhost:${port}`,
    viewport: { width: 1280, height: 800 },
    launchOptions: chromium,
  },
  webServer: {
    command: `${python} e2e/make_runs.py ${folder} && exec ${python} -m unlabeled open ${runs} --port ${port} --no-browser`,
    url: `http://localhost:${port}/health`,
    timeout: 300_000,
    stdout: process.env.CI ? "pipe" : "ignore",
    gracefulShutdown: { signal: "SIGTERM", timeout: 5_000 },
  },
});
