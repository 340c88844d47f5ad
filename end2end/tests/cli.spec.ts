import { type ChildProcess, execFile, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:https";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import AxeBuilder from "@axe-core/playwright";
import { type Page, expect, test } from "@playwright/test";
import { freePort } from "./gateways";
import { BASE_URL, KEYS_PAGE, closeReveal, createMecha, dialog, generate, live, signUp } from "./support";
import { authority } from "./tls";

// The command line of the release, with the handlers of examples/, against the console.

const MECHA = "../target/release/mecha";
const run = promisify(execFile);

/** Connects as a Mecha until `use` completes. */
async function connected(secret: string, handlers: string[], use: () => Promise<void>): Promise<void> {
  const options = handlers.flatMap((handler) => ["--handle", handler]);
  const child = spawn(MECHA, ["connect", ...options], { env: { PATH: process.env["PATH"], MECHA_URL: BASE_URL, MECHA_KEY: secret }, stdio: ["ignore", "ignore", "pipe"] });
  let log = "";
  child.stderr?.on("data", (data) => (log += data));
  try {
    await expect.poll(() => log).toContain("connected to");
    await use();
  } finally {
    await terminated(child);
  }
}

async function terminated(child: ChildProcess): Promise<void> {
  const exited = new Promise((resolve) => child.on("exit", resolve));
  if (child.exitCode === null && child.kill("SIGTERM")) await exited;
}

async function mechaWithKey(page: Page): Promise<string> {
  await signUp(page);
  await createMecha(page, "Porter");
  await live(page);
  return (await generate(page, "Runtime", "Issue key")).secret;
}

const tryForm = (page: Page) => dialog(page).getByRole("button", { name: "Send" });
const response = (page: Page) => page.frameLocator("iframe[name=response]").locator("body");

test("the commands of the page connect a runtime, which responds to both curl lines of the guide", async ({ page }) => {
  const secret = await mechaWithKey(page);
  await dialog(page).getByText("mecha connect", { exact: true }).click();
  await expect(dialog(page).locator("code").filter({ hasText: "mecha login" })).toContainText(`mecha login --profile mecha --url ${BASE_URL}\nmecha connect --profile mecha --handle chat=./chat.sh`);
  await connected(secret, ["chat=../examples/echo.sh", "stream=python3 ../examples/stream.py"], async () => {
    await expect(dialog(page).locator("#first-request")).toContainText(/Connected: .+, linux\/.+, mecha \d+\.\d+\.\d+, from 127\.0\.0\.1/);
    await closeReveal(page);
    const line = (await page.locator("code").filter({ hasText: "/v1/trigger/chat" }).textContent()) ?? "";
    await page.goto(KEYS_PAGE);
    await live(page);
    const key = (await generate(page, "Caller")).secret;
    await closeReveal(page);
    // The line of the page, as a shell runs it.
    const env = { PATH: process.env["PATH"], MECHA_API_KEY_SECRET: key };
    expect((await run("sh", ["-c", line.replace("curl", "curl -sS")], { env })).stdout).toBe('{"message": "Hello"}');
    const guide = (...args: string[]) => run("curl", ["-sS", "-N", "-X", "POST", ...args, "-H", `Authorization: Bearer ${key}`, "-H", "Content-Type: application/json", "-d", '{"message": "Hello there"}']);
    expect(JSON.parse((await guide(`${BASE_URL}/v1/trigger/stream`)).stdout)).toEqual({ reply: "Hello there" });
    expect((await guide(`${BASE_URL}/v1/trigger/stream`, "-H", "Accept: text/event-stream")).stdout).toBe('data: Hello\n\ndata: there\n\nevent: end\ndata: {"status":200}\n\n');
    const caller = { env: { ...env, MECHA_URL: BASE_URL, MECHA_KEY: key } };
    expect((await run(MECHA, ["trigger", "stream", "--stream", '{"message": "Hello there"}'], caller)).stdout).toBe("Hello\nthere\n");
    const rejected = await run(MECHA, ["trigger", "stream", "no message"], caller).catch((error) => error);
    expect([rejected.code, rejected.stderr]).toEqual([1, expect.stringContaining("does not accept the request")]);
    expect((await run(MECHA, ["status"], caller)).stdout).toContain("Porter  connected");
  });
});

test("the owner tries an action, sees the response as it streams, and goes back to the page", async ({ page }) => {
  const secret = await mechaWithKey(page);
  await closeReveal(page);
  // The second line waits for the file, so it cannot arrive together with the first.
  const folder = mkdtempSync(join(tmpdir(), "try-"));
  writeFileSync(join(folder, "chat.sh"), "echo first '<b>'; until [ -e go ]; do sleep 0.05; done; echo second; cat\n");
  try {
    await connected(secret, [`chat=sh -c "cd ${folder} && . ./chat.sh"`], async () => {
      await page.getByRole("button", { name: "Try it: chat" }).click();
      await expect(dialog(page).getByRole("heading", { name: "Try an action" })).toBeVisible();
      expect((await new AxeBuilder({ page }).analyze()).violations).toEqual([]);
      await dialog(page).getByLabel("Body of the request").fill("sent by the owner");
      for (let round = 0; round < 2; round += 1) {
        await tryForm(page).click();
        await expect(response(page)).toContainText("first <b>");
        await expect(response(page)).not.toContainText("second");
        writeFileSync(join(folder, "go"), "");
        await expect(response(page)).toContainText(/second\nsent by the owner\n?200 in \d+ ms/);
        rmSync(join(folder, "go"));
      }
      for (const viewport of [{ width: 320, height: 640 }, { width: 1366, height: 625 }]) {
        await page.setViewportSize(viewport);
        await expect(tryForm(page)).toBeInViewport();
        expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(viewport.width);
      }
      // Two responses have added no entry to the history.
      await page.goBack();
      await expect(dialog(page)).toHaveCount(0);
      await expect(page).toHaveURL(/\/mechas\/[0-9a-f]{32}$/);
      await expect(page.getByRole("button", { name: "Try it: chat" })).toBeFocused();
    });
    await expect(page.getByRole("list", { name: "Actions" }).getByText("Offline")).toBeVisible();
    await page.getByRole("button", { name: "Try it: chat" }).click();
    await tryForm(page).click();
    await expect(response(page)).toContainText("503: ");
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("without JavaScript, the response to an action streams too", async ({ page, browser }) => {
  const secret = await mechaWithKey(page);
  const address = (await page.locator("#list").getAttribute("data-page")) ?? "";
  const context = await browser.newContext({ javaScriptEnabled: false, storageState: await page.context().storageState(), baseURL: BASE_URL });
  const plain = await context.newPage();
  await connected(secret, ["chat=sh -c 'echo first; sleep 2; echo second'"], async () => {
    await plain.goto(address);
    await plain.getByRole("button", { name: "Try it: chat" }).click();
    await tryForm(plain).click();
    await expect(response(plain)).toContainText("first");
    await expect(response(plain)).not.toContainText("second", { timeout: 1 });
    await expect(response(plain)).toContainText(/second\n?200 in/);
    await dialog(plain).getByRole("button", { name: "Close" }).last().click();
    await expect(plain.getByRole("heading", { name: "Porter", level: 1 })).toBeVisible();
  });
  await context.close();
});

test("certificates are verified, and a failure states what to do", async ({ page }) => {
  const folder = mkdtempSync(join(tmpdir(), "cli-tls-"));
  const right = authority(folder, "right", "localhost");
  const port = await freePort();
  // In front of the console, with WebSockets.
  const target = new URL(BASE_URL);
  const proxy = createServer(right);
  proxy.on("tlsClientError", () => {});
  proxy.on("secureConnection", (socket) => {
    const upstream = connect(Number(target.port), target.hostname);
    socket.pipe(upstream).pipe(socket);
    for (const end of [socket, upstream]) end.on("error", () => {});
  });
  proxy.removeAllListeners("request");
  await new Promise<void>((resolve) => proxy.listen(port, "127.0.0.1", resolve));
  const secret = await mechaWithKey(page);
  const mecha = (authorities: string, ...args: string[]) =>
    run(MECHA, [...args, "--url", `https://localhost:${port}`], { env: { MECHA_KEY: secret, SSL_CERT_FILE: join(folder, authorities) } }).then(
      ({ stdout }) => [0, stdout],
      ({ code, stderr }) => [code, stderr],
    );
  try {
    expect(await mecha("right.pem", "whoami")).toEqual([0, expect.stringContaining('the Mecha "Porter"')]);
    authority(folder, "other", "localhost");
    expect(await mecha("other.pem", "whoami")).toEqual([1, expect.stringContaining("SSL_CERT_FILE")]);
    proxy.setSecureContext(authority(folder, "wrong", "other.example"));
    expect(await mecha("wrong.pem", "whoami")).toEqual([1, expect.stringContaining("belongs to another host")]);
    proxy.setSecureContext(authority(folder, "late", "localhost", -1));
    expect(await mecha("late.pem", "whoami")).toEqual([1, expect.stringContaining("Check the clock")]);
    expect(await mecha("late.pem", "connect", "--once")).toEqual([1, expect.stringContaining("Check the clock")]);
    proxy.setSecureContext(right);
    const child = spawn(MECHA, ["connect", "--url", `https://localhost:${port}`], { env: { MECHA_KEY: secret, SSL_CERT_FILE: join(folder, "right.pem") }, stdio: "ignore" });
    await expect(dialog(page).locator("#first-request")).toContainText("Connected: ");
    await terminated(child);
  } finally {
    proxy.close();
    rmSync(folder, { recursive: true });
  }
});

test("the unit and the compose file of the runtime name files and options that exist", () => {
  const unit = readFileSync("../examples/mecha-runtime.service", "utf8");
  const compose = readFileSync("../examples/compose.yaml", "utf8");
  for (const line of ["LoadCredential=mecha-key:", "RestartPreventExitStatus=2 4", "KillMode=mixed"]) expect(unit).toContain(line);
  const [, options] = unit.match(/^ExecStart=\/usr\/local\/bin\/mecha (.*)$/m) ?? [];
  const [, command] = compose.match(/command: \[mecha, (.*)\]/) ?? [];
  for (const args of [options?.split(" ") ?? [], command?.split(", ") ?? []]) {
    // With the options of the file, only the URL is missing.
    const { status, stderr } = spawnSync(MECHA, args, { env: { MECHA_KEY: "x", HOME: tmpdir() }, encoding: "utf8" });
    expect([status, stderr]).toEqual([2, expect.stringContaining("no URL of a console is given")]);
    expect(args.join(" ")).toMatch(/stream\.py$/);
  }
});
