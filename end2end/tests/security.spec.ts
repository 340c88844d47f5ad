import { expect, test } from "@playwright/test";
import { CspEvaluator } from "csp_evaluator/dist/evaluator.js";
import { Severity } from "csp_evaluator/dist/finding.js";
import { CspParser } from "csp_evaluator/dist/parser.js";
import { Version } from "csp_evaluator/dist/csp.js";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { scan } from "./canary";
import { BASE_URL, PASSWORD, closeReveal, dialog, generate, live, openMenu, signUp } from "./support";

test("the content security policy of each page has no finding of high severity", async ({ page }) => {
  await signUp(page);
  for (const path of ["/settings/api-keys", "/settings/account", "/settings/activity", "/settings/use-it", "/docs/api", "/nope"]) {
    const policy = (await page.goto(path))?.headers()["content-security-policy"] ?? "";
    const findings = new CspEvaluator(new CspParser(policy).csp, Version.CSP3).evaluate();
    const high = findings.filter(({ severity }) => severity <= Severity.HIGH_MAYBE);
    expect(high.map(({ directive, value, description }) => [directive, value, description]), path).toEqual([]);
  }
});

test("a secret is contained in exactly one response, the one that created it", async ({ page }) => {
  const seen = new Map<string, string[]>();
  const bodies: Promise<void>[] = [];
  const record = (secret: string, where: string) => seen.set(secret, [...(seen.get(secret) ?? []), where]);
  page.on("response", (response) => {
    const body = async () => {
      const text = response.request().resourceType() === "eventsource" ? "" : await response.text().catch(() => "");
      // A response that is pending when the page navigates away has no body or headers.
      const all = `${text}\n${JSON.stringify(await response.allHeaders().catch(() => ({})))}`;
      const secrets = [...all.matchAll(/mm_tok_[0-9A-Za-z]{38}/g)].map(([secret]) => secret);
      for (const secret of new Set(secrets)) record(secret, response.url());
    };
    bodies.push(body());
  });
  await signUp(page);
  await live(page);
  const created = await generate(page, "Canary");
  await closeReveal(page);
  await openMenu(page, "Canary", "Rotate");
  await dialog(page).getByRole("button", { name: "Rotate" }).click();
  await dialog(page).getByRole("heading", { name: "API key rotated" }).waitFor();
  const rotated = { secret: await dialog(page).locator("code").first().innerText() };
  await closeReveal(page);
  for (const path of ["", "?dialog=rename", "?dialog=delete", "?dialog=usage"]) {
    await page.goto(`/settings/api-keys${path}${path && `&key_id=${created.id}`}`);
  }
  for (const path of ["/settings/activity", "/settings/account", "/settings/use-it"]) await page.goto(path);
  while (bodies.length > 0) await Promise.all(bodies.splice(0));
  expect([...seen.keys()].sort()).toEqual([created.secret, rotated.secret].sort());
  expect(seen.get(created.secret)).toEqual([`${BASE_URL}/rpc/keys/create`]);
  expect(seen.get(rotated.secret)).toEqual([`${BASE_URL}/rpc/keys/rotate`]);
});

test("the scan of the log finds every kind of confidential value, also across two chunks", async () => {
  const folder = mkdtempSync(join(tmpdir(), "canary-"));
  const secret = `mm_tok_${"z".repeat(38)}`;
  const pair = Buffer.from(`${"0".repeat(32)}:${secret}`).toString("base64");
  try {
    for (const [what, text] of [
      ["a secret", `Bearer ${secret}`],
      ["a pair", `Basic ${pair}`],
      ["the password", `password=${PASSWORD.replaceAll(" ", "+")}`],
      ["a session", "Cookie: __Host-session=abcdefghijklmnop"],
    ] as const) {
      // The value spans two chunks of the stream.
      writeFileSync(join(folder, "log"), "x".repeat(65_536 - 20) + text);
      await expect(scan(folder)).rejects.toThrow(what);
    }
    writeFileSync(join(folder, "log"), "mm_tok_short __Host-session=; Max-Age=0");
    expect((await scan(folder))[0]).toBe(1);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

/** Sends these bytes and returns the status line of the response. */
function statusLine(bytes: string): Promise<string> {
  const { hostname, port } = new URL(BASE_URL);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname, () => socket.write(bytes));
    let text = "";
    socket.on("data", (chunk) => {
      text += chunk;
      if (text.includes("\r\n")) socket.destroy();
    });
    socket.on("close", () => resolve(text.split("\r\n")[0] ?? ""));
    socket.on("error", reject);
  });
}

test("an oversized request head is rejected with 431, and an oversized body with 413", async () => {
  const { host } = new URL(BASE_URL);
  const large = "x".repeat(70_000);
  for (const path of ["/verify", "/sign-in"]) {
    // The limit of 64 KiB is checked between reads, so a little less than twice as much can pass.
    expect(await statusLine(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\nX-Large: ${large}${large}\r\n\r\n`)).toContain(" 431 ");
    const many = Array.from({ length: 200 }, (_, n) => `X-Many-${n}: 1\r\n`).join("");
    expect(await statusLine(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\n${many}\r\n`)).toContain(" 431 ");
  }
  const head = `POST /rpc/account/sign-in HTTP/1.1\r\nHost: ${host}\r\nOrigin: ${BASE_URL}\r\nContent-Type: application/x-www-form-urlencoded`;
  expect(await statusLine(`${head}\r\nContent-Length: 70000\r\n\r\n${large}`)).toContain(" 413 ");
});
