// Shared by the harnesses: a server process on loopback, requests of an account owner, and a load of changes.
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { cookieOf, post, request } from "../http.mjs";

export { sleep };
export const ROOT = new URL("../../", import.meta.url).pathname;
export const BINARY = `${ROOT}target/release/mecha-console`;
export const PASSWORD = "plum orchard tuesday lantern";
export const EMAIL = "ada@example.com";

const children = new Set();
process.on("exit", () => children.forEach((child) => child.kill("SIGKILL")));
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));

export function start(command, args, env = {}) {
  const child = spawn(command, args, { stdio: ["ignore", "ignore", "ignore"], env: { ...process.env, RUST_LOG: "off", ...env } });
  children.add(child);
  child.ended = new Promise((resolve) => child.on("exit", (code, signal) => resolve({ code, signal })));
  child.ended.then(() => children.delete(child));
  return child;
}

/** Creates a temporary folder, which is deleted at exit. */
export function folder() {
  const path = mkdtempSync(join(tmpdir(), "torture-"));
  process.on("exit", () => rmSync(path, { recursive: true, force: true }));
  return path;
}

export class Server {
  constructor(port, database, { flags = [], wrap = [], env = {} } = {}) {
    Object.assign(this, { port, database, flags, wrap, env });
    this.agent = new http.Agent({ keepAlive: true, maxSockets: 64 });
  }

  /** Starts the process and waits until it responds; returns `false` if it exits before that. */
  async start(wrap = this.wrap) {
    const args = [BINARY, "--listen", `127.0.0.1:${this.port}`, "--denials-per-minute", "0", "--changes-per-minute", "0", ...this.flags,
      "--database-url", this.url];
    const [command, ...rest] = [...wrap, ...args];
    this.child = start(command, rest, this.env);
    let ended = false;
    this.child.ended.then(() => (ended = true));
    while (!ended) {
      if ((await this.request("/healthz"))?.status === 200) return true;
      await sleep(5);
    }
    return false;
  }

  get url() {
    return this.database.startsWith("postgres:") ? this.database : `sqlite:${this.database}`;
  }

  /** The process id of the server, also if a wrapper such as strace started it. */
  get pid() {
    if (this.wrap.length === 0) return this.child.pid;
    const [child] = readFileSync(`/proc/${this.child.pid}/task/${this.child.pid}/children`, "utf8").trim().split(" ");
    return Number(child);
  }

  async stop(signal) {
    this.child.kill(signal);
    const ended = await this.child.ended;
    this.agent.destroy();
    this.agent = new http.Agent({ keepAlive: true, maxSockets: 64 });
    return ended;
  }

  request(path, options = {}) {
    return request(this.port, path, { agent: this.agent, ...options });
  }

  post(path, fields, { cookie = this.cookie, localAddress, headers } = {}) {
    const agent = localAddress ? false : this.agent;
    return post(this.port, path, fields, { cookie, headers, localAddress, agent });
  }

  async signUp(email = EMAIL, headers = {}) {
    const response = await this.post("/rpc/account/sign-up", { email, password: PASSWORD }, { cookie: "", headers });
    if (response?.status !== 200) throw new Error(`sign-up: ${response?.status} ${response?.body}`);
    this.cookie = cookieOf(response);
    return this.cookie;
  }

  async verify(secret, query = "") {
    return (await this.request(`/verify${query}`, { headers: { "X-Api-Key": secret } }))?.status;
  }

