import { expect, test } from "@playwright/test";
import { closeReveal, dialog, generate, live, openMenu, row, signUp, statusWith } from "./support";

test("the reveal reports a denied request and then the client of the first allowed request", async ({ page, request }) => {
  await signUp(page);
  await live(page);
  const { id, secret } = await generate(page, "Awaited");
  const status = dialog(page).locator("#first-request");
  await expect(status).toContainText("Waiting for the first request with this key …");

  const send = (headers: Record<string, string>) => request.get("/verify", { headers: { "user-agent": "curl/8.5", ...headers } });
  expect((await send({ "x-api-key-id": "f".repeat(32), "x-api-key-secret": secret })).status()).toBe(401);
  await expect(status).toContainText("A request was refused: the Key ID does not match (127.0.0.1, curl/8.5)");
  expect((await send({ "x-api-key-id": id, "x-api-key-secret": `${secret.slice(0, -1)}~` })).status()).toBe(401);
  expect((await send({ authorization: `Bearer ${secret}` })).status()).toBe(204);
  await expect(status).toContainText("First request received: 127.0.0.1, curl/8.5");
  await closeReveal(page);
  await expect(row(page, "Awaited")).toContainText("just now");
});

test("the reveal reports a first request from before its event stream opened", async ({ page }) => {
  await signUp(page);
  await live(page);
  let release = () => {};
  const released = new Promise<void>((resolve) => (release = resolve));
  await page.route(/\/events\?key=/, async (route) => {
    await released;
    await route.continue();
  });
  const { secret } = await generate(page, "Quick");
  const status = dialog(page).locator("#first-request");
  await expect(status).toContainText("Waiting for the first request with this key …");
  expect(await statusWith(secret)).toBe(200);
  release();
  await expect(status).toContainText("First request received: 127.0.0.1");
});

test("the list updates the last use of a key without a reload", async ({ page }) => {
  await signUp(page);
  await live(page);
  const { secret } = await generate(page, "Moving");
  await closeReveal(page);
  await page.reload();
  await live(page);
  await expect(row(page, "Moving")).toContainText("Never used");
  const streaming = page.waitForResponse((response) => response.url().endsWith("/events"));
  await page.reload();
  await streaming;
  expect(await statusWith(secret)).toBe(200);
  await expect(row(page, "Moving")).toContainText("just now");
});

test("an open menu stays open while the list updates", async ({ page }) => {
  await signUp(page);
  await live(page);
  const { secret } = await generate(page, "Chosen");
  await closeReveal(page);
  const streaming = page.waitForResponse((response) => response.url().endsWith("/events"));
  await page.reload();
  await streaming;
  await live(page);
  await page.getByRole("button", { name: "Actions for Chosen" }).click();
  const notified = page.evaluate(
    () =>
      new Promise<void>((resolve) => {
        let events = 0;
        new EventSource("/settings/api-keys/events").addEventListener("list", () => (events += 1) === 2 && resolve());
      }),
  );
  await page.waitForResponse((response) => response.url().endsWith("/events"));
  expect(await statusWith(secret)).toBe(200);
  await notified;
  await expect(row(page, "Chosen").getByRole("button", { name: "Rename" })).toBeVisible();
  await page.keyboard.press("Escape");
  await openMenu(page, "Chosen", "Rename");
  await expect(dialog(page)).toBeVisible();
});
