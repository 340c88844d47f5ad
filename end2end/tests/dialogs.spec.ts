import { type Locator, type Page, expect, test } from "@playwright/test";
import {
  KEYS_PAGE, PASSWORD, SECRET, SEEDED, closeReveal, dialog, generate, live, openGenerate, openMenu, row, signIn, signUp, statusWith, toast,
} from "./support";

/** Whether an element is in the visible part of the window, and nothing covers it: all of it, or its first line, which is where browsers put the cursor. */
const isInView = (locator: Locator, part: "all" | "first line" = "all") =>
  locator.evaluate((element, part) => {
    const { left, right, top, bottom } = element.getBoundingClientRect();
    const end = part === "all" ? bottom : Math.min(bottom, top + 30);
    const at = document.elementFromPoint((left + right) / 2, (top + end) / 2);
    return top >= 0 && end <= innerHeight && (element.contains(at) || at?.contains(element) === true);
  }, part);

const uncopied = (page: Page) => dialog(page).getByRole("alert").filter({ hasText: "not copied" });

async function endSession(page: Page): Promise<void> {
  await page.request.post("/rpc/account/sign-out", { headers: { origin: new URL(page.url()).origin, accept: "application/json" }, form: {} });
}

for (const [width, height, zoom] of [[320, 640, 1], [1366, 625, 1], [1366, 768, 2]] as const) {
  test(`at ${width}×${height} and ${zoom * 100} % zoom, the secret is visible without scrolling, and no button covers a focused field`, async ({ page }) => {
    // Zoom divides the size of the window in CSS pixels.
    await page.setViewportSize({ width: Math.round(width / zoom), height: Math.round(height / zoom) });
    await signUp(page);
    await live(page);
    const open = await openGenerate(page);
    const buttons = open.getByRole("button");
    for (const label of ["Key name", "Expire in", "Description"]) {
      await open.getByLabel(label).focus();
      expect(await isInView(open.getByLabel(label), "first line"), label).toBe(true);
    }
    const tops = await buttons.filter({ hasText: /Cancel|Generate key/ }).evaluateAll((all) => all.map((it) => it.getBoundingClientRect().top));
    expect(new Set(tops).size).toBe(1);
    await open.getByRole("button", { name: "Generate key" }).click();
    await expect(open.getByRole("heading", { name: "API key generated" })).toBeVisible();
    const secret = open.locator("code").first();
    await expect(secret).toHaveText(SECRET);
    await page.evaluate(() => Promise.allSettled(document.getAnimations().map((animation) => animation.finished)));
    expect(await isInView(secret)).toBe(true);
    expect(await open.evaluate((element) => element.scrollTop)).toBe(0);
  });
}

test("a secret that was not copied survives Escape, Back and a reload, until the user confirms", async ({ page }) => {
  await signUp(page);
  await live(page);
  const { secret } = await generate(page, "Kept");
  await page.keyboard.press("Escape");
  await page.keyboard.press("Escape");
  await expect(dialog(page).getByText(secret, { exact: true })).toBeVisible();
  await page.goBack();
  await expect(uncopied(page)).toBeVisible();
  await expect(page).toHaveURL(KEYS_PAGE);
  await dialog(page).getByRole("button", { name: "Go back" }).click();
  await expect(dialog(page).getByText(secret, { exact: true })).toBeVisible();

  const asked = page.waitForEvent("dialog");
  const reload = page.evaluate(() => location.reload());
  const question = await asked;
  expect(question.type()).toBe("beforeunload");
  await question.dismiss();
  await reload;
  await expect(dialog(page).getByText(secret, { exact: true })).toBeVisible();

  await page.keyboard.press("Escape");
  const discard = dialog(page).getByRole("button", { name: "Close without copying" });
  const colour = (locator: Locator) => locator.evaluate((element) => getComputedStyle(element).backgroundColor);
  expect(await colour(discard)).not.toBe(await colour(dialog(page).getByRole("button", { name: "Go back" })));
  await expect(discard).toHaveAttribute("data-danger");
  await discard.click();
  await expect(dialog(page)).toHaveCount(0);
  expect(await page.content()).not.toContain(secret);
});

