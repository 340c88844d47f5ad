import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type IncomingMessage, type Server, createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { join, resolve } from "node:path";
import { expect } from "@playwright/test";

// Starts each of the five gateways in front of a small API.

/** The configuration files of a gateway, by file name. */
export type Files = Record<string, string>;

export type Gateway = {
  name: string;
  files: string[];
  /** The id of its section on the page that shows the configuration files. */
  id: string;
  /** Timeout for the request head in seconds, if its configuration sets one. */
  headTimeout?: number;
  start(folder: string, files: Files, env: NodeJS.ProcessEnv): ChildProcess;
};

const PATH = [resolve("../target/gateways/bin"), process.env["PATH"], "/usr/sbin"].join(":");
const run = (command: string, args: string[], cwd: string, env: NodeJS.ProcessEnv): ChildProcess =>
  spawn(command, args, { cwd, env: { ...process.env, HOME: cwd, PATH, ...env }, stdio: ["ignore", "pipe", "pipe"] });

function write(folder: string, files: Files): void {
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
}

const nginxTemporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];

export const GATEWAYS: Gateway[] = [
  {
    name: "nginx",
    id: "nginx",
    files: ["nginx.conf"],
    headTimeout: 10,
    start(folder, files, env) {
      write(folder, { "api.conf": files["nginx.conf"] ?? "" });
      const paths = nginxTemporary.map((name) => `${name}_temp_path ${folder}/${name};`).join(" ");
      // As root, nginx runs its workers as the user nobody by default, which cannot open the Unix socket of the console.
      write(folder, {
        "nginx.conf": `user ${userInfo().username}; daemon off; pid ${folder}/pid; error_log ${folder}/error.log; events {} http { access_log off; ${paths} include ${folder}/api.conf; }`,
      });
      return run("nginx", ["-p", folder, "-c", `${folder}/nginx.conf`], folder, env);
    },
  },
  {
    name: "Caddy",
    id: "caddy",
    files: ["Caddyfile"],
    start(folder, files, env) {
      let caddyfile = files["Caddyfile"] ?? "";
      // Debian has an earlier version, which knows only the earlier name of this option.
      if (/^v?2\.[0-6]\./.test(execFileSync("caddy", ["version"], { env: { PATH }, encoding: "utf8" }))) {
        caddyfile = caddyfile.replace("request_buffers 1MiB", "buffer_requests");
      }
      write(folder, { Caddyfile: `{\n\tadmin off\n\tauto_https off\n}\n${caddyfile}` });
      return run("caddy", ["run", "--adapter", "caddyfile", "--config", `${folder}/Caddyfile`], folder, env);
    },
  },
  {
    name: "HAProxy",
    id: "haproxy",
    files: ["haproxy.cfg", "verify.lua"],
    headTimeout: 10,
    start(folder, files, env) {
      write(folder, files);
      return run("haproxy", ["-db", "-f", "haproxy.cfg"], folder, env);
    },
  },
  {
    name: "Traefik",
    id: "traefik",
    files: ["traefik.yaml"],
    start(folder, files, env) {
      const [, port] = /^# port (\d+)$/m.exec(files["traefik.yaml"] ?? "") ?? [];
      // Traefik would read a file named traefik.yaml in its working directory as its static configuration.
      write(folder, { "dynamic.yaml": files["traefik.yaml"] ?? "" });
      const flags = [`--entryPoints.web.address=127.0.0.1:${port}`, `--providers.file.filename=${folder}/dynamic.yaml`, "--experimental.fastProxy=true", "--global.checkNewVersion=false", "--global.sendAnonymousUsage=false"];
      return run("traefik", flags, folder, env);
    },
  },
  {
    name: "Envoy",
    id: "envoy",
    files: ["envoy.yaml"],
    headTimeout: 10,
    start(folder, files, env) {
      write(folder, files);
      return run("envoy", ["-c", "envoy.yaml", "--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"], folder, env);
    },
  },
];

/** Replaces the ports of the example configuration with those of the test. */
export function withPorts(files: Files, port: number, api: number): Files {
  const replaced = Object.entries(files).map(([name, text]) => [
    name,
    text
      .replaceAll("127.0.0.1:8000", `127.0.0.1:${api}`)
      .replaceAll("address: 127.0.0.1, port_value: 8000", `address: 127.0.0.1, port_value: ${api}`)
      .replace("address: 0.0.0.0, port_value: 8080", `address: 127.0.0.1, port_value: ${port}`)
      .replace("listen 8080;", `listen 127.0.0.1:${port};`)
      .replace("bind :8080", `bind 127.0.0.1:${port}`)
      .replace(/^:8080 \{/m, `:${port} {\n\tbind 127.0.0.1`)
      // The port of Traefik is not part of this file, so a comment carries it to `start`.
      .replace(/^http:$/m, `# port ${port}\nhttp:`),
  ]);
  return Object.fromEntries(replaced);
}

/**
 * Starts the API behind a gateway. It responds with JSON, with an event stream whose second event waits for
 * `finishStream`, or with an upgrade, and records the requests.
 */
export async function startApi() {
  const seen: IncomingMessage[] = [];
  let finishStream = () => {};
  const api: Server = createServer((request, response) => {
    seen.push(request);
    request.resume().on("end", async () => {
      if (request.headers.accept === "text/event-stream") {
        response.writeHead(200, { "content-type": "text/event-stream" });
        response.write("data: one\n\n");
        await new Promise<void>((resolve) => (finishStream = resolve));
        response.end("data: two\n\n");
      } else {
        response.writeHead(200, { "content-type": "application/json" });
        response.end(JSON.stringify({ reply: "hello" }));
      }
    });
  });
  api.on("upgrade", (request, socket) => {
    seen.push(request);
    // The value for the sample nonce (RFC 6455, 1.3); HAProxy checks it.
    const accept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
    socket.end(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${accept}\r\n\r\nhello`);
  });
  await new Promise<void>((resolve) => api.listen(0, "127.0.0.1", resolve));
  const { port } = api.address() as AddressInfo;
  const stop = () => {
    api.closeAllConnections();
    return new Promise((resolve) => api.close(resolve));
  };
  return { port, seen, finishStream: () => finishStream(), stop };
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Runs a gateway until `use` completes. */
export async function withGateway(gateway: Gateway, files: Files, port: number, use: (log: () => string) => Promise<void>, env: NodeJS.ProcessEnv = {}): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "gateway-"));
  mkdirSync(join(folder, "tmp"));
  const child = gateway.start(folder, files, env);
  const log: string[] = [];
  for (const output of [child.stdout, child.stderr]) output?.on("data", (chunk) => log.push(String(chunk)));
  try {
    await expect
      .poll(() => {
        if (child.exitCode !== null) throw new Error(`${gateway.name} exited with ${child.exitCode}: ${log.join("")}`);
        return isReady(port);
      })
      .toBe(true);
    await use(() => log.join(""));
  } finally {
    const exited = new Promise((resolve) => child.on("exit", resolve));
    if (child.exitCode === null && child.kill()) await exited;
    rmSync(folder, { recursive: true });
  }
}

/** Whether the gateway serves its routes. Traefik accepts connections before it has loaded them, and responds 404. */
function isReady(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = request({ host: "127.0.0.1", port, agent: false }, (response) => {
      response.destroy();
      resolve(response.statusCode !== 404);
    });
    probe.on("error", () => resolve(false)).end();
  });
}
