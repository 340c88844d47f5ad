import { expect, test } from "@playwright/test";
import {
  KEYS_PAGE, SEEDED, closeReveal, dialog, generate, live, openGenerate, openMenu, readReveal, row, signIn,
  signUp, statusWith, toast,
} from "./support";

test("a generated key is listed and works until it is deleted", async ({ page }) => {
  await signUp(page);
  await live(page);
  await expect(page.getByRole("heading", { name: "No API keys yet" })).toBeVisible();
  await expect(page.getByText("0 of 10 keys")).toBeVisible();
  for (const button of await page.getByRole("button", { name: "Generate key" }).all()) {
    await expect(button).toHaveAccessibleDescription("");
  }

  const { id, secret } = await generate(page, "CI/CD Pipeline");
  expect(await statusWith(secret)).toBe(200);
  await expect(dialog(page).locator("code").nth(2)).toHaveText(
    `curl -H "Authorization: Bearer ${secret}" http://127.0.0.1:3210/api/v1/key`,
  );
  await expect(dialog(page).locator("code").nth(3)).toHaveText(
    `MECHA_API_KEY_ID=${id}\nMECHA_API_KEY_SECRET=${secret}`,
  );
  await closeReveal(page);

  await expect(page.getByText("1 of 10 keys")).toBeVisible();
  const key = row(page, "CI/CD Pipeline");
  await expect(key).toContainText(id);
  await expect(key).toContainText(`…${secret.slice(-4)}`);
  await expect(key).toContainText(/Expires in 90 days/);
  await expect(key.locator("time").nth(1)).toHaveAttribute("datetime", /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);

  await openMenu(page, "CI/CD Pipeline", "Delete");
  const confirm = dialog(page).getByRole("button", { name: "I understand, delete this key" });
  await expect(confirm).toBeDisabled();
  await dialog(page).getByLabel("Re-enter key name").fill("ci/cd pipeline");
  await expect(confirm).toBeDisabled();
  await dialog(page).getByLabel("Re-enter key name").fill("CI/CD Pipeline");
  await confirm.click();
  await expect(toast(page)).toHaveText("API key deleted");
  await expect(row(page, "CI/CD Pipeline")).toHaveCount(0);
  expect(await statusWith(secret)).toBe(401);
});

test("the suggested name is unused and selected, so that typing replaces it", async ({ page }) => {
  await signUp(page);
  await live(page);
  for (const name of ["API key 1", "API key 2"]) {
    const open = await openGenerate(page);
    await expect(open.getByLabel("Key name")).toBeFocused();
    await expect(open.getByLabel("Key name")).toHaveValue(name);
    await open.getByRole("button", { name: "Generate key" }).click();
    await closeReveal(page);
    await expect(row(page, name)).toBeVisible();
  }
  const open = await openGenerate(page);
  await page.keyboard.type("Typed over");
  await expect(open.getByLabel("Key name")).toHaveValue("Typed over");
});

test("the expiry date follows the selected period, and no expiry shows a warning", async ({ page }) => {
  await signUp(page);
  await live(page);
  const open = await openGenerate(page);
  const period = open.getByLabel("Expire in");
  await expect(period).toHaveValue("90");
  for (const days of [7, 30, 90, 180, 365]) {
    await period.selectOption(`${days}`);
    const end = new Date(Date.now() + days * 86_400_000);
    const date = end.toLocaleDateString("en-GB", { day: "numeric", month: "long", year: "numeric", timeZone: "UTC" });
    await expect(open.getByText(`This key will expire on ${date}`)).toBeVisible();
  }
  await period.selectOption({ label: "No expiry" });
  await expect(open.getByText("This key will never expire")).toBeVisible();
  await open.getByRole("button", { name: "Generate key" }).click();
  await expect(open.getByText("No expiry")).toBeVisible();
  await closeReveal(page);
  await expect(row(page, "API key 1")).toContainText("No expiry");
});