test("Back closes a dialog first, and Forward opens it again", async ({ page }) => {
  await signUp(page);
  await live(page);
  await generate(page, "Back");
  await closeReveal(page);
  await openMenu(page, "Back", "Rename");
  await expect(dialog(page).getByLabel("Key name")).toHaveValue("Back");
  await page.goBack();
  await expect(dialog(page)).toHaveCount(0);
  await expect(page).toHaveURL(KEYS_PAGE);
  await expect(page.getByRole("button", { name: "Actions for Back" })).toBeFocused();
  await page.goForward();
  await expect(dialog(page).getByLabel("Key name")).toHaveValue("Back");
  await page.keyboard.press("Escape");
  await expect(dialog(page)).toHaveCount(0);
});

test("a secret that was selected and copied by hand counts as copied", async ({ page, context }) => {
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await signUp(page);
  await live(page);
  const { secret } = await generate(page, "By hand");
  await dialog(page).locator("code").first().dblclick();
  expect(await page.evaluate(() => `${getSelection()}`.trim())).toBe(secret);
  await page.keyboard.press("ControlOrMeta+C");
  await page.keyboard.press("Escape");
  await expect(dialog(page)).toHaveCount(0);

  await generate(page, "In part");
  await dialog(page).locator("code").first().evaluate((code) => {
    const range = document.createRange();
    range.setStart(code.firstChild as Node, 0);
    range.setEnd(code.firstChild as Node, 20);
    getSelection()?.removeAllRanges();
    getSelection()?.addRange(range);
  });
  await page.keyboard.press("ControlOrMeta+C");
  await page.keyboard.press("Escape");
  await expect(uncopied(page)).toBeVisible();
});

for (const javaScriptEnabled of [true, false]) {
  test.describe(javaScriptEnabled ? "with JavaScript" : "without JavaScript", () => {
    test.use({ javaScriptEnabled });

    test("the errors of Change password and Delete account focus the invalid field in view", async ({ page }) => {
      await page.setViewportSize({ width: 800, height: 400 });
      await signUp(page);
      await page.goto("/settings/account");
      for (const [button, label] of [["Change password", "Current password"], [/delete my account/i, "Password"]] as const) {
        const region = page.getByRole("region", { name: button === "Change password" ? button : "Delete account" });
        await region.getByRole("button").click();
        const field = region.getByLabel(label, { exact: true });
        await expect(field).toBeFocused();
        await expect(field).toHaveAttribute("aria-invalid", "true");
        await expect.poll(() => isInView(field, "first line"), `${label}`).toBe(true);
      }
      await page.getByLabel("Current password").fill(PASSWORD);
      await page.getByLabel("New password").fill(PASSWORD);
      await page.getByRole("button", { name: "Change password" }).click();
      await expect(page.getByLabel("New password")).toHaveAccessibleDescription(/This is your current password/);
      await expect(page.getByLabel("New password")).toBeFocused();
    });

    test("a disabled action shows its reason", async ({ page }) => {
      await signIn(page, SEEDED.states);
      const expired = row(page, "Old importer");
      await page.getByRole("button", { name: "Actions for Old importer" }).click();
      const refresh = expired.getByRole("button", { name: "Refresh" });
      await expect(refresh).toHaveAttribute("aria-disabled", "true");
      await expect(refresh).toHaveAccessibleDescription("An expired key cannot be refreshed");
      await expect(expired.getByText("An expired key cannot be refreshed")).toBeVisible();
      await refresh.click({ force: true });
      await expect(dialog(page)).toHaveCount(0);
      await expect(page).not.toHaveURL(/dialog=/);
      await signIn(page, SEEDED.full);
      const full = page.getByRole("button", { name: "Generate key" });
      await expect(full).toHaveAttribute("aria-disabled", "true");
      await expect(full).toHaveAccessibleDescription(/You have 10 keys/);
      await full.focus();
      await expect(full).toBeFocused();
    });

    test("/settings redirects to the keys", async ({ page }) => {
      await signUp(page);
      await page.goto("/settings");
      await expect(page).toHaveURL(KEYS_PAGE);
    });

    test("after the session has ended, a reload says why and leads back to the dialog", async ({ page, context }) => {
      const email = await signUp(page);
      await page.goto(`${KEYS_PAGE}?dialog=generate`);
      const [cookie] = await context.cookies();
      await page.request.post("/rpc/account/sign-out", { headers: { origin: new URL(page.url()).origin, accept: "application/json" }, form: {} });
      if (cookie) await context.addCookies([cookie]);
      await page.goto(`${KEYS_PAGE}?dialog=generate`);
      await expect(page.getByText("Your session has ended. Sign in to continue.")).toBeVisible();
      await page.getByLabel("E-mail").fill(email);
      await page.getByLabel("Password").fill(PASSWORD);
      await page.getByRole("button", { name: "Sign in" }).click();
      await expect(dialog(page).getByRole("heading", { name: "New API key" })).toBeVisible();
    });

    test("names in many scripts and with emoji are accepted, and a leading emoji gets an accurate error", async ({ page }) => {
      await signUp(page);
      for (const name of ["می‌خواهم", "Team 👩🏽‍💻", "Love ❤️", "क्‍ष"]) {
        await page.goto(`${KEYS_PAGE}?dialog=generate`);
        await dialog(page).getByLabel("Key name").fill(name);
        await dialog(page).getByRole("button", { name: "Generate key" }).click();
        await expect(dialog(page).getByRole("heading", { name: "API key generated" })).toBeVisible();
        await expect(row(page, name).locator("h2")).toHaveAttribute("dir", "auto");
        await page.evaluate(() => document.querySelector("[data-secret]")?.remove());
      }
      await page.goto(`${KEYS_PAGE}?dialog=generate`);
      await dialog(page).getByLabel("Key name").fill("❤️ love");
      await dialog(page).getByRole("button", { name: "Generate key" }).click();
      await expect(dialog(page).getByLabel("Key name")).toHaveAccessibleDescription(/Begin the name with a letter\. Digits, symbols and emoji can follow\./);
    });
  });
}

