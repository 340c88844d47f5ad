import { expect, test } from "@playwright/test";
import {
  KEYS_PAGE, closeReveal, dialog, generate, live, openMenu, readReveal, row, signUp, statusWith, toast,
} from "./support";

test("both secrets of a rotated key work until the new secret is first used", async ({ page }) => {
  await signUp(page);
  await live(page);
  const { id, secret: previous } = await generate(page, "Turned");
  await closeReveal(page);
  await openMenu(page, "Turned", "Rotate");
  await expect(dialog(page)).toContainText("This key was not used in the last 30 days.");
  await expect(dialog(page).getByLabel("The old secret stops working")).toHaveValue("first-use");
  await dialog(page).getByRole("button", { name: "Rotate" }).click();
  await expect(dialog(page).getByRole("heading", { name: "API key rotated" })).toBeVisible();
  await expect(dialog(page)).toContainText(`Old secret …${previous.slice(-4)} works until`);
  const [secret = "", shown] = await dialog(page).locator("code").allInnerTexts();
  expect(shown).toBe(id);
  expect(secret).not.toBe(previous);
  await closeReveal(page);

  const key = row(page, "Turned");
  await expect(key).toContainText(`…${secret.slice(-4)}`);
  await expect(key).toContainText(`Old secret …${previous.slice(-4)} works until`);
  await expect(key).toContainText("or until the new one is used");
  await expect(page.getByRole("button", { name: "Actions for Turned" })).toBeFocused();
  expect(await statusWith(previous)).toBe(200);
  await page.getByRole("button", { name: "Actions for Turned" }).click();
  await expect(key.getByRole("button", { name: "Rotate" })).toBeDisabled();
  await page.keyboard.press("Escape");
  expect(await statusWith(secret)).toBe(200);
  expect(await statusWith(previous)).toBe(401);
  await page.reload();
  await expect(key).not.toContainText("Old secret");
});

test("the previous secret can be retired immediately, in a dialog that shows the usage of the key", async ({ page }) => {
  await signUp(page);
  await live(page);
  const { secret: previous } = await generate(page, "Retired");
  await closeReveal(page);
  expect(await statusWith(previous)).toBe(200);
  await openMenu(page, "Retired", "Rotate");
  await dialog(page).getByLabel("The old secret stops working").selectOption("after 7 days");
  await dialog(page).getByRole("button", { name: "Rotate" }).click();
  await expect(dialog(page).getByRole("heading", { name: "API key rotated" })).toBeVisible();
  await closeReveal(page);
  expect(await statusWith(previous)).toBe(200);
  await row(page, "Retired").getByRole("button", { name: "Retire now" }).click();
  await expect(dialog(page).locator(".usage li")).toContainText(/127\.0\.0\.1.*2 requests/);
  await dialog(page).getByRole("button", { name: "Retire now" }).click();
  await expect(toast(page)).toHaveText("Old secret retired");
  await expect(row(page, "Retired")).not.toContainText("Old secret");
  expect(await statusWith(previous)).toBe(401);
});

test("Usage and refusals shows the time, the client and the reason of a denied request", async ({ page, request }) => {
  await signUp(page);
  await live(page);
  const { secret } = await generate(page, "Refused");
  await closeReveal(page);
  const headers = { "x-api-key-id": "0".repeat(32), "x-api-key-secret": secret, "user-agent": "curl/8.5 <b>" };
  expect((await request.get("/verify", { headers })).status()).toBe(401);
  await openMenu(page, "Refused", "Usage and refusals");
  const denial = dialog(page).locator(".usage li").first();
  await expect(denial).toContainText("Refused: the Key ID does not match");
  await expect(denial).toContainText("127.0.0.1");
  await expect(denial).toContainText("curl/8.5 <b>");
  await expect(denial.locator("time")).toHaveAttribute("datetime", /Z$/);
  await dialog(page).getByRole("button", { name: "Close" }).click();
  await expect(dialog(page)).toHaveCount(0);
});

test.describe("without JavaScript", () => {
  test.use({ javaScriptEnabled: false });

  test("a key can be rotated, its previous secret retired, and its denied requests listed", async ({ page }) => {
    await signUp(page);
    await page.goto(`${KEYS_PAGE}?dialog=generate`);
    await dialog(page).getByRole("button", { name: "Generate key" }).click();
    const { secret: previous } = await readReveal(dialog(page));
    await expect(dialog(page).getByText("Waiting for the first request")).toBeHidden();
    await dialog(page).getByRole("button", { name: "Close" }).click();
    await openMenu(page, "API key 1", "Rotate");
    await expect(dialog(page)).toContainText("This key was not used in the last 30 days.");
    await dialog(page).getByLabel("The old secret stops working").selectOption("after 1 hour");
    await dialog(page).getByRole("button", { name: "Rotate" }).click();
    await expect(dialog(page).getByRole("heading", { name: "API key rotated" })).toBeVisible();
    const secret = (await dialog(page).locator("code").first().innerText()).trim();
    expect([await statusWith(secret), await statusWith(previous)]).toEqual([200, 200]);
    await dialog(page).getByRole("button", { name: "Close" }).click();
    await row(page, "API key 1").getByRole("button", { name: "Retire now" }).click();
    await dialog(page).getByRole("button", { name: "Retire now" }).click();
    await expect(page.getByText("Old secret retired")).toBeVisible();
    expect([await statusWith(secret), await statusWith(previous)]).toEqual([200, 401]);
    await openMenu(page, "API key 1", "Usage and refusals");
    await expect(dialog(page)).toContainText("Refused: the old secret was used after it was retired");
  });
});
