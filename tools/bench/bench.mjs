// The cost of a verification on SQLite, compared with a bare axum server that sends the same response without a lookup.
// `make bench` runs it.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { userInfo } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { cookieOf, post, request } from "../http.mjs";
import { BARE, CONTROL, PROXY, SERVER, VERIFY, compare, fill, finish, folder, load, median, memory, report, root, start, stop, turns, untilReady } from "./lib.mjs";

const SIZES = [10, 100_000, 1_000_000];
const MOST = SIZES.at(-1);
const FEW = 1_000;
/** How often all servers are restarted. Two starts can differ by up to a tenth. */
const STARTS = Number(process.env.STARTS ?? 3);
const SOCKET = `${folder}socket`;
const options = ["--sign-ups", "open", "--listen", `127.0.0.1:${SERVER}`, "--verify-listen", `127.0.0.1:${VERIFY}`, "--socket", SOCKET, "--denials-per-minute", "0"];

/** The loads: misses, hits with up to 100,000 different keys, and hits with a few keys, whose entries fit into the processor's caches. */
function kinds(keys) {
  const { secrets, unknown } = fill(keys);
  // Hits of many keys come last: afterwards the server flushes their usage.
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
  await untilReady(port);
  return child;
}

const [resident, seconds, rounds, gateways, mainListener, whilePages] = [{}, [], {}, {}, [], { quiet: [], gateway: [], main: [] }];
for (let n = 0; n < STARTS; n += 1) {
  for (const keys of SIZES) {
    const { database, secrets } = fill(keys);
    const [bare, control] = [await startBare(BARE), await startBare(CONTROL)];
    const startedAt = performance.now();
    const server = start(`${root}target/release/mecha-console`, [...options, "--database-url", `sqlite:${database}`]);
    await untilReady(SERVER, "/healthz");
    if (keys === MOST) seconds.push((performance.now() - startedAt) / 1000);
    (resident[keys] ??= []).push(memory(server.pid));
    for (const [kind, path, file, status] of loads[keys]) {
      const measured = turns(
        () => load(BARE, path, file, [bare.pid], status),
        () => load(VERIFY, "/verify", file, [server.pid], status),
        () => load(CONTROL, path, file, [control.pid], status),
      );
      (rounds[`${kind} ${keys}`] ??= []).push(...measured);
    }
    if (keys === SIZES[0]) {
      mainListener.push(...turns(() => load(BARE, "/hit", secrets, [bare.pid], 204), () => load(SERVER, "/verify", secrets, [server.pid], 204)));
      await underPages(server, bare, secrets);
    }
    if (keys === MOST) await gateway(server, secrets);
    await Promise.all([server, bare, control].map(stop));
    console.log(`start ${n + 1} of ${STARTS}, ${keys.toLocaleString("en")} keys: done`);
  }
}

