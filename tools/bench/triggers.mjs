// Triggers, compared with a bare axum reverse proxy in front of a bare axum upstream: round trips, the time to the first part of
// a stream, and the memory of open streams. SQLite.
import { rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { cookieOf, post } from "../http.mjs";
import { BARE, CONTROL, PROXY, SERVER, compare, folder, load, median, memory, root, start, stop, turns, untilReady } from "./lib.mjs";

const CALLERS = [1, 32, 256];
const STREAMS = Number(process.env.STREAMS ?? 1_000);
const FIRST_PARTS = Number(process.env.FIRST_PARTS ?? 2_000);
/** The limits of the console: runtimes of a Mecha, and requests in flight to a runtime. */
const [PER_MECHA, PER_RUNTIME] = [16, 32];
const BODY = '{"message": "Hello"}';
const PASSWORD = "plum orchard tuesday lantern";

const database = `${folder}triggers.db`;
["", "-wal", "-shm"].forEach((end) => rmSync(`${database}${end}`, { force: true }));
const flags = ["--listen", `127.0.0.1:${SERVER}`, "--sign-ups", "open", "--changes-per-minute", "0", "--database-url", `sqlite:${database}`];
const example = (name, ...args) => start(`${root}target/release/examples/${name}`, args);
const upstream = example("bare", `127.0.0.1:${BARE}`);
const proxy = example("bare_proxy", `127.0.0.1:${PROXY}`, `127.0.0.1:${BARE}`);
const control = example("bare_proxy", `127.0.0.1:${CONTROL}`, `127.0.0.1:${BARE}`);
const server = start(`${root}target/release/mecha-console`, flags);
await Promise.all([untilReady(BARE), untilReady(PROXY), untilReady(CONTROL), untilReady(SERVER, "/readyz")]);

const cookie = cookieOf(await post(SERVER, "/rpc/account/sign-up", { email: "owner@example.com", password: PASSWORD }));
const create = async (fields) => JSON.parse((await post(SERVER, "/rpc/keys/create", { name: "Key", expire_in: "7", ...fields }, { cookie })).body).new.secret;
const secret = await create({});
const secrets = `${folder}triggers.secrets`;
writeFileSync(secrets, `${secret}\n`);
const of_mechas = [];
for (let n = 0; n < Math.ceil(STREAMS / PER_MECHA / PER_RUNTIME); n += 1) {
  const mecha = await post(SERVER, "/rpc/mechas/create", { mecha_name: `Mecha ${n}`, description: "" }, { cookie });
  of_mechas.push(await create({ mecha_id: /[0-9a-f]{32}/.exec(mecha.body)[0] }));
}
const runtime = example("bare_runtime", `127.0.0.1:${SERVER}`, `${PER_MECHA}`, ...of_mechas);

/** Sends a request for a stream. Resolves at its first part: to the request, and the time since it was sent, in ms. */
function stream(port, action, agent) {
  return new Promise((resolve, reject) => {
    const headers = { Authorization: `Bearer ${secret}`, Accept: "text/event-stream", "Content-Type": "application/json" };
    const sentAt = performance.now();
    const request = http.request({ host: "127.0.0.1", port, path: `/v1/trigger/${action}`, method: "POST", headers, agent });
    request.on("error", reject);
    request.on("response", (response) => {
      response.once("data", () => {
        const elapsed = performance.now() - sentAt;
        response.resume();
        if (response.statusCode !== 200) reject(new Error(`status ${response.statusCode}`));
        if (action === "hold") resolve({ request, elapsed });
        else response.on("end", () => resolve({ request, elapsed }));
      });
    });
    request.end(BODY);
  });
}

for (;;) {
  const connected = await stream(SERVER, "chat").catch(() => null);
  if (connected) break;
  await sleep(50);
}

console.log("\ntriggers, relative to a bare axum reverse proxy (median and quartiles of the ratio)");
for (const connections of CALLERS) {
  const options = { connections, body: BODY };
  const run = (port, pids) => () => load(port, "/v1/trigger/chat", secrets, pids, 200, options);
  const { rate, cpu, p99 } = compare(turns(run(PROXY, [proxy.pid, upstream.pid]), run(SERVER, [server.pid, runtime.pid]), run(CONTROL, [control.pid, upstream.pid])));
  console.log(`${connections} callers: ${rate.target.toFixed(0)}/s beside ${rate.base.toFixed(0)}/s: ${rate.text}`);
  console.log(`  CPU per request, both processes: ${cpu.target.toFixed(0)} µs beside ${cpu.base.toFixed(0)} µs: ${cpu.text}`);
  console.log(`  99th percentile: ${p99.target.toFixed(2)} ms beside ${p99.base.toFixed(2)} ms: ${p99.text}`);
  const own = load(SERVER, "/v1/trigger/chat", secrets, [server.pid], 200, options);
  const ofProxy = load(PROXY, "/v1/trigger/chat", secrets, [proxy.pid], 200, options);
  console.log(`  of that the console ${own.cpu.toFixed(0)} µs, and the proxy ${ofProxy.cpu.toFixed(0)} µs`);
}

const agent = new http.Agent({ keepAlive: true });
const [first, ofProxy] = [[], []];
for (let n = 0; n < FIRST_PARTS; n += 1) {
  first.push((await stream(SERVER, "chat", agent)).elapsed);
  ofProxy.push((await stream(PROXY, "chat", agent)).elapsed);
}
agent.destroy();
console.log(`time to the first part, median of ${FIRST_PARTS}: ${median(first).toFixed(2)} ms beside ${median(ofProxy).toFixed(2)} ms of the proxy`);

await sleep(3_000);
const before = memory(server.pid);
const open = [];
for (let n = 0; n < STREAMS; n += 50) open.push(...(await Promise.all(Array.from({ length: Math.min(50, STREAMS - n) }, () => stream(SERVER, "hold")))));
await sleep(3_000);
console.log(`memory of an open stream, of ${STREAMS}: ${((memory(server.pid) - before) / STREAMS / 1024).toFixed(1)} KiB`);
open.forEach(({ request }) => request.destroy());
await Promise.all([runtime, server, proxy, control, upstream].map(stop));
