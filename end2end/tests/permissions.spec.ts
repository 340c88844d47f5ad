import { type Page, expect, test } from "@playwright/test";
import { KEYS_PAGE, apiClient, closeReveal, createMecha, dialog, generate, live, openGenerate, openMenu, readReveal, row, signUp, toast } from "./support";

// Access of keys: the dialogs Generate and Edit, the list, and expiry on a date.

/** The status of /verify for a route that requires a scope. */
async function verify(secret: string, scope: string): Promise<number> {
  const client = await apiClient();
  const response = await client.get("/verify", { params: { scope }, headers: { authorization: `Bearer ${secret}` } });
  await client.dispose();
  return response.status();
}

async function generateWith(page: Page, name: string, scopes: string[], button?: string) {
  const open = await openGenerate(page, button);
  await open.getByLabel("Key name").fill(name);
  await expect(open.getByLabel("chat:read")).toBeHidden();
  await open.getByLabel("Only these scopes").check();
  for (const scope of scopes) await open.getByLabel(scope).check();
  await open.getByRole("button", { name: button ?? "Generate key" }).click();
  const key = await readReveal(open);
  await closeReveal(page);
  return key;
}

test("a key is restricted in Generate, and Edit changes its access for the very next request", async ({ page }) => {
  await signUp(page);
  await live(page);
  const { secret } = await generateWith(page, "Chat", ["chat:read"]);
  expect([await verify(secret, "chat:read"), await verify(secret, "chat:write")]).toEqual([204, 403]);

  // The list shows the scopes, collapsed.
  await expect(row(page, "Chat").getByText("chat:read")).toBeHidden();
  await row(page, "Chat").getByText("1 scope").click();
  await expect(row(page, "Chat").getByText("chat:read")).toBeVisible();

  await openMenu(page, "Chat", "Edit");
  const open = dialog(page);
  await expect(open.getByRole("heading", { name: "Edit this API key" })).toBeVisible();
  await expect(open.getByLabel("Only these scopes")).toBeChecked();
  await expect(open.getByLabel("chat:read")).toBeChecked();
  await open.getByLabel("chat:write").check();
  await open.getByLabel("Key name").fill("Chat 2");
  await open.getByLabel("Description").fill("Writes, too");
  await open.getByRole("button", { name: "Save" }).click();
  await expect(toast(page)).toHaveText("API key changed");
  expect(await verify(secret, "chat:write")).toBe(204);
  await expect(row(page, "Chat 2")).toContainText("Writes, too");
  await expect(row(page, "Chat 2").getByText("2 scopes")).toBeVisible();

  await openMenu(page, "Chat 2", "Edit");
  await dialog(page).getByLabel("Everything").check();
  await expect(dialog(page).getByLabel("chat:read")).toBeHidden();
  await dialog(page).getByRole("button", { name: "Save" }).click();
  await expect(toast(page)).toHaveText("API key changed");
  expect(await verify(secret, "trigger")).toBe(204);
  await expect(row(page, "Chat 2").getByText(/scopes?$/)).toHaveCount(0);

  await openMenu(page, "Chat 2", "Usage and refusals");
  await expect(dialog(page).getByText("the key lacks the scope chat:write")).toBeVisible();
});

test("without a chosen scope the form says so, keeps everything, and focuses the scopes", async ({ page }) => {
  await signUp(page);
  await live(page);
  const open = await openGenerate(page);
  await open.getByLabel("Key name").fill("Chat");
  await open.getByLabel("Only these scopes").check();
  await open.getByRole("button", { name: "Generate key" }).click();
  await expect(open.getByText("Choose at least one scope, or access to everything.")).toBeVisible();
  await expect(open.getByLabel("chat:read")).toBeFocused();
  await expect(open.getByLabel("Only these scopes")).toBeChecked();
  await expect(open.getByLabel("Key name")).toHaveValue("Chat");
  await page.keyboard.press("Space");
  await expect(open.getByText("Choose at least one scope")).toHaveCount(0);
  await expect(open.getByLabel("chat:read")).toHaveAttribute("aria-invalid", "false");
  await open.getByRole("button", { name: "Generate key" }).click();
  await readReveal(open);
});