test("errors appear at their fields, keep the values, and disappear once the field is corrected", async ({ page }) => {
  await signUp(page);
  await live(page);
  const open = await openGenerate(page);
  const name = open.getByLabel("Key name");
  const description = open.getByLabel("Description");
  await name.fill("1st key");
  await description.fill("x".repeat(201));
  await expect(open.getByText("201 of 200 characters")).toBeVisible();
  await open.getByRole("button", { name: "Generate key" }).click();

  await expect(name).toHaveAttribute("aria-invalid", "true");
  await expect(name).toHaveAccessibleDescription(/Begin the name with a letter\./);
  await expect(name).toBeFocused();
  await expect(name).toHaveValue("1st key");
  await expect(description).toHaveAccessibleDescription(/Shorten it to at most 200\./);
  await expect(description).toHaveValue("x".repeat(201));

  await name.fill("First\u202ekey");
  await expect(name).toHaveAccessibleDescription(/contains an invisible character/);
  await name.fill("");
  await expect(name).toHaveAccessibleDescription(/Enter a name\./);
  await name.fill("y".repeat(65));
  await expect(name).toHaveAccessibleDescription(/Too long: 65 characters/);
  await name.fill("First key");
  await expect(name).toHaveAttribute("aria-invalid", "false");
  await description.fill("x".repeat(200));
  await expect(description).toHaveAttribute("aria-invalid", "false");
  await open.getByRole("button", { name: "Generate key" }).click();
  await expect(open.getByRole("heading", { name: "API key generated" })).toBeVisible();
  await closeReveal(page);

  const again = await openGenerate(page);
  await again.getByLabel("Key name").fill("FIRST KEY");
  await again.getByRole("button", { name: "Generate key" }).click();
  await expect(again.getByLabel("Key name")).toHaveAccessibleDescription(/Another of your keys has this name/);
  await again.getByLabel("Key name").fill("FIRST KEY 2");
  await expect(again.getByLabel("Key name")).toHaveAttribute("aria-invalid", "false");
});

test("a key can be renamed, also to its own name in another case", async ({ page }) => {
  await signUp(page);
  await live(page);
  for (const name of ["Alpha", "Beta"]) {
    await generate(page, name);
    await closeReveal(page);
  }
  await openMenu(page, "Alpha", "Rename");
  const name = dialog(page).getByLabel("Key name");
  await expect(name).toHaveValue("Alpha");
  await expect(name).toBeFocused();
  await name.fill("beta");
  await page.keyboard.press("Enter");
  await expect(name).toHaveAccessibleDescription(/Another of your keys has this name/);
  await expect(name).toHaveValue("beta");
  await name.fill("ALPHA");
  await page.keyboard.press("Enter");
  await expect(toast(page)).toHaveText("API key renamed");
  await expect(row(page, "ALPHA")).toBeVisible();
  await expect(row(page, "Beta")).toBeVisible();
  await expect(page.getByRole("button", { name: "Actions for ALPHA" })).toBeFocused();
});

test("switching off needs confirmation and the key is denied immediately, and switching on needs none", async ({ page }) => {
  await signUp(page);
  await live(page);
  const { secret } = await generate(page, "Switched");
  await closeReveal(page);
  const control = page.getByRole("switch", { name: "Switched" });
  await expect(control).toBeChecked();
  await control.click();
  await expect(dialog(page)).toContainText("Requests with this key will be refused until you switch it on again.");
  await expect(dialog(page)).toContainText("This key was not used in the last 30 days.");
  await dialog(page).getByRole("button", { name: "Cancel" }).click();
  await expect(control).toBeChecked();
  expect(await statusWith(secret)).toBe(200);
  await control.click();
  await dialog(page).getByRole("button", { name: "Switch off" }).click();
  await expect(control).not.toBeChecked();
  await expect(row(page, "Switched")).toContainText("Inactive");
  expect(await statusWith(secret)).toBe(401);
  await page.reload();
  await live(page);
  await control.click();
  await expect(control).toBeChecked();
  await expect(toast(page)).toHaveText("API key switched on");
  expect(await statusWith(secret)).toBe(200);
  await page.reload();
  await live(page);
  await control.click();
  await expect(dialog(page).locator(".usage li")).toContainText(/127\.0\.0\.1.*2 requests, most recently just now/);
});

