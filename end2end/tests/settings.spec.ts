import { expect, test } from "@playwright/test";
import { PASSWORD, closeReveal, generate, live, signUp } from "./support";

const OTHER = "velvet anchor nineteen moss";

test("changing the password signs out other browsers", async ({ page, browser }) => {
  const email = await signUp(page);
  const otherPage = await (await browser.newContext()).newPage();
  await otherPage.goto("/sign-in?next=/settings/account");
  await otherPage.getByLabel("E-mail").fill(email);
  await otherPage.getByLabel("Password").fill(PASSWORD);
  await otherPage.getByRole("button", { name: "Sign in" }).click();
  await expect(otherPage.getByRole("heading", { name: "Account", level: 1 })).toBeVisible();

  await page.getByRole("link", { name: "Account" }).click();
  const sessions = page.getByRole("region", { name: "Sessions" }).getByRole("listitem");
  await expect(sessions).toHaveCount(2);
  await expect(sessions.filter({ hasText: "This session" })).toHaveCount(1);
  await page.getByLabel("Current password").fill("not the password");
  await page.getByLabel("New password").fill(OTHER);
  await page.getByRole("button", { name: "Change password" }).click();
  await expect(page.getByText("This is not your password.")).toBeVisible();
  await expect(page.getByLabel("Current password")).toHaveAccessibleDescription(/This is not your password/);
  await page.getByLabel("Current password").fill(PASSWORD);
  await page.getByLabel("New password").fill(OTHER);
  await page.getByRole("button", { name: "Change password" }).click();
  await expect(page.getByRole("status").filter({ hasText: /Password changed/ })).toBeVisible();
  await expect(sessions).toHaveCount(1);

  await otherPage.reload();
  await expect(otherPage).toHaveURL(/\/sign-in/);
  await otherPage.context().close();
});

test("a session is named after its browser, and can be ended individually", async ({ page, browser }) => {
  const email = await signUp(page);
  const userAgent = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/159.0.0.0 Safari/537.36";
  const otherPage = await (await browser.newContext({ userAgent })).newPage();
  await otherPage.goto("/sign-in");
  await otherPage.getByLabel("E-mail").fill(email);
  await otherPage.getByLabel("Password").fill(PASSWORD);
  await otherPage.getByRole("button", { name: "Sign in" }).click();
  await expect(otherPage.getByRole("heading", { name: "API Keys", level: 1 })).toBeVisible();
  await page.goto("/settings/account");
  await expect(page.getByTitle(userAgent, { exact: true })).toHaveText("Chrome 159 on Windows");
  await page.getByRole("button", { name: "End session: Chrome 159 on Windows" }).click();
  await expect(page.getByRole("status").filter({ hasText: "Session ended" })).toBeVisible();
  await expect(page.getByRole("button", { name: /^End session/ })).toHaveCount(0);
  await otherPage.reload();
  await expect(otherPage).toHaveURL(/\/sign-in/);
  await otherPage.context().close();
  await page.goto("/settings/activity");
  await expect(page.getByText("Session ended: Chrome 159 on Windows")).toBeVisible();
});

test("Sign out everywhere ends the session", async ({ page }) => {
  await signUp(page);
  await page.goto("/settings/account");
  await page.getByRole("button", { name: "Sign out everywhere" }).click();
  await expect(page.getByText("You are signed out everywhere")).toBeVisible();
  await page.goto("/settings/account");
  await expect(page).toHaveURL(/\/sign-in/);
});

test("after deleting the account, its key is denied and sign-in is rejected", async ({ page, request }) => {
  const email = await signUp(page);
  await live(page);
  const { secret } = await generate(page, "Deploy");
  const verify = async () => (await request.get("/verify", { headers: { "X-Api-Key": secret } })).status();
  expect(await verify()).toBe(204);
  await page.goto("/settings/account");
  const section = page.getByRole("region", { name: "Delete account" });
  await expect(section).toContainText("Your API key will be deleted too");
  await section.getByRole("button").click();
  await expect(section).toContainText("Enter your password.");
  await section.getByLabel("Password").fill(PASSWORD);
  await section.getByRole("button").click();
  await expect(page.getByText("Account deleted. Its keys no longer work.")).toBeVisible();
  expect(await verify()).toBe(401);
  await page.getByLabel("E-mail").fill(email);
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Sign in" }).click();
  await expect(page.getByRole("alert")).toHaveText("The e-mail address or the password is wrong.");
});

test("the activity page lists the activity of the account, newest first", async ({ page }) => {
  await signUp(page);
  await live(page);
  await generate(page, "Deploy");
  await page.goto("/settings/activity");
  const entries = page.getByRole("main").getByRole("listitem");
  await expect(entries.first()).toContainText(/Chrome \d+ on \w+, from 127\.0\.0\.1/);
  await expect(entries.first()).toContainText("Key “Deploy” generated");
  await expect(entries.first()).toContainText("from 127.0.0.1");
  await expect(entries.last()).toContainText("Account created");
  await expect(page.getByRole("link", { name: "Activity" })).toHaveAttribute("aria-current", "page");
});

test("the menu of a key leads to its activity, which filters by key and by kind", async ({ page }) => {
  await signUp(page);
  await live(page);
  for (const name of ["Deploy", "Report"]) {
    await generate(page, name);
    await closeReveal(page);
  }
  await page.getByRole("button", { name: "Actions for Deploy", exact: true }).click();
  await page.locator(".menu:popover-open").getByRole("link", { name: "Activity" }).click();
  const entries = page.getByRole("main").getByRole("listitem");
  await expect(entries).toHaveText([/Key “Deploy” generated/]);
  await expect(page.getByLabel("Key")).toHaveValue(/^[0-9a-f]{32}$/);
  await page.getByLabel("Key").selectOption("All keys");
  await page.getByLabel("Show").selectOption("Account created");
  await page.getByRole("button", { name: "Filter" }).click();
  await expect(entries).toHaveText([/Account created/]);
});
