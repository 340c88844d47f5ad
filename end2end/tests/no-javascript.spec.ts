import { type Page, expect, test } from "@playwright/test";
import { KEYS_PAGE, SECRET, SEEDED, dialog, openMenu, readReveal, row, signIn, signUp, statusWith } from "./support";

async function createKey(page: Page, name: string) {
  await page.getByRole("button", { name: "Generate key" }).first().click();
  await dialog(page).getByLabel("Key name").fill(name);
  await dialog(page).getByRole("button", { name: "Generate key" }).click();
  await expect(dialog(page).getByRole("heading", { name: "API key generated" })).toBeVisible();
  const created = await readReveal(dialog(page));
  await dialog(page).getByRole("button", { name: "Close" }).click();
  await expect(page).toHaveURL(/\/settings\/api-keys/);
  return created;
}

test("a generated key is shown once and works", async ({ page }) => {
  await signUp(page);
  const submission = page.waitForResponse((response) => response.url().endsWith("/rpc/keys/create"));
  const { id, secret } = await createKey(page, "Plain");
  const headers = await (await submission).allHeaders();
  expect(headers["cache-control"]).toBe("no-store");
  expect(headers["content-encoding"]).toBeUndefined();
  expect(await statusWith(secret)).toBe(200);
  await expect(row(page, "Plain")).toContainText(id);
  expect(await page.content()).not.toMatch(SECRET);
});

test("submitting the form again creates no second key", async ({ page }) => {
  await signUp(page);
  await page.goto(`${KEYS_PAGE}?dialog=generate`);
  await dialog(page).getByRole("button", { name: "Generate key" }).click();
  await expect(dialog(page).getByRole("heading", { name: "API key generated" })).toBeVisible();
  await page.reload();
  await expect(dialog(page).getByText("Another of your keys has this name")).toBeVisible();
  await page.goto(KEYS_PAGE);
  await expect(page.getByText("1 of 10 keys")).toBeVisible();
});

test("a rejected form is returned with its values and errors", async ({ page }) => {
  await signUp(page);
  await page.goto(`${KEYS_PAGE}?dialog=generate`);
  await dialog(page).getByLabel("Key name").fill("7up");
  await dialog(page).getByLabel("Expire in").selectOption("30");
  await dialog(page).getByLabel("Description").fill("Two\nlines </textarea><b>&lt;");
  const submission = page.waitForResponse((response) => response.url().endsWith("/rpc/keys/create"));
  await dialog(page).getByRole("button", { name: "Generate key" }).click();
  expect((await submission).status()).toBe(422);
  await expect(dialog(page).getByLabel("Key name")).toHaveAccessibleDescription(/Begin the name with a letter/);
  await expect(dialog(page).getByLabel("Key name")).toHaveValue("7up");
  await expect(dialog(page).getByLabel("Expire in")).toHaveValue("30");
  await expect(dialog(page).getByLabel("Description")).toHaveValue("Two\nlines </textarea><b>&lt;");
  await dialog(page).getByRole("button", { name: "Cancel" }).click();
  await expect(page.getByText("0 of 10 keys")).toBeVisible();
});

