// What the harnesses have in common: a server of their own on loopback, and an owner who talks to it.
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { cookieOf, post, request } from "../http.mjs";

export { sleep };
export const ROOT = new URL("../../", import.meta.url).pathname;
export const BINARY = `${ROOT}target/release/server`;
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

export function folder() {
  const made = mkdtempSync(join(tmpdir(), "torture-"));
  process.on("exit", () => rmSync(made, { recursive: true, force: true }));
  return made;
}

export class Server {
  constructor(port, database, { flags = [], wrap = [], env = {} } = {}) {
    Object.assign(this, { port, database, flags, wrap, env });
    this.agent = new http.Agent({ keepAlive: true, maxSockets: 64 });
  }

  /** Starts it and waits until it answers; `false` if it ended before. */
  async start(wrap = this.wrap) {
    const args = [BINARY, "--listen", `127.0.0.1:${this.port}`, "--refusals-per-minute", "0", "--changes-per-minute", "0", ...this.flags,
      "--database-url", this.url, "--site-root", `${ROOT}target/site`];
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

  /** The id of the server itself, also behind what it is wrapped in. */
  get pid() {
    if (this.wrap.length === 0) return this.child.pid;
    const of = readFileSync(`/proc/${this.child.pid}/task/${this.child.pid}/children`, "utf8").trim().split(" ");
    return Number(of[0]);
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
    const answer = await this.post("/rpc/account/sign-up", { email, password: PASSWORD }, { cookie: "", headers });
    if (answer?.status !== 200) throw new Error(`sign-up: ${answer?.status} ${answer?.body}`);
    this.cookie = cookieOf(answer);
    return this.cookie;
  }

  async verify(secret) {
    return (await this.request("/verify", { headers: { "X-Api-Key": secret } }))?.status;
  }

  get memory() {
    return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${this.pid}/status`, "utf8"))[1]) * 1024;
  }

  get connections() {
    return readdirSync(`/proc/${this.pid}/fd`).length;
  }

  isWhole() {
    const found = execFileSync("sqlite3", [this.database, "PRAGMA integrity_check; PRAGMA foreign_key_check;"], { encoding: "utf8" });
    if (found.trim() !== "ok") throw new Error(`the database is damaged: ${found}`);
  }
}

/**
 * Changes keys one after another, and remembers what was acknowledged: for each secret whether it must be let in, must
 * be refused, or may be either because an answer did not come.
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
    const mine = [...keys].filter(([, key]) => key.must !== "unknown");
    const live = mine.filter(([, key]) => key.must === "in");
    if (live.length < 5) {
      const name = `Key ${(this.next += 1)}`;
      // A create whose answer is lost may have made a key whose secret nobody knows.
      const answer = await server.post("/rpc/keys/create", { name, expire_in: "7" });
      if (answer?.status === 409) return this.makeRoom();
      if (answer?.status !== 200) return this.failed(answer);
      const { new: made } = JSON.parse(answer.body);
      keys.set(made.secret, { id: made.id, name, must: "in" });
      return true;
    }
    const [, key] = live[this.next % live.length];
    const [path, fields, must] = [
      ["delete", { confirm_name: key.name }, "out"],
      ["set-active", { active: "false" }, "out"],
      ["rotate", { grace: "0" }, "out"],
    ][(this.next += 1) % 3];
    key.must = "unknown";
    const answer = await server.post(`/rpc/keys/${path}`, { key_id: key.id, ...fields });
    if (answer?.status !== 200) return this.failed(answer);
    key.must = must;
    if (path === "rotate") keys.set(JSON.parse(answer.body).new.secret, { id: key.id, name: key.name, must: "in" });
    if (path === "delete") key.isGone = true;
    return true;
  }

  failed(answer) {
    if (answer && answer.status !== 503) throw new Error(`a change was answered ${answer.status}: ${answer.body}`);
    return false;
  }

  /** Deletes keys until there are none: of those whose answer was lost nothing else is known. */
  async makeRoom() {
    const page = await this.server.request("/settings/api-keys", { headers: { Cookie: this.server.cookie } });
    if (page?.status !== 200) return false;
    const json = /data-page="([^"]*)"/.exec(page.body)[1].replaceAll("&quot;", '"').replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
    for (const { id, name } of JSON.parse(json).list.keys) {
      for (const key of this.keys.values()) if (key.id === id && key.must !== "out") key.must = "unknown";
      const answer = await this.server.post("/rpc/keys/delete", { key_id: id, confirm_name: name });
      if (answer?.status !== 200) return this.failed(answer);
      for (const key of this.keys.values()) if (key.id === id) key.must = "out";
    }
    return true;
  }

  /** Nothing acknowledged is lost, and nothing acknowledged is undone. */
  async check(round) {
    for (const [secret, { must, id }] of this.keys) {
      const status = await this.server.verify(secret);
      if (must === "in" && status !== 204) throw new Error(`round ${round}: an acknowledged key ${id} is lost: ${status}`);
      if (must === "out" && status !== 401) throw new Error(`round ${round}: an acknowledged revocation of ${id} is undone: ${status}`);
      if (![204, 401].includes(status)) throw new Error(`round ${round}: /verify answered ${status}`);
      // From now on it must stay as it was found.
      this.keys.get(secret).must = status === 204 ? "in" : "out";
    }
    // Those that were refused for some rounds have shown it.
    const refused = [...this.keys].filter(([, key]) => key.must === "out");
    refused.slice(0, -40).forEach(([secret]) => this.keys.delete(secret));
  }
}

/** The value below which this part of the numbers lies. */
export function quantile(numbers, part) {
  const sorted = numbers.toSorted ? numbers.toSorted((a, b) => a - b) : [...numbers].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))];
}

let failures = 0;
export function report(what, figure, isMet) {
  console.log(`${isMet ? "ok    " : "FAILED"} ${what.padEnd(76)} ${figure}`);
  if (!isMet) failures += 1;
}
export const finish = () => process.exit(failures === 0 ? 0 : 1);
