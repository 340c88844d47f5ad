import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { type Page, expect, test } from "@playwright/test";
import { freePort } from "./gateways";
import { closeReveal, generate, live, signUp } from "./support";

// The release as an operator gets it: the archive of `make dist`, its binary alone in an empty folder, and the image.

const DIST = resolve("../target/dist");
const archive = () => join(DIST, readdirSync(DIST).find((name) => name.endsWith(".tar.gz")) ?? "no archive");

let folder: string;
test.beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "dist-"))));
test.afterEach(() => rmSync(folder, { recursive: true }));

/** A new owner generates a key in the browser, and the key is verified. */
async function journey(page: Page, origin: string): Promise<void> {
  await expect.poll(async () => (await fetch(`${origin}/readyz`).catch(() => null))?.status).toBe(200);
  const failed: string[] = [];
  page.on("response", (response) => response.status() >= 400 && failed.push(response.url()));
  await signUp(page, origin);
  await live(page);
  const { id, secret } = await generate(page, "Chat");
  const verified = await fetch(`${origin}/verify`, { headers: { authorization: `Bearer ${secret}` } });
  expect([verified.status, verified.headers.get("x-key-id")]).toEqual([204, id]);
  await closeReveal(page);
  expect(failed).toEqual([]);
}

const ended = (child: ChildProcess) => new Promise((resolve) => (child.exitCode === null ? child.on("exit", resolve) : resolve(0)));

test("the binary alone in an empty folder serves everything, reports its version, and checks its health", async ({ page }) => {
  execFileSync("tar", ["-C", folder, "-xzf", archive(), "--strip-components=1", "mecha-console/mecha-console"]);
  expect(readdirSync(folder)).toEqual(["mecha-console"]);
  const binary = join(folder, "mecha-console");
  // Nothing of this machine's environment.
  const run = { cwd: folder, env: {} };
  expect(execFileSync(binary, ["--version"], { ...run, encoding: "utf8" })).toMatch(/^mecha-console \d+\.\d+\.\d+ \([0-9a-f]{12}\)\n$/);
  const listen = ["--listen", `127.0.0.1:${await freePort()}`];
  const healthcheck = () => spawnSync(binary, ["healthcheck", ...listen], run).status;
  expect(healthcheck()).toBe(1);
  const server = spawn(binary, listen, { ...run, stdio: "ignore" });
  try {
    await journey(page, `http://${listen[1]}`);
    expect(healthcheck()).toBe(0);
  } finally {
    server.kill("SIGTERM");
    await ended(server);
  }
  expect(healthcheck()).toBe(1);
});

test("the archive has the binary, the licences of all dependencies, the unit and the gateway files, and its checksum is right", () => {
  execFileSync("sha256sum", ["--check", "--quiet", `${archive()}.sha256`], { cwd: DIST });
  const names = execFileSync("tar", ["-tzf", archive()], { encoding: "utf8" }).split("\n");
  for (const name of ["mecha-console", "LICENSE-MIT", "CHANGELOG.md", "deploy/mecha-console.service", "deploy/nginx.conf", "deploy/verify.lua"]) {
    expect(names).toContain(`mecha-console/${name}`);
  }
  const licences = execFileSync("tar", ["-xzOf", archive(), "mecha-console/LICENCES-OF-DEPENDENCIES.txt"], { encoding: "utf8", maxBuffer: 2 ** 24 });
  const missing = execFileSync("cargo", ["tree", "--locked", "-p", "server", "--features", "embed", "-e", "normal", "--prefix", "none", "--format", "{p}"], { cwd: "..", encoding: "utf8" })
    .split("\n")
    .filter((line) => line && !line.includes("(/") && !line.includes("(proc-macro)"))
    .map((line) => line.replace(/^(\S+) v(\S+).*/, "$1 $2"))
    .filter((name) => !licences.includes(`  ${name}`));
  expect([...new Set(missing)]).toEqual([]);
});

test("the image is at most 40 MB, and works without root", async ({ page }) => {
  const image = join(DIST, "image");
  const has = (command: string) => spawnSync(command, ["--version"]).status === 0;
  test.skip(!existsSync(join(image, "Dockerfile")) || !has("buildah") || process.getuid?.() !== 0, "needs a static binary, buildah and root");
  test.setTimeout(180_000);
  const buildah = (...args: string[]) =>
    execFileSync("buildah", ["--storage-driver", "vfs", "--root", join(folder, "root"), "--runroot", join(folder, "run"), ...args], { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] }).trim();
  buildah("build", "--quiet", "--isolation", "chroot", "--format", "docker", "--tag", "mecha-console", image);
  const tarball = join(folder, "image.tar");
  buildah("push", "--quiet", "mecha-console", `docker-archive:${tarball}`);
  expect(statSync(tarball).size).toBeLessThanOrEqual(40_000_000);
  expect(buildah("inspect", "--type", "image", "--format", "{{.Docker.Config.Healthcheck.Test}}", "mecha-console")).toContain("healthcheck");
  const container = buildah("from", "mecha-console");
  const port = await freePort();
  const command = ["/opt/mecha-console/mecha-console"];
  const inside = ["--storage-driver", "vfs", "--root", join(folder, "root"), "--runroot", join(folder, "run"), "run", "--isolation", "chroot", "--env", `MECHA_LISTEN=127.0.0.1:${port}`, container];
  const server = spawn("buildah", [...inside, ...command], { stdio: "ignore" });
  try {
    await journey(page, `http://127.0.0.1:${port}`);
    expect(spawnSync("buildah", [...inside, ...command, "healthcheck"]).status).toBe(0);
    const [pid] = execFileSync("pgrep", ["-f", `^${command[0]}$`], { encoding: "utf8" }).trim().split("\n");
    expect(statSync(`/proc/${pid}`).uid).toBe(65532);
  } finally {
    server.kill("SIGTERM");
    await ended(server);
    buildah("rm", "--all");
  }
});
