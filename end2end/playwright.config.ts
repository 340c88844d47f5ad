import { existsSync } from "node:fs";
import { defineConfig, devices } from "@playwright/test";
import { BASE_URL, DATA, LOG, SOCKET, VERIFY_ADDRESS } from "./tests/support";

// Uses Debian's Chromium if it is installed; otherwise the one that `npx playwright install chromium` installs.
const debian = "/usr/bin/chromium";
const executablePath = existsSync(debian) ? debian : undefined;
const args = [
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--no-first-run",
  // Chromium's sandbox does not start for root.
  ...(process.getuid?.() === 0 ? ["--no-sandbox"] : []),
];
const chromium = { ...devices["Desktop Chrome"], launchOptions: { executablePath, args } };
const server = new URL(BASE_URL).host;
// `tools/postgres.sh` sets these variables to run the tests on PostgreSQL.
const { POSTGRES, PGBIN } = process.env;
const database = POSTGRES ? `${POSTGRES}/end2end` : `sqlite:${DATA}/console.db`;

export default defineConfig({
  testDir: "tests",
  globalTeardown: "./tests/canary.ts",
  fullyParallel: true,
  forbidOnly: true,
  retries: 0,
  workers: 2,
  reporter: [["line"]],
  // The longest test takes half a minute on an idle machine.
  timeout: 150_000,
  expect: { timeout: 10_000 },
  use: { baseURL: BASE_URL, locale: "en-GB", timezoneId: "Europe/Berlin", trace: "retain-on-failure" },
  projects: [
    { name: "with JavaScript", testIgnore: /no-javascript|bfcache|screenshots/, use: chromium },
    { name: "without JavaScript", testMatch: /no-javascript/, use: { ...chromium, javaScriptEnabled: false } },
    {
      name: "back and forward",
      testMatch: /bfcache/,
      // Playwright disables the back/forward cache by default; these tests require it.
      use: {
        ...chromium,
        launchOptions: { executablePath, args, ignoreDefaultArgs: ["--disable-back-forward-cache"] },
      },
    },
    { name: "screenshots", testMatch: /screenshots/, use: chromium },
  ],
  webServer: {
    command: [
      `rm -rf ${DATA} && mkdir -p ${DATA}`,
      ...(POSTGRES ? [`${PGBIN}/psql --quiet ${POSTGRES}/postgres --command "CREATE DATABASE end2end"`] : []),
      `../target/debug/examples/seed ${database}`,
      // Logs at the most detailed level, for `canary.ts` to scan.
      `RUST_LOG=trace exec ../target/release/mecha-console --listen ${server} --verify-listen ${VERIFY_ADDRESS} --socket ${SOCKET} --sign-ups open --scopes chat:read,chat:write --database-url ${database} 2>${LOG}`,
    ].join(" && "),
    url: `${BASE_URL}/readyz`,
    reuseExistingServer: false,
    stdout: "ignore",
    stderr: "ignore",
  },
});
