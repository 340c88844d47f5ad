// What a verification costs, beside a bare axum server that answers alike without asking anything.
// Loopback only; base, target and base take turns, and medians are compared. `make bench` runs it.
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

const ROUNDS = Number(process.env.ROUNDS ?? 5);
const SECONDS = Number(process.env.SECONDS ?? 3);
const CONNECTIONS = 32;
const SIZES = [10, 100_000, 1_000_000];
const folder = new URL("../target/bench/", import.meta.url).pathname;
const root = new URL("../", import.meta.url).pathname;
const BARE = 3301;
const SERVER = 3302;
const PROXY = 3303;

mkdirSync(folder, { recursive: true });
const children = new Set();
process.on("exit", () => children.forEach((child) => child.kill("SIGKILL")));
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));

function start(command, args, env = {}) {
  const child = spawn(command, args, { stdio: "ignore", env: { ...process.env, RUST_LOG: "warn", ...env } });
  children.add(child);
  child.on("exit", () => children.delete(child));
  return child;
}

async function answers(port, path = "/") {
  for (;;) {
    try {
      await fetch(`http://127.0.0.1:${port}${path}`);
      return;
    } catch {
      await sleep(5);
    }
  }
}

async function stop(child) {
  const ended = new Promise((resolve) => child.on("exit", resolve));
  child.kill("SIGTERM");
  await ended;
}

/** Seconds of processor time that a process has used, all its threads together. */
function cpu(pids) {
  const of = (pid) => {
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ");
    return (Number(fields[11]) + Number(fields[12])) / 100;
  };
  return pids.map(of).reduce((sum, seconds) => sum + seconds, 0);
}

const memory = (pid) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1]) * 1024;

/** Requests a second, the 99th percentile in milliseconds, and microseconds of processor time a request. */
function load(port, path, secrets, pids, status) {
  const before = cpu(pids);
  const url = `http://127.0.0.1:${port}`;
  const args = ["-t1", `-c${CONNECTIONS}`, `-d${SECONDS}s`, "--latency", "-s", `${root}bench/requests.lua`, url, path, secrets];
  const text = execFileSync("wrk", args, { encoding: "utf8" });
  const used = cpu(pids) - before;
  const [, amount, unit] = /99%\s+([\d.]+)(us|ms|s)/.exec(text);
  const requests = Number(/(\d+) requests in/.exec(text)[1]);
  const wrong = Number(/Non-2xx or 3xx responses: (\d+)/.exec(text)?.[1] ?? 0);
  if (/Socket errors/.test(text) || wrong !== (status < 300 ? 0 : requests)) throw new Error(`${url}${path}:\n${text}`);
  return {
    rate: Number(/Requests\/sec:\s+([\d.]+)/.exec(text)[1]),
    p99: Number(amount) * { us: 0.001, ms: 1, s: 1000 }[unit],
    cpu: (used / requests) * 1e6,
  };
}

const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];
const medians = (runs) => ({
  rate: median(runs.map((run) => run.rate)),
  p99: median(runs.map((run) => run.p99)),
  cpu: median(runs.map((run) => run.cpu)),
});

/** Base, target and base take turns: whatever else the machine does meets both. */
function compare(base, target) {
  const runs = { base: [], target: [] };
  base();
  target();
  for (let round = 0; round < ROUNDS; round += 1) {
    runs.base.push(base());
    runs.target.push(target());
    runs.base.push(base());
  }
  return { base: medians(runs.base), target: medians(runs.target) };
}

const rows = [];
function report(what, figure, goal, isMet) {
  rows.push([what, figure, goal, isMet ? "met" : "NOT MET"]);
  console.log(`${what.padEnd(58)}${figure.padStart(16)}   ${goal.padEnd(12)}${isMet ? "met" : "NOT MET"}`);
}

function fill(keys) {
  const database = `${folder}${keys}.db`;
  const [secrets, unknown] = [`${folder}${keys}.secrets`, `${folder}${keys}.unknown`];
  if (!existsSync(unknown)) {
    ["", "-wal", "-shm"].forEach((end) => rmSync(`${database}${end}`, { force: true }));
    console.log(`filling a database with ${keys} keys`);
    execFileSync(`${root}target/release/examples/fill`, [`sqlite:${database}`, `${keys}`, secrets, unknown]);
  }
  return { database, secrets, unknown };
}

const options = ["--listen", `127.0.0.1:${SERVER}`, "--refusals-per-minute", "0"];
const bare = start(`${root}target/release/examples/bare`, [`127.0.0.1:${BARE}`]);
await answers(BARE);

