import { type ChildProcess, execFile, spawn } from "node:child_process";
import { promisify } from "node:util";
import AxeBuilder from "@axe-core/playwright";
import { type Page, expect, test } from "@playwright/test";
import { BASE_URL, KEYS_PAGE, closeReveal, createMecha, dialog, generate, live, openMenu, signUp, toast } from "./support";

// The client in Python of the documentation, connected to the release build.

const PYTHON = "../target/runtime-example/bin/python";

/** Runs the client until `use` completes. */
async function withRuntime(secret: string, use: (runtime: Runtime) => Promise<void>): Promise<void> {
  const child = spawn(PYTHON, ["../examples/runtime.py"], { env: { PATH: process.env["PATH"], MECHA_URL: BASE_URL, MECHA_KEY: secret } });
  const runtime = new Runtime(child);
  try {
    await use(runtime);
  } finally {
    if (child.exitCode === null && child.kill("SIGKILL")) await runtime.exited;
  }
}

class Runtime {
  output = "";
  exited: Promise<number | null>;
  constructor(readonly child: ChildProcess) {
    child.stdout?.on("data", (data) => (this.output += data));
    child.stderr?.on("data", (data) => (this.output += data));
    this.exited = new Promise((resolve) => child.on("exit", resolve));
  }
}

async function mechaWithKey(page: Page): Promise<string> {
  await signUp(page);
  await createMecha(page, "Porter");
  await live(page);
  return (await generate(page, "Runtime", "Issue key")).secret;
}

const runtimes = (page: Page) => page.getByRole("list", { name: "Connected runtimes" }).getByRole("listitem");

test("after sign-up, a runtime with the issued key turns the dialog to Connected, is tested, and is cut off at once", async ({ page }) => {
  const secret = await mechaWithKey(page);
  const progress = dialog(page).locator("#first-request");
  await expect(progress).toContainText("Waiting for the runtime to connect …");
  await withRuntime(secret, async (runtime) => {
    await expect(progress).toContainText(/Connected: .+, linux\/.+, runtime\.py 1\.0, from 127\.0\.0\.1/);
    await closeReveal(page);
    await expect(runtimes(page)).toHaveCount(1);
    await expect(page.getByText("Connected, idle")).toBeVisible();
    await page.getByRole("button", { name: /^Test / }).click();
    await expect(toast(page)).toHaveText("The runtime responded");
    await expect(runtimes(page)).toContainText(/round trip (below 1|\d+) ms/);

    await page.getByRole("switch", { name: "Active: Porter" }).click();
    await expect(dialog(page)).toContainText("Runtimes that will be disconnected");
    await dialog(page).getByRole("button", { name: "Switch off" }).click();
    await expect(toast(page)).toHaveText("Mecha switched off");
    await expect.poll(() => runtime.output, { timeout: 1_000 }).toContain("closed: 4403");
    await expect(page.getByText("No runtime is connected.")).toBeVisible();
    await expect(page.getByText(/Offline since just now, because it was switched off/)).toBeVisible();
    // It tries again in a minute.
    expect(runtime.child.exitCode).toBeNull();
  });
  await page.getByRole("switch", { name: "Switched off: Porter" }).click();
  await expect(toast(page)).toHaveText("Mecha switched on");
  await withRuntime(secret, async (runtime) => {
    await expect(runtimes(page)).toHaveCount(1);
    await openMenu(page, "Porter", "Delete");
    await dialog(page).getByLabel("Re-enter Mecha name").fill("Porter");
    await dialog(page).getByRole("button", { name: "I understand, delete this Mecha" }).click();
    await expect(toast(page)).toHaveText("Mecha deleted");
    expect(await runtime.exited).toBe(4);
    expect(runtime.output).toContain("closed: 4401");
  });
  await withRuntime(secret, async (runtime) => {
    expect(await runtime.exited).toBe(4);
    expect(runtime.output).toContain("status 401");
  });
});

