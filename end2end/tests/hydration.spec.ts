import { type Page, type Route, expect, test } from "@playwright/test";
import { KEYS_PAGE, closeReveal, dialog, live, readReveal, row, signUp, statusWith } from "./support";

/** Delays the download of the WebAssembly until the returned function is called. */
async function holdWasm(page: Page): Promise<() => Promise<void>> {
  const held: Route[] = [];
  let isHeld = true;
  await page.route("**/*.wasm", async (route) => {
    if (isHeld) held.push(route);
    else await route.continue();
  });
  return async () => {
    isHeld = false;
    await Promise.all(held.map((route) => route.continue()));
  };
}

test("hydration keeps the form values and the focus that were set before it", async ({ page }) => {
  await signUp(page);
  const release = await holdWasm(page);
  await page.goto(`${KEYS_PAGE}?dialog=generate`);
  const open = dialog(page);
  await open.getByLabel("Key name").fill("Typed early");
  await open.getByLabel("Expire in").selectOption("365");
  await open.getByLabel("Description").fill("Before WebAssembly");
  await open.getByLabel("Description").press("ArrowLeft");
  await expect(page.locator("[data-live]")).toHaveCount(0);
  await release();
  await live(page);
  await expect(open.getByLabel("Key name")).toHaveValue("Typed early");
  await expect(open.getByLabel("Expire in")).toHaveValue("365");
  await expect(open.getByLabel("Description")).toHaveValue("Before WebAssembly");
  await expect(open.getByLabel("Description")).toBeFocused();
  await expect(open.getByText("18 of 200 characters")).toBeVisible();
  await expect(page).toHaveURL(KEYS_PAGE);
  await open.getByRole("button", { name: "Generate key" }).click();
  await expect(open.getByRole("heading", { name: "API key generated" })).toBeVisible();
  await closeReveal(page);
  await expect(row(page, "Typed early")).toContainText("Before WebAssembly");
});

test("a key generated before hydration shows its secret until the dialog is closed", async ({ page }) => {
  await signUp(page);
  const release = await holdWasm(page);
  await page.goto(KEYS_PAGE);
  await page.getByRole("button", { name: "Generate key" }).first().click();
  await expect(page).toHaveURL(/dialog=generate/);
  await dialog(page).getByLabel("Key name").fill("Early click");
  await dialog(page).getByRole("button", { name: "Generate key" }).click();
  await expect(dialog(page).getByRole("heading", { name: "API key generated" })).toBeVisible();
  const { secret } = await readReveal(dialog(page));
  expect(await statusWith(secret)).toBe(200);
  await release();
  await live(page);
  await expect(page).toHaveURL(KEYS_PAGE);
  await closeReveal(page);
  expect(await page.content()).not.toContain(secret);
  await expect(row(page, "Early click")).toBeVisible();
});

test("hydration keeps the error and the values of a form that was rejected before it", async ({ page }) => {
  await signUp(page);
  const release = await holdWasm(page);
  await page.goto(`${KEYS_PAGE}?dialog=generate`);
  await dialog(page).getByLabel("Key name").fill("9 lives");
  await dialog(page).getByRole("button", { name: "Generate key" }).click();
  const name = dialog(page).getByLabel("Key name");
  await expect(name).toHaveAccessibleDescription(/Begin the name with a letter/);
  await expect(name).toHaveValue("9 lives");
  await release();
  await live(page);
  await expect(name).toHaveValue("9 lives");
  await expect(name).toHaveAccessibleDescription(/Begin the name with a letter/);
  await name.fill("Nine lives");
  await expect(name).toHaveAttribute("aria-invalid", "false");
  await page.reload();
  await expect(page).toHaveURL(KEYS_PAGE);
  await expect(dialog(page)).toHaveCount(0);
});

test("hydration writes no message to the browser console", async ({ page }) => {
  const messages: string[] = [];
  page.on("console", (message) => messages.push(message.text()));
  page.on("pageerror", (error) => messages.push(error.message));
  await signUp(page);
  for (const query of ["", "?dialog=generate"]) {
    await page.goto(`${KEYS_PAGE}${query}`);
    await live(page);
  }
  expect(messages).toEqual([]);
});
