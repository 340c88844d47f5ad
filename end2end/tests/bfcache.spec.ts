import { expect, test } from "@playwright/test";
import { KEYS_PAGE, SECRET, generate, live, signUp } from "./support";

test("Back after the reveal shows no secret", async ({ page }) => {
  await signUp(page);
  await live(page);
  await generate(page, "Left behind");
  await page.goto("/nope");
  await page.goBack();
  // Either the browser kept the page aside, and it reloads by itself, or it asks for it anew.
  await expect(page.getByText("1 of 10 keys")).toBeVisible();
  expect(await page.content()).not.toMatch(SECRET);
});

test("a page put aside with a secret on show leaves without it", async ({ page }) => {
  await signUp(page);
  await live(page);
  await generate(page, "Put aside");
  // What a page put aside would keep: its document, after `pagehide`.
  const kept = await page.evaluate(async () => {
    dispatchEvent(new PageTransitionEvent("pagehide", { persisted: true }));
    await Promise.resolve();
    return document.documentElement.outerHTML;
  });
  expect(kept).not.toMatch(SECRET);
});

test("a page that comes back from the cache asks for fresh keys", async ({ page }) => {
  await signUp(page);
  await page.goto(KEYS_PAGE);
  await live(page);
  const reload = page.waitForRequest((request) => request.url().endsWith(KEYS_PAGE) && request.isNavigationRequest());
  await page.evaluate(() => dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true })));
  await reload;
  await live(page);
});
