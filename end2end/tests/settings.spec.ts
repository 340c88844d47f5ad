import { expect, test } from "@playwright/test";
import { PASSWORD, generate, live, signUp } from "./support";

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
  await expect(page.getByRole("status")).toHaveText(/Password changed/);
  await expect(sessions).toHaveCount(1);

  await otherPage.reload();
  await expect(otherPage).toHaveURL(/\/sign-in/);
  await otherPage.context().close();
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
  await expect(section).toContainText("Your API key goes with it");
  await section.getByRole("button").click();
  await expect(section).toContainText("Enter your password.");
  await section.getByLabel("Password").fill(PASSWORD);
  await section.getByRole("button").click();
  await expect(page.getByText("Your account is deleted, and its keys are refused")).toBeVisible();
  expect(await verify()).toBe(401);
  await page.getByLabel("E-mail").fill(email);
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Sign in" }).click();
  await expect(page.getByRole("alert")).toHaveText("E-mail or password is wrong.");
});

test("the activity page lists the activity of the account, newest first", async ({ page }) => {
  await signUp(page);
  await live(page);
  await generate(page, "Deploy");
  await page.goto("/settings/activity");
  const entries = page.getByRole("main").getByRole("listitem");
  await expect(entries.first()).toContainText("Key “Deploy” generated");
  await expect(entries.first()).toContainText("from 127.0.0.1");
  await expect(entries.last()).toContainText("Account created");
  await expect(page.getByRole("link", { name: "Activity" })).toHaveAttribute("aria-current", "page");
});
