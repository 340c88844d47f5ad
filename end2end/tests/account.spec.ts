import { expect, test } from "@playwright/test";
import { KEYS_PAGE, PASSWORD, dialog, live, signIn, signUp } from "./support";

test("a page that requires a session redirects to sign-in and, after sign-in, back to it", async ({ page }) => {
  const email = await signUp(page);
  await page.getByRole("button", { name: "Sign out" }).click();
  await expect(page.getByText("You are signed out")).toBeVisible();
  await page.goto(`${KEYS_PAGE}?dialog=generate`);
  await expect(page).toHaveURL(/\/sign-in\?next=/);
  await page.getByLabel("E-mail").fill(email);
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Sign in" }).click();
  await expect(dialog(page).getByRole("heading", { name: "New API key" })).toBeVisible();
});

test("signing in never redirects to another site", async ({ page }) => {
  const email = await signUp(page);
  await page.getByRole("button", { name: "Sign out" }).click();
  for (const next of ["//example.org", "https://example.org", "/\\example.org"]) {
    await page.goto(`/sign-in?next=${encodeURIComponent(next)}`);
    await page.getByLabel("E-mail").fill(email);
    await page.getByLabel("Password").fill(PASSWORD);
    await page.getByRole("button", { name: "Sign in" }).click();
    await expect(page).toHaveURL(KEYS_PAGE);
    await page.getByRole("button", { name: "Sign out" }).click();
    await expect(page).toHaveURL(/\/sign-in/);
  }
});

test("a wrong password and an unknown address get the same error, and the form keeps the address", async ({ page }) => {
  const email = await signUp(page);
  await page.getByRole("button", { name: "Sign out" }).click();
  for (const typed of [email, `nobody-${email}`]) {
    await page.goto("/sign-in");
    await page.getByLabel("E-mail").fill(typed);
    await page.getByLabel("Password").fill("not the password");
    await page.getByRole("button", { name: "Sign in" }).click();
    await expect(page.getByRole("alert")).toHaveText("The e-mail address or the password is wrong.");
    await expect(page.getByLabel("E-mail")).toHaveValue(typed);
    await expect(page.getByLabel("Password")).toHaveValue("");
    await expect(page.getByLabel("Password")).toBeFocused();
  }
});

test("sign-up shows each error at its field", async ({ page }) => {
  await page.goto("/sign-up");
  const attempts: [string, string, string][] = [
    ["", "", "Enter your e-mail address."],
    ["ada", PASSWORD, "Enter an e-mail address, such as ada@example.com."],
    ["ada@example.com", "short", "Too short. Use at least 8 characters."],
    ["ada@example.com", "password1", "This password is easy to guess. Make it longer, or less common."],
    ["states@example.com", PASSWORD, "An account with this address already exists. Sign in instead."],
  ];
  for (const [email, password, problem] of attempts) {
    await page.getByLabel("E-mail").fill(email);
    await page.getByLabel("Password").fill(password);
    await page.getByRole("button", { name: "Create account" }).click();
    await expect(page.getByText(problem)).toBeVisible();
    await expect(page.getByLabel("E-mail")).toHaveValue(email);
    await expect(page.locator("[aria-invalid]").first()).toHaveAccessibleDescription(/\S/);
  }
});

test("signing out ends the session, also for a copied cookie", async ({ page, context }) => {
  await signUp(page);
  const cookies = await context.cookies();
  const session = cookies.find((cookie) => cookie.name === "__Host-session");
  expect(session).toMatchObject({ httpOnly: true, secure: true, sameSite: "Lax", path: "/" });
  await page.getByRole("button", { name: "Sign out" }).click();
  await expect(page).toHaveURL(/\/sign-in/);
  expect(await context.cookies()).toEqual([]);
  await context.addCookies(cookies);
  await page.goto(KEYS_PAGE);
  await expect(page).toHaveURL(/\/sign-in/);
});

test("an action without a session shows an error and keeps the values of the form", async ({ page, context }) => {
  await signUp(page);
  await live(page);
  await page.getByRole("button", { name: "Generate key" }).first().click();
  await dialog(page).getByLabel("Key name").fill("Kept");
  const cookies = await context.cookies();
  await context.clearCookies();
  await dialog(page).getByRole("button", { name: "Generate key" }).click();
  await expect(dialog(page).getByRole("alert").filter({ hasText: "Your session has ended" })).toBeVisible();
  await expect(dialog(page).getByLabel("Key name")).toHaveValue("Kept");
  await context.addCookies(cookies);
  await dialog(page).getByRole("button", { name: "Generate key" }).click();
  await expect(dialog(page).getByRole("heading", { name: "API key generated" })).toBeVisible();
});

test("with a session, the sign-in and sign-up pages redirect to the key list", async ({ page }) => {
  await signUp(page);
  for (const path of ["/", "/sign-in", "/sign-up"]) {
    await page.goto(path);
    await expect(page).toHaveURL(KEYS_PAGE);
  }
});

test("an unknown path returns 404", async ({ page }) => {
  for (const path of ["/nope", "/pkg/nope.js", "/rpc/nope"]) {
    expect((await page.goto(path))?.status()).toBe(404);
  }
  await signIn(page, "states@example.com");
  const response = await page.goto("/settings/nope");
  expect(response?.status()).toBe(404);
  await expect(page.getByRole("heading", { name: "Page not found" })).toBeVisible();
});
