// Hostile clients: floods of sign-ins, timing of sign-ins, HTTP/2, and slow connections. Verifications must go on meanwhile.
import { execFileSync, spawn } from "node:child_process";
import { readdirSync, statSync } from "node:fs";
import http2 from "node:http2";
import { availableParallelism } from "node:os";
import { connectRuntime } from "../websocket.mjs";
import { ROOT, Server, PASSWORD, finish, folder, quantile, report, sleep, start } from "./lib.mjs";

const MIB = 1024 * 1024;
const FLOOD = 200;
const PAIRS = Number(process.env.PAIRS ?? 2_000);
const SLOW = Number(process.env.SLOW ?? 75);
/** The default number of concurrent password hashes. */
const PERMITS = Math.max(1, availableParallelism() - 1);
/** The address of the verifying client, which distinguishes its connection from the slow ones. */
const VERIFIER = "127.0.0.200";
const work = folder();

async function prepared(port, name, flags = []) {
  const server = new Server(port, `${work}/${name}/console.db`, { flags });
  await server.start();
  await server.signUp();
  const response = await server.post("/rpc/keys/create", { name: "Deploy", expire_in: "7" });
  server.secret = JSON.parse(response.body).new.secret;
  return server;
}

/** The n-th loopback address. For rate limits, each IPv4 address is a separate network. */
const address = (n) => `127.${1 + (n >> 16)}.${(n >> 8) & 255}.${1 + (n % 254)}`;