console.log(`\nMedians of ${rounds[`hits ${MOST}`].length} rounds each, with the interquartile range`);
console.log("The control is another process of the bare server. A ratio meets its bar if it misses it by no more than the control differs from 1.");
const atMain = compare(mainListener);
console.log(`the main listener, ${SIZES[0]} keys, hits, relative to bare axum: requests/s ${atMain.rate.text}, CPU ${atMain.cpu.text}, p99 ${atMain.p99.text}`);
const p99 = Object.fromEntries(Object.entries(whilePages).map(([name, all]) => [name, compare(all).p99]));
console.log(`p99 of 4 connections relative to bare axum: without other load ${p99.quiet.text}; while pages are rendered without pause ${p99.gateway.text} (${p99.gateway.target.toFixed(2)} ms), at the main listener ${p99.main.text} (${p99.main.target.toFixed(2)} ms)`);
for (const keys of SIZES) {
  for (const [kind] of loads[keys]) {
    const { rate, cpu, p99 } = compare(rounds[`${kind} ${keys}`]);
    const name = `${keys.toLocaleString("en")} keys, ${kind}`;
    const both = ({ target, base }, digits) => `${target.toFixed(digits)} : ${base.toFixed(digits)}`;
    console.log(`\n${name}: requests/s ${both(rate, 0)}, CPU µs ${both(cpu, 2)}, p99 ms ${both(p99, 2)}`);
    report(`${name}: requests/s relative to bare axum`, rate.text, "≥ 0.90", rate.ratio >= 0.9 - rate.noise);
    report(`${name}: CPU per request relative to bare axum`, cpu.text, "≤ 1.2", cpu.ratio <= 1.2 + cpu.noise);
    report(`${name}: p99 relative to bare axum`, p99.text, "≤ 1.25", p99.ratio <= 1.25 + p99.noise);
  }
}
const rate = (kind, keys) => compare(rounds[`${kind} ${keys}`]).rate.ratio;
const loss = Math.max(...["hits", "misses"].map((kind) => 1 - rate(kind, MOST) / rate(kind, SIZES[0])));
const bytesPerKey = (median(resident[MOST]) - median(resident[SIZES[0]])) / (MOST - SIZES[0]);
console.log();
report("loss of requests/s from 10 keys to 1,000,000", `${(loss * 100).toFixed(1)} %`, "≤ 10 %", loss <= 0.1);
report("memory per key (resident, from 10 to 1,000,000)", `${bytesPerKey.toFixed(1)} bytes`, "≤ 100", bytesPerKey <= 100);
const [fresh, afterUse] = await idleMemory();
const mib = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
report("resident memory when idle", mib(fresh), "≤ 20 MiB", fresh <= 20 * 2 ** 20);
console.log(`resident memory a minute after a sign-up and a page: ${mib(afterUse)}`);
report("start-up with 1,000,000 keys, until the first response", `${median(seconds).toFixed(2)} s`, "< 2.5 s", median(seconds) < 2.5);
const [address, socket] = [compare(gateways.address), compare(gateways.socket)];
report("nginx with auth_request: requests/s relative to nginx without", address.rate.text, "≥ 0.60", address.rate.ratio >= 0.6);
console.log(`the same through the Unix socket: ${socket.rate.text}; CPU µs of the server ${socket.cpu.target.toFixed(2)}, through TCP ${address.cpu.target.toFixed(2)}`);
finish();

/** Verifications of few clients, without other load, and while an owner's page is rendered without pause. */
async function underPages(server, bare, secrets) {
  const account = { email: `${process.hrtime.bigint()}@example.com`, password: "plum orchard tuesday lantern" };
  const signedUp = await post(SERVER, "/rpc/account/sign-up", account);
  const few = { connections: 4 };
  const against = (port, path) => turns(
    () => load(BARE, "/hit", secrets, [bare.pid], 204, few),
    () => load(port, path, secrets, [server.pid], 204, few),
  );
  whilePages.quiet.push(...against(VERIFY, "/verify"));
  const pages = start("wrk", ["-t1", "-c4", "-d600s", "-H", `Cookie: ${cookieOf(signedUp)}`, `http://127.0.0.1:${SERVER}/settings/api-keys`]);
  whilePages.gateway.push(...against(VERIFY, "/verify"));
  whilePages.main.push(...against(SERVER, "/verify"));
  await stop(pages);
}

/** The resident memory of a fresh server; and after a password hash, a page, and an idle time longer than it keeps the memory of a hash. */
async function idleMemory() {
  const database = `${folder}idle.db`;
  ["", "-wal", "-shm"].forEach((end) => rmSync(`${database}${end}`, { force: true }));
  const server = start(`${root}target/release/mecha-console`, [...options, "--database-url", `sqlite:${database}`]);
  await untilReady(SERVER, "/healthz");
  await sleep(2_000);
  const fresh = memory(server.pid);
  const form = { email: "ada@example.com", password: "plum orchard tuesday lantern" };
  const signedUp = await post(SERVER, "/rpc/account/sign-up", form);
  if (signedUp?.status !== 200) throw new Error(`sign-up: ${signedUp?.status}`);
  await request(SERVER, "/settings/api-keys", { headers: { Cookie: cookieOf(signedUp) } });
  await sleep(70_000);
  const afterUse = memory(server.pid);
  await stop(server);
  return [fresh, afterUse];
}

/** nginx without auth_request, and with it: through TCP and through the Unix socket. */
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
      upstream address { server 127.0.0.1:${VERIFY}; keepalive 64; keepalive_requests 1000000; }
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
  await untilReady(PROXY);
  for (const where of ["address", "socket"]) {
    (gateways[where] ??= []).push(...turns(
      () => load(PROXY, "/open", secrets, [server.pid], 200),
      () => load(PROXY, `/by-${where}`, secrets, [server.pid], 200),
    ));
  }
  await stop(nginx);
}
