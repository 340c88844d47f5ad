// What a verification costs on SQLite, beside a bare axum server that answers alike without asking anything.
// `make bench` runs it.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, userInfo } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { cookieOf, post, request } from "../http.mjs";
import { BARE, PROXY, SERVER, answers, compare, fill, finish, folder, load, median, memory, report, root, start, stop, turns } from "./lib.mjs";

const SIZES = [10, 100_000, 1_000_000];
const MOST = SIZES.at(-1);
const FEW = 1_000;
/** All is started anew so often: one start differs from the next by up to a tenth. */
const STARTS = Number(process.env.STARTS ?? 3);
const OTHER_BARE = 3304;
/** Bare servers beside the bare server: for the noise, and with as many threads as the server has for verifications. */
const OTHERS = {
  "another": {},
  "one with as many threads as verifications have": { TOKIO_WORKER_THREADS: `${Math.max(1, availableParallelism() - 1)}` },
};
const SOCKET = `${folder}socket`;
const options = ["--listen", `127.0.0.1:${SERVER}`, "--socket", SOCKET, "--refusals-per-minute", "0"];

/** Hits with as many keys in use as there are, up to 100,000, and with a few of them: what these touch is in caches. */
function kinds(keys) {
  const { secrets, unknown } = fill(keys);
  // Hits of many come last: afterwards the server has their uses to write down.
  const all = [["misses", "/miss", unknown, 401], ["hits", "/hit", secrets, 204]];
  const lines = readFileSync(secrets, "utf8").split("\n");
  if (lines.length <= FEW) return all;
  const few = `${secrets}.few`;
  writeFileSync(few, lines.filter((_, n) => n % Math.ceil(lines.length / FEW) === 0).join("\n"));
  return [[`hits of ${FEW.toLocaleString("en")}`, "/hit", few, 204], ...all];
}

const loads = Object.fromEntries(SIZES.map((keys) => [keys, kinds(keys)]));

async function startBare(port, env) {
  const child = start(`${root}target/release/examples/bare`, [`127.0.0.1:${port}`], env);
  await answers(port);
  return child;
}

const [weights, seconds, rounds, gateways, others] = [{}, [], {}, {}, {}];
for (let n = 0; n < STARTS; n += 1) {
  for (const keys of SIZES) {
    const { database, secrets } = fill(keys);
    const bare = await startBare(BARE);
    const began = performance.now();
    const server = start(`${root}target/release/server`, [...options, "--database-url", `sqlite:${database}`]);
    await answers(SERVER, "/healthz");
    if (keys === MOST) seconds.push((performance.now() - began) / 1000);
    (weights[keys] ??= []).push(memory(server.pid));
    for (const [kind, path, file, status] of loads[keys]) {
      const asked = turns(
        () => load(BARE, path, file, [bare.pid], status),
        () => load(SERVER, "/verify", file, [server.pid], status),
      );
      (rounds[`${kind} ${keys}`] ??= []).push(...asked);
    }
    if (keys === MOST) await gateway(server, secrets);
    await stop(server);
    for (const [name, env] of Object.entries(keys === SIZES[0] ? OTHERS : {})) {
      const other = await startBare(OTHER_BARE, env);
      (others[name] ??= []).push(...turns(
        () => load(BARE, "/hit", secrets, [bare.pid], 204),
        () => load(OTHER_BARE, "/hit", secrets, [other.pid], 204),
      ));
      await stop(other);
    }
    await stop(bare);
    console.log(`start ${n + 1} of ${STARTS}, ${keys.toLocaleString("en")} keys: done`);
  }
}

