import { execFile, spawn } from "node:child_process";
import { type Socket, createSocket } from "node:dgram";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { createServer } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "@playwright/test";
import { type Files, GATEWAYS, freePort, startApi, withGateway, withPorts } from "./gateways";
import { generate, live, signUp } from "./support";
import { authority } from "./tls";

// The console is served at an https:// URL. The page renders the configuration of each gateway for this URL, and each
// gateway must verify the certificate of the console.

test.use({ ignoreHTTPSErrors: true });

const curl = promisify(execFile);
const folder = mkdtempSync(join(tmpdir(), "https-"));
test.afterAll(() => rmSync(folder, { recursive: true }));

/** Starts a DNS server that resolves every name to 127.0.0.1, since HAProxy does not read /etc/hosts. */
async function nameServer(): Promise<Socket> {
  const server = createSocket("udp4", (query, from) => {
    // The end of the question section; later sections are ignored (RFC 1035, 4.1).
    const end = query.indexOf(0, 12) + 5;
    const isA = query.readUInt16BE(end - 4) === 1;
    const head = Buffer.concat([query.subarray(0, 2), Buffer.from([0x81, 0x80, 0, 1, 0, isA ? 1 : 0, 0, 0, 0, 0])]);
    const answer = Buffer.from(isA ? [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1] : []);
    server.send(Buffer.concat([head, query.subarray(12, end), answer]), from.port, from.address);
  });
  await new Promise<void>((resolve) => server.bind(0, "127.0.0.1", resolve));
  return server;
}

test("each gateway configuration for an https console accepts only a trusted certificate with the name of the console", async ({ page }) => {
  test.setTimeout(180_000);
  const wrongAuthority = authority(folder, "other", "localhost");
  const wrongName = authority(folder, "wrong", "other.example");
  const right = authority(folder, "right", "localhost");
  // Both authorities are trusted, so the certificate of the second is invalid only because of its name.
  writeFileSync(join(folder, "trusted.pem"), Buffer.concat(["right", "wrong"].map((ca) => readFileSync(join(folder, `${ca}.pem`)))));
  const [plain, tls] = [await freePort(), await freePort()];
  const origin = `https://localhost:${tls}`;
  const server = spawn("../target/release/mecha-console", ["--listen", `127.0.0.1:${plain}`, "--public-url", origin, "--database-url", `sqlite:${folder}/console.db`], { stdio: "ignore" });
  // Whether the proxy in front of the console has a default host, as many do: it responds 200 to every other host than
  // that of the console.
  let hasDefaultHost = true;
  const proxies = ["127.0.0.1", "::1"].map((host) => {
    const proxy = createServer(right, (incoming, outgoing) => {
      if (hasDefaultHost && incoming.headers.host !== `localhost:${tls}`) return outgoing.writeHead(200).end();
      const { method, url, headers } = incoming;
      const forwarded = request({ port: plain, host: "127.0.0.1", method, path: url, headers }, (response) => {
        outgoing.writeHead(response.statusCode ?? 500, response.headers);
        response.pipe(outgoing);
      });
      forwarded.on("error", () => outgoing.writeHead(502).end());
      incoming.pipe(forwarded);
    });
    return proxy.on("error", () => {}).listen(tls, host);
  });
  const present = (certificate: { key: Buffer; cert: Buffer }) => {
    for (const proxy of proxies) {
      proxy.setSecureContext(certificate);
      proxy.closeAllConnections();
    }
  };
  const api = await startApi();
  const dns = await nameServer();
  try {
    await expect.poll(async () => (await fetch(`http://127.0.0.1:${plain}/readyz`).catch(() => null))?.status).toBe(200);
    await page.goto(`${origin}/sign-up`);
    await signUp(page, origin);
    await live(page);
    const { id, secret } = await generate(page, "Chat");
    await page.goto(`${origin}/settings/use-it`).catch(() => page.goto(`${origin}/settings/use-it`));

    for (const gateway of GATEWAYS) {
      const files: Files = {};
      for (const name of gateway.files) {
        files[name] = (await page.locator(".copyable", { has: page.locator(`[aria-label="Copy ${name}"]`) }).locator("code").textContent())?.replaceAll("/etc/ssl/certs/ca-certificates.crt", join(folder, "trusted.pem")) ?? "";
        expect(files[name]).not.toContain("#https:");
      }
      if (gateway.id === "haproxy") files["haproxy.cfg"] += `\nresolvers default\n    nameserver test 127.0.0.1:${dns.address().port}\n`;
      const port = await freePort();
      // Gateways written in Go read the trusted authorities from this file.
      const env = { SSL_CERT_FILE: join(folder, "trusted.pem") };
      present(wrongAuthority);
      await withGateway(gateway, withPorts(files, port, api.port), port, async (log) => {
        const status = async () => {
          const args = ["-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", `X-Api-Key: ${secret}`, "-H", "Host: api.example.com", `http://127.0.0.1:${port}/v1/chat`];
          return Number((await curl("curl", args)).stdout);
        };
        api.seen.length = 0;
        expect(await status(), `${gateway.name}: another authority`).toBeGreaterThanOrEqual(500);
        present(wrongName);
        expect(await status(), `${gateway.name}: another name`).toBeGreaterThanOrEqual(500);
        expect(api.seen).toEqual([]);
        present(right);
        if (gateway.id === "envoy") {
          // Envoy cannot send the host of the console. A 200 that is not from the console must not allow a request.
          expect(await status(), log()).toBe(503);
          expect(api.seen).toEqual([]);
          hasDefaultHost = false;
        }
        await expect.poll(status, { message: `${gateway.name}: ${log()}` }).toBe(200);
        expect(api.seen.at(-1)?.headers["x-key-id"]).toBe(id);
      }, env);
    }
  } finally {
    for (const proxy of proxies) {
      proxy.closeAllConnections();
      proxy.close();
    }
    dns.close();
    await api.stop();
    const exited = new Promise((resolve) => server.on("exit", resolve));
    if (server.exitCode === null && server.kill()) await exited;
  }
});