test("a runtime is drained and disconnected from its page, and ends by itself", async ({ page }) => {
  const secret = await mechaWithKey(page);
  await closeReveal(page);
  await withRuntime(secret, async (runtime) => {
    await expect(runtimes(page)).toHaveCount(1);
    runtime.child.kill("SIGTERM");
    expect(await runtime.exited).toBe(0);
    await expect(page.getByText(/because it stopped by itself/)).toBeVisible();
  });
  await withRuntime(secret, async (runtime) => {
    await page.getByRole("button", { name: /^Drain / }).click();
    await expect(toast(page)).toHaveText("The runtime was asked to finish its work");
    expect(await runtime.exited).toBe(0);
    // The next runtime has a row of its own.
    await expect(page.getByText("No runtime is connected.")).toBeVisible();
  });
  await withRuntime(secret, async (runtime) => {
    await page.getByRole("button", { name: /^Disconnect / }).click();
    await expect(dialog(page)).toContainText("It may connect again with the same key.");
    expect((await new AxeBuilder({ page }).analyze()).violations).toEqual([]);
    await dialog(page).getByRole("button", { name: "Disconnect" }).click();
    await expect(toast(page)).toHaveText("Runtime disconnected");
    expect(await runtime.exited).toBe(4);
    await expect(page.getByText(/because you disconnected it/)).toBeVisible();
  });
  await page.getByText("Connection history").click();
  await expect(page.locator("#history li")).toHaveCount(3);
  // The list is replaced while the history is unfolded.
  await withRuntime(secret, async () => {
    await expect(runtimes(page)).toHaveCount(1);
    await expect(page.locator("#history li").first()).toBeVisible();
    for (const colorScheme of ["light", "dark"] as const) {
      await page.emulateMedia({ colorScheme });
      expect((await new AxeBuilder({ page }).analyze()).violations, colorScheme).toEqual([]);
    }
    await page.setViewportSize({ width: 320, height: 640 });
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(320);
  });
});

test("without JavaScript, a runtime is shown, tested and disconnected by reload", async ({ page, browser }) => {
  const secret = await mechaWithKey(page);
  const address = new URL(page.url()).pathname.startsWith("/mechas") ? page.url() : await page.locator("#list").getAttribute("data-page");
  const context = await browser.newContext({ javaScriptEnabled: false, storageState: await page.context().storageState(), baseURL: BASE_URL });
  const plain = await context.newPage();
  await withRuntime(secret, async (runtime) => {
    await expect(dialog(page).locator("#first-request")).toContainText("Connected");
    await plain.goto(address ?? "");
    await expect(runtimes(plain)).toHaveCount(1);
    await plain.getByRole("button", { name: /^Test / }).click();
    await expect(toast(plain)).toHaveText("The runtime responded");
    await plain.getByRole("button", { name: /^Disconnect / }).click();
    await dialog(plain).getByRole("button", { name: "Disconnect" }).click();
    await expect(toast(plain)).toHaveText("Runtime disconnected");
    await expect(plain.getByText("No runtime is connected.")).toBeVisible();
    expect(await runtime.exited).toBe(4);
  });
  await context.close();
});

test("both curl lines of the guide are answered by a connected runtime, and stop when the key is deleted", async ({ page }) => {
  const secret = await mechaWithKey(page);
  await closeReveal(page);
  await withRuntime(secret, async () => {
    await expect(runtimes(page)).toHaveCount(1);
    await page.goto(KEYS_PAGE);
    await live(page);
    const key = (await generate(page, "Caller")).secret;
    await closeReveal(page);
    const curl = async (...args: string[]) => {
      const line = ["-sS", "-N", "-X", "POST", `${BASE_URL}/v1/trigger/chat`, "-H", `Authorization: Bearer ${key}`, "-H", "Content-Type: application/json"];
      return (await promisify(execFile)("curl", [...line, ...args, "-d", '{"message": "Hello"}'])).stdout;
    };
    const reply = JSON.stringify({ reply: 'You said: {"message": "Hello"}' });
    expect(JSON.parse(await curl())).toEqual(JSON.parse(reply));
    expect(await curl("-H", "Accept: text/event-stream")).toMatch(/^data: \{"reply": "You said: .*\}\n\nevent: end\ndata: \{"status":200\}\n\n$/);
    await openMenu(page, "Caller", "Delete");
    await dialog(page).getByLabel("Re-enter key name").fill("Caller");
    await dialog(page).getByRole("button", { name: "I understand, delete this key" }).click();
    await expect(toast(page)).toHaveText("API key deleted");
    expect(await curl("-o", "/dev/null", "-w", "%{http_code}")).toBe("401");
  });
});