console.log(`\nMedians of ${rounds[`hits ${MOST}`].length} rounds each, and between which figures the middle half of them lies`);
for (const [name, asked] of Object.entries(others)) {
  const { rate, cpu, p99 } = compare(asked);
  console.log(`beside a bare axum server, ${name}: requests a second ${rate.text}, CPU ${cpu.text}, p99 ${p99.text}`);
}
for (const keys of SIZES) {
  for (const [kind] of loads[keys]) {
    const { rate, cpu, p99 } = compare(rounds[`${kind} ${keys}`]);
    const name = `${keys.toLocaleString("en")} keys, ${kind}`;
    const beside = ({ target, base }, digits) => `${target.toFixed(digits)} : ${base.toFixed(digits)}`;
    console.log(`\n${name}: requests/s ${beside(rate, 0)}, CPU µs ${beside(cpu, 2)}, p99 ms ${beside(p99, 2)}`);
    report(`${name}: requests a second, of bare axum`, rate.text, "≥ 0.90", rate.ratio >= 0.9);
    report(`${name}: CPU a request, of bare axum`, cpu.text, "≤ 1.2", cpu.ratio <= 1.2);
    report(`${name}: p99, of bare axum`, p99.text, "≤ 1.25", p99.ratio <= 1.25);
  }
}
const rate = (kind, keys) => compare(rounds[`${kind} ${keys}`]).rate.ratio;
const lost = Math.max(...["hits", "misses"].map((kind) => 1 - rate(kind, MOST) / rate(kind, SIZES[0])));
const weight = (median(weights[MOST]) - median(weights[SIZES[0]])) / (MOST - SIZES[0]);
console.log();
report("lost from 10 keys to 1,000,000", `${(lost * 100).toFixed(1)} %`, "≤ 10 %", lost <= 0.1);
report("memory a key (resident, from 10 to 1,000,000)", `${weight.toFixed(1)} bytes`, "≤ 100", weight <= 100);
const [started, used] = await idleMemory();
const mib = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
report("resident memory at idle", mib(started), "≤ 20 MiB", started <= 20 * 2 ** 20);
console.log(`the same a minute after a sign-up and a page: ${mib(used)}`);
report("start-up with 1,000,000 keys, to the first answer", `${median(seconds).toFixed(2)} s`, "< 2.5 s", median(seconds) < 2.5);
const [address, socket] = [compare(gateways.address), compare(gateways.socket)];
report("through nginx with auth_request, of the same without", address.rate.text, "≥ 0.60", address.rate.ratio >= 0.6);
console.log(`the same at the Unix socket: ${socket.rate.text}; CPU µs of the server ${socket.cpu.target.toFixed(2)} : ${address.cpu.target.toFixed(2)} at the address`);
finish();

/** Of a server that has just started; and that has hashed a password, rendered a page, and then had nothing to do for longer than it keeps the memory of a hash. */
async function idleMemory() {
  const database = `${folder}idle.db`;
  ["", "-wal", "-shm"].forEach((end) => rmSync(`${database}${end}`, { force: true }));
  const server = start(`${root}target/release/server`, [...options, "--database-url", `sqlite:${database}`]);
  await answers(SERVER, "/healthz");
  await sleep(2_000);
  const started = memory(server.pid);
  const form = { email: "ada@example.com", password: "plum orchard tuesday lantern" };
  const signedUp = await post(SERVER, "/rpc/account/sign-up", form);
  if (signedUp?.status !== 200) throw new Error(`sign-up: ${signedUp?.status}`);
  await request(SERVER, "/settings/api-keys", { headers: { Cookie: cookieOf(signedUp) } });
  await sleep(70_000);
  const used = memory(server.pid);
  await stop(server);
  return [started, used];
}

/** The same proxy with auth_request and without, which asks at the address and at the Unix socket. */
async function gateway(server, secrets) {
  const prefix = `${folder}nginx/`;
  mkdirSync(prefix, { recursive: true });
  const location = (path, auth) => `location ${path} { ${auth} proxy_pass http://api/; proxy_http_version 1.1; proxy_set_header Connection ""; }`;
  writeFileSync(`${prefix}nginx.conf`, `
    user ${userInfo().username}; daemon off; worker_processes 1; pid ${prefix}pid; error_log ${prefix}error.log;
    events { worker_connections 1024; }
    http {
      access_log off;
      ${["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${prefix}${name};`).join(" ")}
      keepalive_requests 1000000;
      upstream address { server 127.0.0.1:${SERVER}; keepalive 64; keepalive_requests 1000000; }
      upstream socket { server unix:${SOCKET}; keepalive 64; keepalive_requests 1000000; }
      upstream api { server 127.0.0.1:${BARE}; keepalive 64; keepalive_requests 1000000; }
      server {
        listen 127.0.0.1:${PROXY};
        ${location("/open", "")}
        ${["address", "socket"].map((where) => `
          ${location(`/by-${where}`, `auth_request /verify-by-${where};`)}
          location = /verify-by-${where} { internal; proxy_pass http://${where}/verify; proxy_http_version 1.1; proxy_set_header Connection "";
            proxy_pass_request_body off; proxy_set_header Content-Length ""; }`).join("")}
      }
    }`);
  const nginx = start("nginx", ["-p", prefix, "-c", `${prefix}nginx.conf`]);
  await answers(PROXY);
  for (const where of ["address", "socket"]) {
    (gateways[where] ??= []).push(...turns(
      () => load(PROXY, "/open", secrets, [server.pid], 200),
      () => load(PROXY, `/by-${where}`, secrets, [server.pid], 200),
    ));
  }
  await stop(nginx);
}