const weights = {};
const rates = {};
for (const keys of SIZES) {
  const { database, secrets, unknown } = fill(keys);
  const began = performance.now();
  const server = start(`${root}target/release/server`, [...options, "--database-url", `sqlite:${database}`]);
  await answers(SERVER, "/healthz");
  const seconds = (performance.now() - began) / 1000;
  weights[keys] = memory(server.pid);
  for (const [kind, path, file, status] of [["hits", "/hit", secrets, 204], ["misses", "/miss", unknown, 401]]) {
    const { base, target } = compare(
      () => load(BARE, path, file, [bare.pid], status),
      () => load(SERVER, "/verify", file, [server.pid], status),
    );
    const name = `${keys.toLocaleString("en")} keys, ${kind}`;
    const ratio = (of) => target[of] / base[of];
    const beside = (of, digits) => `${target[of].toFixed(digits)} : ${base[of].toFixed(digits)}`;
    console.log(`\n${name}: requests/s ${beside("rate", 0)}, CPU µs ${beside("cpu", 2)}, p99 ms ${beside("p99", 2)}`);
    report(`${name}: requests a second, of bare axum`, ratio("rate").toFixed(3), "≥ 0.90", ratio("rate") >= 0.9);
    report(`${name}: CPU a request, of bare axum`, ratio("cpu").toFixed(3), "≤ 1.2", ratio("cpu") <= 1.2);
    report(`${name}: p99, of bare axum`, ratio("p99").toFixed(3), "≤ 1.25", ratio("p99") <= 1.25);
    rates[`${kind} ${keys}`] = ratio("rate");
  }
  if (keys === SIZES.at(-1)) {
    const lost = Math.max(...["hits", "misses"].map((kind) => 1 - rates[`${kind} ${keys}`] / rates[`${kind} ${SIZES[0]}`]));
    const weight = (weights[keys] - weights[SIZES[0]]) / (keys - SIZES[0]);
    console.log();
    report("lost from 10 keys to 1,000,000", `${(lost * 100).toFixed(1)} %`, "≤ 10 %", lost <= 0.1);
    report("memory a key (resident, from 10 to 1,000,000)", `${weight.toFixed(1)} bytes`, "≤ 100", weight <= 100);
    report("start-up with 1,000,000 keys, to the first answer", `${seconds.toFixed(2)} s`, "< 2.5 s", seconds < 2.5);
    await gateway(server, secrets);
  }
  await stop(server);
}
await stop(bare);
process.exit(rows.every((row) => row[3] === "met") ? 0 : 1);

/** The same proxy with auth_request and without. */
async function gateway(server, secrets) {
  const prefix = `${folder}nginx/`;
  mkdirSync(prefix, { recursive: true });
  const location = (path, auth) => `location ${path} { ${auth} proxy_pass http://api/; proxy_http_version 1.1; proxy_set_header Connection ""; }`;
  writeFileSync(`${prefix}nginx.conf`, `
    daemon off; worker_processes 1; pid ${prefix}pid; error_log ${prefix}error.log;
    events { worker_connections 1024; }
    http {
      access_log off;
      ${["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${prefix}${name};`).join(" ")}
      keepalive_requests 1000000;
      upstream console { server 127.0.0.1:${SERVER}; keepalive 64; keepalive_requests 1000000; }
      upstream api { server 127.0.0.1:${BARE}; keepalive 64; keepalive_requests 1000000; }
      server {
        listen 127.0.0.1:${PROXY};
        ${location("/open", "")}
        ${location("/guarded", "auth_request /verify;")}
        location = /verify { internal; proxy_pass http://console/verify; proxy_http_version 1.1; proxy_set_header Connection "";
          proxy_pass_request_body off; proxy_set_header Content-Length ""; }
      }
    }`);
  const nginx = start("nginx", ["-p", prefix, "-c", `${prefix}nginx.conf`]);
  await answers(PROXY);
  const { base, target } = compare(
    () => load(PROXY, "/open", secrets, [server.pid], 200),
    () => load(PROXY, "/guarded", secrets, [server.pid], 200),
  );
  const ratio = target.rate / base.rate;
  console.log(`\nthrough nginx: requests/s ${target.rate.toFixed(0)} : ${base.rate.toFixed(0)}`);
  report("through nginx with auth_request, of the same without", ratio.toFixed(3), "≥ 0.60", ratio >= 0.6);
  await stop(nginx);
}