test("a dialog that cannot be loaded says so and can be tried again, and one that is slow shows that it is loading", async ({ page }) => {
  await signUp(page);
  await live(page);
  await generate(page, "Slow");
  await closeReveal(page);
  await page.route("**/*dialog=usage*", (route) => route.abort());
  await openMenu(page, "Slow", "Usage and refusals");
  await expect(dialog(page).getByRole("heading", { name: "Could not load" })).toBeVisible();
  await page.unroute("**/*dialog=usage*");
  let release = () => {};
  const held = new Promise<void>((resolve) => (release = resolve));
  await page.route("**/*dialog=usage*", async (route) => {
    await held;
    await route.continue();
  });
  await dialog(page).getByRole("button", { name: "Try again" }).click();
  await page.keyboard.press("Escape");
  await expect(dialog(page)).toHaveCount(0);
  await openMenu(page, "Slow", "Usage and refusals");
  await expect(dialog(page).getByRole("heading", { name: "Loading" })).toBeVisible();
  release();
  await expect(dialog(page)).toContainText("No request with this key was refused");
});

test("offline, a form says so, keeps its values, and can be sent once online", async ({ page, context }) => {
  await signUp(page);
  await live(page);
  const open = await openGenerate(page);
  await open.getByLabel("Key name").fill("Underground");
  await context.setOffline(true);
  await open.getByRole("button", { name: "Generate key" }).click();
  await expect(open.getByRole("alert").filter({ hasText: "You are offline" })).toBeVisible();
  await expect(open.getByLabel("Key name")).toHaveValue("Underground");
  await context.setOffline(false);
  await open.getByRole("button", { name: "Generate key" }).click();
  await expect(open.getByRole("heading", { name: "API key generated" })).toBeVisible();
});

