import { type APIRequestContext, type BrowserContext, type Locator, type Page, expect, request } from "@playwright/test";
import { randomBytes } from "node:crypto";

export const BASE_URL = "http://127.0.0.1:3210";
/** The server's listener for gateways. */
export const VERIFY_ADDRESS = "127.0.0.1:3211";
/** The folder of the server's database, relative to this project. */
export const DATA = "../target/end2end";
/** The server's Unix socket, also relative. */
export const SOCKET = `${DATA}/socket`;
/** The log file of the server, also relative. */
export const LOG = `${DATA}/server.log`;
export const PASSWORD = "plum orchard tuesday lantern";
export const KEYS_PAGE = "/settings/api-keys";

/** Accounts that the seed creates: one with a key in every state, one with three keys, one with ten, one whose keys are used. */
export const SEEDED = { states: "states@example.com", three: "three@example.com", full: "full@example.com", busy: "busy@example.com" };

export const SECRET = /mm_tok_[0-9A-Za-z]{38}/;

/** Signs up with a new account; returns its e-mail address. */
export async function signUp(page: Page, origin = ""): Promise<string> {
  const email = `${randomBytes(8).toString("hex")}@example.com`;
  await page.goto(`${origin}/sign-up`);
  await page.getByLabel("E-mail").fill(email);
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Create account" }).click();
  await expect(page.getByRole("heading", { name: "API Keys", level: 1 })).toBeVisible();
  return email;
}

const signedIn = new Map<string, Awaited<ReturnType<BrowserContext["cookies"]>>>();

/** Signs in to an account of the seed. Each worker reuses its first session, since sign-in attempts are rate-limited. */
export async function signIn(page: Page, email: string): Promise<void> {
  const cookies = signedIn.get(email);
  await page.context().clearCookies();
  if (cookies) {
    await page.context().addCookies(cookies);
    await page.goto(KEYS_PAGE);
    return;
  }
  await page.goto("/sign-in");
  await page.getByLabel("E-mail").fill(email);
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Sign in" }).click();
  await expect(page.getByRole("heading", { name: "API Keys", level: 1 })).toBeVisible();
  signedIn.set(email, await page.context().cookies());
}

/** Waits for hydration: the island then marks the page. */
export async function live(page: Page): Promise<void> {
  await expect(page.locator("[data-live]")).toHaveCount(1);
}

export const dialog = (page: Page): Locator => page.getByRole("dialog");
export const row = (page: Page, name: string): Locator =>
  page.getByRole("listitem").filter({ has: page.getByRole("heading", { name, exact: true }) });
export const toast = (page: Page): Locator => page.locator("#toast").getByRole("status");

export async function openGenerate(page: Page, button = "Generate key"): Promise<Locator> {
  await page.getByRole("button", { name: button }).first().click();
  const open = dialog(page);
  await expect(open.getByRole("heading", { name: button === "Generate key" ? "New API key" : button })).toBeVisible();
  return open;
}

/** Creates a Mecha; its page then opens. */
export async function createMecha(page: Page, name: string): Promise<void> {
  await page.goto("/mechas");
  await page.getByRole("button", { name: "New Mecha" }).first().click();
  await dialog(page).getByLabel("Mecha name").fill(name);
  await dialog(page).getByRole("button", { name: "Create Mecha" }).click();
  await expect(page.getByRole("heading", { name, level: 1 })).toBeVisible();
}

export type GeneratedKey = { id: string; secret: string };

/** Generates a key; the dialog then shows its secret. */
export async function generate(page: Page, name: string, button = "Generate key"): Promise<GeneratedKey> {
  const open = await openGenerate(page, button);
  await open.getByLabel("Key name").fill(name);
  await open.getByRole("button", { name: button }).click();
  return readReveal(open);
}

export async function readReveal(open: Locator): Promise<GeneratedKey> {
  await expect(open.getByRole("heading", { name: "API key generated" })).toBeVisible();
  const [secret, id] = await open.locator("code").allInnerTexts();
  expect(id).toMatch(/^[0-9a-f]{32}$/);
  expect(secret).toMatch(SECRET);
  return { id: id ?? "", secret: secret ?? "" };
}

/** Closes the dialog without copying the secret, and confirms this. */
export async function closeReveal(page: Page): Promise<void> {
  await dialog(page).getByRole("button", { name: "Close" }).click();
  await expect(dialog(page).getByRole("alert").filter({ hasText: "not copied" })).toBeVisible();
  await dialog(page).getByRole("button", { name: "Close without copying" }).click();
  await expect(dialog(page)).toHaveCount(0);
}

export async function openMenu(page: Page, name: string, item: string): Promise<void> {
  await page.getByRole("button", { name: `Actions for ${name}`, exact: true }).click();
  await page.locator(".menu").getByRole("button", { name: item, exact: true }).and(page.locator(":visible")).click();
}

/** An API client, which sends no cookies. */
export async function apiClient(): Promise<APIRequestContext> {
  return request.newContext({ baseURL: BASE_URL });
}

export async function statusWith(secret: string): Promise<number> {
  const client = await apiClient();
  const response = await client.get("/api/v1/key", { headers: { authorization: `Bearer ${secret}` } });
  await client.dispose();
  return response.status();
}
