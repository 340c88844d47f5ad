import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type IncomingMessage, type Server, createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { join, resolve } from "node:path";
import { expect } from "@playwright/test";

/** Starts the five gateways with the files of deploy/, in front of a small API. */

/** The files of a gateway, by name. */
export type Files = Record<string, string>;

export type Gateway = {
  name: string;
  files: string[];
  /** The id of its section on the page that shows the files. */
  id: string;
  /** Seconds after which it closes a connection whose request head does not arrive, where its file says so. */
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
      // As root it would start its workers as nobody, who may not open the console's Unix socket.
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
      write(folder, { Caddyfile: `{\n\tadmin off\n\tauto_https off\n}\n${files["Caddyfile"]}` });
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
      // As traefik.yaml in its working directory it would be its static configuration.
      write(folder, { "dynamic.yaml": files["traefik.yaml"] ?? "" });
      const flags = [`--entryPoints.web.address=127.0.0.1:${port}`, `--providers.file.filename=${folder}/dynamic.yaml`, "--global.checkNewVersion=false", "--global.sendAnonymousUsage=false"];
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

/** The files with the ports of a test in place of those of the example. */
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
      // Traefik's port is not in this file.
      .replace(/^http:$/m, `# port ${port}\nhttp:`),
  ]);
  return Object.fromEntries(replaced);
}

/** The API behind a gateway: JSON, a stream whose second half waits, or an upgrade. It keeps what it received. */
export async function startApi() {
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
  api.on("upgrade", (request, socket) => {
    seen.push(request);
    // The accept of the sample nonce (RFC 6455, 1.3), which HAProxy checks.
    const accept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
    socket.end(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${accept}\r\n\r\nhello`);
  });
  await new Promise<void>((resolve) => api.listen(0, "127.0.0.1", resolve));
  const { port } = api.address() as AddressInfo;
  const stop = () => {
    api.closeAllConnections();
    return new Promise((resolve) => api.close(resolve));
  };
  return { port, seen, goOn: () => goOn(), stop };
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Runs a gateway until `use` is done. */
export async function withGateway(gateway: Gateway, files: Files, port: number, use: (log: () => string) => Promise<void>, env: NodeJS.ProcessEnv = {}): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "gateway-"));
  mkdirSync(join(folder, "tmp"));
  const child = gateway.start(folder, files, env);
  const log: string[] = [];
  for (const output of [child.stdout, child.stderr]) output?.on("data", (piece) => log.push(String(piece)));
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

/** Traefik accepts connections before it has read its routes, and responds 404 to all of them. */
function isReady(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = request({ host: "127.0.0.1", port, agent: false }, (response) => {
      response.destroy();
      resolve(response.statusCode !== 404);
    });
    probe.on("error", () => resolve(false)).end();
  });
}
