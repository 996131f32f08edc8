import { defineConfig } from "vitest/config";

// `UNLABELED_SERVER` is for work on the page: `npx vite` then serves the source and passes the API on.
const server = process.env.UNLABELED_SERVER ?? "http://127.0.0.1:8765";

export default defineConfig({
  build: {
    outDir: "../src/unlabeled/web/static",
    emptyOutDir: true, // outside the root, so Vite asks to be told
    target: "es2022",
    sourcemap: false,
    modulePreload: { polyfill: false }, // the polyfill would be an inline script, which the page's policy forbids
    assetsInlineLimit: 0,
    reportCompressedSize: false,
  },
  server: { proxy: { "/v1": server } },
  test: { environment: "happy-dom", include: ["test/**/*.test.ts?(x)"] },
});