test("a key expires at the end of a date that its owner chooses", async ({ page }) => {
  await signUp(page);
  await live(page);
  const open = await openGenerate(page);
  await open.getByLabel("Key name").fill("Dated");
  await expect(open.getByLabel("Last day")).toBeHidden();
  await open.getByLabel("Expire in").selectOption("Other date");
  await open.getByRole("button", { name: "Generate key" }).click();
  await expect(open.getByText("Enter a date.")).toBeVisible();
  await expect(open.getByLabel("Last day")).toBeFocused();
  await expect(open.getByText("until 23:59:59 UTC on this day")).toBeVisible();
  const inTenDays = new Date(Date.now() + 10 * 86_400_000).toISOString().slice(0, 10);
  await open.getByLabel("Last day").fill("2020-01-01");
  await expect(open.getByText("Enter a date.")).toHaveCount(0);
  await open.getByRole("button", { name: "Generate key" }).click();
  await expect(open.getByText(/^Choose a date from /)).toBeVisible();
  await open.getByLabel("Last day").fill(inTenDays);
  await open.getByRole("button", { name: "Generate key" }).click();
  const { secret } = await readReveal(open);
  const client = await apiClient();
  const key = await (await client.get("/api/v1/key", { headers: { authorization: `Bearer ${secret}` } })).json();
  expect(key.expires_at).toBe(`${inTenDays}T23:59:59Z`);
  await client.dispose();
});

test("a link prefills scopes and a date, and creates nothing", async ({ page }) => {
  await signUp(page);
  await page.goto(`${KEYS_PAGE}?dialog=generate&name=Linked&scopes=chat:read+unknown&expire_in=date&expires_on=2027-01-31`);
  await live(page);
  const open = dialog(page);
  await expect(open.getByLabel("Only these scopes")).toBeChecked();
  await expect(open.getByLabel("chat:read")).toBeChecked();
  await expect(open.getByLabel("chat:write")).not.toBeChecked();
  await expect(open.getByLabel("Last day")).toHaveValue("2027-01-31");
  await page.goto(KEYS_PAGE);
  await expect(page.getByText("No API keys yet")).toBeVisible();
});

test("the key of a Mecha can be restricted", async ({ page }) => {
  await signUp(page);
  await createMecha(page, "Porter");
  await live(page);
  const { secret } = await generateWith(page, "Runtime", ["trigger"], "Issue key");
  expect([await verify(secret, "trigger"), await verify(secret, "chat:read")]).toEqual([204, 403]);
});

for (const [width, height] of [[320, 640], [1366, 625]] as const) {
  test(`at ${width}×${height}, every field of Edit can be reached by keyboard alone and nothing is cut off`, async ({ page }) => {
    await page.setViewportSize({ width, height });
    await signUp(page);
    await live(page);
    await generate(page, "Chat");
    await closeReveal(page);
    await openMenu(page, "Chat", "Edit");
    const open = dialog(page);
    await expect(open.getByLabel("Key name")).toBeFocused();
    await page.keyboard.press("Tab");
    await expect(open.getByLabel("Description")).toBeFocused();
    await page.keyboard.press("Tab");
    await expect(open.getByLabel("Everything")).toBeFocused();
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Tab");
    await expect(open.getByLabel("chat:read")).toBeFocused();
    await expect(open.getByLabel("chat:read")).toBeInViewport({ ratio: 1 });
    await page.keyboard.press("Space");
    await page.keyboard.press("Enter");
    await expect(toast(page)).toHaveText("API key changed");
    await expect(row(page, "Chat").getByText("1 scope")).toBeVisible();
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width);
  });
}
