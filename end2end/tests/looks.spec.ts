import { expect, test } from "@playwright/test";
import { KEYS_PAGE, SEEDED, closeReveal, dialog, generate, live, openMenu, row, signIn, signUp } from "./support";

test("ten keys fit a window of 1440×900, in rows of at most 72 px", async ({ page }) => {
  await page.setViewportSize({ width: 1440, height: 900 });
  await signIn(page, SEEDED.full);
  await live(page);
  const rows = page.locator(".key");
  await expect(rows).toHaveCount(10);
  const bottom = await rows.last().evaluate((key) => key.getBoundingClientRect().bottom + scrollY);
  expect(bottom).toBeLessThanOrEqual(900);
  for (const width of [1000, 1440]) {
    await page.setViewportSize({ width, height: 900 });
    const heights = await rows.evaluateAll((keys) => keys.map((key) => key.getBoundingClientRect().height));
    expect(Math.max(...heights), `${width} px`).toBeLessThanOrEqual(72);
  }
});

test("keys with descriptions have rows of at most 72 px, too, and descriptions at most two lines", async ({ page }) => {
  await signIn(page, SEEDED.states);
  await live(page);
  for (const width of [1000, 1440]) {
    await page.setViewportSize({ width, height: 900 });
    const heights = await page.locator(".key").evaluateAll((keys) => keys.map((key) => key.getBoundingClientRect().height));
    expect(Math.max(...heights), `${width} px`).toBeLessThanOrEqual(72);
  }
});

test("below 1,000 px keys are cards, and nothing is cut off or scrolls sideways", async ({ page }) => {
  await signIn(page, SEEDED.states);
  await live(page);
  for (const width of [320, 768, 999]) {
    await page.setViewportSize({ width, height: 640 });
    expect(await page.evaluate(() => document.documentElement.scrollWidth), `${width} px`).toBeLessThanOrEqual(width);
    await expect(page.locator(".key dt").first()).toBeVisible();
    const header = await page.locator(".top").evaluate((top) => top.getBoundingClientRect().height);
    expect(header, `the header has one row at ${width} px`).toBeLessThan(60);
    const tops = await page.getByRole("navigation").getByRole("link").evaluateAll((links) => links.map((link) => link.getBoundingClientRect().top));
    expect(new Set(tops).size, `the navigation has one row at ${width} px`).toBe(1);
    const hidden = await page.locator("nav ul").evaluate((list) => list.scrollWidth - list.clientWidth);
    expect(hidden, `no link is cut off at ${width} px`).toBeLessThanOrEqual(0);
  }
});

test("the short Key ID ends like the Key ID, and is complete on hover and focus", async ({ page }) => {
  await signIn(page, SEEDED.three);
  await live(page);
  const key = row(page, "Nightly report");
  const code = key.locator("code");
  const width = () => code.evaluate((code) => code.getBoundingClientRect().width);
  const short = await width();
  expect(await code.innerText()).toMatch(/^[0-9a-f]{32}$/);
  const copy = key.getByRole("button", { name: /^Copy Key ID/ });
  const place = await copy.boundingBox();
  await copy.hover();
  expect(await width()).toBeGreaterThan(3 * short);
  expect(await copy.boundingBox(), "the button stays in place").toEqual(place);
  await page.mouse.move(0, 0);
  expect(await width()).toBe(short);
  await copy.focus();
  expect(await width()).toBeGreaterThan(3 * short);
});

test("without keys there is one button and no meter; the meter appears from 7 keys on", async ({ page }) => {
  await signUp(page);
  await live(page);
  await expect(page.getByRole("button", { name: "Generate key" })).toHaveCount(1);
  await expect(page.getByRole("meter")).toHaveCount(0);
  await expect(page.getByText("0 of 10 keys")).toBeVisible();
  await signIn(page, SEEDED.three);
  await expect(page.getByRole("meter")).toHaveCount(0);
  await signIn(page, SEEDED.full);
  await expect(page.getByRole("meter", { name: "10 of 10 keys" })).toBeVisible();
});

