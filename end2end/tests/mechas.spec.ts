import { expect, test } from "@playwright/test";
import { closeReveal, createMecha, dialog, generate, live, openMenu, row, signUp, toast } from "./support";

test("a Mecha is created, gets a key that identifies it, is switched off and on, and deleted", async ({ page, request }) => {
  await signUp(page);
  await page.getByRole("link", { name: "Mechas" }).click();
  await expect(page.getByRole("heading", { name: "No Mechas yet" })).toBeVisible();
  await createMecha(page, "Porter");
  await live(page);
  const address = page.url().split("?")[0] ?? "";
  const { secret } = await generate(page, "Runtime", "Issue key");
  await expect(dialog(page)).toContainText("Treat it as a one-time reveal: copy it now, store it outside this page");
  await dialog(page).getByText("systemd", { exact: true }).click();
  await expect(dialog(page).getByText(/systemd-creds encrypt/)).toBeVisible();
  const verify = () => request.get("/verify", { headers: { "x-api-key": secret } });
  expect((await verify()).headers()).toMatchObject({ "x-mecha-id": address.split("/").at(-1), "x-mecha-name": "Porter", "x-key-name": "Runtime" });
  // A verification is no connection of a runtime.
  await expect(dialog(page).locator("#first-request")).toContainText("Waiting for the runtime to connect …");
  await closeReveal(page);
  expect(page.url()).toBe(address);
  await expect(row(page, "Runtime")).toContainText("just now");

  await page.getByRole("switch", { name: "Active: Porter" }).click();
  await expect(dialog(page)).toContainText("Requests with its keys will be refused, and its runtimes disconnected, until you switch it on again.");
  await dialog(page).getByRole("button", { name: "Switch off" }).click();
  await expect(toast(page)).toHaveText("Mecha switched off");
  await expect(page.getByText("This Mecha is switched off.")).toBeVisible();
  expect((await verify()).status()).toBe(401);
  await page.getByRole("switch", { name: "Switched off: Porter" }).click();
  await expect(toast(page)).toHaveText("Mecha switched on");
  expect((await verify()).status()).toBe(204);

  await openMenu(page, "Porter", "Rename and describe");
  await dialog(page).getByLabel("Mecha name").fill("1");
  await dialog(page).getByRole("button", { name: "Save" }).click();
  await expect(dialog(page).getByLabel("Mecha name")).toHaveAccessibleDescription(/Begin the name with a letter\./);
  await dialog(page).getByLabel("Mecha name").fill("Carrier");
  await expect(dialog(page).getByLabel("Mecha name")).toHaveAttribute("aria-invalid", "false");
  await dialog(page).getByLabel("Description").fill("Carries parcels");
  await dialog(page).getByRole("button", { name: "Save" }).click();
  await expect(page.getByRole("heading", { name: "Carrier", level: 1 })).toBeVisible();
  await expect(page.getByText("Carries parcels")).toBeVisible();

  await openMenu(page, "Carrier", "Delete");
  const confirm = dialog(page).getByRole("button", { name: "I understand, delete this Mecha" });
  await expect(confirm).toBeDisabled();
  await dialog(page).getByLabel("Re-enter Mecha name").fill("Carrier");
  await confirm.click();
  await expect(page.getByRole("heading", { name: "No Mechas yet" })).toBeVisible();
  await expect(toast(page)).toHaveText("Mecha deleted");
  expect((await verify()).status()).toBe(401);
});

test("a Mecha that is switched off in another window shows it by itself", async ({ page, context }) => {
  await signUp(page);
  await createMecha(page, "Porter");
  await live(page);
  const other = await context.newPage();
  await other.goto(page.url());
  await live(other);
  await other.getByRole("switch", { name: "Active: Porter" }).click();
  await dialog(other).getByRole("button", { name: "Switch off" }).click();
  await page.bringToFront();
  await expect(page.getByText("This Mecha is switched off.")).toBeVisible();
});

test("a Mecha's page has nothing cut off at 320 px", async ({ page }) => {
  await signUp(page);
  await page.setViewportSize({ width: 320, height: 640 });
  await createMecha(page, "Porter");
  await live(page);
  await generate(page, "Runtime", "Issue key");
  await closeReveal(page);
  for (const path of [page.url(), "/mechas"]) {
    await page.goto(path);
    expect(await page.evaluate(() => document.documentElement.scrollWidth), path).toBeLessThanOrEqual(320);
  }
});

test.describe("without JavaScript", () => {
  test.use({ javaScriptEnabled: false });
  test("a Mecha can be created, described, switched off and on, and deleted", async ({ page, request }) => {
    await signUp(page);
    await createMecha(page, "Porter");
    await page.getByRole("button", { name: "Issue key" }).first().click();
    await dialog(page).getByRole("button", { name: "Issue key" }).click();
    const secret = await dialog(page).locator("code").first().innerText();
    await dialog(page).getByRole("button", { name: "Close" }).click();
    await expect(row(page, "API key 1")).toBeVisible();
    const status = async () => (await request.get("/verify", { headers: { "x-api-key": secret } })).status();
    expect(await status()).toBe(204);
    await openMenu(page, "Porter", "Rename and describe");
    await dialog(page).getByLabel("Mecha name").fill("");
    await dialog(page).getByRole("button", { name: "Save" }).click();
    await expect(dialog(page).getByLabel("Mecha name")).toHaveAccessibleDescription(/Enter a name\./);
    await dialog(page).getByLabel("Mecha name").fill("Carrier");
    await dialog(page).getByRole("button", { name: "Save" }).click();
    await page.getByRole("switch", { name: "Active: Carrier" }).click();
    await dialog(page).getByRole("button", { name: "Switch off" }).click();
    expect(await status()).toBe(401);
    await page.getByRole("switch", { name: "Switched off: Carrier" }).click();
    await expect(page.getByText("Mecha switched on")).toBeVisible();
    expect(await status()).toBe(204);
    await openMenu(page, "Carrier", "Delete");
    await dialog(page).getByLabel("Re-enter Mecha name").fill("Carrier");
    await dialog(page).getByRole("button", { name: "I understand, delete this Mecha" }).click();
    await expect(page.getByText("Mecha deleted")).toBeVisible();
    expect(await status()).toBe(401);
  });
});