test("a pressed button and a pressed switch are busy until the response, and a double click is one submission", async ({ page }) => {
  await signUp(page);
  await live(page);
  let requests = 0;
  let release = () => {};
  let held = new Promise<void>((resolve) => (release = resolve));
  await page.route("**/rpc/**", async (route) => {
    requests += 1;
    await held;
    await route.continue();
  });
  const open = await openGenerate(page);
  await open.getByLabel("Key name").fill("Twice");
  const button = open.getByRole("button", { name: "Generate key" });
  await button.dblclick();
  await expect(button).toHaveAttribute("aria-busy", "true");
  release();
  await closeReveal(page);
  expect(requests).toBe(1);
  await page.getByRole("switch", { name: "Twice" }).click();
  await dialog(page).getByRole("button", { name: "Switch off" }).click();
  await expect(row(page, "Twice")).toContainText("Inactive");
  held = new Promise<void>((resolve) => (release = resolve));
  const control = page.getByRole("switch", { name: "Inactive: Twice" });
  await control.click();
  await expect(control).toHaveAttribute("aria-busy", "true");
  release();
  await expect(page.getByRole("switch", { name: "Active: Twice", exact: true })).toBeChecked();
});

test("a success that its heading announces has no toast, and an error is at the button", async ({ page }) => {
  await signUp(page);
  await live(page);
  await generate(page, "Said once");
  await expect(toast(page)).toHaveText("");
  await closeReveal(page);
  await expect(toast(page)).toHaveText("");
  await openMenu(page, "Said once", "Rename");
  await page.route("**/rpc/**", (route) => route.abort());
  await dialog(page).getByRole("button", { name: "Rename" }).click();
  const error = dialog(page).getByRole("alert").filter({ hasText: "cannot be reached" });
  await expect(error).toBeVisible();
  const below = await dialog(page).getByRole("button", { name: "Rename" }).evaluate((it) => it.getBoundingClientRect().top);
  expect(below - (await error.evaluate((it) => it.getBoundingClientRect().bottom))).toBeLessThan(40);
  await expect(page.locator("#toast").getByRole("alert")).toHaveText("");
});

test("waiting, received and refused differ by icon and colour", async ({ page, request }) => {
  await signUp(page);
  await live(page);
  const { id, secret } = await generate(page, "Watched");
  const status = dialog(page).locator("#first-request");
  const look = () => status.evaluate((it) => [getComputedStyle(it).color, getComputedStyle(it).backgroundColor, it.querySelector("use")?.getAttribute("href")].join());
  const looks = [await look()];
  await expect(status).toContainText("Got a 401? Check that the whole secret was pasted.");
  await request.get("/verify", { headers: { "x-api-key-id": id, "x-api-key-secret": secret.slice(0, -1) } });
  await expect(status).toContainText("A request was refused");
  looks.push(await look());
  expect(await statusWith(secret)).toBe(200);
  await expect(status).toContainText("First request received");
  looks.push(await look());
  expect(new Set(looks).size).toBe(3);
});

test("an expired session is reported in the dialog, with a link that leads back to it", async ({ page }) => {
  const email = await signUp(page);
  await live(page);
  await generate(page, "Later");
  await closeReveal(page);
  await openMenu(page, "Later", "Rename");
  await expect(dialog(page).getByLabel("Key name")).toHaveValue("Later");
  await endSession(page);
  await dialog(page).getByRole("button", { name: "Rename" }).click();
  await expect(dialog(page).getByRole("alert").filter({ hasText: "Your session has ended" })).toBeVisible();
  await dialog(page).getByRole("link", { name: "Sign in again" }).click();
  await page.getByLabel("E-mail").fill(email);
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Sign in" }).click();
  await expect(dialog(page).getByRole("heading", { name: "Rename this API key" })).toBeVisible();
});

test("the arrow keys, Home and End move in a menu, and it closes when the focus leaves it", async ({ page }) => {
  await signIn(page, SEEDED.three);
  await live(page);
  const menu = page.getByRole("button", { name: /^Actions for/ }).first();
  await menu.focus();
  await page.keyboard.press("Enter");
  const focused = () => page.evaluate(() => (document.activeElement as HTMLElement | null)?.innerText.split("\n")[0]?.trim());
  await expect.poll(focused).toBe("Rename");
  for (const [key, item] of [["ArrowDown", "Edit"], ["End", "Delete"], ["ArrowDown", "Rename"], ["ArrowUp", "Delete"], ["Home", "Rename"]] as const) {
    await page.keyboard.press(key);
    expect(await focused(), key).toBe(item);
  }
  await page.keyboard.press("Shift+Tab");
  await page.keyboard.press("Shift+Tab");
  await expect(page.locator(".menu:popover-open")).toHaveCount(0);
});