test("the font is served by the console, with at most 25 kB", async ({ page }) => {
  const font = page.waitForResponse(/space-grotesk\.woff2$/);
  await page.goto("/sign-in");
  const response = await font;
  expect(response.status()).toBe(200);
  expect((await response.body()).length).toBeLessThanOrEqual(25_000);
  expect(response.headers()["cache-control"]).toContain("immutable");
  expect(await page.evaluate(() => document.fonts.ready.then(() => document.fonts.check('15px "Space Grotesk"')))).toBe(true);
});

test("the list shows the requests of 30 days and recent refusals, without a reload", async ({ page, request }) => {
  await signUp(page);
  await live(page);
  const { id, secret } = await generate(page, "Busy");
  await closeReveal(page);
  for (let n = 0; n < 3; n++) await request.get("/verify", { headers: { "x-api-key": secret } });
  const key = row(page, "Busy");
  await expect(key.getByRole("img", { name: /^Last 30 days: 3 requests allowed, most on / })).toBeVisible();
  await request.get("/verify", { headers: { "x-api-key-id": id, "x-api-key-secret": `${secret}~` } });
  await key.getByRole("link", { name: "1 refused" }).click();
  await expect(dialog(page).getByRole("heading", { name: "Usage and refusals" })).toBeVisible();
  await expect(dialog(page)).toContainText("▲ 3 allowed");
  await expect(dialog(page)).toContainText("▼ 1 refused");
  await expect(dialog(page).getByRole("img", { name: /3 requests allowed, 1 refused/ })).toBeVisible();
});

test("a link prefills only the form for a new key", async ({ page }) => {
  await signIn(page, SEEDED.three);
  const id = await row(page, "Nightly report").locator("code").innerText();
  await page.goto(`${KEYS_PAGE}?dialog=refresh&key_id=${id}&expire_in=never`);
  await expect(dialog(page).getByLabel("Expire in")).not.toHaveValue("never");
  await page.goto(`${KEYS_PAGE}?dialog=rename&key_id=${id}&name=Other`);
  await expect(dialog(page).getByLabel("Key name")).toHaveValue("Nightly report");
});

test("a link prefills the form for a new key, and does not submit it", async ({ page }) => {
  await signUp(page);
  await page.goto(`${KEYS_PAGE}?dialog=generate&name=Deploy&description=From+the+docs&expire_in=30`);
  await live(page);
  await expect(dialog(page).getByLabel("Key name")).toHaveValue("Deploy");
  await expect(dialog(page).getByLabel("Description")).toHaveValue("From the docs");
  await expect(dialog(page).getByLabel("Expire in")).toHaveValue("30");
  await page.goto(KEYS_PAGE);
  await expect(page.getByText("0 of 10 keys")).toBeVisible();
});

test("the close button in the corner closes a dialog", async ({ page }) => {
  await signIn(page, SEEDED.three);
  await live(page);
  await openMenu(page, "Nightly report", "Rename");
  await dialog(page).getByRole("button", { name: "Close" }).click();
  await expect(dialog(page)).toHaveCount(0);
});

test.describe("without JavaScript", () => {
  test.use({ javaScriptEnabled: false });
  test("the examples of a new key are tabs", async ({ page }) => {
    await signUp(page);
    await page.goto(`${KEYS_PAGE}?dialog=generate`);
    await dialog(page).getByRole("button", { name: "Generate key" }).click();
    await expect(dialog(page).getByText(/^curl -H/)).toBeVisible();
    for (const [tab, text] of [[".env", "MECHA_API_KEY_ID="], ["JavaScript", "await fetch("], ["Python", "urllib.request"]] as const) {
      await dialog(page).getByRole("radio", { name: tab, exact: true }).check({ force: true });
      await expect(dialog(page).getByText(text).first()).toBeVisible();
      await expect(dialog(page).getByText(/^curl -H/)).toBeHidden();
    }
  });
});