test("refreshing moves the expiry later and keeps the secret", async ({ page }) => {
  await signUp(page);
  await live(page);
  const open = await openGenerate(page);
  await open.getByLabel("Expire in").selectOption("7");
  await open.getByRole("button", { name: "Generate key" }).click();
  const { secret } = await readReveal(open);
  await closeReveal(page);
  await page.reload();
  await live(page);
  await expect(row(page, "API key 1")).toContainText("Expiring soon");
  await openMenu(page, "API key 1", "Refresh");
  const period = dialog(page).getByLabel("Expire in");
  await expect(period).toHaveValue("90");
  await period.selectOption("365");
  await expect(dialog(page).getByText("This key will expire on")).toBeVisible();
  await dialog(page).getByRole("button", { name: "Refresh" }).click();
  await expect(toast(page)).toHaveText("API key refreshed");
  await expect(row(page, "API key 1")).toContainText(/Expires in 365 days/);
  await expect(row(page, "API key 1")).not.toContainText("Expiring soon");
  expect(await statusWith(secret)).toBe(200);
  await openMenu(page, "API key 1", "Refresh");
  await expect(dialog(page).getByRole("option", { name: "180 days" })).toBeDisabled();
  await expect(dialog(page).getByRole("option", { name: "No expiry" })).toBeEnabled();
});

test("the list shows the state of each key, and an expired key is last and cannot be switched on or refreshed", async ({ page }) => {
  await signIn(page, SEEDED.states);
  await live(page);
  const names = await page.getByRole("listitem").getByRole("heading").allInnerTexts();
  expect(names.map((name) => name.split("\n")[0]?.trim())).toEqual([
    "Nightly report", "CI/CD Pipeline", "Mobile app", "Backup to cold storage", "Old importer",
  ]);
  await expect(page.getByText("4 of 10 keys")).toBeVisible();
  const expired = row(page, "Old importer");
  expect((await expired.innerText()).match(/Expired|Inactive/g)).toEqual(["Expired"]);
  await expect(expired.getByRole("switch")).toHaveCount(0);
  await page.getByRole("button", { name: "Actions for Old importer" }).click();
  const refresh = expired.getByRole("button", { name: "Refresh" });
  await expect(refresh).toBeDisabled();
  await expect(refresh).toHaveAccessibleDescription("An expired key cannot be refreshed");
  await expect(expired.getByText("An expired key cannot be refreshed")).toBeVisible();
  await refresh.click({ force: true });
  await expect(dialog(page)).toHaveCount(0);
});

test("at the limit of ten keys the button is disabled and describes the reason", async ({ page }) => {
  await signIn(page, SEEDED.full);
  await live(page);
  await expect(page.getByText("10 of 10 keys")).toBeVisible();
  const button = page.getByRole("button", { name: "Generate key" });
  await expect(button).toBeDisabled();
  await expect(button).toHaveAccessibleDescription(/You have 10 keys, the maximum/);
});

test("a failed action shows an error and keeps its dialog open with the values", async ({ page }) => {
  await signUp(page);
  await live(page);
  await generate(page, "Steady");
  await closeReveal(page);
  await openMenu(page, "Steady", "Rename");
  await dialog(page).getByLabel("Key name").fill("Renamed later");
  await page.route("**/rpc/**", (route) => route.abort());
  await page.keyboard.press("Enter");
  await expect(dialog(page).getByRole("alert").filter({ hasText: "cannot be reached" })).toBeVisible();
  await expect(dialog(page).getByLabel("Key name")).toHaveValue("Renamed later");
  await page.unroute("**/rpc/**");
  await page.keyboard.press("Enter");
  await expect(row(page, "Renamed later")).toBeVisible();
});

