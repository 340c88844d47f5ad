import { expect, test } from "@playwright/test";
import { KEYS_PAGE, SECRET, generate, live, signUp } from "./support";

test("going back to the page after the reveal shows no secret", async ({ page }) => {
  await signUp(page);
  await live(page);
  await generate(page, "Left behind");
  await page.goto("/nope");
  await page.goBack();
  // The page either comes from the back/forward cache and reloads itself, or the browser requests it again.
  await expect(page.getByText("1 of 10 keys")).toBeVisible();
  expect(await page.content()).not.toMatch(SECRET);
});

test("a page that enters the back/forward cache while it shows a secret no longer contains it", async ({ page }) => {
  await signUp(page);
  await live(page);
  await generate(page, "Put aside");
  // The back/forward cache stores the document as it is after `pagehide`.
  const cached = await page.evaluate(async () => {
    dispatchEvent(new PageTransitionEvent("pagehide", { persisted: true }));
    await Promise.resolve();
    return document.documentElement.outerHTML;
  });
  expect(cached).not.toMatch(SECRET);
});

test("a page that is restored from the back/forward cache reloads the keys", async ({ page }) => {
  await signUp(page);
  await page.goto(KEYS_PAGE);
  await live(page);
  const reload = page.waitForRequest((request) => request.url().endsWith(KEYS_PAGE) && request.isNavigationRequest());
  await page.evaluate(() => dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true })));
  await reload;
  await live(page);
});
