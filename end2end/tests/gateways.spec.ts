import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type IncomingMessage, type Server, createServer } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { join, resolve as absolute } from "node:path";
import { promisify } from "node:util";
import { type Page, expect, test } from "@playwright/test";
import { BASE_URL, SOCKET, closeReveal, dialog, generate, live, openMenu, signUp, toast } from "./support";

// The ready files of deploy/, in front of a small API, with a key made on the page.

const curl = promisify(execFile);
const console_ = new URL(BASE_URL).host;

/** The API that is protected: JSON, or a stream of which the second half waits until it is told. */
async function startApi() {
  const seen: IncomingMessage[] = [];
  let goOn = () => {};
  const api: Server = createServer((request, response) => {
    seen.push(request);
    request.resume().on("end", async () => {
      if (request.headers.accept === "text/event-stream") {
        response.writeHead(200, { "content-type": "text/event-stream" });
        response.write("data: one\n\n");
        await new Promise<void>((resolve) => (goOn = resolve));
        response.end("data: two\n\n");
      } else {
        response.writeHead(200, { "content-type": "application/json" });
        response.end(JSON.stringify({ reply: "hello" }));
      }
    });
  });
  await new Promise<void>((resolve) => api.listen(0, "127.0.0.1", resolve));
  const { port } = api.address() as AddressInfo;
  return { port, seen, goOn: () => goOn(), stop: () => new Promise((resolve) => api.close(resolve)) };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function answers(port: number, gateway: ChildProcess): Promise<void> {
  await expect
    .poll(async () => {
      if (gateway.exitCode !== null) throw new Error(`the gateway ended with ${gateway.exitCode}`);
      return new Promise<boolean>((resolve) => {
        const socket = connect(port, "127.0.0.1", () => resolve(true)).on("error", () => resolve(false));
        socket.on("connect", () => socket.destroy());
      });
    })
    .toBe(true);
}

/** A file of deploy/, with the ports of this test. */
function deployed(file: string, port: number, api: number): string {
  return readFileSync(`../deploy/${file}`, "utf8")
    .replaceAll("127.0.0.1:3000", console_)
    .replaceAll("127.0.0.1:8000", `127.0.0.1:${api}`)
    .replace(/listen 8080|bind :8080|^:8080/m, (listen) => listen.replace(":8080", `127.0.0.1:${port}`).replace(" 8080", ` 127.0.0.1:${port}`))
    .replace(/^127\.0\.0\.1:\d+ \{/m, `http://127.0.0.1:${port} {`);
}

/** Asked at the Unix socket, as a comment of the file says. */
function atSocket(file: string): string {
  const changed = file.replace(`server ${console_};`, `server unix:${absolute(SOCKET)};`).replace(`http://${console_} {`, `unix/${absolute(SOCKET)} {`);
  expect(changed).not.toBe(file);
  return changed;
}

const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
function nginx(folder: string, file: string): ChildProcess {
  writeFileSync(join(folder, "api.conf"), file);
  const paths = temporary.map((name) => `${name}_temp_path ${folder}/${name};`).join(" ");
  // Its workers are nobody otherwise, if root starts it, and may not open the socket.
  const whole = `user ${userInfo().username}; daemon off; pid ${folder}/pid; error_log ${folder}/error.log; events {} http { access_log off; ${paths} include ${folder}/api.conf; }`;
  writeFileSync(join(folder, "nginx.conf"), whole);
  return spawn("nginx", ["-p", folder, "-c", `${folder}/nginx.conf`], { env: { ...process.env, PATH: `${process.env["PATH"]}:/usr/sbin` } });
}

function caddy(folder: string, file: string): ChildProcess {
  writeFileSync(join(folder, "Caddyfile"), `{\n\tadmin off\n\tauto_https off\n}\n${file}`);
  return spawn("caddy", ["run", "--adapter", "caddyfile", "--config", `${folder}/Caddyfile`], { env: { ...process.env, HOME: folder } });
}

const gateways: Record<string, (folder: string, port: number, api: number) => ChildProcess> = {
  nginx: (folder, port, api) => nginx(folder, deployed("nginx.conf", port, api)),
  "nginx at the Unix socket": (folder, port, api) => nginx(folder, atSocket(deployed("nginx.conf", port, api))),
  Caddy: (folder, port, api) => caddy(folder, deployed("Caddyfile", port, api)),
  "Caddy at the Unix socket": (folder, port, api) => caddy(folder, atSocket(deployed("Caddyfile", port, api))),
  HAProxy(folder, port, api) {
    writeFileSync(join(folder, "verify.lua"), readFileSync("../deploy/verify.lua"));
    writeFileSync(join(folder, "haproxy.cfg"), deployed("haproxy.cfg", port, api));
    return spawn("haproxy", ["-db", "-f", "haproxy.cfg"], { cwd: folder, env: { ...process.env, PATH: `${process.env["PATH"]}:/usr/sbin` } });
  },
};

/** As the console names them, and as some APIs would take them for the same. */
const forgeries = ["X-Key-Id", "X-Account-Id", "X-Key-Name", "X-Key-Expires-At", "x-key-id", "X_Key_Id", "X_Account_Id", "x_account_id"];

async function remove(page: Page, name: string): Promise<void> {
  await openMenu(page, name, "Delete");
  await dialog(page).getByLabel("Re-enter key name").fill(name);
  await dialog(page).getByRole("button", { name: "I understand, delete this key" }).click();
  await expect(toast(page)).toHaveText("API key deleted");
}

for (const [name, start] of Object.entries(gateways)) {
  test(`through ${name} a key made on the page opens the API, and not after Delete`, async ({ page }) => {
    const api = await startApi();
    const folder = mkdtempSync(join(tmpdir(), "gateway-"));
    const port = await freePort();
    const gateway = start(folder, port, api.port);
    const said: string[] = [];
    gateway.stderr?.on("data", (piece) => said.push(String(piece)));
    try {
      await answers(port, gateway);
      await signUp(page);
      await live(page);
      const { id, secret } = await generate(page, "Chat");
      await closeReveal(page);
      const url = `http://127.0.0.1:${port}/v1/trigger/chat`;
      const json = ["-H", "Content-Type: application/json", "-d", '{"message": "Hi"}'];
      const call = async (...headers: string[]) => {
        const given = headers.flatMap((header) => ["-H", header]);
        const { stdout } = await curl("curl", ["-s", "-i", "-X", "POST", url, ...given, ...json]);
        const [head = "", body = ""] = stdout.split(/\r\n\r\n(?!HTTP)/);
        return { status: Number(/HTTP\/\S+ (\d+)/.exec(head)?.[1]), head: head.toLowerCase(), body };
      };

      const let_in = await call(`Authorization: Bearer ${secret}`);
      expect([let_in.status, let_in.body], said.join("")).toEqual([200, '{"reply":"hello"}']);
      expect(api.seen.at(-1)?.headers).toMatchObject({ "x-key-id": id, "x-account-id": expect.stringMatching(/^[0-9a-f]{32}$/) });
      expect(JSON.stringify(api.seen.at(-1)?.rawHeaders)).not.toContain(secret);

      // What a client says of itself goes no further.
      await call(`Authorization: Bearer ${secret}`, ...forgeries.map((header) => `${header}: forged`));
      expect(JSON.stringify(api.seen.at(-1)?.rawHeaders)).not.toContain("forged");
      expect(api.seen.at(-1)?.headers["x-key-id"]).toBe(id);

      for (const way of [[`X-Api-Key: ${secret}`], [`X-Api-Key-Id: ${id}`, `X-Api-Key-Secret: ${secret}`]]) {
        expect((await call(...way)).status).toBe(200);
        expect(JSON.stringify(api.seen.at(-1)?.rawHeaders)).not.toContain(secret);
      }

      const before = api.seen.length;
      const stranger = await call();
      expect(stranger.status).toBe(401);
      expect(stranger.head).toMatch(/www-authenticate: bearer realm="mecha-console"\r?$/m);
      const wrong = await call("Authorization: Bearer mm_tok_wrong", "X-Key-Id: forged");
      expect(wrong.status).toBe(401);
      expect(wrong.head).toContain('error="invalid_token"');
      const twice = await call(`Authorization: Bearer ${secret}`, `X-Api-Key: ${secret}`);
      expect(twice.status).toBe(400);
      expect(api.seen.length).toBe(before);

      // A stream arrives piece by piece: the first before the second is sent.
      const stream = spawn("curl", ["-s", "-N", "-X", "POST", url, "-H", `Authorization: Bearer ${secret}`, "-H", "Accept: text/event-stream", ...json]);
      let arrived = "";
      stream.stdout.on("data", (piece) => (arrived += piece));
      await expect.poll(() => arrived).toBe("data: one\n\n");
      api.goOn();
      await new Promise((resolve) => stream.on("exit", resolve));
      expect(arrived).toBe("data: one\n\ndata: two\n\n");

      await remove(page, "Chat");
      expect((await call(`Authorization: Bearer ${secret}`)).status).toBe(401);
    } finally {
      const ended = new Promise((resolve) => gateway.on("exit", resolve));
      if (gateway.exitCode === null && gateway.kill()) await ended;
      await api.stop();
      rmSync(folder, { recursive: true });
    }
  });
}

test("what is forwarded is believed at the Unix socket and not at the address, and the socket has no pages", async ({ page }) => {
  await signUp(page);
  await live(page);
  const { id } = await generate(page, "Guarded");
  await closeReveal(page);
  const ask = async (path: string, ...args: string[]) => {
    const pair = ["-H", `X-Api-Key-Id: ${id}`, "-H", "X-Api-Key-Secret: mm_tok_wrong"];
    const url = `${BASE_URL}${path}`;
    return (await curl("curl", ["-s", "-o", "/dev/null", "-w", "%{http_code}", ...pair, ...args, url])).stdout;
  };
  const socket = ["--unix-socket", absolute(SOCKET)];
  expect(await ask("/verify", ...socket, "-H", "X-Forwarded-For: 192.0.2.1, 198.51.100.7")).toBe("401");
  expect(await ask("/verify", "-H", "X-Forwarded-For: 203.0.113.8")).toBe("401");
  expect(await ask("/sign-in")).toBe("200");
  for (const path of ["/sign-in", "/healthz", "/api/v1/key", "/"]) expect(await ask(path, ...socket), path).toBe("404");
  await openMenu(page, "Guarded", "Recent refusals");
  const refusals = dialog(page).locator(".traffic li");
  await expect(refusals).toHaveCount(2);
  await expect(refusals.filter({ hasText: "198.51.100.7" })).toHaveCount(1);
  await expect(refusals.filter({ hasText: "127.0.0.1" })).toHaveCount(1);
});