test("each copy button names its key, and the name of a switch begins with its visible word", async ({ page }) => {
  await signIn(page, SEEDED.three);
  await live(page);
  for (const key of await page.getByRole("listitem").filter({ has: page.getByRole("heading") }).all()) {
    const name = await key.getByRole("heading").innerText();
    await expect(key.getByRole("button", { name: `Copy Key ID of ${name}` })).toBeVisible();
    const control = key.getByRole("switch");
    expect(await control.getAttribute("aria-label")).toBe(`${await control.innerText()}: ${name}`);
  }
});

test("the character count is announced only near the limit", async ({ page }) => {
  await signUp(page);
  await live(page);
  const open = await openGenerate(page);
  await open.getByLabel("Description").fill("x".repeat(100));
  await expect(open.getByText("100 of 200 characters")).toBeVisible();
  await expect(open.getByRole("status")).toHaveText("");
  await open.getByLabel("Description").fill("x".repeat(190));
  await expect(open.getByRole("status")).toHaveText("10 characters left");
});

test("after a key is deleted, the focus is on the next row", async ({ page }) => {
  await signUp(page);
  await live(page);
  for (const name of ["Third", "Second", "First"]) {
    await generate(page, name);
    await closeReveal(page);
  }
  for (const [name, next] of [["First", "Second"], ["Third", "Second"]] as const) {
    await openMenu(page, name, "Delete");
    await dialog(page).getByLabel("Re-enter key name").fill(name);
    await page.keyboard.press("Enter");
    await expect(row(page, name)).toHaveCount(0);
    await expect(page.getByRole("button", { name: `Actions for ${next}` })).toBeFocused();
  }
});

test("times are shown in the time zone of the reader, and in UTC without JavaScript", async ({ page, browser }) => {
  await signUp(page);
  await live(page);
  await generate(page, "Timed");
  await closeReveal(page);
  const created = row(page, "Timed").locator("time").first();
  await expect(created).toHaveAttribute("title", /GMT\+1|CET/);
  const plain = await browser.newContext({ javaScriptEnabled: false, storageState: await page.context().storageState() });
  const other = await plain.newPage();
  await other.goto(new URL(KEYS_PAGE, page.url()).href);
  await expect(row(other, "Timed").locator("time").first()).toHaveAttribute("title", /UTC$/);
  await plain.close();
});

test("a change in another window arrives by itself", async ({ page, context }) => {
  await signUp(page);
  const streaming = page.waitForResponse((response) => response.url().endsWith("/events"));
  await page.reload();
  await streaming;
  await live(page);
  const other = await context.newPage();
  await other.goto(KEYS_PAGE);
  await live(other);
  await generate(other, "From elsewhere");
  await expect(row(page, "From elsewhere")).toBeVisible();
});

test("while two secrets work, the usage of each is shown", async ({ page }) => {
  await signUp(page);
  await live(page);
  const { secret: previous } = await generate(page, "Two");
  await closeReveal(page);
  await openMenu(page, "Two", "Rotate");
  await dialog(page).getByLabel("The old secret stops working").selectOption("after 24 hours");
  await dialog(page).getByRole("button", { name: "Rotate" }).click();
  await expect(dialog(page).getByRole("heading", { name: "API key rotated" })).toBeVisible();
  await closeReveal(page);
  expect(await statusWith(previous)).toBe(200);
  await openMenu(page, "Two", "Usage and refusals");
  await expect(dialog(page)).toContainText("New secret: not used since the old one was last used");
  await expect(dialog(page)).toContainText(/Old secret: last used just now from 127\.0\.0\.1/);
});