  get memory() {
    return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${this.pid}/status`, "utf8"))[1]) * 1024;
  }

  get connections() {
    return readdirSync(`/proc/${this.pid}/fd`).length;
  }

  /** Throws if the database is damaged. */
  checkIntegrity() {
    const found = execFileSync("sqlite3", [this.database, "PRAGMA integrity_check; PRAGMA foreign_key_check;"], { encoding: "utf8" });
    if (found.trim() !== "ok") throw new Error(`the database is damaged: ${found}`);
  }
}

/**
 * Changes keys one after another, and records what was acknowledged. For each secret, `expected` is the outcome of its
 * verification: "allowed", "denied", or "unknown" if a change had no response.
 */
export class Load {
  constructor(server) {
    this.server = server;
    this.keys = new Map();
    this.acknowledged = 0;
    this.next = 0;
  }

  async run() {
    this.isStopped = false;
    while (!this.isStopped && (await this.step())) this.acknowledged += 1;
  }

  async step() {
    const { server, keys } = this;
    const live = [...keys].filter(([, key]) => key.expected === "allowed");
    if (live.length < 5) {
      const name = `Key ${(this.next += 1)}`;
      // If the response to a create is lost, a key can exist whose secret is unknown here.
      const response = await server.post("/rpc/keys/create", { name, expire_in: "7" });
      if (response?.status === 409) return this.deleteAll();
      if (response?.status !== 200) return this.failed(response);
      const { new: created } = JSON.parse(response.body);
      keys.set(created.secret, { id: created.id, name, expected: "allowed" });
      return true;
    }
    const [, key] = live[this.next % live.length];
    const [path, fields] = [
      ["delete", { confirm_name: key.name }],
      ["set-active", { active: "false" }],
      ["rotate", { grace: "0" }],
    ][(this.next += 1) % 3];
    key.expected = "unknown";
    const response = await server.post(`/rpc/keys/${path}`, { key_id: key.id, ...fields });
    if (response?.status !== 200) return this.failed(response);
    key.expected = "denied";
    if (path === "rotate") keys.set(JSON.parse(response.body).new.secret, { id: key.id, name: key.name, expected: "allowed" });
    return true;
  }

  /** A change without a response, or with 503, is allowed to fail. */
  failed(response) {
    if (response && response.status !== 503) throw new Error(`a change returned ${response.status}: ${response.body}`);
    return false;
  }

  /** Deletes all keys, including those whose creation had no response. */
  async deleteAll() {
    const page = await this.server.request("/settings/api-keys", { headers: { Cookie: this.server.cookie } });
    if (page?.status !== 200) return false;
    const json = /data-page="([^"]*)"/.exec(page.body)[1].replaceAll("&quot;", '"').replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
    for (const { id, name } of JSON.parse(json).list.keys) {
      for (const key of this.keys.values()) if (key.id === id && key.expected !== "denied") key.expected = "unknown";
      const response = await this.server.post("/rpc/keys/delete", { key_id: id, confirm_name: name });
      if (response?.status !== 200) return this.failed(response);
      for (const key of this.keys.values()) if (key.id === id) key.expected = "denied";
    }
    return true;
  }

  /** Throws if an acknowledged change is lost or undone. */
  async check(round) {
    for (const [secret, { expected, id }] of this.keys) {
      const status = await this.server.verify(secret);
      if (expected === "allowed" && status !== 204) throw new Error(`round ${round}: the acknowledged key ${id} is lost: ${status}`);
      if (expected === "denied" && status !== 401) throw new Error(`round ${round}: the acknowledged revocation of ${id} is undone: ${status}`);
      if (![204, 401].includes(status)) throw new Error(`round ${round}: /verify returned ${status}`);
      // An unknown outcome must not change after this check.
      this.keys.get(secret).expected = status === 204 ? "allowed" : "denied";
    }
    // Keeps the last 40 denied secrets. The others were checked for several rounds.
    const denied = [...this.keys].filter(([, key]) => key.expected === "denied");
    denied.slice(0, -40).forEach(([secret]) => this.keys.delete(secret));
  }
}

/** The quantile of some numbers; `part` is between 0 and 1. */
export function quantile(numbers, part) {
  const sorted = numbers.toSorted ? numbers.toSorted((a, b) => a - b) : [...numbers].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))];
}

let failures = 0;
/** Prints one row of the report. */
export function report(what, figure, isMet) {
  console.log(`${isMet ? "ok    " : "FAILED"} ${what.padEnd(76)} ${figure}`);
  if (!isMet) failures += 1;
}
export const finish = () => process.exit(failures === 0 ? 0 : 1);
