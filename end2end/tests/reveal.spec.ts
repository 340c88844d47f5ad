import { expect, test } from "@playwright/test";
import {
  SECRET, closeReveal, dialog, generate, live, openGenerate, readReveal, signUp, statusWith,
} from "./support";

test("the secret is copied with the Clipboard API, and closing then needs no confirmation", async ({ page, context }) => {
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await signUp(page);
  await live(page);
  const { secret } = await generate(page, "Copied");
  await dialog(page).getByRole("button", { name: "Copy secret" }).click();
  await expect(dialog(page).getByRole("status").filter({ hasText: "Copied" })).toBeVisible();
  expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(secret);
  await dialog(page).getByRole("button", { name: "Close" }).click();
  await expect(dialog(page)).toHaveCount(0);
});

test("the Key ID and the secret can be copied without the Clipboard API", async ({ page, context }) => {
  await context.grantPermissions(["clipboard-read"]);
  await page.addInitScript(() => {
    const real = navigator.clipboard;
    Object.assign(window, { readClipboard: () => real.readText() });
    Object.defineProperty(navigator, "clipboard", { value: undefined });
  });
  await signUp(page);
  await live(page);
  const { id, secret } = await generate(page, "Copied on a LAN");
  const clipboard = () => page.evaluate(() => (window as unknown as { readClipboard(): Promise<string> }).readClipboard());
  await dialog(page).getByRole("button", { name: "Copy API Key ID" }).click();
  await expect.poll(clipboard).toBe(id);
  await dialog(page).getByRole("button", { name: "Close" }).click();
  await expect(dialog(page).getByRole("alert").filter({ hasText: "not copied" })).toBeVisible();
  await dialog(page).getByRole("button", { name: "Go back" }).click();
  await dialog(page).getByText(".env", { exact: true }).click();
  await dialog(page).getByRole("button", { name: "Copy .env lines" }).click();
  await expect.poll(clipboard).toBe(`MECHA_API_KEY_ID=${id}\nMECHA_API_KEY_SECRET=${secret}`);
  await dialog(page).getByRole("button", { name: "Close" }).click();
  await expect(dialog(page)).toHaveCount(0);
});

test("if the page cannot copy, the secret is selected and the page describes how to copy it", async ({ page }) => {
  await page.addInitScript(() => {
    Object.defineProperty(navigator, "clipboard", { value: undefined });
    document.execCommand = () => false;
  });
  await signUp(page);
  await live(page);
  const { secret } = await generate(page, "By hand");
  await dialog(page).getByRole("button", { name: "Copy secret" }).click();
  await expect(dialog(page).getByRole("status").filter({ hasText: "press Ctrl+C" })).toBeVisible();
  expect(await page.evaluate(() => `${getSelection()}`)).toBe(secret);
});

test("while a create request is pending, a second one creates no key and the first secret is shown", async ({ page }) => {
  await signUp(page);
  await live(page);
  let release = () => {};
  const held = new Promise<void>((resolve) => (release = resolve));
  await page.route("**/rpc/keys/create", async (route) => {
    await held;
    await route.continue();
  });
  const open = await openGenerate(page);
  await open.getByLabel("Key name").fill("First");
  await open.getByRole("button", { name: "Generate key" }).click();
  await open.getByRole("button", { name: "Cancel" }).click();
  await openGenerate(page);
  await dialog(page).getByLabel("Key name").fill("Second");
  await dialog(page).getByRole("button", { name: "Generate key" }).click();
  release();
  await expect(dialog(page).getByRole("heading", { name: "API key generated" })).toBeVisible();
  await expect(dialog(page).getByText("First", { exact: true })).toBeVisible();
  const { secret } = await readReveal(dialog(page));
  expect(await statusWith(secret)).toBe(200);
  await closeReveal(page);
  await expect(page.getByText("1 of 10 keys")).toBeVisible();
});

test("Escape asks for confirmation, a second Escape goes back, and Close without copying closes", async ({ page }) => {
  await signUp(page);
  await live(page);
  await generate(page, "Escaped");
  for (let round = 0; round < 2; round += 1) {
    await page.keyboard.press("Escape");
    await expect(dialog(page).getByRole("alert").filter({ hasText: "not copied" })).toBeVisible();
    await page.keyboard.press("Escape");
    await expect(dialog(page).getByRole("alert").filter({ hasText: "not copied" })).toBeHidden();
    await expect(dialog(page).getByText(SECRET).first()).toBeVisible();
  }
  await page.keyboard.press("Escape");
  await dialog(page).getByRole("button", { name: "Close without copying" }).click();
  await expect(dialog(page)).toHaveCount(0);
});

test("after closing, the secret is not in the page, its storage, its history or its URL", async ({ page }) => {
  await signUp(page);
  await live(page);
  const { secret } = await generate(page, "Gone");
  await closeReveal(page);
  const everything = await page.evaluate(() =>
    [document.documentElement.outerHTML, location.href, JSON.stringify([localStorage, sessionStorage, history.state])].join());
  expect(everything).not.toContain(secret);
  expect(everything).not.toMatch(SECRET);
  await page.reload();
  expect(await page.content()).not.toMatch(SECRET);
});