/** Starts a verifying client. The function that it returns stops it and returns the duration of each verification, in milliseconds. */
function startVerifier(server) {
  const script = new URL("verifier.mjs", import.meta.url).pathname;
  const child = spawn(process.execPath, [script, server.port, server.secret, VERIFIER], { stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  child.stdout.on("data", (part) => (text += part));
  const ended = new Promise((resolve) => child.on("close", resolve));
  return async () => {
    child.kill("SIGTERM");
    if ((await ended) !== 0) throw new Error("a verification of a valid key failed");
    return JSON.parse(text);
  };
}

{
  const server = await prepared(3420, "flood");
  const stopQuiet = startVerifier(server);
  await sleep(5_000);
  const quiet = await stopQuiet();
  const before = server.memory;
  let peak = before;
  const sampler = setInterval(() => (peak = Math.max(peak, server.memory)), 5);
  const statuses = new Map();
  const attempt = async (n) => {
    const response = await server.post("/rpc/account/sign-in", { email: `nobody${n}@example.com`, password: "not the password" },
      { cookie: "", localAddress: address(n) });
    const status = response === null ? "none" : `${response.status}`;
    statuses.set(status, (statuses.get(status) ?? 0) + 1);
    if ([429, 503].includes(response?.status) && !(Number(response.headers["retry-after"]) > 0)) throw new Error("no Retry-After");
  };
  // Waves without a pause, for as long as the quiet measurement.
  let waves = 0;
  const stopBusy = startVerifier(server);
  const startedAt = performance.now();
  while (performance.now() - startedAt < 5_000) {
    await Promise.all(Array.from({ length: FLOOD }, (_, n) => attempt(waves * FLOOD + n)));
    waves += 1;
  }
  const busy = await stopBusy();
  clearInterval(sampler);
  const limit = PERMITS * 19 * MIB + 64 * MIB;
  report(`a flood of ${FLOOD} concurrent sign-ins: memory grows by at most permits × 19 MiB + 64 MiB`,
    `${((peak - before) / MIB).toFixed(1)} MiB of ${(limit / MIB).toFixed(0)}`, peak - before <= limit);
  const [p99, p99busy] = [quantile(quiet, 0.99), quantile(busy, 0.99)];
  report("  /verify p99 is at most 2 × its quiet value", `${p99busy.toFixed(2)} ms : ${p99.toFixed(2)} ms = ${(p99busy / p99).toFixed(2)}`, p99busy <= 2 * p99);
  const counts = [...statuses].map(([status, count]) => `${count} × ${status}`).join(", ");
  report("  every sign-in has a response: 401, or 429 or 503 with Retry-After", counts, [...statuses.keys()].every((status) => ["401", "429", "503"].includes(status)));
  const own = await server.post("/rpc/account/sign-in", { email: "ada@example.com", password: PASSWORD }, { cookie: "", localAddress: "127.0.0.9" });
  report("  the owner can sign in from another network", `${own?.status}`, own?.status === 200);
  await server.stop("SIGTERM");
}

{
  const server = await prepared(3421, "timing", ["--sign-ups", "open"]);
  // Enough accounts that every rejected sign-in is recorded: an account records at most a hundred a day.
  const known = [];
  for (let n = 0; n < Math.ceil(PAIRS / 50); n += 1) {
    known.push(`ada${n}@example.com`);
    const response = await server.post("/rpc/account/sign-up", { email: known[n], password: PASSWORD }, { cookie: "", localAddress: address(40_000 + n) });
    if (response?.status !== 200) throw new Error(`sign-up returned ${response?.status}`);
  }
  const durations = { known: [], unknown: [] };
  const once = async (kind, n) => {
    const email = kind === "known" ? known[n % known.length] : `nobody${n}@example.com`;
    const startedAt = performance.now();
    const response = await server.post("/rpc/account/sign-in", { email, password: "not the password" }, { cookie: "", localAddress: address(n) });
    if (response?.status !== 401) throw new Error(`sign-in returned ${response?.status}`);
    durations[kind].push(performance.now() - startedAt);
  };
  for (let n = 0; n < 50; n += 1) await once(n % 2 ? "known" : "unknown", 30_000 + n);
  durations.known = [];
  durations.unknown = [];
  for (let pair = 0; pair < PAIRS; pair += 1) {
    // A random order, so that no periodic work of the machine favours one kind.
    const order = Math.random() < 0.5 ? ["known", "unknown"] : ["unknown", "known"];
    await once(order[0], 2 * pair);
    await once(order[1], 2 * pair + 1);
  }
  // Excludes the slowest 5 % of each kind, which show other work of the machine.
  const cropped = (numbers) => { const bound = quantile(numbers, 0.95); return numbers.filter((number) => number <= bound); };
  const moments = (numbers) => {
    const mean = numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
    return { mean, error: numbers.reduce((sum, number) => sum + (number - mean) ** 2, 0) / (numbers.length - 1) / numbers.length };
  };
  const welch = (a, b) => (moments(a).mean - moments(b).mean) / Math.sqrt(moments(a).error + moments(b).error);
  const [t, tCropped] = [welch(durations.known, durations.unknown), welch(cropped(durations.known), cropped(durations.unknown))];
  report(`wrong password or unknown address, durations of ${PAIRS} pairs (Welch's |t| < 4.5)`,
    `t = ${t.toFixed(2)}, without the slowest 5 % ${tCropped.toFixed(2)}; means ${moments(durations.known).mean.toFixed(2)} and ${moments(durations.unknown).mean.toFixed(2)} ms`,
    Math.abs(t) < 4.5 && Math.abs(tCropped) < 4.5);
  await server.stop("SIGTERM");
}

/** The path of the largest file of the site. A small file fits into the buffers of a socket, and would hide a slow reader. */
function largestAsset() {
  const folder = `${ROOT}target/site/pkg`;
  const size = (name) => statSync(`${folder}/${name}`).size;
  return `/pkg/${readdirSync(folder).sort((a, b) => size(b) - size(a))[0]}`;
}

{
  // A client without a flow-control window that opens hundreds of streams makes a server buffer as many responses.
  const server = await prepared(3423, "http-2");
  const [before, idle] = [server.memory, server.connections];
  let memory = before;
  const sampler = setInterval(() => (memory = Math.max(memory, server.memory)), 5);
  const startedAt = performance.now();
  const sessions = Array.from({ length: 50 }, () => new Promise((resolve) => {
    const session = http2.connect("http://127.0.0.1:3423", { settings: { initialWindowSize: 0 } });
    session.on("error", () => {});
    session.on("close", resolve);
    for (let stream = 0; stream < 200; stream += 1) session.request({ ":path": largestAsset() }).on("error", () => {});
  }));
  const areClosed = await Promise.race([Promise.all(sessions).then(() => true), sleep(60_000).then(() => false)]);
  const seconds = (performance.now() - startedAt) / 1000;
  clearInterval(sampler);
  report("50 cleartext HTTP/2 connections with 200 streams each and no window: memory is bounded", `${((memory - before) / MIB).toFixed(1)} MiB more at most`, memory - before < 64 * MIB);
  report("  all are closed within 60 s", `${seconds.toFixed(1)} s; ${server.connections - idle} left`, areClosed && server.connections <= idle);
  await server.stop("SIGTERM");
}

{
  const attacks = [["slow heads", ["-H"]], ["slow bodies", ["-B"]], ["slow readers", ["-X", "-w", "1", "-y", "10", "-n", "5", "-z", "1"]]];
  // A form without an Origin header is rejected before its body is read. So the value of the cookie option contains a line
  // break and an Origin header.
  const headers = ["-j", "a=b\r\nOrigin: http://127.0.0.1:3422", "-m", "application/x-www-form-urlencoded"];
  for (const [name, flags] of attacks) {
    const server = await prepared(3422, name.replace(" ", "-"));
    const idle = server.connections;
    const before = server.memory;
    const path = { "slow bodies": "/rpc/account/sign-in", "slow readers": largestAsset() }[name] ?? "/sign-in";
    const url = `http://127.0.0.1:3422${path}`;
    const limit = name === "slow readers" ? 60 : 30;
    const attack = start("slowhttptest", ["-c", "1000", ...flags, "-i", "5", "-r", "500", "-t", name === "slow bodies" ? "POST" : "GET",
      "-u", url, "-x", "24", "-p", "3", ...headers, "-l", String(SLOW)]);
    let connections = 0;
    let memory = before;
    let longest = 0;
    const since = new Map();
    const sampler = setInterval(() => {
      const now = performance.now();
      connections = Math.max(connections, server.connections - idle);
      memory = Math.max(memory, server.memory);
      // Identifies a connection by its remote port.
      const ports = new Set(execFileSync("ss", ["-Htn", "state", "established", "sport", "=", ":3422"], { encoding: "utf8" }).split("\n").map((line) => line.trim().split(/\s+/).pop()).filter((peer) => peer && !peer.startsWith(VERIFIER)));
      for (const port of ports) if (!since.has(port)) since.set(port, now);
      for (const port of since.keys()) if (!ports.has(port)) since.delete(port);
      for (const first of since.values()) longest = Math.max(longest, now - first);
    }, 500);
    const stopVerifier = startVerifier(server);
    await Promise.race([attack.ended, sleep((SLOW + 40) * 1000)]);
    const durations = await stopVerifier();
    clearInterval(sampler);
    attack.kill("SIGTERM");
    const p99 = quantile(durations, 0.99);
    report(`1,000 ${name} for ${SLOW} s: verifications go on`, `${durations.length} verifications, p99 ${p99.toFixed(2)} ms; up to ${connections} connections`, durations.length > 1_000 && p99 < 100);
    report("  memory is bounded", `${((memory - before) / MIB).toFixed(1)} MiB more at most`, memory - before < 64 * MIB);
    report(`  slow connections are closed within ${limit} s`, `longest ${(longest / 1000).toFixed(1)} s`, longest < (limit + 1) * 1000);
    await server.stop("SIGTERM");
  }
}

{
  // Runtimes with a valid key that do not behave. Each kind has 240 connections, and connects again when it is disconnected.
  const server = await prepared(3423, "runtimes", ["--mechas-per-account", "100"]);
  const secrets = [];
  for (let n = 0; n < 15; n += 1) {
    const mecha = await server.post("/rpc/mechas/create", { mecha_name: `Mecha ${n}`, description: "" });
    const mecha_id = /[0-9a-f]{32}/.exec(mecha.body)[0];
    const key = await server.post("/rpc/keys/create", { name: "Runtime", expire_in: "7", mecha_id });
    secrets.push(JSON.parse(key.body).new.secret);
  }
  const half = Buffer.from([0x81, 0xfe, 0x40, 0x00, 0, 0, 0, 0, 0x7b]);
  const status = { type: "status", state: "busy" };
  const drip = async (connection) => {
    for (let n = 0; n < 30 && connection.closeCode === undefined; n += 1) {
      connection.socket.write(n === 0 ? half : Buffer.from(" "));
      await Promise.race([sleep(1_000), connection.closed]);
    }
  };
  const kinds = [
    ["that send no hello", 10, async () => {}],
    ["that send half of a hello, byte by byte", 10, drip],
    ["that send half of a frame, byte by byte", 10, async (connection, n) => (await connection.hello(`${n}`)) && (await drip(connection))],
    ["that do not respond to pings", 45, (connection, n) => connection.hello(`${n}`)],
    ["that send 100 frames at once", 1, async (connection, n) => (await connection.hello(`${n}`)) && Array.from({ length: 100 }, () => connection.send(status))],
    ["that disconnect after the hello", 1, async (connection, n) => (await connection.hello(`${n}`)) && connection.destroy()],
  ];
  for (const [name, limit, misbehave] of kinds) {
    const before = server.memory;
    let memory = before;
    let longest = 0;
    let connected = 0;
    const sampler = setInterval(() => (memory = Math.max(memory, server.memory)), 250);
    const stopVerifier = startVerifier(server);
    const until = performance.now() + Math.max(20, limit + 10) * 1000;
    const client = async (n) => {
      while (performance.now() < until) {
        const connection = await connectRuntime(3423, secrets[n % secrets.length], { respondsToPings: false });
        if (typeof connection === "number") {
          await sleep(100);
          continue;
        }
        const startedAt = performance.now();
        connected += 1;
        await Promise.race([misbehave(connection, n), connection.closed]);
        await connection.closed;
        longest = Math.max(longest, connection.closedAt - startedAt);
      }
    };
    const clients = Promise.all(Array.from({ length: 240 }, (_, n) => client(n)));
    await sleep(2_000);
    const startedAt = performance.now();
    const change = await server.post("/rpc/keys/create", { name: "Meanwhile", expire_in: "7" });
    const took = performance.now() - startedAt;
    await server.post("/rpc/keys/delete", { key_id: JSON.parse(change.body).new.id, confirm_name: "Meanwhile" });
    await clients;
    const durations = await stopVerifier();
    clearInterval(sampler);
    const p99 = quantile(durations, 0.99);
    report(`240 runtimes ${name}, ${connected} connections`, `closed after ${(longest / 1000).toFixed(1)} s at most; ${((memory - before) / MIB).toFixed(1)} MiB more; ${durations.length} verifications, p99 ${p99.toFixed(2)} ms; a change took ${took.toFixed(0)} ms`,
      longest < (limit + 3) * 1000 && memory - before < 64 * MIB && durations.length > 1_000 && p99 < 100 && took < 3_000);
  }
  await sleep(2_000);
  const left = server.connections;
  await server.stop("SIGTERM");
  report("  open files afterwards", String(left), left < 60);
}
finish();
