import { expect, test } from "@playwright/test";
import { BASE_URL, KEYS_PAGE, signUp } from "./support";

test("Integrate shows a configuration for each gateway with the URL of this console, ready to copy", async ({ page, context }) => {
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await signUp(page);
  await page.getByRole("link", { name: "Integrate" }).click();
  await expect(page.getByRole("heading", { name: "Integrate", level: 1 })).toBeVisible();
  await expect(page.getByRole("link", { name: "Integrate" })).toHaveAttribute("aria-current", "page");
  const copy = async (what: string) => {
    await page.getByRole("button", { name: `Copy ${what}`, exact: true }).click();
    await expect(page.getByRole("status").filter({ hasText: "Copied" }).first()).toBeVisible();
    return page.evaluate(() => navigator.clipboard.readText());
  };
  await expect.poll(() => copy("Bearer token")).toContain(`${BASE_URL}/api/v1/key`);
  for (const [gateway, file] of [["nginx", "nginx.conf"], ["Caddy", "Caddyfile"], ["Traefik", "traefik.yaml"], ["HAProxy", "haproxy.cfg"], ["Envoy", "envoy.yaml"]] as const) {
    if (gateway !== "nginx") await page.getByText(gateway, { exact: true }).click();
    const text = await copy(file);
    expect(text).toContain(new URL(BASE_URL).port);
    expect(text).not.toContain("3000");
  }
});

test("the API reference is public and links to its OpenAPI description", async ({ page, request }) => {
  await page.goto("/docs/api");
  await expect(page.getByRole("heading", { name: "API reference", level: 1 })).toBeVisible();
  await expect(page.getByText("GET /api/v1/key")).toBeVisible();
  await expect(page.getByText("ANY /verify")).toBeVisible();
  const href = await page.getByRole("link", { name: /OpenAPI/ }).getAttribute("href");
  const document = await (await request.get(href ?? "")).json();
  expect(document.openapi).toMatch(/^3\.1/);
});

test("without a session, Integrate redirects to sign-in with its own path as next", async ({ page }) => {
  await page.goto("/settings/use-it");
  await expect(page).toHaveURL(/\/sign-in\?next=\/settings\/use-it/);
  await page.goto(KEYS_PAGE);
  await expect(page).toHaveURL(/\/sign-in/);
});

test("the OpenAPI file and a Bruno request are beside curl", async ({ page }) => {
  await signUp(page);
  await page.goto("/settings/use-it");
  await page.getByText("Bruno", { exact: true }).click();
  await expect(page.getByText("token: {{process.env.MECHA_API_KEY_SECRET}}")).toBeVisible();
  await page.getByText("OpenAPI file", { exact: true }).first().click();
  await expect(page.getByText(`${BASE_URL}/api/v1/openapi.json`)).toBeVisible();
});

test("each endpoint of the API reference has a request and a response to copy", async ({ page, context, request }) => {
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await page.goto("/docs/api");
  const endpoint = page.getByRole("region", { name: "Get the key of the request" });
  await endpoint.getByRole("button", { name: "Copy request" }).click();
  await expect.poll(() => page.evaluate(() => navigator.clipboard.readText())).toContain(`${BASE_URL}/api/v1/key`);
  await expect(endpoint.getByText('"created_at"')).toBeVisible();
  const titles = await page.getByRole("navigation", { name: "Endpoints" }).getByRole("link").allInnerTexts();
  expect(titles).toHaveLength(Object.keys((await (await request.get("/api/v1/openapi.json")).json()).paths).length);
  expect(titles[0]).toBe("Get the key of the request");
  await page.getByRole("link", { name: "Verify a request" }).click();
  await expect(page).toHaveURL(/#verify$/);
});