test("a key can be renamed, refreshed, switched off and on, and deleted", async ({ page }) => {
  await signUp(page);
  const { secret } = await createKey(page, "Plain");

  await openMenu(page, "Plain", "Rename");
  await dialog(page).getByLabel("Key name").fill("Simple");
  await dialog(page).getByRole("button", { name: "Rename" }).click();
  await expect(page.getByText("API key renamed")).toBeVisible();

  await openMenu(page, "Simple", "Refresh");
  await dialog(page).getByLabel("Expire in").selectOption("365");
  await dialog(page).getByRole("button", { name: "Refresh" }).click();
  await expect(page.getByText("API key refreshed")).toBeVisible();
  await expect(row(page, "Simple")).toContainText(/Expires in 365 days/);

  await page.getByRole("switch", { name: "Simple" }).click();
  await dialog(page).getByRole("button", { name: "Switch off" }).click();
  await expect(page.getByText("API key switched off")).toBeVisible();
  expect(await statusWith(secret)).toBe(401);
  await page.getByRole("switch", { name: "Simple" }).click();
  await expect(page.getByText("API key switched on")).toBeVisible();
  expect(await statusWith(secret)).toBe(200);

  await openMenu(page, "Simple", "Delete");
  await dialog(page).getByLabel("Re-enter key name").fill("simple");
  await dialog(page).getByRole("button", { name: "I understand, delete this key" }).click();
  await expect(dialog(page).getByLabel("Re-enter key name")).toHaveAccessibleDescription(/The name does not match/);
  await dialog(page).getByLabel("Re-enter key name").fill("Simple");
  await dialog(page).getByRole("button", { name: "I understand, delete this key" }).click();
  await expect(page.getByText("API key deleted")).toBeVisible();
  expect(await statusWith(secret)).toBe(401);
});

test("a key is restricted, edited, and expires on a date", async ({ page }) => {
  await signUp(page);
  await page.goto(`${KEYS_PAGE}?dialog=generate`);
  const open = dialog(page);
  await open.getByLabel("Key name").fill("Chat");
  await open.getByLabel("Expire in").selectOption("Other date");
  await open.getByLabel("Only these scopes").check();
  await open.getByRole("button", { name: "Generate key" }).click();
  await expect(open.getByText("Enter a date.")).toBeVisible();
  await expect(open.getByText("Choose at least one scope")).toBeVisible();
  await expect(open.getByLabel("Only these scopes")).toBeChecked();
  const inTenDays = new Date(Date.now() + 10 * 86_400_000).toISOString().slice(0, 10);
  await open.getByLabel("Last day").fill(inTenDays);
  await open.getByLabel("chat:read").check();
  await open.getByRole("button", { name: "Generate key" }).click();
  await readReveal(open);
  await open.getByRole("button", { name: "Close" }).click();
  await row(page, "Chat").getByText("1 scope").click();
  await expect(row(page, "Chat").getByText("chat:read")).toBeVisible();

  await openMenu(page, "Chat", "Edit");
  await expect(open.getByLabel("chat:read")).toBeChecked();
  await open.getByLabel("chat:write").check();
  await open.getByLabel("Description").fill("Writes, too");
  await open.getByRole("button", { name: "Save" }).click();
  await expect(page.getByText("API key changed")).toBeVisible();
  await expect(row(page, "Chat")).toContainText("Writes, too");
  await expect(row(page, "Chat").getByText("2 scopes")).toBeVisible();
});

test("elements behind an open dialog cannot be focused", async ({ page }) => {
  await signIn(page, SEEDED.three);
  await page.goto(`${KEYS_PAGE}?dialog=generate`);
  for (let presses = 0; presses < 12; presses += 1) {
    await page.keyboard.press("Tab");
    const where = page.locator(":focus");
    if ((await where.count()) > 0) await expect(dialog(page).locator(":focus")).toHaveCount(1);
  }
});

test("a URL with an invalid dialog shows the page without a dialog", async ({ page }) => {
  await signIn(page, SEEDED.three);
  await page.goto(`${KEYS_PAGE}?dialog=delete&key_id=${"0".repeat(32)}`);
  await expect(dialog(page).getByRole("heading", { name: "This API key no longer exists" })).toBeVisible();
  for (const query of ["dialog=rename", "dialog=nonsense", "key_id=1"]) {
    await page.goto(`${KEYS_PAGE}?${query}`);
    await expect(dialog(page)).toHaveCount(0);
    await expect(page.locator("[inert]")).toHaveCount(0);
  }
});

test("the limit of ten keys applies to submitted forms", async ({ page }) => {
  await signIn(page, SEEDED.full);
  await page.goto(`${KEYS_PAGE}?dialog=generate`);
  await dialog(page).getByRole("button", { name: "Generate key" }).click();
  await expect(dialog(page).getByRole("alert").filter({ hasText: "You have 10 keys" })).toBeVisible();
});
