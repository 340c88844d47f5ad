import AxeBuilder from "@axe-core/playwright";
import { type Page, expect, test } from "@playwright/test";
import { KEYS_PAGE, PASSWORD, SEEDED, closeReveal, createMecha, dialog, generate, live, openGenerate, openMenu, signIn, signUp } from "./support";

async function hasNoViolations(page: Page, state: string) {
  // The contrast of colours can be checked only after all animations have finished.
  await page.evaluate(() => Promise.allSettled(document.getAnimations().map((animation) => animation.finished)));
  const { violations } = await new AxeBuilder({ page })
    .withTags(["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"])
    .analyze();
  expect.soft(violations.map(({ id, nodes }) => [id, nodes.map((node) => node.html)]), state).toEqual([]);
}

for (const colorScheme of ["light", "dark"] as const) {
  test.describe(`in ${colorScheme}`, () => {
    test.use({ colorScheme });

    test("axe finds no violations on the pages without a session", async ({ page }) => {
      await page.goto("/sign-in");
      await hasNoViolations(page, "sign in");
      await page.getByRole("button", { name: "Sign in" }).click();
      await hasNoViolations(page, "sign in, field errors");
      await page.getByLabel("E-mail").fill("nobody@example.com");
      await page.getByLabel("Password").fill(PASSWORD);
      await page.getByRole("button", { name: "Sign in" }).click();
      await hasNoViolations(page, "sign in, rejected");
      await page.goto("/sign-up");
      await hasNoViolations(page, "sign up");
      await page.goto("/nope");
      await hasNoViolations(page, "not found");
    });

    test("axe finds no violations on the key list in any of its states", async ({ page }) => {
      for (const account of [SEEDED.states, SEEDED.three, SEEDED.full, SEEDED.busy]) {
        await signIn(page, account);
        await live(page);
        await hasNoViolations(page, account);
        await page.getByRole("button", { name: /^Actions for/ }).first().click();
        await hasNoViolations(page, `${account}, menu`);
      }
    });

    test("axe finds no violations on the pages and in the dialogs of Mechas", async ({ page }) => {
      await signUp(page);
      await page.goto("/mechas");
      await hasNoViolations(page, "Mechas, empty");
      await createMecha(page, "Porter");
      await live(page);
      await hasNoViolations(page, "Mecha without keys");
      for (const item of ["Rename and describe", "Delete"]) {
        await openMenu(page, "Porter", item);
        await expect(dialog(page)).toBeVisible();
        await hasNoViolations(page, `Mecha, ${item}`);
        await page.keyboard.press("Escape");
        await expect(dialog(page)).toHaveCount(0);
      }
      await generate(page, "Runtime", "Issue key");
      await hasNoViolations(page, "Mecha, reveal");
      await closeReveal(page);
      await page.getByRole("switch", { name: "Active: Porter" }).click();
      await dialog(page).getByRole("button", { name: "Switch off" }).click();
      await expect(page.getByText("This Mecha is switched off.")).toBeVisible();
      await hasNoViolations(page, "Mecha, switched off");
      await page.goto("/mechas");
      await hasNoViolations(page, "Mechas");
    });

    test("axe finds no violations in any dialog or on any settings page, with and without errors", async ({ page }) => {
      await signUp(page);
      await live(page);
      await hasNoViolations(page, "empty");
      const open = await openGenerate(page);
      await hasNoViolations(page, "generate");
      await open.getByLabel("Key name").fill("1");
      await open.getByLabel("Description").fill("x".repeat(201));
      await open.getByLabel("Expire in").selectOption("date");
      await open.getByLabel("Only these scopes").check();
      await open.getByRole("button", { name: "Generate key" }).click();
      await expect(open.getByLabel("Key name")).toHaveAttribute("aria-invalid", "true");
      await hasNoViolations(page, "generate, field errors");
      await page.keyboard.press("Escape");
      await generate(page, "Key");
      await hasNoViolations(page, "reveal");
      await dialog(page).getByRole("button", { name: "Copy secret" }).click();
      await hasNoViolations(page, "reveal, copied");
      await page.keyboard.press("Escape");
      await generate(page, "Key 2");
      await page.keyboard.press("Escape");
      await hasNoViolations(page, "reveal, confirmation to close");
      await dialog(page).getByRole("button", { name: "Close without copying" }).click();
      await expect(dialog(page)).toHaveCount(0);
      await page.goto("/settings/use-it");
      await hasNoViolations(page, "integrate");
      await page.goto("/settings/activity");
      await hasNoViolations(page, "activity");
      await page.goto("/settings/account");
      await hasNoViolations(page, "account");
      await page.getByRole("button", { name: "Change password" }).click();
      await hasNoViolations(page, "account, field errors");
      await page.goto("/docs/api");
      await hasNoViolations(page, "API reference");
      await page.goto(KEYS_PAGE);
      await live(page);
      for (const item of ["Rename", "Edit", "Refresh", "Rotate", "Usage and refusals", "Delete"]) {
        await openMenu(page, "Key", item);
        await expect(dialog(page)).toBeVisible();
        await hasNoViolations(page, item);
        await page.keyboard.press("Escape");
        await expect(dialog(page)).toHaveCount(0);
      }
      await page.getByRole("switch", { name: "Active: Key", exact: true }).click();
      await hasNoViolations(page, "switch off");
      await page.route("**/rpc/**", (route) => route.abort());
      await dialog(page).getByRole("button", { name: "Switch off" }).click();
      await expect(dialog(page).getByRole("alert").filter({ hasText: /\S/ })).toBeVisible();
      await hasNoViolations(page, "switch off, failed");
    });
  });
}
