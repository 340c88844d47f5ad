import { type Page, test } from "@playwright/test";
import { KEYS_PAGE, SEEDED, closeReveal, createMecha, dialog, generate, live, openGenerate, openMenu, signIn, signUp } from "./support";

/** The folder for screenshots of every state; `make screenshots` copies some of them to docs/. */
const FOLDER = "../target/screenshots";

const sizes = { narrow: { width: 320, height: 640 }, medium: { width: 768, height: 900 }, wide: { width: 1440, height: 900 } };

for (const colorScheme of ["light", "dark"] as const) {
  for (const [size, viewport] of Object.entries(sizes)) {
    test.describe(`${size} and ${colorScheme}`, () => {
      test.use({ colorScheme, viewport });
      const shoot = async (page: Page, name: string) => {
        await page.mouse.move(0, 0);
        await page.evaluate(() => Promise.allSettled(document.getAnimations().map((animation) => animation.finished)));
        await page.screenshot({ path: `${FOLDER}/${name}-${size}-${colorScheme}.png`, fullPage: !(await dialog(page).count()) });
      };

      test("pages without a session", async ({ page }) => {
        await page.goto("/sign-in");
        await shoot(page, "sign-in");
        await page.getByLabel("E-mail").fill("nobody@example.com");
        await page.getByLabel("Password").fill("wrong password");
        await page.getByRole("button", { name: "Sign in" }).click();
        await shoot(page, "sign-in-refused");
        await page.goto("/sign-up");
        await page.getByLabel("E-mail").fill("ada");
        await page.getByLabel("Password").fill("short");
        await page.getByRole("button", { name: "Create account" }).click();
        await shoot(page, "sign-up-refused");
        await page.goto("/nope");
        await shoot(page, "not-found");
      });

      test("key lists, menu and dialogs", async ({ page }) => {
        for (const [name, account] of Object.entries(SEEDED)) {
          await signIn(page, account);
          await live(page);
          await shoot(page, `list-${name}`);
        }
        await openMenu(page, "Partner integration", "Usage and refusals");
        await shoot(page, "usage-busy");
        await signIn(page, SEEDED.three);
        await live(page);
        await page.getByRole("button", { name: "Actions for Nightly report" }).click();
        await shoot(page, "menu");
        for (const item of ["Rename", "Refresh", "Rotate", "Usage and refusals", "Delete"]) {
          await page.goto(KEYS_PAGE);
          await live(page);
          await openMenu(page, "Nightly report", item);
          await shoot(page, item.toLowerCase().replaceAll(" ", "-"));
        }
        await page.goto(KEYS_PAGE);
        await live(page);
        await page.getByRole("switch", { name: "Active: Nightly report" }).click();
        await shoot(page, "switch-off");
      });

      test("generating and rotating a key", async ({ page }) => {
        await signUp(page);
        await live(page);
        await shoot(page, "list-empty");
        const open = await openGenerate(page);
        await shoot(page, "generate");
        await open.getByLabel("Key name").fill("1st key");
        await open.getByLabel("Description").fill("x".repeat(201));
        await open.getByLabel("Expire in").selectOption("never");
        await open.getByRole("button", { name: "Generate key" }).click();
        await open.getByText("Begin the name with a letter").waitFor();
        await shoot(page, "generate-refused");
        await page.keyboard.press("Escape");
        await generate(page, "Nightly report");
        await shoot(page, "reveal");
        await page.keyboard.press("Escape");
        await shoot(page, "reveal-asking");
        await dialog(page).getByRole("button", { name: "Close without copying" }).click();
        await openMenu(page, "Nightly report", "Rotate");
        await dialog(page).getByRole("button", { name: "Rotate" }).click();
        await dialog(page).getByRole("heading", { name: "API key rotated" }).waitFor();
        await closeReveal(page);
        await shoot(page, "list-rotating");
      });

      test("other pages", async ({ page }) => {
        await signIn(page, SEEDED.three);
        await createMecha(page, `Porter ${size} ${colorScheme}`);
        await page.goto("/mechas");
        await shoot(page, "mechas");
        await page.getByRole("link", { name: `Porter ${size} ${colorScheme}` }).click();
        await live(page);
        await generate(page, "Runtime", "Issue key");
        await shoot(page, "mecha-reveal");
        await closeReveal(page);
        await shoot(page, "mecha");
        await page.goto("/settings/use-it");
        await shoot(page, "integrate");
        await page.goto("/settings/activity");
        await shoot(page, "activity");
        await page.goto("/settings/account");
        await page.getByRole("button", { name: "Change password" }).click();
        await shoot(page, "account");
        await page.goto("/docs/api");
        await shoot(page, "api-reference");
      });
    });
  }
}

test.describe("without JavaScript", () => {
  test.use({ javaScriptEnabled: false });
  test("the dialog to generate a key", async ({ page }) => {
    await signIn(page, SEEDED.three);
    await page.goto(`${KEYS_PAGE}?dialog=generate`);
    await page.screenshot({ path: `${FOLDER}/generate-no-javascript.png` });
  });
});