test("a dialog of a key that was deleted in another tab says so", async ({ page, context }) => {
  await signUp(page);
  await live(page);
  const { id } = await generate(page, "Twice");
  await closeReveal(page);
  const other = await context.newPage();
  await other.goto(KEYS_PAGE);
  await live(other);
  await openMenu(other, "Twice", "Delete");
  await dialog(other).getByLabel("Re-enter key name").fill("Twice");
  await dialog(other).getByRole("button", { name: "I understand, delete this key" }).click();
  await expect(row(other, "Twice")).toHaveCount(0);
  // The list of this page updates by itself, so the dialog is opened as if it had not yet.
  await page.goto(`${KEYS_PAGE}?dialog=rename&key_id=${id}`);
  await expect(dialog(page).getByRole("heading", { name: "This API key no longer exists" })).toBeVisible();
});

test("a dialog whose key is deleted while it is open says so", async ({ page, context }) => {
  await signUp(page);
  await live(page);
  await generate(page, "Twice");
  await closeReveal(page);
  await openMenu(page, "Twice", "Rename");
  await dialog(page).getByLabel("Key name").fill("Too late");
  const other = await context.newPage();
  await other.goto(KEYS_PAGE);
  await live(other);
  await openMenu(other, "Twice", "Delete");
  await dialog(other).getByLabel("Re-enter key name").fill("Twice");
  await dialog(other).getByRole("button", { name: "I understand, delete this key" }).click();
  await expect(row(other, "Twice")).toHaveCount(0);
  await page.keyboard.press("Enter");
  await expect(dialog(page).getByRole("heading", { name: "This API key no longer exists" })).toBeVisible();
});

test("every action can be performed with the keyboard alone", async ({ page }) => {
  await signUp(page);
  await live(page);
  const tabTo = async (name: string) => {
    for (let presses = 0; presses < 40; presses += 1) {
      const label = await page.evaluate(() => {
        const focused = document.activeElement;
        return focused === document.body ? "" : (focused?.getAttribute("aria-label") ?? focused?.textContent ?? "");
      });
      if (label.trim() === name) return;
      await page.keyboard.press("Tab");
    }
    throw new Error(`Tab does not reach ${name}`);
  };
  await tabTo("Generate key");
  await page.keyboard.press("Enter");
  await expect(dialog(page).getByLabel("Key name")).toBeFocused();
  await page.keyboard.type("Keyboard");
  await page.keyboard.press("Enter");
  await expect(dialog(page).getByRole("heading", { name: "API key generated" })).toBeFocused();
  await page.keyboard.press("Escape");
  await expect(dialog(page).getByRole("button", { name: "Go back" })).toBeFocused();
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await expect(dialog(page)).toHaveCount(0);
  await expect(page.getByRole("button", { name: "Generate key" }).first()).toBeFocused();

  await tabTo("Actions for Keyboard");
  await page.keyboard.press("Enter");
  await tabTo("Rename");
  await page.keyboard.press("Enter");
  await expect(dialog(page).getByLabel("Key name")).toBeFocused();
  await page.keyboard.type("Keys");
  await page.keyboard.press("Enter");
  await expect(row(page, "Keys")).toBeVisible();
  await expect(page.getByRole("button", { name: "Actions for Keys" })).toBeFocused();

  await page.keyboard.press("Shift+Tab");
  await expect(page.getByRole("switch")).toBeFocused();
  await page.keyboard.press("Space");
  await expect(dialog(page)).toBeVisible();
  await page.keyboard.press("Escape");
  await expect(dialog(page)).toHaveCount(0);
  await expect(page.getByRole("switch")).toBeFocused();

  await tabTo("Actions for Keys");
  await page.keyboard.press("Enter");
  await tabTo("Delete");
  await page.keyboard.press("Enter");
  await expect(dialog(page).getByLabel("Re-enter key name")).toBeFocused();
  await page.keyboard.type("Keys");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("heading", { name: "No API keys yet" })).toBeVisible();
  await expect(page.locator("#content")).toBeFocused();
});

test("at a width of 320 pixels nothing scrolls horizontally", async ({ page }) => {
  await page.setViewportSize({ width: 320, height: 640 });
  await signIn(page, SEEDED.states);
  await live(page);
  const overflow = () => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  expect(await overflow()).toBe(0);
  await openGenerate(page);
  expect(await dialog(page).evaluate((element) => element.scrollWidth - element.clientWidth)).toBe(0);
  expect(await overflow()).toBe(0);
});
