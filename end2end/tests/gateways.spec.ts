import { execFile, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { resolve as absolute } from "node:path";
import { promisify } from "node:util";
import { type Page, expect, test } from "@playwright/test";
import { type Files, GATEWAYS, type Gateway, freePort, startApi, withGateway, withPorts } from "./gateways";
import { BASE_URL, SOCKET, VERIFY_ADDRESS, KEYS_PAGE, closeReveal, createMecha, dialog, generate, live, openMenu, signUp, toast } from "./support";

// Gateways with the configurations of deploy/ in front of a small API, with a key generated on the page.

const curl = promisify(execFile);
const console_ = new URL(BASE_URL).host;

/** The configuration of a gateway from deploy/, with the address of the console under test. */
function deployed(gateway: Gateway): Files {
  const { hostname, port } = new URL(BASE_URL);
  const text = (name: string) =>
    readFileSync(`../deploy/${name}`, "utf8")
      .replaceAll("127.0.0.1:3000", console_)
      .replaceAll("address: 127.0.0.1, port_value: 3000", `address: ${hostname}, port_value: ${port}`);
  return Object.fromEntries(gateway.files.map((name) => [name, text(name)]));
}

/** The same configuration with the Unix socket of the console, changed as a comment in the file describes. */
function atSocket(files: Files): Files {
  const changed = Object.entries(files).map(([name, text]) => {
    const changed = text.replace(`server ${console_};`, `server unix:${absolute(SOCKET)};`).replace(`http://${console_} {`, `unix/${absolute(SOCKET)} {`);
    expect(changed).not.toBe(text);
    return [name, changed];
  });
  return Object.fromEntries(changed);
}

/** The same configuration with the console's listener for gateways. */
function atVerifyListener(files: Files): Files {
  const { port } = new URL(BASE_URL);
  const [host, verifyPort] = VERIFY_ADDRESS.split(":");
  return Object.fromEntries(
    Object.entries(files).map(([name, text]) => [
      name,
      text.replaceAll(console_, VERIFY_ADDRESS).replaceAll(`address: ${host}, port_value: ${port}`, `address: ${host}, port_value: ${verifyPort}`),
    ]),
  );
}

const [nginx, caddy] = GATEWAYS;
const SETUPS: [string, Gateway, (files: Files) => Files][] = [
  ...GATEWAYS.map((gateway): [string, Gateway, (files: Files) => Files] => [gateway.name, gateway, (files) => files]),
  ...GATEWAYS.map((gateway): [string, Gateway, (files: Files) => Files] => [`${gateway.name} at the listener for gateways`, gateway, atVerifyListener]),
  ["nginx at the Unix socket", nginx as Gateway, atSocket],
  ["Caddy at the Unix socket", caddy as Gateway, atSocket],
];

/** Headers that the console sets or reserves. Tested in every spelling, since many frameworks treat "-" and "_" alike. */
const IDENTITY = ["X-Key-Id", "X-Key-Name", "X-Key-Expires-At", "X-Key-Scopes", "X-Account-Id", "X-Mecha-Id", "X-Mecha-Name", "X-Required-Scope"];
const spellings = (name: string): string[] =>
  name.split("-").reduce<string[]>((all, part) => (all.length === 0 ? [part] : all.flatMap((start) => [`${start}-${part}`, `${start}_${part}`])), []);
const FORGERIES = [...IDENTITY.flatMap(spellings), "x-key-id", "x_account_id", "X-KEY_ID"];

const identity = /^x[-_](key|account|mecha|required)[-_]/i;
const identityNames = (rawHeaders: string[] = []) =>
  rawHeaders.filter((name, at) => at % 2 === 0 && identity.test(name)).map((name) => name.toLowerCase());

async function remove(page: Page, name: string): Promise<void> {
  await openMenu(page, name, "Delete");
  await dialog(page).getByLabel("Re-enter key name").fill(name);
  await dialog(page).getByRole("button", { name: "I understand, delete this key" }).click();
  await expect(toast(page)).toHaveText("API key deleted");
}

/** Creates a Mecha, and issues a key for it. */
async function mechaKey(page: Page): Promise<{ id: string; secret: string }> {
  await createMecha(page, "Porter 1");
  const { secret } = await generate(page, "Runtime", "Issue key");
  await closeReveal(page);
  const id = new URL(page.url()).pathname.split("/").at(-1) ?? "";
  await page.goto(KEYS_PAGE);
  return { id, secret };
}

/** Creates a key without expiry with the request that the page sends; returns its secret. */
async function endlessKey(page: Page): Promise<string> {
  const form = { name: "Endless", expire_in: "never" };
  const response = await page.request.post("/rpc/keys/create", { form, headers: { accept: "application/json", origin: BASE_URL } });
  return (await response.json()).new.secret;
}

/** Sends bytes; returns what is received until the server closes the connection, or `null` after idle `seconds`. */
function exchange(port: number, bytes: string, seconds: number): Promise<string | null> {
  return new Promise((resolve) => {
    let received = "";
    const socket = connect(port, "127.0.0.1", () => socket.write(bytes));
    socket.setTimeout(seconds * 1000, () => socket.destroy());
    socket.on("timeout", () => resolve(null));
    socket.on("data", (chunk) => (received += chunk));
    socket.on("error", () => resolve(received));
    socket.on("close", () => resolve(received));
  });
}

for (const [name, gateway, change] of SETUPS) {
  test(`through ${name}, a key generated on the page is allowed until it is deleted`, async ({ page }) => {
    const api = await startApi();
    const port = await freePort();
    try {
      await withGateway(gateway, withPorts(change(deployed(gateway)), port, api.port), port, async (log) => {
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
        const bearer = `Authorization: Bearer ${secret}`;

        const allowed = await call(bearer);
        expect([allowed.status, allowed.body], log()).toEqual([200, '{"reply":"hello"}']);
        expect(api.seen.at(-1)?.headers).toMatchObject({ "x-key-id": id, "x-account-id": expect.stringMatching(/^[0-9a-f]{32}$/), "x-key-name": "Chat" });
        expect(api.seen.at(-1)?.headers["x-key-expires-at"]).toMatch(/^\d{4}-/);
        expect(JSON.stringify(api.seen.at(-1)?.rawHeaders)).not.toContain(secret);

        // Identity headers sent by a client are removed, in every spelling.
        await call(bearer, ...FORGERIES.map((header) => `${header}: forged`));
        expect(JSON.stringify(api.seen.at(-1)?.rawHeaders)).not.toContain("forged");
        expect(api.seen.at(-1)?.headers["x-key-id"]).toBe(id);
        expect(identityNames(api.seen.at(-1)?.rawHeaders).sort()).toEqual(["x-account-id", "x-key-expires-at", "x-key-id", "x-key-name"]);

        // A client cannot remove the identity headers by listing them in Connection.
        for (const connection of [["Connection: close, X-Key-Id, X-Account-Id"], ["Connection: close", "Connection: x-key-id,x-account-id"], ["Connection: X-Key-Id"]]) {
          const before = api.seen.length;
          const { status } = await call(bearer, ...connection);
          if (api.seen.length === before) expect(status, connection.join()).toBe(400);
          else expect(api.seen.at(-1)?.headers["x-key-id"], connection.join()).toBe(id);
        }

        // For a key without expiry, the expiry header is absent rather than empty.
        const endless = await call(`Authorization: Bearer ${await endlessKey(page)}`);
        expect(endless.status).toBe(200);
        expect(identityNames(api.seen.at(-1)?.rawHeaders).sort()).toEqual(["x-account-id", "x-key-id", "x-key-name"]);

        // The key of a Mecha also has the id and the name of the Mecha.
        const mecha = await mechaKey(page);
        expect((await call(`Authorization: Bearer ${mecha.secret}`)).status).toBe(200);
        expect(api.seen.at(-1)?.headers).toMatchObject({ "x-mecha-id": mecha.id, "x-mecha-name": "Porter%201", "x-key-name": "Runtime" });

        for (const way of [[`X-Api-Key: ${secret}`], [`X-Api-Key-Id: ${id}`, `X-Api-Key-Secret: ${secret}`]]) {
          expect((await call(...way)).status).toBe(200);
          expect(JSON.stringify(api.seen.at(-1)?.rawHeaders)).not.toContain(secret);
        }

        const before = api.seen.length;
        const without = await call();
        expect(without.status).toBe(401);
        expect(without.head).toMatch(/www-authenticate: bearer realm="mecha-console"\r?$/m);
        const wrong = await call("Authorization: Bearer mm_tok_wrong", "X-Key-Id: forged");
        expect(wrong.status).toBe(401);
        expect(wrong.head).toContain('error="invalid_token"');
        const twice = await call(bearer, `X-Api-Key: ${secret}`);
        expect(twice.status).toBe(400);
        expect(api.seen.length).toBe(before);

        // A stream is not buffered: the first event arrives before the second is sent.
        const stream = spawn("curl", ["-s", "-N", "-X", "POST", url, "-H", bearer, "-H", "Accept: text/event-stream", ...json]);
        let arrived = "";
        stream.stdout.on("data", (chunk) => (arrived += chunk));
        const exited = new Promise((resolve) => stream.on("exit", resolve));
        await expect.poll(() => arrived).toBe("data: one\n\n");
        api.finishStream();
        await exited;
        expect(arrived).toBe("data: one\n\ndata: two\n\n");

        // A WebSocket upgrade is forwarded with the identity headers.
        const upgrade = ["GET /v1/socket HTTP/1.1", `Host: 127.0.0.1:${port}`, bearer, "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "", ""];
        expect(await exchange(port, upgrade.join("\r\n"), 5), log()).toMatch(/^HTTP\/1\.1 101 [^]*hello$/);
        expect(api.seen.at(-1)?.headers["x-key-id"]).toBe(id);

        await remove(page, "Chat");
        expect((await call(bearer)).status).toBe(401);
      });
    } finally {
      await api.stop();
    }
  });
}

/** Creates a key with the request that the page sends. */
async function keyWith(page: Page, name: string, scopes: string[]): Promise<{ id: string; secret: string }> {
  const body = new URLSearchParams([["name", name], ["expire_in", "7"], ["access", "chosen"], ...scopes.map((scope) => ["scopes", scope])]);
  const headers = { accept: "application/json", origin: BASE_URL, "content-type": "application/x-www-form-urlencoded" };
  const response = await page.request.post("/rpc/keys/create", { data: body.toString(), headers });
  return (await response.json()).new;
}

for (const gateway of GATEWAYS) {
  test(`through ${gateway.name}, a route requires a scope of the key`, async ({ page }) => {
    const api = await startApi();
    const port = await freePort();
    const files = Object.fromEntries(
      Object.entries(deployed(gateway)).map(([name, text]) => [name, text.replaceAll("#scope:", "")]),
    );
    try {
      await withGateway(gateway, withPorts(files, port, api.port), port, async (log) => {
        await signUp(page);
        await live(page);
        const { id, secret } = await keyWith(page, "Chat", ["chat:read"]);
        const call = async (path: string, ...headers: string[]) => {
          const given = [`Authorization: Bearer ${secret}`, ...headers].flatMap((header) => ["-H", header]);
          const { stdout } = await curl("curl", ["-s", "-i", "--path-as-is", `http://127.0.0.1:${port}${path}`, ...given]);
          return { status: Number(/HTTP\/\S+ (\d+)/.exec(stdout)?.[1]), head: stdout.toLowerCase() };
        };
        const denied = await call("/v1/messages");
        expect(denied.status, log()).toBe(403);
        expect(denied.head).toContain('error="insufficient_scope", scope="chat:write"');
        expect((await call("/v1/models")).status, log()).toBe(200);
        expect(api.seen.at(-1)?.headers).toMatchObject({ "x-key-id": id, "x-key-scopes": "chat:read" });
        expect(identityNames(api.seen.at(-1)?.rawHeaders).sort()).toEqual(["x-account-id", "x-key-expires-at", "x-key-id", "x-key-name", "x-key-scopes"]);

        // Another spelling of the path does not get around the scope.
        const before = api.seen.length;
        for (const path of ["/v1/messages/1", "/v1/messages?a=b", "/v1/%6dessages", "/v1//messages", "/v1/x/../messages", "/v1/x/%2e%2e/messages", "/v1/./messages", "/v1%2fmessages", "//v1/messages", "/v1/messages;a", "/v1;a/messages", "/v1/x/..;/messages", "/v1%5cmessages", "/v1/%3bmessages"]) {
          expect([400, 403, 404], path).toContain((await call(path)).status);
        }
        expect(api.seen.slice(before).map(({ url }) => url)).toEqual([]);

        // A client's own header neither adds a requirement nor replaces one.
        for (const header of ["X-Required-Scope: chat:write", "X-Required-Scope: unknown", "x_required_scope: chat:write"]) {
          expect((await call("/v1/models", header)).status, header).toBe(200);
          expect(JSON.stringify(api.seen.at(-1)?.rawHeaders).toLowerCase()).not.toContain("required");
        }
        for (const header of ["X-Required-Scope: chat:read", "X-Key-Id: forged", "X-Key-Scopes: chat:write", "x_key_id: forged"]) {
          expect((await call("/v1/messages", header)).status, header).toBe(403);
        }
        // Nor does a parameter of the client's query.
        expect((await call("/v1/messages?scope=chat:read")).status).toBe(403);
        expect((await call("/v1/models?scope=unknown&module=accounts")).status).toBe(200);
        expect((await call("/?scope=unknown&module=accounts")).status).toBe(200);

        await openMenu(page, "Chat", "Edit");
        await dialog(page).getByLabel("chat:write").check();
        await dialog(page).getByRole("button", { name: "Save" }).click();
        await expect(toast(page)).toHaveText("API key changed");
        expect((await call("/v1/messages")).status, log()).toBe(200);
        expect(api.seen.at(-1)?.headers["x-key-scopes"]).toBe("chat:read chat:write");
        // A key with access to everything has no scopes to pass on, and a client cannot add some.
        await openMenu(page, "Chat", "Edit");
        await dialog(page).getByLabel("Everything").check();
        await dialog(page).getByRole("button", { name: "Save" }).click();
        await expect(toast(page)).toHaveText("API key changed");
        expect((await call("/v1/messages", "X-Key-Scopes: forged")).status).toBe(200);
        expect(identityNames(api.seen.at(-1)?.rawHeaders)).not.toContain("x-key-scopes");
      });
    } finally {
      await api.stop();
    }
  });
}

for (const gateway of GATEWAYS.filter(({ headTimeout }) => headTimeout !== undefined)) {
  test(`${gateway.name} closes a connection whose request head is not completed within the timeout`, async () => {
    const port = await freePort();
    await withGateway(gateway, withPorts(deployed(gateway), port, 9), port, async () => {
      const limit = (gateway.headTimeout ?? 0) + 5;
      expect(await exchange(port, "GET / HTTP/1.1\r\nHost: slow\r\nX-Slow: ", limit)).not.toBeNull();
    });
  });
}

test("Envoy denies keys for a closed module regardless of the path that it appends", async ({ page }) => {
  const envoy = GATEWAYS.find(({ id }) => id === "envoy") as Gateway;
  const api = await startApi();
  const port = await freePort();
  const files = deployed(envoy);
  const closed = files["envoy.yaml"]?.replace("path_prefix: /verify/client", "path_prefix: /verify?module=accounts") ?? "";
  try {
    await withGateway(envoy, withPorts({ "envoy.yaml": closed }, port, api.port), port, async () => {
      await signUp(page);
      const secret = await endlessKey(page);
      for (const path of ["/v1/chat", "/v1/chat?module=chat", "/", "/%2e"]) {
        const { stdout } = await curl("curl", ["-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", `X-Api-Key: ${secret}`, `http://127.0.0.1:${port}${path}`]);
        expect(stdout, path).toBe("403");
      }
      expect(api.seen).toEqual([]);
    });
  } finally {
    await api.stop();
  }
});

test("X-Forwarded-For is trusted on the Unix socket and not on the TCP listener, and the socket serves only /verify", async ({ page }) => {
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
  await openMenu(page, "Guarded", "Usage and refusals");
  const refusals = dialog(page).locator(".usage li");
  await expect(refusals).toHaveCount(2);
  await expect(refusals.filter({ hasText: "198.51.100.7" })).toHaveCount(1);
  await expect(refusals.filter({ hasText: "127.0.0.1" })).toHaveCount(1);
});
